"""When a recording goes on in its next store: `record.split_after`. Store thread; pure.

The next store is made ahead: LEAD_S before it is due, or, of short parts, from their half on.
"""

from __future__ import annotations

import math

from fieldrec.config.recording import SplitConfig
from fieldrec.record.part import Part

LEAD_S = 10.0
"""A store is made in milliseconds, on a disk that is busy in seconds."""
RETRY_NS = 5_000_000_000
"""After a store that could not be made ahead, in frame time."""


class Limits:
    """How long and how large a part may become."""

    def __init__(self, config: SplitConfig) -> None:
        self._ns = math.inf if config.seconds is None else config.seconds * 1e9
        self._bytes = math.inf if config.bytes is None else config.bytes
        self._frames = math.inf if config.frames is None else config.frames
        self._config = config

    @property
    def any(self) -> bool:
        """Whether there is a limit at all."""
        return min(self._ns, self._bytes, self._frames) < math.inf

    def reached(self, part: Part, monotonic_ns: int) -> str:
        """Which limit a frame of this time would pass; "" for none."""
        began_ns = part.first_monotonic_ns
        if began_ns is None:
            return ""
        if monotonic_ns - began_ns >= self._ns:
            return f"{self._config.seconds:g} s"
        if part.frame_count >= self._frames:
            return f"{self._config.frames} frames"
        if part.written_bytes >= self._bytes:
            return f"{self._config.bytes} bytes"
        return ""

    def left_s(self, part: Part, monotonic_ns: int) -> float:
        """Seconds until the first limit will be reached, as things go; 0 when one is."""
        done, elapsed_s = self._done(part, monotonic_ns)
        if done <= 0:
            return math.inf
        return max(0.0, elapsed_s / done - elapsed_s)

    def near(self, part: Part, monotonic_ns: int) -> bool:
        """Whether the next part is to be made now."""
        done, elapsed_s = self._done(part, monotonic_ns)
        return done >= 0.5 and elapsed_s / done - elapsed_s <= LEAD_S

    def _done(self, part: Part, monotonic_ns: int) -> tuple[float, float]:
        """(share of the nearest limit that is used up, seconds of the part)."""
        began_ns = part.first_monotonic_ns
        if began_ns is None:
            return 0.0, 0.0
        elapsed_ns = max(0, monotonic_ns - began_ns)
        done = max(elapsed_ns / self._ns, part.frame_count / self._frames,
                   part.written_bytes / self._bytes)
        return done, elapsed_ns / 1e9
