"""Frame numbers that run on, from the block IDs of GigE Vision and USB3 Vision streams.

Pure; used by the thread that grabs. GigE Vision 1 counts in 16 bits, from 65535 on to 1 (0 is
never sent); GigE Vision 2 and USB3 Vision in 64 bits.
"""

from __future__ import annotations

_LAST_OF_16_BITS = 65535


class BlockCounter:
    """Frame numbers that run on from block IDs; a gap in those is a gap in these."""

    def __init__(self) -> None:
        self._last = -1
        self._last_raw = -1
        self._wraps = 0

    def number(self, raw: int) -> int:
        """The number of the frame with this ID."""
        if raw < self._last_raw <= _LAST_OF_16_BITS:
            self._wraps += 1
        self._last_raw = raw
        self._last = raw + _LAST_OF_16_BITS * self._wraps
        return self._last

    def skip(self) -> int:
        """Count a frame that has no ID."""
        self._last += 1
        return self._last
