"""The verbs: what each queues, what each refuses, in which words."""

from __future__ import annotations

import asyncio
import dataclasses
import shutil
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from pydantic import SecretStr

from fieldrec.catalogue.scan import scan
from fieldrec.config.loopy import LoopyConfig
from fieldrec.config.recording import SplitConfig
from fieldrec.control import Control
from fieldrec.core.errors import DriveError, FieldrecError, NotFoundError, StateError, UsageError
from fieldrec.core.model import (
    Drive,
    DriveState,
    Job,
    JobKind,
    JobState,
    Recording,
    RecordingState,
)
from fieldrec.export.presets import preset
from fieldrec.jobs.drive_room import Room
from fieldrec.jobs.job_queue import JobQueue
from fieldrec.record.asked import Asked
from fieldrec.status.board import NOTHING
from tests.fakes.small_stores import make_export, make_store

pytestmark = pytest.mark.asyncio

OWN = {"Tiny": dataclasses.replace(preset("Low"), name="Tiny", crf=40)}


class StandInSession:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    async def start(self, asked: Asked) -> list[str]:
        self.calls.append(("start", asked))
        return [f"{asked.name}_1"]

    async def pause(self) -> list[str]:
        self.calls.append(("pause",))
        return ["left"]

    async def resume(self) -> list[str]:
        self.calls.append(("resume",))
        return ["left"]

    async def step(self, frames: int) -> list[str]:
        self.calls.append(("step", frames))
        return ["left"]

    async def split(self) -> list[str]:
        self.calls.append(("split",))
        return ["left"]

    async def configure(self, camera: str, values: Mapping[str, Any]) -> dict[str, Any]:
        self.calls.append(("configure", camera, values))
        return {camera: ()}

    async def stop(self, reason: str) -> list[str]:
        self.calls.append(("stop", reason))
        return ["bees_1"]


class StandInDrives:
    """Drives that are plugged in; ejecting makes them SAFE."""

    def __init__(self) -> None:
        self.there: list[Drive] = []

    def plug(self, fs_uuid: str, label: str, mount_point: Path | None = Path("/m")) -> None:
        self.there.append(Drive(fs_uuid, label, f"/dev/{fs_uuid}", mount_point, "ext4", None, 1, 1,
                                DriveState.READY))

    def drives(self) -> tuple[Drive, ...]:
        return tuple(self.there)

    async def eject(self, drive: str) -> None:
        self.there = [dataclasses.replace(d, state=DriveState.SAFE, mount_point=None)
                      if drive in (d.fs_uuid, d.label, d.device) else d for d in self.there]


class Rig:
    """A control over real stores and a real queue."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / "recordings"
        self.folder.mkdir()
        self.state_of: dict[str, RecordingState] = {}
        self.session: Any = StandInSession()
        self.drives = StandInDrives()
        self.queue = JobQueue(root / "jobs.sqlite")
        self.changes = 0
        self.said: list[str] = []
        self.control = self.make(self.session)

    def make(self, session: Any) -> Control:
        return Control(
            recordings=[self.folder], session=session, queue=self.queue,
            drives=None if session is None else self.drives, scan=self.scan,
            snapshot=lambda: NOTHING, destinations=("usb", "loopy"), default_preset="High",
            changed=self.changed, exports_held=self.exports_held, own_presets=OWN,
            uploads={"loopy": LoopyConfig(type="loopy", api_key=SecretStr("k"))},
            say=lambda text, _severity: self.said.append(text))

    @asynccontextmanager
    async def exports_held(self) -> AsyncIterator[None]:
        """Notes, among the session's calls, what happened inside."""
        self.session.calls.append(("exports held",))
        yield
        self.session.calls.append(("exports free",))

    async def scan(self) -> list[Recording]:
        return [dataclasses.replace(found, state=self.state_of.get(found.name, found.state))
                for found in scan(self.folder)]

    def changed(self) -> None:
        self.changes += 1


@pytest_asyncio.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    rig = Rig(tmp_path)
    for seed, name in enumerate(("ants", "bees"), 1):
        make_store(rig.folder, name, seed=seed)
    await rig.queue.open()
    yield rig
    await rig.queue.close()


def asked(jobs: Sequence[Job]) -> list[tuple[Any, ...]]:
    return [(job.kind, job.item, job.destination, job.preset, job.delete_source) for job in jobs]


async def test_looking(rig: Rig) -> None:
    assert [r.name for r in await rig.control.recordings()] == ["ants", "bees"]
    assert (await rig.control.recording("bees")).frame_count == 10
    assert rig.control.snapshot() is NOTHING
    assert rig.control.jobs() == ()
    with pytest.raises(NotFoundError, match=r"no recording 'beees'; did you mean bees\?"):
        await rig.control.recording("beees")
    with pytest.raises(NotFoundError, match="recordings here: 2"):
        await rig.control.recording("x")


async def test_start_and_stop_go_to_the_session(rig: Rig) -> None:
    assert await rig.control.start("bees", {"a": 1}, 5.0, ["left"]) == ["bees_1"]
    assert await rig.control.stop("enough") == ["bees_1"]
    assert rig.session.calls == [
        ("exports held",), ("start", Asked("bees", {"a": 1}, 5.0, ["left"])), ("exports free",),
        ("stop", "enough")]
    assert rig.changes == 2
    with pytest.raises(UsageError, match="cannot be a recording's name"):
        await rig.control.start("a/b")


async def test_verbs_of_a_recording_go_to_the_session(rig: Rig) -> None:
    split = SplitConfig(frames=10)
    await rig.control.start("bees", preroll_s=1.0, split_after=split, trigger="motion")
    assert await rig.control.pause() == ["left"]
    assert await rig.control.step(3) == ["left"]
    assert await rig.control.resume() == ["left"]
    assert await rig.control.split() == ["left"]
    assert await rig.control.configure("left") == {"left": ()}
    await rig.control.configure("left", {"Gain": 2})
    assert [call for call in rig.session.calls if "exports" not in call[0]] == [
        ("start", Asked("bees", preroll_s=1.0, split_after=split, trigger="motion")), ("pause",),
        ("step", 3), ("resume",), ("split",), ("configure", "left", {}),
        ("configure", "left", {"Gain": 2})]
    assert rig.changes == 7


async def test_without_cameras_start_and_stop_say_what_to_do(rig: Rig) -> None:
    bare = rig.make(None)
    for verb in (bare.start, bare.stop, bare.pause, bare.resume, bare.step, bare.split,
                 lambda: bare.configure("left")):
        with pytest.raises(StateError, match="no cameras here"):
            await verb()
    with pytest.raises(StateError, match="no drives are watched here"):
        await rig.make(None).eject()


async def test_recording_is_refused_while_power_forbids_it(rig: Rig) -> None:
    rig.control.refuse_recording("battery critical: 7 %")
    with pytest.raises(StateError, match="recording refused: battery critical: 7 %"):
        await rig.control.start()
    assert await rig.control.stop() == ["bees_1"]
    rig.control.refuse_recording("")
    await rig.control.start("bees")


async def test_at_the_end_nothing_new_begins_but_stop_and_cancel_go(rig: Rig) -> None:
    (job,) = await rig.control.export(["bees"])
    rig.control.refuse_from_now("fieldrec is stopping")
    for verb in (rig.control.start("x"), rig.control.export(None), rig.control.copy(None, "usb"),
                 rig.control.move(None, "usb"), rig.control.delete(["bees"]),
                 rig.control.retry(job.id), rig.control.job_first(job.id), rig.control.pause(),
                 rig.control.split()):
        with pytest.raises(StateError, match="fieldrec is stopping"):
            await verb
    assert (await rig.control.cancel(job.id)).state is JobState.CANCELLED
    await rig.control.stop()


async def test_export_of_all_takes_what_is_complete_and_has_none(rig: Rig) -> None:
    make_export(rig.folder, "ants", scan(rig.folder)[0].uuid)
    make_store(rig.folder, "wasps", seed=3)
    rig.state_of["wasps"] = RecordingState.RECORDING
    jobs = await rig.control.export(None)
    assert asked(jobs) == [(JobKind.EXPORT, "bees", None, "High", False)]
    assert await rig.control.export(["ants"]) == []
    assert rig.said == ["already exported with High: ants"] * 2
    assert asked(await rig.control.export(["ants"], "low")) == [
        (JobKind.EXPORT, "ants", None, "Low", False)]
    assert [j.id for j in await rig.control.export(["bees"])] == [jobs[0].id]  # the same again


@pytest.mark.parametrize("unknown", ["Hihg", "../x"])
async def test_an_unknown_preset_queues_nothing(rig: Rig, unknown: str) -> None:
    with pytest.raises(UsageError, match=r"the presets are .*High, Medium, Low.* Tiny"):
        await rig.control.export(None, unknown)
    assert rig.control.jobs() == ()


async def test_the_configurations_own_presets_are_presets(rig: Rig) -> None:
    make_export(rig.folder, "ants", scan(rig.folder)[0].uuid)
    assert asked(await rig.control.export(["ants"], "tiny")) == [
        (JobKind.EXPORT, "ants", None, "Tiny", False)]


async def test_export_straight_to_a_destination_and_then_without_the_raw(rig: Rig) -> None:
    rig.drives.plug("AB-12", "FIELD")
    jobs = [*await rig.control.export(["bees"], destination="FIELD", delete_raw=True),
            *await rig.control.export(["ants"], destination="drive")]
    assert asked(jobs) == [(JobKind.EXPORT, "bees", "drive:AB-12", "High", True),
                           (JobKind.EXPORT, "ants", "drive:AB-12", "High", False)]
    rig.drives.plug("CD-34", "OTHER")
    with pytest.raises(NotFoundError, match="say which drive; ready: FIELD, OTHER"):
        await rig.control.export(["ants"], destination="drive")


async def test_a_drive_that_went_lends_its_device_to_the_next(rig: Rig) -> None:
    with pytest.raises(NotFoundError, match="no drive is ready"):
        await rig.control.copy(["ants"], "drive")
    rig.drives.plug("AB-12", "FIELD")
    rig.drives.plug("CD-34", "FIELD")
    (one, other) = rig.drives.there
    with pytest.raises(UsageError, match=r"2 drives are called FIELD; .* /dev/AB-12, /dev/CD-34"):
        await rig.control.copy(["ants"], "FIELD")
    rig.drives.there = [dataclasses.replace(one, state=DriveState.ABSENT, device=other.device),
                        other]
    for name in (other.device, "FIELD"):
        (job,) = await rig.control.copy(["ants"], name)
        assert job.destination == "drive:CD-34"
    (job,) = await rig.control.copy(["bees"], "AB-12")  # waits until it is put in again
    assert job.destination == "drive:AB-12"
    with pytest.raises(DriveError, match="FIELD was pulled out; put it in again"):
        await rig.control.copy_all("AB-12")
    rig.drives.there = rig.drives.there[:1]
    with pytest.raises(NotFoundError, match=f"destination {other.device} is not a folder"):
        await rig.control.copy(["ants"], other.device)
    rig.drives.plug("CD-34", "FIELD")
    await rig.control.eject("CD-34")
    with pytest.raises(DriveError, match="FIELD is safe to remove; take it out and put it in"):
        await rig.control.copy_all("FIELD", dry_run=True)
    with pytest.raises(NotFoundError, match="no destination ''"):
        rig.drives.plug("EF-56", "")
        await rig.control.copy(["ants"], "")


async def test_what_is_exported_is_queued_again_only_to_delete_its_raw(rig: Rig) -> None:
    make_export(rig.folder, "ants", scan(rig.folder)[0].uuid)
    assert asked(await rig.control.export(["ants"], delete_raw=True)) == [
        (JobKind.EXPORT, "ants", None, "High", True)]
    assert rig.said == []


async def test_an_export_of_fewer_frames_is_no_export(rig: Rig) -> None:
    make_export(rig.folder, "ants", scan(rig.folder)[0].uuid, frames=9)
    assert len(await rig.control.export(["ants"])) == 1


async def test_without_raw_there_is_nothing_to_export(rig: Rig) -> None:
    make_export(rig.folder, "ants", scan(rig.folder)[0].uuid)
    shutil.rmtree(rig.folder / "ants")
    assert await rig.control.export(["ants"], delete_raw=True) == []
    with pytest.raises(StateError, match="the raw is gone"):
        await rig.control.export(["ants"], "low")


async def test_a_job_is_put_first(rig: Rig) -> None:
    (job,) = await rig.control.export(["bees"])
    assert (await rig.control.job_first(job.id)).first == 1
    with pytest.raises(NotFoundError, match="no job 99"):
        await rig.control.job_first(99)


async def test_pause_and_resume_a_job(rig: Rig) -> None:
    (job,) = await rig.control.export(["bees"])
    assert (await rig.control.pause_job(job.id)).paused
    assert not (await rig.control.resume_job(job.id)).paused
    with pytest.raises(NotFoundError, match="no job 99"):
        await rig.control.pause_job(99)
    await rig.control.cancel(job.id)
    with pytest.raises(StateError, match="is cancelled; it can no longer be paused"):
        await rig.control.pause_job(job.id)


@pytest.mark.parametrize("state", [RecordingState.RECORDING, RecordingState.INTERRUPTED,
                                   RecordingState.DAMAGED])
async def test_what_is_named_must_be_complete(rig: Rig, state: RecordingState) -> None:
    rig.state_of["bees"] = state
    for verb in (rig.control.export(["bees"]), rig.control.copy(["bees"], "usb"),
                 rig.control.move(["bees"], "usb")):
        with pytest.raises(StateError, match=f"bees: it is {state.value}"):
            await verb
    assert asked(await rig.control.copy(None, "usb")) == [
        (JobKind.COPY, "ants", "usb", None, False)]


async def test_the_recording_under_way_is_not_deleted(rig: Rig) -> None:
    rig.state_of["bees"] = RecordingState.RECORDING
    with pytest.raises(StateError, match="bees is being recorded; stop it first"):
        await rig.control.delete(["bees"])
    rig.state_of["bees"] = RecordingState.DAMAGED
    assert asked(await rig.control.delete(["bees"])) == [
        (JobKind.DELETE, "bees", None, None, False)]


async def test_one_unknown_name_refuses_all(rig: Rig) -> None:
    for verb in (rig.control.export(["bees", "x"]), rig.control.copy(["bees", "x"], "usb"),
                 rig.control.delete(["bees", "x"])):
        with pytest.raises(NotFoundError):
            await verb
    assert rig.control.jobs() == ()


async def test_where_to(rig: Rig) -> None:
    folder = rig.root / "backup"
    folder.mkdir()
    rig.drives.plug("AB-12", "FIELD")
    for said, meant in {"usb": "usb", "FIELD": "drive:AB-12", "AB-12": "drive:AB-12",
                        "/dev/AB-12": "drive:AB-12", "drive:AB-12": "drive:AB-12",
                        str(folder): str(folder), f"{folder}/../backup/": str(folder)}.items():
        (job,) = await rig.control.move(["bees"], said)
        assert (job.destination, job.delete_source) == (meant, True)


@pytest.mark.parametrize(("destination", "kind", "says"), [
    ("nowhere", NotFoundError, "no destination 'nowhere'; known: usb"),
    ("backup", NotFoundError, "no destination 'backup'"),  # whose working directory?
    ("{root}/none", NotFoundError, "is not a folder; create it first"),
    ("{root}/recordings", UsageError, "inside or around the recordings folder"),
    ("{root}/recordings/ants", UsageError, "inside or around the recordings folder"),
    ("{root}/link/ants", UsageError, "inside or around the recordings folder"),
    ("{root}", UsageError, "inside or around the recordings folder"),
    ("/", UsageError, "inside or around the recordings folder"),
    ("/\0", UsageError, "cannot be used"),
])
async def test_where_not_to(rig: Rig, monkeypatch: pytest.MonkeyPatch, destination: str,
                            kind: type[FieldrecError], says: str) -> None:
    monkeypatch.chdir(rig.root)
    (rig.root / "backup").mkdir()
    (rig.root / "link").symlink_to(rig.folder)
    with pytest.raises(kind, match=says):
        await rig.control.copy(None, destination.format(root=rig.root))
    assert rig.control.jobs() == ()


async def test_cancel_and_retry(rig: Rig) -> None:
    (job,) = await rig.control.export(["bees"])
    with pytest.raises(StateError, match="only failed and cancelled jobs"):
        await rig.control.retry(job.id)
    await rig.control.cancel(job.id)
    with pytest.raises(StateError, match="is cancelled already"):
        await rig.control.cancel(job.id)
    assert (await rig.control.retry(job.id)).state is JobState.QUEUED
    with pytest.raises(NotFoundError, match="no job 99"):
        await rig.control.cancel(99)


async def test_eject(rig: Rig) -> None:
    with pytest.raises(UsageError, match="no drive is in use: nothing to eject"):
        await rig.control.eject()
    rig.drives.plug("AB-12", "FIELD")
    rig.drives.plug("EF-56", "", mount_point=None)
    assert await rig.control.eject() == "SAFE TO REMOVE FIELD"  # the only one that is mounted
    rig.drives.plug("CD-34", "")
    rig.drives.plug("GH-78", "OTHER")
    with pytest.raises(UsageError, match="in use: CD-34, OTHER"):
        await rig.control.eject()
    assert await rig.control.eject("CD-34") == "SAFE TO REMOVE CD-34"


async def test_who_waits_to_record_hears_that_it_is_allowed_again(rig: Rig) -> None:
    heard: list[str] = []
    rig.control.allowed = lambda: heard.append("allowed")
    rig.control.refuse_recording("", "room")
    rig.control.refuse_recording("full", "room")
    rig.control.refuse_recording("empty")
    with pytest.raises(StateError, match="full; empty"):
        await rig.control.start("bees")
    rig.control.refuse_recording("", "room")
    assert heard == ["allowed"]


async def test_uploads_go_only_where_they_can(rig: Rig) -> None:
    make_export(rig.folder, "bees", (await rig.control.recording("bees")).uuid)
    assert asked(await rig.control.upload(None, "loopy")) == [
        (JobKind.UPLOAD, "bees", "loopy", None, False)]  # what is uploaded are exports
    assert asked(await rig.control.upload(["ants"], "loopy"))[0][1] == "ants"
    with pytest.raises(NotFoundError, match="no destination 'usb' for uploads; known: loopy"):
        await rig.control.upload(None, "usb")
    rig.state_of["ants"] = RecordingState.RECORDING
    with pytest.raises(StateError, match="cannot upload ants: it is recording"):
        await rig.control.upload(["ants"], "loopy")


async def test_nothing_is_copied_moved_or_exported_to_where_it_cannot_be_verified(rig: Rig) -> None:
    for ask in (rig.control.copy(None, "loopy"), rig.control.move(None, "loopy"),
                rig.control.export(None, destination="loopy")):
        with pytest.raises(UsageError, match="could not be verified; `fieldrec upload --to loopy`"):
            await ask
    assert rig.queue.jobs() == ()


# -- all at once ---------------------------------------------------------------------------------


async def test_copy_all_says_what_it_comes_to_and_queues_what_fits_oldest_first(rig: Rig) -> None:
    for seed, name in enumerate(("cats", "dogs"), 3):
        make_store(rig.folder, name, seed=seed)
    rig.state_of["dogs"] = RecordingState.RECORDING
    rooms = [Room(10**9), Room(100_000, present=frozenset({"ants"}))]

    async def room(name: str) -> Room:
        assert name == "usb"
        return rooms[0]

    rig.control.room = room
    dry = await rig.control.copy_all("usb", dry_run=True)
    assert (dry.recordings, dry.fits, dry.stays, dry.left_out, dry.jobs) == (3, 3, 0, 1, ())
    assert dry.text == ("copy 3 recordings to usb: 425.0 kB to write, 1.0 GB free",
                        "1 recording left out: not complete, or with nothing to copy")
    assert rig.queue.jobs() == () and rig.said == []
    del rooms[0]
    found = await rig.control.copy_all("usb")
    assert (found.fits, found.stays, found.there) == (1, 2, 1)
    assert [job.item for job in found.jobs] == ["ants"]
    assert rig.said == [found.text[1]] and "use another destination" in found.text[1]
    assert [job.kind for job in rig.queue.jobs()] == [JobKind.COPY]


async def test_of_some_cameras_since_then_or_by_name(rig: Rig, monkeypatch: pytest.MonkeyPatch
                                                    ) -> None:
    ants, bees = await rig.scan()
    told = [dataclasses.replace(ants, camera_serial="side-1", first_time_ns=5),
            dataclasses.replace(bees, camera_serial="top-1", first_time_ns=9)]

    async def scanned() -> list[Recording]:
        return told

    monkeypatch.setattr(rig.control, "_scan", scanned)
    for how, items in (({"cameras": ["side-*"]}, ["ants"]), ({"since_ns": 6}, ["bees"]),
                       ({"names": ["bees"]}, ["bees"]), ({"cameras": ["x"]}, []),
                       ({}, ["ants", "bees"])):
        found = await rig.control.move_all("usb", dry_run=True, **how)
        assert found.recordings == len(items), how
        assert found.free_bytes is None
        assert ("not known" if items else "no such recording to move") in found.text[0]
    jobs = (await rig.control.move_all("usb")).jobs
    assert [(job.kind, job.item, job.delete_source) for job in jobs] == [
        (JobKind.MOVE, "ants", True), (JobKind.MOVE, "bees", True)]
    with pytest.raises(NotFoundError, match="did you mean bees"):
        await rig.control.copy_all("usb", ["beees"])


async def test_export_all_exports_there_and_moves_what_is_exported(rig: Rig) -> None:
    ants = next(one for one in await rig.scan() if one.name == "ants")
    make_export(rig.folder, "ants", ants.uuid)
    found = await rig.control.export_all("usb")
    assert sorted((job.kind.value, job.item, job.preset, job.delete_source)
                  for job in found.jobs) == [
        ("export", "bees", "High", True), ("move", "ants", "High", True)]
    low = await rig.control.export_all("usb", ["ants"], preset="low", dry_run=True)
    assert low.recordings == 1
    with pytest.raises(UsageError, match="unknown preset"):
        await rig.control.export_all("usb", preset="gone")


async def test_a_suspect_drive_is_no_destination_until_it_is_trusted(rig: Rig) -> None:
    rig.drives.plug("AB-12", "FIELD1")
    rig.drives.there = [dataclasses.replace(one, suspect="failed 3 times")
                        for one in rig.drives.there]
    for verb in (rig.control.copy_all("FIELD1"), rig.control.copy(None, "FIELD1")):
        with pytest.raises(StateError, match="failed 3 times; use another, or run `fieldrec drive "
                                             "trust AB-12`"):
            await verb
    with pytest.raises(StateError, match="no drives are known here"):
        await rig.control.trust_drive("FIELD1")
    rig.control.trust = lambda which: asyncio.sleep(0, f"{which} is trusted")
    assert await rig.control.trust_drive("FIELD1") == "FIELD1 is trusted"
