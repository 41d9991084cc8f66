"""The recorder: states, what excludes what, and cancellation."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from fieldrec.camera.synthetic import Options, SyntheticCamera
from fieldrec.config import RecordConfig, StoreConfig
from fieldrec.core.clock import SystemClock
from fieldrec.core.errors import CameraError, CameraLost, StateError, StoreError
from fieldrec.core.model import CameraState
from fieldrec.record.place import GivenPath
from fieldrec.record.recorder import Recorder
from fieldrec.store.reader import StoreReader
from tests.fakes.cameras import NotedBarrier, Watching
from tests.fakes.rigs import check_complete, closed_rig, names_in, recorder_rig
from tests.fakes.waiting import PATIENCE_S

pytestmark = pytest.mark.asyncio


def recording_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate()
            if thread.name.startswith(("cap-", "store-", "sync-"))]


async def test_opens_records_stops_and_closes() -> None:
    async with closed_rig() as rig:
        assert rig.in_state(CameraState.CLOSED)
        await rig.recorder.open()
        assert rig.in_state(CameraState.READY)
        assert rig.status.spec == rig.camera.spec
        await rig.recorder.open()
        assert rig.camera.opens == 1
        await rig.recorder.close()
        await rig.recorder.close()
        assert rig.status.state is CameraState.CLOSED
        assert not rig.camera.opened


async def test_camera_that_does_not_open_is_failed_and_may_be_tried_again() -> None:
    async with closed_rig() as rig:
        rig.camera.open_error = CameraError("no such device; is it plugged in?")
        await rig.recorder.open()
        assert rig.in_state(CameraState.FAILED)
        assert rig.recorder.problem == "no such device; is it plugged in?"
        rig.camera.open_error = None
        await rig.recorder.open()
        assert rig.in_state(CameraState.READY)
        assert rig.recorder.problem == ""
        await rig.recorder.close()


async def test_start_needs_a_ready_camera(tmp_path: Path) -> None:
    async with closed_rig() as rig:
        with pytest.raises(StateError, match="camera left cannot record: it is closed"):
            await rig.recorder.start(GivenPath(tmp_path / "a"), {})
        rig.camera.open_error = CameraError("broken")
        await rig.recorder.open()
        with pytest.raises(StateError, match="it is failed: broken"):
            await rig.recorder.start(GivenPath(tmp_path / "a"), {})
        await rig.recorder.close()
        assert names_in(tmp_path) == []


async def test_recording_twice_at_once_is_refused_and_harms_nothing(tmp_path: Path) -> None:
    async with recorder_rig() as rig:
        await rig.recorder.start(GivenPath(tmp_path / "a"), {})
        with pytest.raises(StateError, match="it is recording"):
            await rig.recorder.start(GivenPath(tmp_path / "b"), {})
        await rig.give(0)
        await rig.recorder.stop()
        await rig.recorder.stop()
    check_complete(tmp_path / "a", [0])


async def test_name_that_is_taken_leaves_camera_and_store_alone(tmp_path: Path) -> None:
    async with recorder_rig() as rig:
        await rig.recorder.start(GivenPath(tmp_path / "a"), {})
        await rig.give(0)
        await rig.recorder.stop()
        barrier = threading.Barrier(2)
        with pytest.raises(StoreError, match="exists already"):
            await rig.recorder.start(GivenPath(tmp_path / "a"), {}, barrier)
        assert barrier.broken  # nobody waits for this camera
        assert rig.in_state(CameraState.READY)
    check_complete(tmp_path / "a", [0])


async def test_camera_that_does_not_start_leaves_nothing(tmp_path: Path) -> None:
    async with recorder_rig() as rig:
        rig.camera.start_error = CameraError("no bandwidth")
        barrier = threading.Barrier(2)
        rig.camera.may_start.clear()
        starting = asyncio.create_task(rig.recorder.start(GivenPath(tmp_path / "a"), {}, barrier))
        barrier.abort()
        rig.camera.may_start.set()
        with pytest.raises(CameraError, match="no bandwidth"):
            await starting
        assert rig.in_state(CameraState.FAILED)
        assert names_in(tmp_path) == []
        assert recording_threads() == []


async def test_lost_camera_is_opened_again_and_records_into_a_new_store(tmp_path: Path) -> None:
    async with recorder_rig() as rig:
        await rig.recorder.start(GivenPath(tmp_path / "a"), {})
        await rig.give(0, 1)
        rig.camera.fail(CameraLost("unplugged"))
        await rig.watching.until(lambda: rig.in_state(CameraState.FAILED))
        await rig.recorder.open()
        await rig.recorder.start(GivenPath(tmp_path / "b"), {})
        assert rig.status.stop_reason == ""
        await rig.give(0, 1, 2)
        await rig.recorder.stop()
    check_complete(tmp_path / "a", [0, 1])
    check_complete(tmp_path / "b", [0, 1, 2])


async def test_source_that_has_played_out_is_ready_again(tmp_path: Path) -> None:
    async with recorder_rig() as rig:
        await rig.recorder.start(GivenPath(tmp_path / "a"), {})
        await rig.give(0, 1)
        rig.camera.end()
        await rig.watching.until(lambda: rig.in_state(CameraState.READY))
        assert rig.status.stop_reason == "camera ended: all frames are played"
    check_complete(tmp_path / "a", [0, 1])


async def test_stop_during_start_stops_what_was_started(tmp_path: Path) -> None:
    async with recorder_rig() as rig:
        rig.camera.may_start.clear()
        starting = asyncio.create_task(rig.recorder.start(GivenPath(tmp_path / "a"), {}))
        await asyncio.sleep(0)
        stopping = asyncio.create_task(rig.recorder.stop())
        await asyncio.sleep(0)
        assert rig.camera.in_start.wait(PATIENCE_S)
        rig.camera.may_start.set()
        await starting
        await stopping
        assert rig.in_state(CameraState.READY)
        assert recording_threads() == []
        assert names_in(tmp_path) == []


@pytest.mark.parametrize("gate", ["barrier", "camera"])
async def test_cancelled_start_leaves_nothing_running(tmp_path: Path, gate: str) -> None:
    async with recorder_rig() as rig:
        rig.camera.may_start.clear()
        barrier = NotedBarrier(2) if gate == "barrier" else None
        starting = asyncio.create_task(rig.recorder.start(GivenPath(tmp_path / "a"), {}, barrier))
        await asyncio.sleep(0)
        reached = rig.camera.in_start if barrier is None else barrier.arrived
        assert reached.wait(PATIENCE_S)
        starting.cancel()
        rig.camera.may_start.set()
        with pytest.raises(asyncio.CancelledError):
            await starting
        assert rig.in_state(CameraState.READY)
        assert recording_threads() == []
        assert names_in(tmp_path) == []
        assert barrier is None or barrier.broken
        await rig.recorder.start(GivenPath(tmp_path / "a"), {})
        await rig.give(0)
    check_complete(tmp_path / "a", [0])


async def test_cancelled_stop_still_closes_the_store(tmp_path: Path) -> None:
    async with recorder_rig() as rig:
        await rig.recorder.start(GivenPath(tmp_path / "a"), {})
        await rig.give(0)
        stopping = asyncio.create_task(rig.recorder.stop())
        await asyncio.sleep(0)
        stopping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stopping
        await rig.recorder.stop()
        assert rig.in_state(CameraState.READY)
        check_complete(tmp_path / "a", [0])


async def test_cancelled_open_closes_the_camera() -> None:
    async with closed_rig() as rig:
        rig.camera.may_open.clear()
        opening = asyncio.create_task(rig.recorder.open())
        await asyncio.sleep(0)
        assert rig.camera.in_open.wait(PATIENCE_S)
        opening.cancel()
        rig.camera.may_open.set()
        with pytest.raises(asyncio.CancelledError):
            await opening
        assert rig.in_state(CameraState.CLOSED)
        assert not rig.camera.opened
        await rig.recorder.close()


async def test_close_while_recording_closes_the_store(tmp_path: Path) -> None:
    async with recorder_rig() as rig:
        await rig.recorder.start(GivenPath(tmp_path / "a"), {})
        await rig.give(0, 1)
    assert recording_threads() == []
    check_complete(tmp_path / "a", [0, 1])


async def test_the_loop_is_told_of_frames_seldom(tmp_path: Path) -> None:
    async with recorder_rig() as rig:
        await rig.recorder.start(GivenPath(tmp_path / "a"), {})
        before = rig.watching.changes
        for number in range(3):
            rig.camera.give(number, after_s=0.01)
            rig.camera.wait_taken()
        await rig.recorder.stop()
        assert rig.watching.changes - before == 3  # first frame, end, state after it
    check_complete(tmp_path / "a", [0, 1, 2])


async def test_synthetic_camera_is_recorded_whole(tmp_path: Path) -> None:
    camera = SyntheticCamera("syn", Options(width=320, height=240, hz=100.0, frames=50,
                                            paced=False))
    watching = Watching()
    recorder = Recorder("syn", camera, serial="syn", store=StoreConfig(chunksize=20),
                        record=RecordConfig(ring_s=10), timezone="UTC", clock=SystemClock(),
                        on_change=watching.on_change)
    await recorder.open()
    await recorder.start(GivenPath(tmp_path / "a"), {})
    await watching.until(lambda: recorder.status().stop_reason != "")
    status = recorder.status()
    await recorder.close()
    assert (status.frame_count, status.dropped, status.lost) == (50, 0, 0)
    expected = SyntheticCamera("syn", camera.options)
    expected.open()
    with StoreReader(tmp_path / "a") as reader:
        assert reader.numbers.tolist() == list(range(50))
        for frame in reader:
            picture = frame.pixels.copy()
            expected.render(int(frame.number), picture)
            assert (picture == frame.pixels).all()
    expected.close()
