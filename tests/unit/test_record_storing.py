"""The store thread: what it writes, what it says of clock, losses and syncs, and how it ends."""

from __future__ import annotations

import errno
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fieldrec.camera import Pixels
from fieldrec.config import RecordConfig
from fieldrec.core import durable
from fieldrec.core.errors import CameraLost
from fieldrec.core.model import CameraState, FrameSpec, Heat
from fieldrec.record.place import GivenPath
from fieldrec.store.npy_frames import NpyFiles
from tests.fakes.cameras import SECOND_NS, ManualClock, ScriptedCamera
from tests.fakes.rigs import (
    QUICK,
    Disk,
    RecorderRig,
    check_complete,
    extra_data,
    gather,
    names_in,
    recorder_rig,
)
from tests.fakes.waiting import PATIENCE_S

pytestmark = pytest.mark.asyncio


@pytest.fixture
def disk() -> Iterator[Disk]:
    disk = Disk()
    durable.set_hook(disk)
    yield disk
    disk.may_write.set()
    durable.set_hook(None)


async def test_store_holds_frames_numbers_times_and_metadata(tmp_path: Path) -> None:
    async with recorder_rig() as rig:
        await rig.recorder.start(GivenPath(tmp_path / "a"), {"species": "Bombus", "nest": 7})
        times = await rig.give(0, 1, 2, 3, 5, 6)
        await rig.recorder.stop()
        assert rig.status.stop_reason == "stopped"
    metadata = check_complete(tmp_path / "a", [0, 1, 2, 3, 5, 6], times)
    assert metadata["species"] == "Bombus"
    assert metadata["nest"] == 7
    assert metadata["timezone"] == "Europe/Vienna"
    assert metadata["acquisitionframerate"] == 10.0
    assert metadata["acquisitionframerateenable"] is True
    ours = metadata["fieldrec"]
    assert ours["camera_serial"] == "SN-left"
    assert ours["pixel_format"] == "MONO8"
    assert ours["clock_quality"] == "rtc"
    assert ours["recording_name"] == "a"
    assert (ours["dropped"], ours["lost"], ours["stop_reason"]) == (1, 0, "stopped")


async def test_overflow_counts_lost_goes_on_and_is_in_the_store(tmp_path: Path, disk: Disk) -> None:
    async with recorder_rig() as rig:
        await rig.recorder.start(GivenPath(tmp_path / "a"), {})
        disk.may_write.clear()
        for number in range(7):
            rig.camera.give(number)
        rig.camera.wait_taken()
        assert disk.holding.wait(PATIENCE_S)
        status = rig.status
        assert (status.lost, status.dropped, status.ring_slots, status.ring_peak) == (3, 0, 4, 4)
        assert status.heat is Heat.HIGH
        assert status.state is CameraState.RECORDING
        disk.may_write.set()
        await rig.watching.until(lambda: rig.status.frame_count == 4)
        await rig.give(7, 8)
        await rig.recorder.stop()
    metadata = check_complete(tmp_path / "a", [0, 1, 2, 3, 7, 8])
    assert (metadata["fieldrec"]["lost"], metadata["fieldrec"]["dropped"]) == (3, 0)
    runs = [r for r in extra_data(tmp_path / "a") if r.get("lost_count") == 3]
    assert [(r["lost_first_number"], r["lost_last_number"]) for r in runs] == [(4, 6)]
    assert runs[0]["lost_last_time_ns"] - runs[0]["lost_first_time_ns"] == 2 * SECOND_NS


async def test_full_disk_closes_in_order_with_what_is_there(tmp_path: Path, disk: Disk) -> None:
    disk.fail_at = 7
    async with recorder_rig() as rig:
        await rig.recorder.start(GivenPath(tmp_path / "a"), {})
        await rig.give(0, 1, 2, 3, 4, 5)
        rig.camera.give(6)
        await rig.watching.until(lambda: rig.in_state(CameraState.READY))
        assert rig.status.stop_reason.startswith("disk full: ")
        assert not rig.camera.started
        disk.fail_at = None
        await rig.recorder.start(GivenPath(tmp_path / "b"), {})
        await rig.give(7)
    metadata = check_complete(tmp_path / "a", [0, 1, 2, 3, 4, 5])
    assert metadata["fieldrec"]["stop_reason"].startswith("disk full")
    check_complete(tmp_path / "b", [7])


async def test_no_room_for_the_first_frame_leaves_nothing(tmp_path: Path, disk: Disk) -> None:
    disk.fail_at = 1
    async with recorder_rig() as rig:
        await rig.recorder.start(GivenPath(tmp_path / "a"), {})
        rig.camera.give(0)
        await rig.watching.until(lambda: rig.in_state(CameraState.READY))
        assert rig.status.recording == ""
        assert names_in(tmp_path) == []


async def test_broken_disk_leaves_the_store_for_recover(tmp_path: Path, disk: Disk) -> None:
    disk.fail_at, disk.fail_with = 3, errno.EIO
    async with recorder_rig() as rig:
        await rig.recorder.start(GivenPath(tmp_path / "a"), {})
        await rig.give(0, 1)
        rig.camera.give(2)
        await rig.watching.until(lambda: rig.in_state(CameraState.READY))
        assert rig.status.stop_reason.startswith("store failed: ")
    assert (tmp_path / "a" / ".lock").exists()
    assert (tmp_path / "a" / "000000" / "frames.log").exists()


async def test_failed_sync_goes_on_in_a_new_chunk_and_says_so(tmp_path: Path, disk: Disk) -> None:
    async with recorder_rig(chunksize=100, durability_s=0.1) as rig:
        await rig.recorder.start(GivenPath(tmp_path / "a"), {})
        await rig.give(0, 1)
        disk.fail_syncs = 1
        await rig.watching.until(lambda: rig.watching.said("going on in a new chunk"))
        await rig.give(2)
        await rig.recorder.stop()
    check_complete(tmp_path / "a", [0, 1, 2])
    assert (tmp_path / "a" / "000001" / "index.npz").exists()


async def test_failed_sync_at_the_end_of_a_chunk_goes_on_too(tmp_path: Path, disk: Disk) -> None:
    async with recorder_rig(chunksize=2) as rig:
        await rig.recorder.start(GivenPath(tmp_path / "a"), {})
        await rig.give(0)
        disk.fail_syncs = 1
        await rig.give(1, 2, 3, 4)
        assert rig.watching.said("going on in a new chunk")
        await rig.recorder.stop()
    check_complete(tmp_path / "a", [0, 1, 2, 3, 4])


async def test_frame_times_go_on_when_the_wall_clock_is_set_back(tmp_path: Path) -> None:
    async with recorder_rig() as rig:
        await rig.recorder.start(GivenPath(tmp_path / "a"), {})
        times = await rig.give(0, 1)
        rig.clock.step_wall(-3600)
        times += [time + 3600 * SECOND_NS for time in await rig.give(2, 3, 4)]
        await rig.recorder.stop()
        assert rig.watching.said("wall clock moved by -3600.000 s")
    assert times == sorted(times)
    check_complete(tmp_path / "a", [0, 1, 2, 3, 4], times)
    steps = [record for record in extra_data(tmp_path / "a") if record.get("clock_step") is True]
    assert len(steps) == 1
    assert steps[0]["clock_recording_ns"] - steps[0]["clock_wall_ns"] == 3600 * SECOND_NS


async def test_drift_below_the_limit_is_not_a_step_until_it_adds_up(tmp_path: Path) -> None:
    async with recorder_rig() as rig:
        await rig.recorder.start(GivenPath(tmp_path / "a"), {})
        for number in range(5):
            rig.clock.step_wall(0.02)
            await rig.give(number)
        await rig.recorder.stop()
        assert sum("wall clock" in text for text, _ in rig.watching.events) == 1
    check_complete(tmp_path / "a", [0, 1, 2, 3, 4])


async def test_lost_camera_closes_the_store(tmp_path: Path) -> None:
    async with recorder_rig() as rig:
        await rig.recorder.start(GivenPath(tmp_path / "a"), {})
        await rig.give(0, 1, 2)
        rig.camera.fail(CameraLost("cable"))
        await rig.watching.until(lambda: rig.in_state(CameraState.FAILED))
        assert rig.status.problem == "cable"
        assert rig.status.stop_reason == "camera lost: cable"
    check_complete(tmp_path / "a", [0, 1, 2])


async def test_driver_that_hangs_costs_the_camera_not_the_store(tmp_path: Path) -> None:
    patience = replace(QUICK, hang_s=0.5)
    async with recorder_rig(patience=patience) as rig:
        await rig.recorder.start(GivenPath(tmp_path / "a"), {})
        await rig.give(0, 1)
        rig.camera.may_answer.clear()
        await rig.watching.until(lambda: rig.in_state(CameraState.FAILED))
        check_complete(tmp_path / "a", [0, 1])
        await rig.recorder.open()  # must not call into the camera now
        assert rig.in_state(CameraState.FAILED)
        assert "does not answer" in rig.status.problem
        rig.camera.may_answer.set()
        assert rig.camera.stopped.wait(PATIENCE_S)
        await rig.recorder.open()
        assert rig.in_state(CameraState.READY)


async def test_figures_stay_after_the_end(tmp_path: Path) -> None:
    async with recorder_rig() as rig:
        await rig.recorder.start(GivenPath(tmp_path / "a"), {})
        await rig.give(0, 1, 3)
        assert rig.status.measured_hz == pytest.approx(1.0)
        assert rig.status.written_bytes > 3 * 48 * 64
        await rig.recorder.stop("enough")
        status = rig.status
    assert (status.recording, status.frame_count, status.dropped) == ("a", 3, 1)
    assert (status.stop_reason, status.measured_hz, status.ring_used) == ("enough", 0.0, 0)


async def leave_out(rig: RecorderRig, *numbers: int) -> None:
    """Frames that the store thread has seen."""
    for number in numbers:
        rig.camera.give(number)
    rig.camera.wait_taken()
    await rig.settled()


async def test_digests_are_taken_by_the_capture_thread_of_what_is_recorded(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[str] = []
    digest_of, digest = NpyFiles.digest_of, NpyFiles.digest

    def watched(files: NpyFiles, pixels: Pixels) -> int:
        taken.append(threading.current_thread().name)
        return digest_of(files, pixels)

    def watched_late(files: NpyFiles, pixels: Pixels, buffers: list[Any]) -> int:
        taken.append(threading.current_thread().name)
        return digest(files, pixels, buffers)

    monkeypatch.setattr(NpyFiles, "digest_of", watched)
    monkeypatch.setattr(NpyFiles, "digest", watched_late)
    async with recorder_rig() as rig:
        await rig.recorder.start(GivenPath(tmp_path / "a"), {})
        await rig.give(0, 1, 2, 3)
        assert taken[1:] == ["cap-left"] * 3  # the first may have been waited for since before
        await rig.recorder.pause()
        await leave_out(rig, 4)  # as this one
        before = len(taken)
        await leave_out(rig, 5, 6)
        assert len(taken) == before
        await rig.recorder.stop()
    check_complete(tmp_path / "a", [0, 1, 2, 3])


LARGE = FrameSpec((256, 1024), "uint8", "MONO8", 10.0)


async def test_two_threads_write_while_frames_wait(tmp_path: Path, disk: Disk) -> None:
    """The frame that the disk held up, then what had gathered behind it, two at a time."""
    clock = ManualClock()
    async with recorder_rig(clock=clock, camera=ScriptedCamera(clock, LARGE), chunksize=5,
                            record=RecordConfig(ring_s=2.0)) as rig:
        await rig.recorder.start(GivenPath(tmp_path / "a"), {})
        gather(rig, disk, *range(20))
        await rig.watching.until(lambda: rig.status.frame_count == 20)
        await rig.recorder.pause()
        await leave_out(rig, 20, 21)
        await rig.recorder.resume()
        await rig.give(22)
        await rig.recorder.stop()
        assert rig.status.lost == 0
    check_complete(tmp_path / "a", [*range(20), 22])
    assert disk.writers == {"store-left", "ahead-a"}


@pytest.mark.parametrize("fail_at", [6, 7])
async def test_a_disk_that_is_full_while_two_write_closes_in_order(tmp_path: Path, disk: Disk,
                                                                 fail_at: int) -> None:
    clock = ManualClock()
    disk.fail_at = fail_at
    async with recorder_rig(clock=clock, camera=ScriptedCamera(clock, LARGE), chunksize=50,
                            record=RecordConfig(ring_s=2.0)) as rig:
        await rig.recorder.start(GivenPath(tmp_path / "a"), {})
        gather(rig, disk, *range(20))
        await rig.watching.until(lambda: bool(rig.outcomes))
        kept = rig.status.frame_count
    assert kept in (fail_at - 2, fail_at - 1)
    check_complete(tmp_path / "a", list(range(kept)))
    assert len(list((tmp_path / "a" / "000000").glob("*.npy"))) == kept


async def test_frames_that_do_not_wait_are_written_by_the_store_thread_alone(
        tmp_path: Path, disk: Disk) -> None:
    async with recorder_rig() as rig:
        await rig.recorder.start(GivenPath(tmp_path / "a"), {})
        await rig.give(*range(9))
        await rig.recorder.stop()
    assert disk.writers == {"store-left"}
    assert disk.frames == 9
