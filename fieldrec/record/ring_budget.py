"""How much memory each camera's ring gets of `record.ring_max_bytes`, which is for all together.

Pure functions. Shares go by need: a camera needs what it gives in the seconds that its ring shall
hold. The least slots come before the bound: with fewer, one slow write already loses frames. A ring
is its slots and one spare frame; both count.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Mapping

from fieldrec.core.model import FrameSpec
from fieldrec.record.ring import LEAST_SLOTS


def ring_need(spec: FrameSpec, seconds: float) -> tuple[int, int]:
    """(bytes of a ring that holds `seconds` of frames, bytes of the least ring)."""
    frame_bytes = slot_bytes(spec)
    slots = max(LEAST_SLOTS, math.ceil(seconds * spec.nominal_hz))
    return (slots + 1) * frame_bytes, (LEAST_SLOTS + 1) * frame_bytes


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
