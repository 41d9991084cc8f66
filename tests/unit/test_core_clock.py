"""Clocks and the anchor: a step of the wall clock moves no frame time."""

from __future__ import annotations

import time

from fieldrec.core.clock import Anchor, SystemClock


class SteppedClock:
    """A clock that is set by hand; every reading of the monotonic side takes `tick_ns`."""

    def __init__(self, tick_ns: int = 0) -> None:
        self.mono, self.epoch, self._tick_ns = 1_000, 5_000_000, tick_ns

    def monotonic_ns(self) -> int:
        self.mono += self._tick_ns
        return self.mono

    def epoch_ns(self) -> int:
        return self.epoch


def test_system_clock() -> None:
    clock = SystemClock()
    before = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    assert before <= clock.monotonic_ns() <= time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    assert abs(clock.epoch_ns() - time.time_ns()) < 60 * 10**9


def test_the_epoch_is_bracketed() -> None:
    assert Anchor.take(SteppedClock(tick_ns=100)) == Anchor(5_000_000, 1_150)


def test_a_step_moves_no_frame_time() -> None:
    clock = SteppedClock()
    anchor = Anchor.take(clock)
    clock.mono += 40
    clock.epoch -= 3600 * 10**9  # somebody set the clock back
    assert anchor.time_ns(clock.mono) == 5_000_040
    assert anchor.time_ns(960) == 4_999_960
    assert anchor.step_ns(clock) == -3600 * 10**9 - 40


def test_no_step_is_zero() -> None:
    clock = SteppedClock()
    anchor = Anchor.take(clock)
    clock.mono += 7
    clock.epoch += 7
    assert anchor.step_ns(clock) == 0
