"""The rate that frames really come at: noted by the store thread, asked for by the loop."""

from __future__ import annotations

from collections import deque

from fieldrec.core.clock import Clock

LOOK_NS = 250_000_000
"""How often the store thread notes it, and tells the loop, in frame time."""
MARKS = 13
"""Marks that the rate spans: 3 s."""


class Rate:
    """Frames per second over the last three seconds, by the frames' own times."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._marks: deque[tuple[int, int]] = deque(maxlen=MARKS)

    def note(self, monotonic_ns: int, frame_count: int) -> None:
        """So many frames had come by then. Store thread."""
        self._marks.append((monotonic_ns, frame_count))

    def hz(self) -> float:
        """The rate now; it falls while nothing comes. Any thread."""
        marks = list(self._marks)
        if len(marks) < 2:
            return 0.0
        (first_ns, first_count), (last_ns, last_count) = marks[0], marks[-1]
        silence_ns = self._clock.monotonic_ns() - last_ns
        until_ns = last_ns if silence_ns < 4 * LOOK_NS else last_ns + silence_ns
        return (last_count - first_count) * 1e9 / max(1, until_ns - first_ns)
