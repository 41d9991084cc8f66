"""A camera that runs before and between recordings (pre-roll), and parameters while it runs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from fieldrec.camera.parameters import Parameter, Value
from fieldrec.config import RecordConfig
from fieldrec.core import durable
from fieldrec.core.errors import CameraError, CameraLost, StateError, StoreError, UsageError
from fieldrec.core.model import CameraState, FrameSpec
from fieldrec.record.outcome import Cause
from tests.fakes.cameras import SECOND_NS, ManualClock, ScriptedCamera
from tests.fakes.places import SeveralFolders
from tests.fakes.rigs import (
    Disk,
    RecorderRig,
    check_complete,
    closed_rig,
    extra_data,
    names_in,
    recorder_rig,
)
from tests.fakes.waiting import PATIENCE_S

pytestmark = pytest.mark.asyncio

PREROLL = RecordConfig(ring_s=1.0, preroll_s=3.0)
"""At 10 frames a second: 10 slots for the disk, 31 for what is held back."""


def recording_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate()
            if thread.name.startswith(("cap-", "store-", "sync-", "turn-"))]


async def feed(rig: RecorderRig, *numbers: int) -> list[int]:
    """Frames a second apart, each in the store thread's hands; their times."""
    times = []
    for number in numbers:
        times.append(rig.camera.give(number))
        rig.camera.wait_taken()
    await rig.settled()
    return times


@pytest.fixture
def disk() -> Iterator[Disk]:
    disk = Disk()
    durable.set_hook(disk)
    yield disk
    disk.may_write.set()
    durable.set_hook(None)


# -- pre-roll --------------------------------------------------------------------------------------

async def test_preroll_is_exactly_the_frames_of_its_seconds(tmp_path: Path) -> None:
    async with recorder_rig(record=PREROLL) as rig:
        assert rig.camera.started
        assert rig.in_state(CameraState.READY)
        times = await feed(rig, *range(8))
        assert rig.status.preroll_frames == 4  # now, and 1, 2, 3 s ago
        assert names_in(tmp_path) == []
        rig.clock.forward(0.5)
        await rig.recorder.start(SeveralFolders(tmp_path), {})
        await rig.settled()
        times += await rig.give(8, 9)
        await rig.recorder.stop()
    check_complete(tmp_path / "a-1", [5, 6, 7, 8, 9], times[5:])
    marks = [record for record in extra_data(tmp_path / "a-1") if record.get("preroll_frames") == 3]
    assert [mark["frame_number"] for mark in marks] == [7]


async def test_after_a_stop_it_goes_on_for_the_next_and_no_frame_is_twice(tmp_path: Path) -> None:
    place = SeveralFolders(tmp_path)
    async with recorder_rig(record=PREROLL) as rig:
        await feed(rig, 0, 1)
        await rig.recorder.start(place, {})
        await rig.give(2, 3)
        await rig.recorder.stop("enough")
        assert (rig.status.stop_reason, rig.status.frame_count) == ("enough", 4)
        assert rig.camera.started
        assert rig.in_state(CameraState.READY)
        assert rig.closed == [("a-1", 4)]
        assert [outcome.reason for outcome in rig.outcomes] == ["enough"]
        await feed(rig, 4, 5)
        await rig.recorder.start(place, {})
        await rig.settled()
        assert rig.status.stop_reason == ""
        await rig.give(6)
        await rig.recorder.stop()
    check_complete(tmp_path / "a-1", [0, 1, 2, 3])
    check_complete(tmp_path / "a-2", [4, 5, 6])
    assert rig.camera.opens == 1
    assert recording_threads() == []


async def test_frames_that_come_while_the_store_is_made_are_kept(tmp_path: Path) -> None:
    may_make, asked = threading.Event(), threading.Event()

    def hook(step: str, path: Path) -> None:
        if step == "make_directory" and path.name == "a-1":
            asked.set()
            may_make.wait(PATIENCE_S)

    async with recorder_rig(record=PREROLL) as rig:
        await feed(rig, 0, 1, 2, 3, 4)
        durable.set_hook(hook)
        starting = asyncio.create_task(rig.recorder.start(SeveralFolders(tmp_path), {}))
        await asyncio.sleep(0)
        assert await asyncio.get_running_loop().run_in_executor(None, asked.wait, 30)
        for number in range(5, 41):  # longer than the pre-roll, and more: nothing of it may go
            rig.camera.give(number, after_s=0.1)
            rig.camera.wait_taken()
        await rig.settled()
        may_make.set()
        await starting
        durable.set_hook(None)
        await rig.settled()
        await rig.recorder.stop()
    check_complete(tmp_path / "a-1", list(range(1, 41)))


async def test_held_frames_are_no_heat_and_the_ring_keeps_its_room(tmp_path: Path, disk: Disk
                                                                  ) -> None:
    async with recorder_rig(record=PREROLL) as rig:
        for number in range(40):
            rig.camera.give(number, after_s=0.1)
            rig.camera.wait_taken()
        await rig.settled()
        status = rig.status
        assert (status.preroll_frames, status.ring_slots, status.lost) == (31, 41, 0)
        disk.may_write.clear()
        await rig.recorder.start(SeveralFolders(tmp_path), {})
        assert disk.holding.wait(PATIENCE_S)
        for number in range(40, 50):
            rig.camera.give(number, after_s=0.1)
            rig.camera.wait_taken()
        assert rig.status.lost == 0
        disk.may_write.set()
        await rig.settled()
        await rig.recorder.stop()
    check_complete(tmp_path / "a-1", list(range(9, 50)))


async def test_camera_that_fails_before_a_start_is_failed_and_told(tmp_path: Path) -> None:
    async with recorder_rig(record=PREROLL) as rig:
        await feed(rig, 0, 1)
        rig.camera.fail(CameraLost("cable"))
        await rig.watching.until(lambda: rig.in_state(CameraState.FAILED))
        assert rig.status.problem == "cable"
        assert [outcome.cause for outcome in rig.outcomes] == [Cause.CAMERA]
        await rig.recorder.open()
        assert rig.in_state(CameraState.READY)
        assert rig.camera.started
        await feed(rig, 7)
        await rig.recorder.start(SeveralFolders(tmp_path), {})
        await rig.settled()
        await rig.give(8)
        await rig.recorder.stop()
    check_complete(tmp_path / "a-1", [7, 8])


async def test_camera_that_does_not_come_up_for_its_preroll_is_failed() -> None:
    async with closed_rig(record=PREROLL) as rig:
        rig.camera.start_error = CameraError("no bandwidth")
        await rig.recorder.open()
        assert rig.in_state(CameraState.FAILED)
        assert rig.status.problem == "no bandwidth"
        assert recording_threads() == []
        rig.camera.start_error = None
        await rig.recorder.open()
        assert rig.in_state(CameraState.READY)


async def test_failed_disk_ends_the_recording_not_the_camera(tmp_path: Path, disk: Disk) -> None:
    async with recorder_rig(record=PREROLL) as rig:
        await feed(rig, 0)
        disk.fail_at = 3
        await rig.recorder.start(SeveralFolders(tmp_path), {})
        await rig.give(1)
        rig.camera.give(2)
        await rig.watching.until(lambda: bool(rig.outcomes))
        assert rig.outcomes[0].cause is Cause.FULL
        disk.fail_at = None
        await rig.watching.until(lambda: rig.in_state(CameraState.READY))
        assert rig.camera.started
        await feed(rig, 3, 4)
        await rig.recorder.start(SeveralFolders(tmp_path, base="b"), {})
        await rig.settled()
        await rig.recorder.stop()
    check_complete(tmp_path / "a-1", [0, 1])
    check_complete(tmp_path / "b-1", [3, 4])


async def test_start_that_fails_leaves_the_camera_running(tmp_path: Path) -> None:
    async with recorder_rig(record=PREROLL) as rig:
        await feed(rig, 0, 1)
        with pytest.raises(StoreError, match="no folder is left"):
            await rig.recorder.start(SeveralFolders(), {})
        assert rig.in_state(CameraState.READY)
        await feed(rig, 2)
        await rig.recorder.start(SeveralFolders(tmp_path), {})
        await rig.settled()
        await rig.recorder.stop()
    check_complete(tmp_path / "a-1", [0, 1, 2])


async def test_what_was_missing_before_a_start_is_not_the_recordings(tmp_path: Path) -> None:
    async with recorder_rig(record=PREROLL) as rig:
        await feed(rig, 0, 5, 20, 21, 22, 23)
        await rig.recorder.start(SeveralFolders(tmp_path), {})
        await rig.settled()
        await rig.give(24, 26)
        assert rig.status.dropped == 1
        await rig.recorder.stop()
    metadata = check_complete(tmp_path / "a-1", [20, 21, 22, 23, 24, 26])
    assert metadata["fieldrec"]["dropped"] == 1


async def test_cameras_with_preroll_start_together(tmp_path: Path) -> None:
    async with recorder_rig(record=PREROLL) as rig:
        barrier = threading.Barrier(2)
        starting = asyncio.create_task(rig.recorder.start(SeveralFolders(tmp_path), {}, barrier))
        await asyncio.get_running_loop().run_in_executor(None, barrier.wait, 30)
        await starting
        assert not barrier.broken
        await rig.recorder.stop()
    assert names_in(tmp_path) == []


async def test_without_preroll_the_camera_rests(tmp_path: Path) -> None:
    async with recorder_rig() as rig:
        assert not rig.camera.started
        assert recording_threads() == []
        await rig.recorder.start(SeveralFolders(tmp_path), {})
        await rig.give(0)
        await rig.recorder.stop()
        assert not rig.camera.started
        assert recording_threads() == []


# -- parameters ------------------------------------------------------------------------------------

class ConfigurableCamera(ScriptedCamera):
    """A scripted camera with an exposure, a rate that may change while it runs, and a width that
    may not."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock)
        self.values: dict[str, Value] = {"ExposureTime": 1000.0, "AcquisitionFrameRate": 10.0,
                                         "Width": 64}
        self.threads: set[str] = set()
        self.refuses = False

    def open(self) -> FrameSpec:
        self.values = {"ExposureTime": 1000.0, "AcquisitionFrameRate": 10.0, "Width": 64}
        super().open()
        return self._spec()

    def _spec(self) -> FrameSpec:
        return FrameSpec((48, int(self.values["Width"])), "uint8", "MONO8",
                         float(self.values["AcquisitionFrameRate"]))

    def parameters(self) -> tuple[Parameter, ...]:
        with self._exclusive():
            return (Parameter("ExposureTime", self.values["ExposureTime"], 10, 1e6, unit="us",
                              alias="exposure"),
                    Parameter("AcquisitionFrameRate", self.values["AcquisitionFrameRate"], 1, 100),
                    Parameter("Width", self.values["Width"], 32, 128, live=False))

    def configure(self, values: Mapping[str, Value]) -> FrameSpec:
        with self._exclusive():
            if self.refuses:
                raise CameraError("not now")
            self.threads.add(threading.current_thread().name)
            self.values.update(values)
            return self._spec()


def camera_rig(record: RecordConfig | None = None) -> RecorderRig:
    clock = ManualClock()
    return RecorderRig(clock=clock, camera=ConfigurableCamera(clock), record=record)


def camera_of(rig: RecorderRig) -> ConfigurableCamera:
    assert isinstance(rig.camera, ConfigurableCamera)
    return rig.camera


async def test_configured_while_ready_the_spec_is_new_and_it_is_set_again(tmp_path: Path) -> None:
    rig = camera_rig()
    try:
        with pytest.raises(StateError, match="not open"):
            await rig.recorder.parameters()
        await rig.recorder.open()
        assert [p.name for p in await rig.recorder.parameters()] == [
            "ExposureTime", "AcquisitionFrameRate", "Width"]
        found = await rig.recorder.configure({"exposure": 500, "Width": 32})
        assert [p.value for p in found] == [500.0, 10.0, 32]
        assert rig.status.spec is not None
        assert rig.status.spec.shape == (48, 32)
        with pytest.raises(UsageError, match="32 to 128"):
            await rig.recorder.configure({"ExposureTime": 700, "Width": 1000})
        assert camera_of(rig).values["ExposureTime"] == 500.0
        await rig.recorder.start(SeveralFolders(tmp_path), {})
        rig.camera.fail(CameraLost("cable"))
        await rig.watching.until(lambda: rig.in_state(CameraState.FAILED))
        await rig.recorder.open()
        assert camera_of(rig).values == {
            "ExposureTime": 500.0, "AcquisitionFrameRate": 10.0, "Width": 32}
        assert rig.status.spec.shape == (48, 32)
    finally:
        await rig.recorder.close()


async def test_configured_while_recording_between_two_grabs_and_noted(tmp_path: Path) -> None:
    rig = camera_rig()
    try:
        await rig.recorder.open()
        await rig.recorder.start(SeveralFolders(tmp_path), {})
        await rig.give(0, 1)
        await rig.recorder.configure({"ExposureTime": 200, "AcquisitionFrameRate": 5})
        assert camera_of(rig).threads == {"cap-left"}
        assert rig.status.spec is not None
        assert rig.status.spec.nominal_hz == 5.0
        with pytest.raises(StateError, match="Width cannot be changed while recording"):
            await rig.recorder.configure({"Width": 32})
        with pytest.raises(UsageError, match="did you mean ExposureTime"):
            await rig.recorder.configure({"ExposureTim": 3})
        camera_of(rig).refuses = True
        with pytest.raises(CameraError, match="not now"):
            await rig.recorder.configure({"ExposureTime": 3000})
        await rig.give(2)
        await rig.recorder.stop()
    finally:
        await rig.recorder.close()
    check_complete(tmp_path / "a-1", [0, 1, 2])
    changes = {record["parameter"]: (record["old"], record["new"], record["frame_number"])
               for record in extra_data(tmp_path / "a-1") if isinstance(record["parameter"], str)}
    assert changes == {"ExposureTime": (1000.0, 200.0, 1), "AcquisitionFrameRate": (10.0, 5.0, 1)}


async def test_what_a_camera_does_not_take_again_is_said_and_it_records(tmp_path: Path) -> None:
    rig = camera_rig()
    try:
        await rig.recorder.open()
        await rig.recorder.configure({"ExposureTime": 200})
        await rig.recorder.start(SeveralFolders(tmp_path), {})
        rig.camera.fail(CameraLost("cable"))
        await rig.watching.until(lambda: rig.in_state(CameraState.FAILED))
        camera_of(rig).refuses = True
        await rig.recorder.open()
        assert rig.in_state(CameraState.READY)
        await rig.watching.until(lambda: rig.watching.said("cannot be set again: not now"))
    finally:
        await rig.recorder.close()


async def test_preroll_is_given_up_for_what_cannot_be_changed_while_frames_come(tmp_path: Path
                                                                               ) -> None:
    rig = camera_rig(PREROLL)
    try:
        await rig.recorder.open()
        await feed(rig, 0, 1)
        await rig.recorder.configure({"ExposureTime": 200})
        assert rig.status.preroll_frames == 2
        await rig.recorder.configure({"Width": 32})
        assert rig.status.preroll_frames == 0
        assert rig.camera.started
        assert rig.in_state(CameraState.READY)
        await feed(rig, 2)
        await rig.recorder.start(SeveralFolders(tmp_path), {})
        await rig.settled()
        await rig.recorder.stop()
    finally:
        await rig.recorder.close()
    check_complete(tmp_path / "a-1", [2])
    assert rig.camera.clock.monotonic_ns() > SECOND_NS


async def test_camera_without_parameters() -> None:
    async with recorder_rig() as rig:
        assert await rig.recorder.parameters() == ()
        with pytest.raises(UsageError, match="no parameter"):
            await rig.recorder.configure({"Gain": 1})
