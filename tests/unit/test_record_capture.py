"""The capture thread: dropped, lost, silence, and how it begins and ends."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from fieldrec.camera import Pixels
from fieldrec.camera.parameters import configure
from fieldrec.config.recording import PrepareConfig
from fieldrec.core.errors import CameraError, CameraLost, CameraTimeout
from fieldrec.core.model import FrameHeader
from fieldrec.record import capture as capture_module
from fieldrec.record.capture import Capture, Gap, LostRun, Patience
from fieldrec.record.preparing import ROTATE, prepared
from fieldrec.record.ring import Ring
from tests.fakes.cameras import LONG_S, SECOND_NS, SPEC, ManualClock, ScriptedCamera

SHORT = Patience(grab_s=0.01, silence_s=0.03)
FOREVER = Patience(grab_s=0.01, silence_s=1e9)


class Rig:
    """A capture with its camera and ring."""

    def __init__(self, patience: Patience = FOREVER, barrier: threading.Barrier | None = None
                 ) -> None:
        self.camera = ScriptedCamera(ManualClock())
        self.ring = Ring(SPEC, 4)
        self.capture = Capture("c", self.camera, self.ring, nominal_hz=0.0, patience=patience,
                               barrier=barrier)

    def give(self, *numbers: int) -> None:
        for number in numbers:
            self.camera.give(number)
        self.camera.wait_taken()

    def drain(self) -> list[int]:
        numbers = []
        while (slot := self.ring.take(0)) is not None:
            numbers.append(slot.header.number)
            self.ring.release()
        return numbers

    def end(self) -> None:
        self.camera.may_answer.set()
        self.camera.may_start.set()
        self.capture.request_stop()
        self.capture.join()


class CornerCamera(ScriptedCamera):
    """Its first pixel is white."""

    def grab(self, into: Pixels, timeout_s: float) -> FrameHeader:
        header = super().grab(into, timeout_s)
        into[0, 0] = 255
        return header


@pytest.fixture
def rig() -> Iterator[Rig]:
    rig = Rig()
    rig.capture.start()
    assert rig.capture.ready.wait(LONG_S)
    yield rig
    rig.end()


def test_gaps_in_the_numbers_are_dropped(rig: Rig) -> None:
    rig.give(5, 6, 9, 10)
    assert rig.capture.dropped == 2
    assert rig.ring.statistics().lost == 0
    assert rig.drain() == [5, 6, 9, 10]


def test_each_gap_is_noted_with_its_numbers_and_the_time_after_it(rig: Rig) -> None:
    rig.give(5, 8, 9, 11)
    second = 1000 * SECOND_NS
    assert list(rig.capture.gaps) == [Gap(6, 7, 2, second + 2 * SECOND_NS),
                                      Gap(10, 10, 1, second + 4 * SECOND_NS)]


def test_a_digest_is_taken_of_the_frames_that_are_kept_and_only_when_it_is_wanted(rig: Rig) -> None:
    seen = []

    def digest_of(pixels: Pixels) -> int:
        seen.append(threading.current_thread().name)
        return int(pixels.sum())

    rig.give(1)
    rig.capture.digest_of = digest_of
    rig.give(2)  # may have been waited for since before
    rig.give(3, 4, 5)
    slots = [rig.ring.take(0) for _ in range(4)]
    sums = [int(slot.pixels.sum()) for slot in slots if slot is not None]
    assert [slot.digest for slot in slots if slot is not None][2:] == sums[2:]
    assert next(slot.digest for slot in slots if slot is not None) is None
    assert seen == ["cap-c"] * len(seen)
    assert len(seen) in (2, 3)  # the fifth was lost


def test_gaps_that_nobody_takes_are_added_up(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture_module, "MOST_GAPS", 2)
    rig.give(0, 2, 4, 7)
    assert [(gap.first_number, gap.last_number, gap.count) for gap in rig.capture.gaps] == [
        (1, 1, 1), (3, 6, 3)]
    assert rig.capture.dropped == 4


def test_how_frames_are_made_may_change_between_two_grabs() -> None:
    """A camera that gives its pictures as they are is told to turn them."""
    rig = Rig()
    rig.camera = CornerCamera(ManualClock())
    camera = prepared(rig.camera, PrepareConfig())
    camera.open()
    rig.capture = Capture("c", camera, rig.ring, nominal_hz=0.0, patience=FOREVER, barrier=None)
    rig.capture.start()
    try:
        rig.give(1)
        rig.capture.ask(lambda: configure(camera, {ROTATE: 180}, running=True), LONG_S)
        rig.give(2)
        rig.capture.ask(lambda: configure(camera, {ROTATE: 0}, running=True), LONG_S)
        rig.give(3)
        corners = []
        for _ in range(3):
            slot = rig.ring.take(0)
            assert slot is not None
            corners.append((int(slot.pixels[0, 0]), int(slot.pixels[-1, -1])))
        assert corners == [(255, 1), (2, 255), (255, 3)]
    finally:
        rig.end()


def test_what_is_asked_is_done_between_two_grabs_by_its_thread(rig: Rig) -> None:
    rig.give(0)
    assert rig.capture.ask(lambda: threading.current_thread().name, LONG_S) == "cap-c"

    def refuse() -> None:
        raise CameraError("out of range")

    with pytest.raises(CameraError, match="out of range"):
        rig.capture.ask(refuse, LONG_S)
    rig.give(1)
    assert rig.capture.error is None
    assert rig.drain() == [0, 1]


def test_who_asks_a_camera_that_hangs_is_told_and_it_is_not_done_later(rig: Rig) -> None:
    rig.camera.may_answer.clear()
    assert rig.camera.in_hang.wait(LONG_S)
    done = threading.Event()
    with pytest.raises(CameraTimeout, match=r"did not answer within 0\.01 s"):
        rig.capture.ask(done.set, 0.01)
    rig.camera.may_answer.set()
    assert rig.capture.ask(lambda: "next", LONG_S) == "next"
    assert not done.is_set()


def test_nobody_answers_when_the_camera_has_stopped(rig: Rig) -> None:
    rig.end()
    with pytest.raises(CameraLost, match="stopped running"):
        rig.capture.ask(lambda: None, LONG_S)


def test_numbers_that_begin_anew_are_not_dropped(rig: Rig) -> None:
    rig.give(100, 0, 1)
    assert rig.capture.dropped == 0
    rig.give(3)
    assert rig.capture.dropped == 1


def test_overflow_is_lost_not_dropped_and_its_runs_are_noted(rig: Rig) -> None:
    rig.give(0, 1, 2, 3, 4, 5, 8)
    assert rig.ring.statistics().lost == 3
    assert rig.capture.dropped == 2
    assert rig.drain() == [0, 1, 2, 3]
    rig.give(9)
    assert rig.drain() == [9]
    start_ns = 1001 * SECOND_NS
    assert list(rig.capture.lost_runs) == [
        LostRun(4, 8, 3, start_ns + 4 * SECOND_NS, start_ns + 6 * SECOND_NS)]


@pytest.mark.parametrize("freed_while_grabbed", [False, True])
def test_a_lost_run_is_known_before_the_frame_behind_it_comes(freed_while_grabbed: bool) -> None:
    """Whoever takes that frame can say what is missing before it."""
    rig = Rig()
    known: list[int] = []
    commit, grab = rig.ring.commit, rig.camera.grab

    def noting(header: FrameHeader, digest: int | None = None) -> None:
        known.append(len(rig.capture.lost_runs))
        commit(header, digest)

    def freeing(into: Pixels, timeout_s: float) -> FrameHeader:
        header = grab(into, timeout_s)
        if header.number == 7 and freed_while_grabbed:
            assert rig.ring.take(0) is not None
            rig.ring.release()
        return header

    rig.ring.commit = noting  # type: ignore[method-assign]
    rig.camera.grab = freeing  # type: ignore[method-assign]
    rig.capture.start()
    try:
        rig.give(0, 1, 2, 3, 4, 5, 6)
        if not freed_while_grabbed:
            rig.drain()
        rig.give(7)
    finally:
        rig.end()
    assert known == [0, 0, 0, 0, 1]
    assert [run.count for run in rig.capture.lost_runs] == [3]


def test_run_of_lost_frames_at_the_end_is_noted(rig: Rig) -> None:
    rig.give(0, 1, 2, 3, 4)
    rig.end()
    assert [run.count for run in rig.capture.lost_runs] == [1]


def test_asked_to_stop_it_stops_the_camera_and_closes_the_ring(rig: Rig) -> None:
    rig.give(0)
    rig.end()
    assert rig.capture.error is None
    assert not rig.camera.started
    assert rig.drain() == [0]
    assert rig.ring.finished


def test_short_silence_is_waited_for_long_silence_is_a_lost_camera() -> None:
    rig = Rig(SHORT)
    rig.capture.start()
    rig.capture.join()
    assert isinstance(rig.capture.error, CameraLost)
    assert "no frame for" in str(rig.capture.error)
    assert not rig.camera.started


def test_a_frame_ends_the_silence() -> None:
    rig = Rig(SHORT)
    for number in range(3):
        rig.camera.fail(CameraTimeout("not yet"))
        rig.camera.fail(CameraTimeout("not yet"))
        rig.camera.give(number)
    rig.capture.start()
    rig.capture.join()
    assert rig.drain() == [0, 1, 2]


def test_slow_cameras_are_given_three_periods() -> None:
    patience = Patience(grab_s=0.01, silence_s=0.01)
    slow = Capture("c", ScriptedCamera(ManualClock()), Ring(SPEC, 4), nominal_hz=0.1,
                   patience=patience, barrier=None)
    assert slow._silence_s == 30.0


@pytest.mark.parametrize(("error", "said"), [
    (CameraLost("unplugged"), "unplugged"), (ValueError("bug in a driver"), "ValueError: bug in")])
def test_camera_error_ends_it_in_order(rig: Rig, error: Exception, said: str) -> None:
    rig.camera.give(0)
    rig.camera.fail(error)
    rig.capture.join()
    assert isinstance(rig.capture.error, CameraError)
    assert said in str(rig.capture.error)
    assert rig.drain() == [0]
    assert rig.ring.finished
    assert not rig.camera.started


def test_camera_that_does_not_start_is_ready_with_the_error() -> None:
    rig = Rig()
    rig.camera.start_error = CameraError("no trigger")
    rig.capture.start()
    assert rig.capture.ready.wait(LONG_S)
    rig.capture.join()
    assert not rig.capture.started
    assert str(rig.capture.error) == "no trigger"


def test_cameras_start_together() -> None:
    barrier = threading.Barrier(2)
    rigs = [Rig(barrier=barrier), Rig(barrier=barrier)]
    rigs[0].capture.start()
    assert not rigs[0].camera.in_start.is_set()
    rigs[1].capture.start()
    for rig in rigs:
        assert rig.camera.in_start.wait(LONG_S)
        rig.end()


def test_one_that_fails_does_not_keep_the_others_waiting() -> None:
    barrier = threading.Barrier(2)
    rig = Rig(barrier=barrier)
    rig.capture.start()
    barrier.abort()
    assert rig.camera.in_start.wait(LONG_S)
    rig.end()


def test_stopped_while_waiting_for_others_the_camera_never_starts() -> None:
    rig = Rig(barrier=threading.Barrier(2))
    rig.capture.start()
    rig.end()
    assert not rig.camera.in_start.is_set()
    assert rig.capture.error is None


def test_turns_stand_still_while_the_driver_hangs(rig: Rig) -> None:
    rig.camera.may_answer.clear()
    assert rig.camera.in_hang.wait(LONG_S)
    turns = rig.capture.turns
    assert not rig.capture.join(0.05)
    assert rig.capture.turns == turns
