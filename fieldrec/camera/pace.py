"""When the next frame of a source without hardware is due.

Used in the capture thread. CLOCK_BOOTTIME and absolute deadlines, so that a late frame does not
delay the ones after it. An unpaced source runs through the same code in virtual time: it never
waits, and its frames bear the times they would have had.
"""

from __future__ import annotations

import time

from fieldrec.core.clock import SystemClock
from fieldrec.core.errors import CameraTimeout


class Pace:
    """A clock that can be waited for; made anew at every start."""

    def __init__(self, *, paced: bool) -> None:
        self._clock = SystemClock()
        self._paced = paced
        self._virtual_ns = self._clock.monotonic_ns()

    def now_ns(self) -> int:
        """CLOCK_BOOTTIME, or virtual time that only :meth:`wait` moves."""
        return self._clock.monotonic_ns() if self._paced else self._virtual_ns

    def wait(self, deadline_ns: int, timeout_s: float, of: str) -> None:
        """Return at `deadline_ns`, at once if it has passed; CameraTimeout if that is further
        away than `timeout_s` (after waiting that long)."""
        now_ns = self.now_ns()
        limit_ns = now_ns + int(timeout_s * 1e9)
        self._sleep_until(min(deadline_ns, limit_ns), now_ns)
        if deadline_ns > limit_ns:
            raise CameraTimeout(f"{of}: no frame within {timeout_s:g} s")

    def _sleep_until(self, until_ns: int, now_ns: int) -> None:
        if not self._paced:
            self._virtual_ns = max(self._virtual_ns, until_ns)
            return
        while now_ns < until_ns:
            time.sleep((until_ns - now_ns) / 1e9)
            now_ns = self.now_ns()
