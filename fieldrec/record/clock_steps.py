"""The wall clock watched while frame times go on by the anchor of the start. Store thread."""

from __future__ import annotations

from dataclasses import dataclass

from fieldrec.core.clock import Anchor, Clock

CHECK_NS = 1_000_000_000
"""Between two looks, in frame time."""
STEP_NS = 50_000_000
"""A wall clock that moved this far against the anchor is written down."""


@dataclass(frozen=True, slots=True)
class ClockStep:
    """Both readings at one moment, and how far the wall clock moved since the last step."""

    wall_ns: int
    recording_ns: int
    moved_s: float

    def extra_data(self) -> dict[str, bool | int]:
        """What is written down of it."""
        return {"clock_step": True, "clock_wall_ns": self.wall_ns,
                "clock_recording_ns": self.recording_ns}


class ClockSteps:
    """Finds the steps of the wall clock."""

    def __init__(self, anchor: Anchor, clock: Clock) -> None:
        self._anchor = anchor
        self._clock = clock
        self._next_ns = 0
        self.offset_ns = 0
        """Wall clock minus the times of frames, as of the last step."""

    def look(self, monotonic_ns: int) -> ClockStep | None:
        """A step since the last look; looks once a second of frame time at most."""
        if monotonic_ns < self._next_ns:
            return None
        self._next_ns = monotonic_ns + CHECK_NS
        now = Anchor.take(self._clock)
        recording_ns = self._anchor.time_ns(now.monotonic_ns)
        offset_ns = now.epoch_ns - recording_ns
        if abs(offset_ns - self.offset_ns) <= STEP_NS:
            return None
        moved_s = (offset_ns - self.offset_ns) / 1e9
        self.offset_ns = offset_ns
        return ClockStep(now.epoch_ns, recording_ns, moved_s)
