"""How fast an export goes, and when it will be there. Pure; in the export process.

Pauses are not counted: the process is told when it goes on (SIGCONT), and was held since the last
frame at most.
"""

from __future__ import annotations

VERIFYING_SHARE = 0.35
"""Time to verify a frame, of that to encode one, until it has been measured."""


class Pace:
    """Fed with every frame; times are seconds of a steady clock."""

    def __init__(self) -> None:
        self._phase = ""
        self._began_s = self._last_s = 0.0
        self._first = self._done = 0
        self._encode = (0, 0)
        """Frames encoded, of all."""
        self._encoding_hz = 0.0
        self._verified = 0
        """In slices that are through."""

    def frame(self, phase: str, done: int, total: int, now_s: float) -> None:
        """Frame `done` of `total` of the phase is through."""
        if phase != self._phase or done < self._done:
            if self._phase == "verifying":
                self._verified += self._done
            self._phase, self._began_s, self._first = phase, now_s, done
        self._done, self._last_s = done, now_s
        if phase == "encoding":
            self._encode = (done, total)
            self._encoding_hz = self.frames_per_second or self._encoding_hz

    def went_on(self, now_s: float) -> None:
        """The process was held, and is not any more."""
        held_s = max(now_s - self._last_s, 0.0)
        self._began_s, self._last_s = self._began_s + held_s, now_s

    @property
    def frames_per_second(self) -> float:
        """In this phase; 0 before the second frame."""
        passed_s = self._last_s - self._began_s
        return (self._done - self._first) / passed_s if passed_s > 0 else 0.0

    @property
    def eta_s(self) -> float | None:
        """Until all is verified; None while nobody can say."""
        done, total = self._encode
        hz = self.frames_per_second
        if self._phase == "committing":
            return 0.0
        if self._phase == "verifying":
            through = self._verified + self._done
            return max(total - through, 0) / hz if hz and total else None
        if not self._encoding_hz:
            return None
        return ((total - done) + VERIFYING_SHARE * (total - self._verified)) / self._encoding_hz
