"""Playing the frames of a store: which one is due, and what keys do to that.

Pure: time and keys come in, an index comes out. The window and the terminal share it.
"""

from __future__ import annotations

JUMPS_S = {"left": -1.0, "right": 1.0, "up": 10.0, "down": -10.0, "page up": 60.0,
           "page down": -60.0}
STEPS = {".": 1, ",": -1, "end": 1 << 62, "home": -(1 << 62)}
QUIT = frozenset({"q", "escape"})
KEYS_HELP = "space pauses, . and , step, arrows jump 1 or 10 s, q quits"


class Player:
    """Where a viewer is in the frames `first` … `end` - 1 (at least one)."""

    def __init__(self, first: int, end: int, *, show_hz: float, rate_hz: float, now_s: float
                 ) -> None:
        """Shows `show_hz` frames a second, 0 every frame as fast as it can be drawn; jumps go by
        `rate_hz`, the recording's own rate."""
        self.index = first
        self.paused = False
        self.ended = False
        """Whether a key asked to leave."""
        self._first, self._last = first, end - 1
        self._show_hz = show_hz
        self._rate_hz = rate_hz
        self._since_index, self._since_s = first, now_s

    def advance(self, now_s: float) -> int:
        """The frame that is due now. Frames are skipped where drawing is too slow for the rate;
        at the last one playing pauses."""
        if not self.paused:
            due = (self._since_index + int((now_s - self._since_s) * self._show_hz)
                   if self._show_hz > 0 else self.index + 1)
            self.index = min(max(self.index, due), self._last)
            self.paused = self.index == self._last
        return self.index

    def wait_s(self, now_s: float) -> float | None:
        """Seconds until another frame is due; None while nothing moves."""
        if self.paused:
            return None
        if self._show_hz <= 0:
            return 0.0
        due_s = self._since_s + (self.index + 1 - self._since_index) / self._show_hz
        return max(0.0, due_s - now_s)

    def key(self, name: str, now_s: float) -> None:
        """Do what a key asks for; unknown keys do nothing."""
        if name in QUIT:
            self.ended = True
        elif name == " ":
            self.paused = not self.paused
            if not self.paused and self.index == self._last:
                self.index = self._first
        elif name in STEPS:
            self.paused = True
            self._go(self.index + STEPS[name])
        elif name in JUMPS_S:
            distance = max(1, round(abs(JUMPS_S[name]) * self._rate_hz))
            self._go(self.index + (distance if JUMPS_S[name] > 0 else -distance))
        self._since_index, self._since_s = self.index, now_s

    def _go(self, index: int) -> None:
        self.index = min(max(index, self._first), self._last)
