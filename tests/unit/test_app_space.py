"""Room: watched by looks at a disk that says what the test wants, acted on by policy and in order;
and once with the whole box, real jobs and real copies."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from fieldrec.app import DAEMON, App
from fieldrec.app.space_acting import SpaceActing
from fieldrec.app.space_watch import SpaceWatch
from fieldrec.catalogue.scan import scan
from fieldrec.config import Config, StorageConfig
from fieldrec.config.space import SpaceConfig
from fieldrec.core.clock import SystemClock
from fieldrec.core.errors import StateError
from fieldrec.core.model import (
    Conditions,
    JobKind,
    JobState,
    PowerLevel,
    PowerState,
    SpaceTier,
)
from fieldrec.jobs.job_queue import JobQueue
from fieldrec.jobs.verified_copies import VerifiedCopies, VerifiedCopy
from fieldrec.record.folders import Folders
from tests.fakes.disks import BLOCK, FakeDisk
from tests.fakes.small_stores import make_store
from tests.fakes.waiting import PATIENCE_S

pytestmark = pytest.mark.asyncio
GB = 10**9
HOUR_NS = 3600 * 10**9


class Watched:
    """A watch, its disk, and what was said; recordings and a queue for the acting."""

    def __init__(self, root: Path, **space: Any) -> None:
        self.disk = FakeDisk(1000 * GB, 500 * GB)
        self.config = SpaceConfig(**space)
        self.said: list[str] = []
        self.root = root
        self.folders = Folders((root,), StorageConfig(), on_event=self.say, statvfs=self.disk)
        self.clock = SystemClock()
        self.watch = SpaceWatch(self.config, self.folders, self.clock, say=self.say)
        self.queue = JobQueue(root / ".fieldrec" / "jobs.sqlite")
        self.copies = VerifiedCopies()
        self.stopped: list[str] = []
        self.refused: list[str] = []
        self.woken = 0
        self.acting = SpaceActing(
            self.config, self.watch, self.queue, say=self.say, copies=lambda: self.copies,
            folders=self.folders, conditions=self.conditions, stop=self.stop,
            refuse=self.refused.append, wake=self.wake)

    def say(self, text: str, severity: str) -> None:
        self.said.append(f"{severity}: {text}")

    def conditions(self) -> Conditions:
        return Conditions(False, None, PowerState(PowerLevel.BATTERY), frozenset(), 0)

    async def stop(self, why: str) -> None:
        self.stopped.append(why)

    def wake(self) -> None:
        self.woken += 1

    def used(self, percent: float, looks: int = 3) -> SpaceTier:
        self.disk.free_bytes = int(1000 * GB * (1 - percent / 100))
        for _ in range(looks):
            self.folders.refresh()
            self.watch.look((), recording=False)
        return self.watch.state.tier

    def verified(self, *names: str) -> None:
        for one in scan(self.root):
            if one.name in names:
                self.copies.add(VerifiedCopy(one.uuid, one.name, "nas", "", 10**18, "f", 1))

    async def plan(self) -> None:
        await self.acting.plan(scan(self.root))

    def deletions(self) -> list[str]:
        return [job.item for job in self.queue.jobs() if job.kind is JobKind.DELETE]


Make = Callable[..., Watched]


def exports(box: Watched) -> bool:
    return box.acting.export_on_battery


@pytest_asyncio.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    made: list[Watched] = []
    for seed, name in enumerate(("ants", "bees"), 1):
        make_store(tmp_path, name, seed=seed)

    def of(**space: Any) -> Watched:
        made.append(Watched(tmp_path, **space))
        return made[-1]

    yield of
    for one in made:
        await one.queue.close()


async def test_a_tier_is_said_once_with_its_figures(make: Make) -> None:
    box = make()
    assert box.used(70) is SpaceTier.OK
    assert box.used(85, looks=2) is SpaceTier.OK
    assert box.used(85, looks=1) is SpaceTier.WARN
    assert box.used(86, looks=9) is SpaceTier.WARN
    assert box.used(92) is SpaceTier.ACT
    assert box.used(50) is SpaceTier.OK
    assert box.said == [
        "warning: disk space WARN: 85.0 % used (warn from 80 %, until below 78 %)",
        "warning: disk space ACT: 92.0 % used (act from 90 %, until below 88 %); to be done: "
        "nothing (space.act is empty); make room",
        "info: there is room on the disks again"]


async def test_only_new_looks_count(make: Make) -> None:
    box = make()
    box.used(92, looks=1)
    for _ in range(10):
        assert not box.watch.look((), recording=False)
    assert box.watch.state.tier is SpaceTier.OK


async def test_hours_by_the_schedule_and_the_last_recordings(make: Make) -> None:
    box = make()
    asked: list[int] = []

    def windows(after_ns: int, until_ns: int) -> list[tuple[int, int]]:
        asked.append(after_ns)
        day_ns = 24 * HOUR_NS
        return [(after_ns + day * day_ns, after_ns + day * day_ns + 6 * HOUR_NS)
                for day in range(7)]

    watch = SpaceWatch(box.config, box.folders, box.clock, say=box.say, recorded=lambda: 40 * GB,
                       windows=windows)
    box.folders.refresh()
    watch.look((), recording=False)
    assert watch.state.bytes_per_hour == 10 * GB  # a quarter of the time
    assert watch.state.hours_left == pytest.approx(44.0, abs=0.01)  # 440 GB until the stop
    for _ in range(5):
        box.folders.refresh()
        watch.look((), recording=False)
    assert len(asked) == 1
    watch.forget_plan()
    box.folders.refresh()
    watch.look((), recording=False)
    assert len(asked) == 2


async def test_a_process_that_soon_ends_looks_at_how_full_the_disks_are_only(make: Make) -> None:
    box = make()
    watch = SpaceWatch(box.config, box.folders, box.clock, say=box.say, by_hours=False,
                       recorded=lambda: 400 * GB)  # 500 GB free: an hour and some
    tiers = []
    for free in (500, 150, 80):
        box.disk.free_bytes = free * GB
        for _ in range(3):
            box.folders.refresh()
            watch.look((), recording=True)
        tiers.append(watch.state.tier)
        assert watch.state.hours_left is None
    assert tiers == [SpaceTier.OK, SpaceTier.WARN, SpaceTier.ACT]


async def test_nothing_is_done_unless_it_is_allowed(make: Make) -> None:
    box = make()
    box.verified("ants", "bees")
    box.used(93)
    await box.plan()
    assert box.deletions() == [] and box.stopped == [] and not box.acting.export_on_battery
    assert box.refused == []


async def test_the_oldest_verified_go_first_and_their_waiting_exports_with_them(make: Make
                                                                                ) -> None:
    box = make(act=["delete_verified"])
    box.verified("ants")
    ants = next(one for one in scan(box.root) if one.name == "ants")
    export = await box.queue.add(JobKind.EXPORT, "ants", ants.uuid, preset="High")
    box.used(85)
    await box.plan()
    assert box.deletions() == []  # WARN is only said
    box.used(91)
    await box.plan()
    await box.plan()
    assert box.deletions() == ["ants"]
    (job,) = [job for job in box.queue.jobs() if job.kind is JobKind.DELETE]
    assert job.destination == "nas"
    gone = box.queue.job(export.id)
    assert gone.state is JobState.CANCELLED
    assert gone.reason == ("the recording is deleted to make room, verified at nas on 2001-09-09 "
                           "01:46 UTC")
    assert box.said[-1].startswith("warning: making room: ants (")


async def test_what_a_deletion_came_to_is_looked_at_before_anything_more_is_done(make: Make
                                                                                 ) -> None:
    box = make(act=["delete_verified", "export_on_battery"])
    box.verified("ants")
    box.used(91)
    await box.plan()
    box.verified("bees")
    (job,) = [job for job in box.queue.jobs() if job.kind is JobKind.DELETE]
    await box.queue.set_state(job.id, JobState.DONE)
    shutil.rmtree(box.root / "ants")
    for _ in range(2):
        await box.plan()
        assert [box.deletions(), exports(box), box.acting.settled()] == [["ants"], False, False]
        box.used(91, looks=1)
    box.used(91, looks=1)
    assert [box.acting.settled(), box.acting.settled()] == [True, False]
    await box.plan()
    assert [sorted(box.deletions()), exports(box)] == [["ants", "bees"], False]


async def test_exports_on_battery_only_when_no_deletion_is_left(make: Make) -> None:
    box = make(act=["delete_verified", "export_on_battery"])
    box.verified("ants")
    box.used(91)
    await box.plan()
    assert [box.deletions(), exports(box)] == [["ants"], False]
    for job in box.queue.jobs():
        await box.queue.set_state(job.id, JobState.FAILED, "no")
    await box.plan()
    assert [box.deletions(), exports(box), box.woken] == [["ants"], True, 1]
    box.used(50)
    await box.plan()
    assert [exports(box), box.woken] == [False, 2]


async def test_recording_stops_last_and_may_begin_again_when_there_is_room(make: Make) -> None:
    box = make(act=["export_on_battery", "stop"])
    export = await box.queue.add(JobKind.EXPORT, "ants", "u", preset="High")
    await box.queue.set_state(export.id, JobState.RUNNING)
    box.used(91)
    await box.plan()
    assert box.stopped == [] and box.acting.export_on_battery  # an export makes room just now
    await box.queue.set_state(export.id, JobState.WAITING, "recording")
    await box.plan()
    await box.plan()
    why = "disk space ACT: 91.0 % used (act from 90 %, until below 88 %)"
    assert set(box.stopped) == {why} and box.refused[-1] == why
    assert sum("recording stops" in line for line in box.said) == 1
    box.used(80)
    await box.plan()
    assert box.refused[-1] == ""
    await box.plan()
    assert box.refused.count("") == 1


# -- the whole box ---------------------------------------------------------------------------------

class Disk:
    """A disk of 100 blocks, most of them full of what is not ours; a small recording has five."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.others = 50

    def __call__(self, path: Path) -> os.statvfs_result:
        there = sum(one.name in ("ants", "bees", "cows") for one in self.folder.iterdir())
        return FakeDisk(100 * BLOCK, (100 - self.others - 5 * there) * BLOCK)(path)


async def until(app: App, question: Callable[[], bool]) -> None:
    version = -1
    async with asyncio.timeout(PATIENCE_S):
        while not question():
            version = (await app.board.wait_changed(version, 0.2)).version


def looked(app: App) -> SpaceTier:
    """What three looks at the disk give, taken now and not when their time has come."""
    for _ in range(3):
        app._folders.refresh()
        app.publish()
    return app.board.latest.space.tier


async def test_a_box_deletes_what_is_verified_and_no_more_than_it_must(tmp_path: Path) -> None:
    recordings, nas = tmp_path / "recordings", tmp_path / "nas"
    recordings.mkdir()
    nas.mkdir()
    for seed, name in enumerate(("ants", "bees", "cows"), 1):
        make_store(recordings, name, seed=seed)
    disk = Disk(recordings)
    config = Config.model_validate({
        "storage": {"directory": recordings, "reserve_bytes": 0}, "power": {"source": "mains"},
        "drives": {"enabled": False}, "export": {"automatic": False},
        "space": {"act": ["delete_verified"]},
        "destinations": {"nas": {"type": "folder", "path": nas}}})
    app = App(config, dataclasses.replace(DAEMON, cameras=False))
    app._folders = Folders((recordings,), config.storage, on_event=app._say_from_anywhere,
                           claim=app._own.claim, statvfs=disk)
    async with app:
        await app.control.copy(["ants", "bees"], "nas")
        await until(app, lambda: all(job.state is JobState.DONE for job in app.control.jobs()))
        await until(app, lambda: len(app._resources._books.copies._copies) == 2)
        assert looked(app) is SpaceTier.OK
        disk.others = 76  # 91 % with the recordings: ACT; without one of them 86 %: WARN
        assert looked(app) is SpaceTier.ACT
        await until(app, lambda: not (recordings / "ants").exists()
                    or not (recordings / "bees").exists())
        assert looked(app) is SpaceTier.WARN
        await app.settled()
        left = sorted(one.name for one in scan(recordings))
        (deleted,) = [job for job in app.control.jobs() if job.kind is JobKind.DELETE]
        assert deleted.reason.endswith("freed; read back at nas just now")
        assert any("making room" in event.text for event in app.board.latest.events)
    assert len(left) == 2 and "cows" in left


async def test_recording_is_stopped_for_room_only_where_that_is_allowed(tmp_path: Path) -> None:
    recordings = tmp_path / "recordings"
    recordings.mkdir()
    disk = Disk(recordings)
    config = Config.model_validate({
        "storage": {"directory": recordings, "reserve_bytes": 0}, "power": {"source": "mains"},
        "drives": {"enabled": False}, "export": {"automatic": False}, "space": {"act": ["stop"]},
        "cameras": {"side": {"backend": "synthetic", "options": {"hz": 50}}}})
    app = App(config, DAEMON)
    app._folders = Folders((recordings,), config.storage, on_event=app._say_from_anywhere,
                           claim=app._own.claim, statvfs=disk, readings=3)
    async with app:
        await app.control.start("x")
        disk.others = 92
        assert looked(app) is SpaceTier.ACT
        await until(app, lambda: not app.board.latest.recording)
        assert "disk space ACT: 92.0 % used" in app.board.latest.recorders[0].stop_reason
        with pytest.raises(StateError, match="recording refused: disk space ACT"):
            await app.control.start("y")
        disk.others = 50
        assert looked(app) is SpaceTier.OK
        await app.settled()
        await app.control.start("y")
        await app.control.stop()


async def test_who_refuses_recording_takes_back_only_its_own_word(tmp_path: Path) -> None:
    recordings = tmp_path / "recordings"
    recordings.mkdir()
    config = Config.model_validate({
        "storage": {"directory": recordings}, "power": {"source": "mains"},
        "drives": {"enabled": False},
        "cameras": {"side": {"backend": "synthetic", "options": {"hz": 50}}}})
    async with App(config, DAEMON) as app:
        app.control.refuse_recording("battery critical")
        app.control.refuse_recording("disk space ACT: 2.0 h left", "space")
        with pytest.raises(StateError, match="battery critical; disk space ACT"):
            await app.control.start()
        app.control.refuse_recording("")
        with pytest.raises(StateError, match=r"refused: disk space ACT: 2\.0 h left"):
            await app.control.start()
        app.control.refuse_recording("", "space")
        await app.control.start("x")
        await app.control.stop()
