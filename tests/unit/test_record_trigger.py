"""A trigger decides which frames are kept: one recording for each event, pre-roll first."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from fieldrec.camera import Pixels
from fieldrec.config import RecordConfig
from fieldrec.config.recording import MotionConfig, SplitConfig
from fieldrec.core.errors import CameraError, StateError
from fieldrec.core.model import FrameSpec
from fieldrec.record.outcome import Cause
from fieldrec.record.trigger import trigger_of
from tests.fakes.cameras import SPEC
from tests.fakes.places import SeveralFolders
from tests.fakes.rigs import RecorderRig, check_complete, extra_data, names_in, recorder_rig

pytestmark = pytest.mark.asyncio


class ByNumber:
    """Wants the frames for which the rule holds; a frame is filled with its number."""

    def __init__(self, wanted: Callable[[int], bool]) -> None:
        self._wanted = wanted

    def wants(self, pixels: Pixels, monotonic_ns: int) -> bool:
        del monotonic_ns
        return self._wanted(int(pixels[0, 0]))

    def said(self) -> Mapping[str, Any]:
        return {"trigger": "number"}


def rule(wanted: Callable[[int], bool]) -> Callable[[FrameSpec], ByNumber]:
    return lambda _spec: ByNumber(wanted)


def armed(preroll_s: float = 0.0, **more: Any) -> RecordConfig:
    return RecordConfig(ring_s=1.0, preroll_s=preroll_s, trigger="motion", **more)


async def feed(rig: RecorderRig, *numbers: int, after_s: float = 1.0) -> list[int]:
    times = []
    for number in numbers:
        times.append(rig.camera.give(number, after_s))
        rig.camera.wait_taken()
    await rig.settled()
    return times


async def test_each_event_is_a_recording_with_its_preroll(tmp_path: Path) -> None:
    wanted = {5, 6, 7, 20, 21}
    async with recorder_rig(record=armed(2.0), trigger=rule(lambda n: n in wanted)) as rig:
        await rig.recorder.start(SeveralFolders(tmp_path), {})
        states = [rig.status.armed]
        assert names_in(tmp_path) == []
        times = await feed(rig, *range(7))
        assert [*states, rig.status.armed] == [True, False]
        assert rig.status.recording == "a-1"
        times += await feed(rig, *range(7, 30))
        await rig.watching.until(lambda: len(rig.closed) == 2)
        assert rig.status.frame_count == 9
        await rig.recorder.stop()
        assert not rig.status.armed
    assert rig.closed == [("a-1", 5), ("a-2", 4)]
    for name, numbers, at in (("a-1", [3, 4, 5, 6, 7], 5), ("a-2", [18, 19, 20, 21], 20)):
        metadata = check_complete(tmp_path / name, numbers, [times[n] for n in numbers])
        assert metadata["fieldrec"]["part"] == 1
        assert metadata["fieldrec"]["stop_reason"] == "event over"
        marks = [r for r in extra_data(tmp_path / name) if r.get("triggered") is True]
        assert [(m["trigger"], m["trigger_number"], m["frame_number"]) for m in marks] == [
            ("number", at, at)]
    assert [outcome.cause for outcome in rig.outcomes] == [Cause.STOPPED]


async def test_stop_in_an_event_closes_it_and_without_one_leaves_nothing(tmp_path: Path) -> None:
    place = SeveralFolders(tmp_path)
    async with recorder_rig(record=armed(), trigger=rule(lambda n: n >= 3)) as rig:
        await rig.recorder.start(place, {})
        await feed(rig, 0, 1)
        assert rig.status.ring_used == 0
        await rig.recorder.stop()
        assert rig.status.recording == ""
        assert not rig.camera.started
        await rig.recorder.start(place, {})
        await feed(rig, 2, 3, 4)
        await rig.recorder.stop()
    assert names_in(tmp_path) == ["a-1"]
    check_complete(tmp_path / "a-1", [3, 4])


async def test_long_event_is_split(tmp_path: Path) -> None:
    record = armed(split_after=SplitConfig(frames=4))
    async with recorder_rig(record=record, trigger=rule(lambda n: n >= 1)) as rig:
        await rig.recorder.start(SeveralFolders(tmp_path), {})
        for number in range(9):
            await feed(rig, number)
            run = rig.recorder._runs.series
            assert run is not None
            if run._stores.preparing:
                while not run._stores.ready:
                    await rig.settled()
        await rig.recorder.stop()
    check_complete(tmp_path / "a-1", [1, 2, 3, 4])
    assert check_complete(tmp_path / "a-2", [5, 6, 7, 8])["fieldrec"]["previous_name"] == "a-1"


async def test_pause_holds_the_trigger_off(tmp_path: Path) -> None:
    async with recorder_rig(record=armed(2.0), trigger=rule(lambda n: n in (3, 6, 7))) as rig:
        await rig.recorder.start(SeveralFolders(tmp_path), {})
        await feed(rig, 0, 1, after_s=0.1)
        await rig.recorder.pause()
        assert rig.status.paused
        await feed(rig, 2, 3, 4, after_s=0.1)
        assert names_in(tmp_path) == []
        with pytest.raises(StateError, match="waits for its trigger"):
            await rig.recorder.step(1)
        await rig.recorder.resume()
        await feed(rig, 5, 6, 7, after_s=0.1)
        await rig.recorder.stop()
    check_complete(tmp_path / "a-1", [5, 6, 7])


async def test_trigger_that_fails_keeps_everything(tmp_path: Path) -> None:
    def broken(number: int) -> bool:
        if number == 2:
            raise ZeroDivisionError("no light")
        return False

    async with recorder_rig(record=armed(1.0), trigger=rule(broken)) as rig:
        await rig.recorder.start(SeveralFolders(tmp_path), {})
        await feed(rig, 0, 1, 2, 3, 4)
        await rig.watching.until(lambda: rig.watching.said("trigger failed (no light)"))
        await rig.recorder.stop()
    check_complete(tmp_path / "a-1", [1, 2, 3, 4])


async def test_no_folder_for_an_event_ends_the_recording(tmp_path: Path) -> None:
    async with recorder_rig(record=armed(2.0), trigger=rule(lambda n: n >= 2)) as rig:
        await rig.recorder.start(SeveralFolders(), {})
        rig.camera.give(0)
        rig.camera.give(2)
        await rig.watching.until(lambda: bool(rig.outcomes))
        assert rig.outcomes[0].cause is Cause.STORE
        assert rig.camera.started  # for the next pre-roll
        await rig.recorder.start(SeveralFolders(tmp_path), {})
        await feed(rig, 3, 4)
        await rig.recorder.stop()
    check_complete(tmp_path / "a-1", [0, 2, 3, 4])


async def test_motion_is_made_when_it_is_configured() -> None:
    assert trigger_of(RecordConfig()) is None
    make = trigger_of(RecordConfig(trigger="motion", motion=MotionConfig(frames=1)))
    assert make is not None
    motion = make(SPEC)
    assert "trigger_share_percent" in motion.said()
    with pytest.raises(CameraError, match="cannot be seen"):
        make(FrameSpec((48, 64, 3), "uint8", "H264", 10.0))
