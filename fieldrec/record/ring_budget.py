"""How much memory each camera's ring gets of `record.ring_max_bytes`, which is for all together.

Pure functions, but for :class:`StandingRings`. Shares go by need: a camera needs what it gives in
the seconds that its ring shall hold. The least slots come before the bound: with fewer, one slow
write already loses frames. A ring is its slots and one spare frame; both count.
"""

from __future__ import annotations

import mmap
import threading
from collections.abc import Iterable, Mapping

from fieldrec.core.model import FrameSpec
from fieldrec.record.ring import LEAST_SLOTS, wanted_slots


def ring_need(spec: FrameSpec, ring_s: float, preroll_s: float = 0.0) -> tuple[int, int]:
    """(bytes of a ring that holds so many seconds of frames, bytes of the least ring)."""
    frame_bytes = slot_bytes(spec)
    return ((wanted_slots(spec, ring_s, preroll_s) + 1) * frame_bytes,
            (LEAST_SLOTS + 1) * frame_bytes)


def slot_bytes(spec: FrameSpec) -> int:
    """One frame in whole pages."""
    return -(-spec.frame_bytes // mmap.PAGESIZE) * mmap.PAGESIZE


def ring_shares(needs: Mapping[str, tuple[int, int]], total_bytes: int) -> dict[str, int]:
    """Bytes for each camera of `needs` ((need, least) by key): what it needs where there is enough
    for all, else in proportion to the needs; never less than the least."""
    open_keys = dict(needs)
    shares: dict[str, int] = {}
    left = total_bytes
    while open_keys:
        wanted = sum(need for need, _ in open_keys.values())
        scale = min(1.0, max(0, left) / wanted) if wanted else 1.0
        at_least = [key for key, (need, least) in open_keys.items() if need * scale < least]
        settled = at_least or list(open_keys)
        for key in settled:
            need, least = open_keys.pop(key)
            shares[key] = max(least, int(need * scale))
            left -= shares[key]
    return {key: shares[key] for key in needs}


def late_share(key: str, needs: Mapping[str, tuple[int, int]], given: Mapping[str, int],
               total_bytes: int) -> int:
    """Bytes for a camera that joins later: its share, as far as the others' rings, which stay as
    they are (`given`), leave it; never less than the least."""
    left = total_bytes - sum(share for other, share in given.items() if other != key)
    return max(needs[key][1], min(ring_shares(needs, total_bytes)[key], left))


class StandingRings:
    """Rings of cameras that run for their pre-roll from the moment they are open, before anybody
    knows what those need that are not open yet. Called by the recorders' workers, several at once.
    """

    def __init__(self, keys: Iterable[str], ring_s: float, preroll_s: float, total_bytes: int
                 ) -> None:
        """Seconds of frames that each ring is to hold, and hold back beside them."""
        self._unknown = set(keys)
        self._cameras = len(self._unknown)
        self._seconds = ring_s, preroll_s
        self._total_bytes = total_bytes
        self._needs: dict[str, tuple[int, int]] = {}
        self._given: dict[str, int] = {}
        self._lock = threading.Lock()

    def share(self, key: str, spec: FrameSpec) -> int:
        """Bytes for the slots of a camera that is open now: by need among those that were opened;
        each of the others is left an equal share until then."""
        with self._lock:
            self._unknown.discard(key)
            self._needs[key] = ring_need(spec, *self._seconds)
            known_bytes = self._total_bytes - len(self._unknown) * (
                self._total_bytes // self._cameras)
            self._given[key] = late_share(key, self._needs, self._given, known_bytes)
            return self._given[key] - slot_bytes(spec)
