"""What counts as frames not reaching the disk."""

from __future__ import annotations

from fieldrec.app.health import STALL_S, Progress
from fieldrec.core.model import CameraState
from fieldrec.core.snapshot import RecorderStatus


def status(frames: int, used: int, state: CameraState = CameraState.RECORDING,
           recording: str = "a") -> RecorderStatus:
    return RecorderStatus("top", "T1", state, recording=recording, frame_count=frames,
                          ring_used=used)


def test_a_stuck_store_is_named_until_it_moves() -> None:
    progress = Progress()
    assert progress.problem([status(5, 3)], 100) == ""
    assert progress.problem([status(5, 9)], 100 + STALL_S - 1) == ""
    assert "camera top" in progress.problem([status(5, 9)], 100 + STALL_S)
    assert progress.problem([status(6, 9)], 101 + STALL_S) == ""
    assert progress.problem([status(6, 9)], 100 + 2 * STALL_S) == ""


def test_a_slow_or_silent_camera_and_one_that_does_not_record_are_well() -> None:
    for same in (status(5, 0), status(5, 3, CameraState.READY), status(0, 0, CameraState.FAILED)):
        progress = Progress()
        assert progress.problem([same], 0) == ""
        assert progress.problem([same], 10 * STALL_S) == ""


def test_a_new_recording_begins_anew() -> None:
    progress = Progress()
    progress.problem([status(5, 1)], 0)
    assert progress.problem([status(5, 1, recording="b")], STALL_S) == ""
