"""What is missing in a series, dropped by the camera or lost by our ring: told to its part.

The capture thread notes it, the store thread takes it here; the figures may be read by any thread.
"""

from __future__ import annotations

from fieldrec.core.clock import Anchor
from fieldrec.core.model import LostFrames
from fieldrec.record.capture import Capture
from fieldrec.record.part import Part
from fieldrec.record.ring import Ring

SHOWN_RUNS = 8


class Missing:
    """Counted from its making on."""

    def __init__(self, capture: Capture, ring: Ring, anchor: Anchor) -> None:
        self._capture = capture
        self._ring = ring
        self._anchor = anchor
        self._before = capture.dropped, ring.statistics().lost
        self.lost_runs: tuple[LostFrames, ...] = ()
        """The latest runs, oldest first."""

    @property
    def dropped(self) -> int:
        """Frames that the camera skipped."""
        return self._capture.dropped - self._before[0]

    @property
    def lost(self) -> int:
        """Frames that found the ring full."""
        return self._ring.statistics().lost - self._before[1]

    def tell_next(self, part: Part, since_ns: int, until_ns: int) -> None:
        """Have the record of the frame of `until_ns`, which is about to be written to `part`, say
        how many were lost since the frame before it."""
        runs = tuple(self._capture.lost_runs)  # the capture thread adds to it meanwhile
        count = sum(run.count for run in runs if since_ns < run.first_monotonic_ns < until_ns)
        if count:
            part.lost_before_next(count)

    def take(self, until_ns: float, part: Part | None) -> None:
        """What the capture found missing up to a frame of this monotonic time lies in `part`; in
        nothing where that is None."""
        runs, gaps = self._capture.lost_runs, self._capture.gaps
        while runs and runs[0].last_monotonic_ns <= until_ns:
            run = runs.popleft()
            if part is not None:
                lost = part.note_lost(run, self._anchor)
                self.lost_runs = (*self.lost_runs[1 - SHOWN_RUNS:], lost)
        while gaps and gaps[0].monotonic_ns <= until_ns:
            gap = gaps.popleft()
            if part is not None:
                part.note_gap(gap, self._anchor)
