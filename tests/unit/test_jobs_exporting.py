"""Exports as jobs, with real encoders: what is there is not made again, raw goes only for what the
medium holds, straight to a destination, room, and what a stop or a cancel leaves."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import shutil
import threading
from collections.abc import Iterable
from pathlib import Path

import pytest

from fieldrec.catalogue.scan import scan
from fieldrec.core import durable
from fieldrec.core.errors import StoreFull
from fieldrec.core.model import Export, JobKind, JobState
from fieldrec.destinations.folder import FolderDestination
from fieldrec.export.presets import preset
from fieldrec.export.run import run_export
from fieldrec.jobs import room
from fieldrec.jobs.exporting import names_wanted
from fieldrec.jobs.held import Held
from fieldrec.jobs.history import predicted
from fieldrec.record.storage import size_text
from tests.fakes.export_box import export_box
from tests.fakes.export_content import moving, write_store
from tests.fakes.job_box import names
from tests.fakes.small_stores import contents

pytestmark = pytest.mark.asyncio
J = JobState
MOVIE = ["bees.low.mp4", "bees.low.mp4.json"]
TINY = dataclasses.replace(preset("Low"), name="Tiny", crf=40, aliases=())


def damage(path: Path) -> None:
    """One bit of a finished file, in its middle, its size and time as before."""
    times = path.stat()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


@pytest.fixture(scope="module")
def ready_made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a recording and its real export."""
    folder = tmp_path_factory.mktemp("ready") / "recordings"
    folder.mkdir()
    store = write_store(folder / "bees", moving(12))
    run_export(store, preset("Low"), output_folder=folder, stop=threading.Event(),
               on_progress=lambda *_: None)
    return folder


@pytest.fixture
def box_folder(tmp_path: Path, ready_made: Path) -> Path:
    """Of a box, with a copy of that."""
    shutil.copytree(ready_made, tmp_path / "recordings")
    return tmp_path


# -- own presets, and what is there ----------------------------------------------------------------


async def test_another_preset_is_another_export_and_the_same_is_none(box_folder: Path) -> None:
    async with export_box(box_folder, own_presets={"Tiny": TINY}) as box:
        recording = scan(box.recordings)[0]
        async with box.running():
            again = await box.until(await box.add(recording), J.DONE)
            assert (again.reason, box.encoders) == ("exported already", [])
            await box.until(await box.add(recording, preset="Tiny"), J.DONE)
            gone = await box.until(await box.add(recording, preset="Gone"), J.FAILED)
        assert len(box.encoders) == 1
        assert {(made.preset, made.frame_count) for made in scan(box.recordings)[0].exports} == {
            ("Low", 12), ("Tiny", 12)}
        assert "unknown preset 'Gone'" in gone.reason
        assert "put Gone back into the configuration and retry" in gone.reason


async def test_what_a_run_left_that_was_cut_off_when_it_was_done_goes(box_folder: Path) -> None:
    async with export_box(box_folder) as box:
        recording = scan(box.recordings)[0]
        (box.recordings / ".work-bees.low.mp4").mkdir()
        async with box.running():
            again = await box.until(await box.add(recording), J.DONE)
        assert (again.reason, names(box.recordings)) == ("exported already", ["bees", *MOVIE])


# -- raw -------------------------------------------------------------------------------------------


async def test_raw_goes_after_the_export_and_what_that_freed_is_said(tmp_path: Path) -> None:
    async with export_box(tmp_path) as box:
        recording = box.record()
        async with box.running():
            job = await box.add(recording, delete_source=True)
            done = await box.until(job, J.DONE)
        assert names(box.recordings) == MOVIE
        freed = f"raw deleted, {size_text(recording.size_bytes)} freed"
        assert done.reason == freed
        assert box.events[-1] == f"job {job.id}: export bees: {freed}"
        assert any(seen.frees_bytes == recording.size_bytes for seen in box.seen)
        states = [seen.state for seen in box.seen]
        assert states.index(J.VERIFYING) < states.index(J.COMMITTING) < states.index(
            J.DELETING_SOURCE)


@pytest.mark.parametrize("hurt", ["movie", "sidecar's digest", "neither"])
async def test_raw_stays_when_the_export_is_not_what_was_verified(box_folder: Path, hurt: str
                                                                  ) -> None:
    async with export_box(box_folder) as box:
        if hurt == "movie":
            damage(box.recordings / MOVIE[0])
        elif hurt == "sidecar's digest":
            sidecar = box.recordings / MOVIE[1]
            digest = scan(box.recordings)[0].exports[0].digest
            sidecar.write_text(sidecar.read_text().replace(digest, digest[::-1]))
        raw = contents(box.recordings / "bees")
        async with box.running():
            job = await box.add(scan(box.recordings)[0], JobKind.DELETE_RAW)
            ended = await box.until(job, J.DONE if hurt == "neither" else J.FAILED)
        if hurt == "neither":
            assert names(box.recordings) == MOVIE
        else:
            assert contents(box.recordings / "bees") == raw
            assert "is not the file that was verified" in ended.reason
            assert "then export again" in ended.reason


@pytest.mark.parametrize("step", ["rename", "rmtree"])
async def test_cut_off_while_the_raw_goes_it_is_gone_after_the_next_start(
        box_folder: Path, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Cut(BaseException):
        """The power went."""

    def cut(at: str, path: Path | str) -> None:
        if at == step and "bees" in str(path) and "mp4" not in str(path):
            raise Cut

    async with export_box(box_folder) as box:
        job = await box.add(scan(box.recordings)[0], JobKind.DELETE_RAW)
        await box.queue.set_state(job.id, J.RUNNING)
        performer = box.make_runner()._performer
        durable.set_hook(cut)
        try:
            with pytest.raises(Cut):
                await performer.perform(job, Held(lambda: None))
        finally:
            durable.set_hook(None)
        assert box.queue.job(job.id).state is J.DELETING_SOURCE
    async with export_box(box_folder) as box:
        durable.sweep_unfinished(box.recordings)
        async with box.running():
            done = await box.until(job, J.DONE)
        assert done.reason.startswith(
            "raw deleted, " if step == "rename" else "the raw is gone already")
        assert names(box.recordings) == MOVIE
        assert scan(box.recordings)[0].has_raw is False


async def test_raw_that_was_offloaded_goes_only_for_what_the_destination_holds(
        box_folder: Path) -> None:
    async with export_box(box_folder) as box:
        recording = scan(box.recordings)[0]
        async with box.running():
            job = await box.add(recording, JobKind.DELETE_RAW, destination="usb")
            await box.until(job, J.WAITING, reason="is not at usb yet; the raw goes when it is")
            await box.until(await box.add(recording, JobKind.COPY, destination="usb"), J.DONE)
            await box.until(job, J.DONE)
        assert names(box.recordings) == MOVIE
        assert set(MOVIE) < set(names(box.usb))


async def test_raw_stays_when_the_copy_of_the_export_was_damaged(box_folder: Path) -> None:
    async with export_box(box_folder) as box:
        recording = scan(box.recordings)[0]
        async with box.running():
            await box.until(await box.add(recording, JobKind.COPY, destination="usb"), J.DONE)
            damage(box.usb / MOVIE[0])
            job = await box.add(recording, JobKind.DELETE_RAW, destination="usb")
            failed = await box.until(job, J.FAILED)
        assert "at usb has other bytes than were verified; the raw is kept" in failed.reason
        assert "bees" in names(box.recordings)


# -- straight to a destination ---------------------------------------------------------------------


async def test_an_export_is_made_at_its_destination_and_once(tmp_path: Path) -> None:
    async with export_box(tmp_path) as box:
        recording = box.record()
        async with box.running():
            await box.until(await box.add(recording, destination="usb"), J.DONE)
            assert (names(box.recordings), names(box.usb)) == (["bees"], MOVIE)
            assert box.leases == 0
            before = contents(box.usb)
            (box.usb / ".work-bees.low.mp4").mkdir()  # pulled out just when it was done
            again = await box.until(await box.add(recording, destination="usb"), J.DONE)
            assert again.reason == "exported to usb already"
            assert names(box.usb) == MOVIE
            assert (contents(box.usb), len(box.encoders)) == (before, 1)
            movie = (box.usb / MOVIE[0]).read_bytes()
            damage(box.usb / MOVIE[0])
            failed = await box.until(
                await box.add(recording, destination="usb", delete_source=True), J.FAILED)
            assert "has other bytes than were verified; the raw is kept" in failed.reason
            assert (names(box.usb), names(box.recordings)) == (MOVIE, ["bees"])
            (box.usb / MOVIE[0]).write_bytes(movie)
            freed = await box.until(
                await box.add(recording, destination="usb", delete_source=True), J.DONE)
        assert freed.reason.startswith("exported to usb already; raw deleted, ")
        assert (names(box.recordings), len(box.encoders)) == ([], 1)


async def test_a_destination_that_shows_other_bytes_keeps_nothing_and_the_raw_stays(
        tmp_path: Path) -> None:
    class Bad(FolderDestination):
        """Its medium loses a bit when everything has been written."""

        def sync(self, item: str, relatives: Iterable[str] = ()) -> None:
            super().sync(item, relatives)
            for movie in self.path.glob("*.mp4"):
                damage(movie)

    async with export_box(tmp_path) as box:
        recording = box.record()
        box.make_folder = lambda name: Bad(name, box.usb)
        async with box.running():
            job = await box.add(recording, destination="usb", delete_source=True)
            failed = await box.until(job, J.FAILED)
        assert "has other bytes than were verified" in failed.reason
        assert (names(box.usb), names(box.recordings)) == ([], ["bees"])


async def test_another_recordings_export_at_the_destination_is_left_alone(tmp_path: Path) -> None:
    async with export_box(tmp_path) as box:
        recording = box.record()
        async with box.running():
            await box.until(await box.add(recording, destination="usb"), J.DONE)
            before = contents(box.usb)
            other = await box.queue.add(JobKind.EXPORT, "bees", "", destination="usb",
                                        preset="Low")
            await box.until(other, J.FAILED)
            sidecar = box.usb / MOVIE[1]
            sidecar.write_text(sidecar.read_text().replace(recording.uuid, "1" * 32))
            before = contents(box.usb)
            failed = await box.until(await box.add(recording, destination="usb"), J.FAILED)
        assert "of another recording" in failed.reason
        assert contents(box.usb) == before


async def test_a_destination_that_goes_stops_the_export_and_the_next_visit_ends_it(
        tmp_path: Path) -> None:
    async with export_box(tmp_path) as box:
        recording = box.record(frames=150)
        box.on_progress = lambda _phase, _done: box.encoders[0].pause()
        async with box.running():
            job = await box.add(recording, destination="usb")
            await box.until(job, J.RUNNING, J.VERIFYING)
            await box.until_true(lambda: bool(box.encoders) and box.encoders[0].paused)
            box.become(present_destinations=frozenset())
            await box.until(job, J.WAITING, reason="destination usb not present")
            assert box.leases == 0
            assert not [name for name in names(box.usb) if not name.startswith(".work-")]
            box.on_progress = lambda _phase, _done: None
            box.become(present_destinations=frozenset({"usb"}))
            await box.until(job, J.DONE)
        assert (names(box.usb), names(box.recordings)) == (MOVIE, ["bees"])


# -- room ------------------------------------------------------------------------------------------


async def test_what_would_not_fit_waits_with_figures_until_there_is_room(tmp_path: Path) -> None:
    async with export_box(tmp_path, keep_free_bytes=1 << 60) as box:
        recording = box.record()
        async with box.running() as runner:
            job = await box.add(recording)
            waiting = await box.until(job, J.WAITING, reason="needs about")
            assert "0 B free at" in waiting.reason
            assert "make room" in waiting.reason
            assert waiting.prediction is not None
            assert waiting.prediction.drawn_from == 0
            runner._performer.exporting._keep_free_bytes = 0
            runner.wake()
            done = await box.until(job, J.DONE)
            assert any(seen.seconds_left is not None for seen in box.seen)
            shown = [seen.progress for seen in box.seen if seen.progress is not None]
            assert {far.phase for far in shown} >= {"encoding", "verifying"}
            assert {far.frames_total for far in shown} == {12}
            assert any(far.frames_per_second > 0 for far in shown)
            assert 0 < max(far.size_bytes for far in shown) <= scan(
                box.recordings)[0].exports[0].size_bytes
            (sample,) = box.queue.samples
            size = scan(box.recordings)[0].exports[0].size_bytes
            assert sample.bits_per_pixel == pytest.approx(size * 8 / (12 * 120 * 160))
            assert sample.encode_s_per_frame > 0
            assert sample.verify_s_per_frame > 0
            assert sample.cpu_s_per_frame > 0
            assert done.seconds_left is None
            assert done.progress is None
            box.record("wasps")
            wasps = await box.add(scan(box.recordings)[1])
            await box.until(wasps, J.DONE)
            told = next(seen.prediction for seen in reversed(box.seen)
                        if seen.id == wasps.id and seen.prediction is not None)
            assert told.drawn_from >= 1
            assert told.size_bytes == pytest.approx(size, rel=0.05)


async def test_an_export_that_the_disk_was_too_small_for_needs_more_the_next_time(
        tmp_path: Path) -> None:
    async with export_box(tmp_path) as box:
        recording = box.record()
        job = await box.add(recording)
        runner = box.make_runner()
        exporting = runner._performer.exporting

        class Full:
            """An encoder whose disk is full in the midst of it."""

            pid = None
            size_bytes = 0

            async def run(self) -> Export:
                raise StoreFull("no room")

            def pause(self) -> None: ...
            def resume(self) -> None: ...
            def throttle(self, share: float) -> None: ...

        exporting._make_encoder = lambda *_: Full()
        said = []
        told = predicted((), recording, preset("Low"))
        assert told is not None
        for _ in range(2):
            with pytest.raises(room.NoRoom) as refused:
                await exporting.export(job, recording, Held(lambda: None))
            said.append(str(refused.value))
            exporting._keep_free_bytes = room.free_bytes(box.recordings, 0) - 3 * told.size_bytes
        assert said[0] == "no room; goes on when there is room"
        assert said[1].startswith(f"needs about {size_text(4 * told.size_bytes)} while")


# -- stopped and cancelled -------------------------------------------------------------------------


@pytest.mark.parametrize("where", [None, "usb"])
async def test_cancel_leaves_nothing_and_a_stop_what_it_goes_on_with(
        tmp_path: Path, where: str | None) -> None:
    async with export_box(tmp_path) as box:
        recording = box.record(frames=150)
        folder = box.usb if where else box.recordings
        raw = [] if where else ["bees"]
        box.on_progress = lambda _phase, _done: box.encoders[-1].pause()
        job = await box.add(recording, destination=where)
        async with box.running():
            await box.until_true(lambda: bool(box.encoders) and box.encoders[-1].paused)
        assert box.queue.job(job.id).state is J.QUEUED
        assert names(folder) == [".work-bees.low.mp4", *raw]
        async with box.running():
            await box.until_true(lambda: len(box.encoders) == 2 and box.encoders[1].paused)
            await box.queue.cancel(job.id)
            await box.until_true(lambda: names(folder) == raw)
        assert box.queue.job(job.id).state is J.CANCELLED
        assert box.leases == 0


async def test_a_queued_export_that_is_cancelled_leaves_nothing_either(tmp_path: Path) -> None:
    async with export_box(tmp_path) as box:
        recording = box.record(frames=150)
        box.on_progress = lambda _phase, _done: box.encoders[-1].pause()
        job = await box.add(recording)
        async with box.running():
            await box.until_true(lambda: bool(box.encoders) and box.encoders[-1].paused)
        assert ".work-bees.low.mp4" in names(box.recordings)
        box.conditions = dataclasses.replace(box.conditions, recording=True)
        async with box.running():
            await box.until(job, J.WAITING)
            await box.queue.cancel(job.id)
            await box.until_true(lambda: names(box.recordings) == ["bees"])


async def test_the_operator_pauses_an_export_and_lets_it_go_on(tmp_path: Path) -> None:
    async with export_box(tmp_path) as box:
        recording = box.record(frames=150)
        began = asyncio.Event()
        box.on_progress = lambda _phase, _done: began.set()
        job = await box.add(recording)
        async with box.running():
            await began.wait()
            await box.queue.set_paused(job.id, True)
            await box.until(job, J.WAITING, reason="paused by the operator; `fieldrec resume-job")
            (encoder,) = box.encoders
            assert encoder.paused
            await box.queue.set_paused(job.id, False)
            await box.until(job, J.DONE)
        assert box.encoders == [encoder]


async def test_working_folders_are_wanted_by_unfinished_jobs_of_their_place(tmp_path: Path
                                                                            ) -> None:
    async with export_box(tmp_path, own_presets={"Tiny": TINY}) as box:
        for name, where in (("Tiny", None), ("Low", "usb"), ("Gone", None), ("High", None)):
            job = await box.queue.add(JobKind.EXPORT, "bees", "u", preset=name, destination=where)
        await box.queue.add(JobKind.DELETE_RAW, "ants", "v", preset="Low")
        await box.queue.cancel(job.id)
        jobs = box.queue.jobs()
        assert names_wanted(jobs, box.own_presets) == {"bees.tiny.mp4"}
        assert names_wanted(jobs, box.own_presets, "usb") == {"bees.low.mp4"}
