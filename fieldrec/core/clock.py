"""Time: one monotonic clock for order, one anchor for the epoch.

Frames are stamped with CLOCK_BOOTTIME in the camera thread; the epoch is read once, when a
recording starts (:class:`Anchor`). A step of the wall clock (NTP, GPS, a hand) therefore never
makes frame times jump or run back. All values are integer nanoseconds.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Protocol


class Clock(Protocol):
    """What time it is; tests give a clock of their own. Thread-safe, never blocks."""

    def monotonic_ns(self) -> int:
        """Nanoseconds since boot, sleep included (CLOCK_BOOTTIME); never steps."""
        ...

    def epoch_ns(self) -> int:
        """Nanoseconds since 1970-01-01 UTC by the wall clock; may step at any moment."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def monotonic_ns(self) -> int:
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME)

    def epoch_ns(self) -> int:
        return time.time_ns()


@dataclass(frozen=True, slots=True)
class Anchor:
    """The two clocks read at one moment: what turns monotonic readings into epoch times."""

    epoch_ns: int
    monotonic_ns: int

    @classmethod
    def take(cls, clock: Clock) -> Anchor:
        """Read both clocks; the epoch is bracketed, so the error is under half the reading time."""
        before_ns = clock.monotonic_ns()
        epoch_ns = clock.epoch_ns()
        after_ns = clock.monotonic_ns()
        return cls(epoch_ns=epoch_ns, monotonic_ns=(before_ns + after_ns) // 2)

    def time_ns(self, monotonic_ns: int) -> int:
        """Epoch nanoseconds of a monotonic reading, by this anchor."""
        return self.epoch_ns + (monotonic_ns - self.monotonic_ns)

    def step_ns(self, clock: Clock) -> int:
        """How far the wall clock has moved against this anchor since it was taken."""
        now = Anchor.take(clock)
        return now.epoch_ns - self.time_ns(now.monotonic_ns)
