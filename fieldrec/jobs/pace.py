"""How fast an export goes, by its own progress: seconds per frame of each phase, pauses left out.
Event loop; pure but for the clock it is given."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable

from fieldrec.core.model import Export, Recording
from fieldrec.jobs.history import ENCODING, VERIFYING, Sample


def children_cpu_s() -> float:
    """Processor seconds of all child processes that have ended and were waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class Pace:
    """One run of one export."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic,
                 cpu_s: Callable[[], float] = children_cpu_s) -> None:
        self._clock_s = clock_s
        self._cpu_s = cpu_s
        self._cpu_before_s = cpu_s()
        self._phase = ""
        self._first = 0
        self._active_s = 0.0
        """Of this phase, up to…"""
        self._since_s: float | None = clock_s()
        """…this moment, from which it has run; None while it is held."""
        self.frame_s: dict[str, float] = {}
        """Seconds per frame, by phase; none of one that has only begun."""
        self._from_the_first = False

    def hold(self, held: bool) -> None:
        """It is held, or goes on."""
        now_s = self._clock_s()
        if self._since_s is not None:
            self._active_s += now_s - self._since_s
        self._since_s = None if held else now_s

    def progress(self, phase: str, done: int) -> None:
        """It has done so many frames of a phase."""
        now_s = self._clock_s()
        if phase != self._phase:
            if phase == ENCODING:  # one that goes on after a stop does not begin with the first
                self._from_the_first = done <= 1
            self._phase, self._first, self._active_s = phase, done, 0.0
            self._since_s = None if self._since_s is None else now_s
            return
        active_s = self._active_s + (0.0 if self._since_s is None else now_s - self._since_s)
        if done > self._first and active_s > 0:
            self.frame_s[phase] = active_s / (done - self._first)

    def frames_per_second(self, phase: str) -> float:
        """In this phase, while it was not held; 0 before there is anything to say."""
        frame_s = self.frame_s.get(phase, 0.0)
        return 1 / frame_s if frame_s > 0 else 0.0

    def sample(self, recording: Recording, preset: str, exports: tuple[Export, ...]
               ) -> Sample | None:
        """What the finished export came to; None where the recording does not tell its size."""
        frames = sum(export.frame_count for export in exports)
        if recording.spec is None or frames == 0:
            return None
        height, width = recording.spec.shape[:2]
        cpu_s = (self._cpu_s() - self._cpu_before_s) / frames if self._from_the_first else 0.0
        bits = 8 * sum(export.size_bytes for export in exports) / (frames * width * height)
        return Sample(recording.camera_serial, preset, width, height, bits,
                      self.frame_s.get(ENCODING, 0.0), self.frame_s.get(VERIFYING, 0.0), cpu_s)
