"""How fast a job of bytes goes, and how long it will take: a copy, a move, a deletion. Event loop;
pure but for the clock it is given.

Such a job has phases, one after another: a copy writes and then reads back as much. Each phase has
a rate of its own: what was measured in this run, else what was measured there before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

WRITE, READ, DELETE = "write", "read", "delete"
"""Phases."""
LEAST_S = 0.5
LEAST_BYTES = 1_000_000
"""What a phase must have lasted and done for its own rate to count."""


@dataclass(frozen=True, slots=True)
class Phase:
    """What is to be done, and how fast that went before."""

    what: str
    size_bytes: int
    bytes_per_s: float
    """0 while not known."""


class BytePace:
    """One run of one job."""

    def __init__(self, phases: Sequence[Phase], clock_s: Callable[[], float]) -> None:
        """`phases` in their order; `clock_s` never steps."""
        self._phases = {phase.what: phase for phase in phases}
        self._clock_s = clock_s
        self._now = ""
        self._began_s = 0.0
        self._done = 0
        self._total = 0
        self._skipped = 0
        self._measured: dict[str, float] = {}

    def progress(self, what: str, done: int, total: int, skipped: int = 0) -> None:
        """It has done so many bytes of a phase, `skipped` of them without doing anything: they were
        there from an earlier try."""
        now_s = self._clock_s()
        if what != self._now:
            self._now, self._began_s = what, now_s
        self._done, self._total, self._skipped = done, total, skipped
        lasted_s, did = now_s - self._began_s, done - skipped
        if lasted_s >= LEAST_S and did >= LEAST_BYTES:
            self._measured[what] = did / lasted_s

    @property
    def measured(self) -> dict[str, float]:
        """Bytes per second of each phase that lasted long enough to tell."""
        return dict(self._measured)

    def seconds_left(self) -> float | None:
        """Of the phase under way and those after it; None while one of their rates is not known. A
        phase of which nothing is known goes as the one before: reading back is seldom slower than
        writing."""
        left_s, begun = 0.0, False
        own = next(reversed(self._measured.values()), 0.0)
        for phase in self._phases.values():
            is_now = phase.what == self._now
            begun = begun or is_now
            if not begun:
                continue
            left = self._total - self._done if is_now else phase.size_bytes
            rate = self._measured.get(phase.what) or phase.bytes_per_s or own
            if left > 0 and rate <= 0:
                return None
            left_s += left / rate if left > 0 else 0.0
        return left_s if begun else None


def seconds_of(phases: Sequence[Phase]) -> float | None:
    """What a job that has not begun will take; None while one of its rates is not known."""
    if any(phase.size_bytes > 0 and phase.bytes_per_s <= 0 for phase in phases):
        return None
    return sum(phase.size_bytes / phase.bytes_per_s for phase in phases if phase.size_bytes > 0)
