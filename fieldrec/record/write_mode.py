"""Past the page cache or through it: what the store thread does next. Pure; store thread only.

Past the cache is the cheaper way by far, and the normal one. It waits for the disk, though, where
the cache takes a burst at the speed of memory until the kernel has enough of it. So while the ring
is nearly full the way that carries more frames is taken, each tried again now and then: which one
that is depends on the disk.
"""

from __future__ import annotations

from dataclasses import dataclass

from fieldrec.core.model import Heat

STALE_NS = 5_000_000_000
"""How long a measured rate is believed: disks stall, caches fill."""


@dataclass(slots=True)
class _Rate:
    """Frames per second that one way carried, and when that was seen."""

    hz: float = 0.0
    at_ns: int | None = None

    def stale(self, now_ns: int) -> bool:
        return self.at_ns is None or now_ns - self.at_ns > STALE_NS


class WriteMode:
    """Decides a few times a second; `past_cache` is the decision."""

    def __init__(self) -> None:
        self.past_cache = True
        self._rates = {True: _Rate(), False: _Rate()}
        self._since_ns: int | None = None
        self._frames = 0

    def look(self, heat: Heat, frame_count: int, now_ns: int) -> bool:
        """`frame_count` of the recording so far, `now_ns` by any clock that does not step."""
        since_ns, frames = self._since_ns, frame_count - self._frames
        self._since_ns, self._frames = now_ns, frame_count
        if heat is not Heat.HIGH:
            self.past_cache = True
        elif since_ns is not None and now_ns > since_ns:
            self._rates[self.past_cache] = _Rate(frames * 1e9 / (now_ns - since_ns), now_ns)
            other = self._rates[not self.past_cache]
            if other.stale(now_ns) or other.hz > self._rates[self.past_cache].hz:
                self.past_cache = not self.past_cache
        return self.past_cache
