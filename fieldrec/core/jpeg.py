"""What must be known of JPEG packets to record them without decoding: their size, whether they are
whole. Pure; any thread."""

from __future__ import annotations

_NOT_FRAMES = frozenset({0xC4, 0xC8, 0xCC})
"""Between the marks of frames, but tables."""
_END = b"\xff\xd9"
_PADDING_BYTES = 4096
"""Some cameras fill up packets behind the picture's end."""


def jpeg_size(packet: bytes) -> tuple[int, int] | None:
    """(width, height) of the picture that a packet is; None when it is none, or damaged or cut."""
    if not packet.startswith(b"\xff\xd8") or _END not in packet[-_PADDING_BYTES:]:
        return None
    at = 2
    while at + 9 <= len(packet) and packet[at] == 0xFF:
        mark = packet[at + 1]
        if 0xC0 <= mark <= 0xCF and mark not in _NOT_FRAMES:
            return int.from_bytes(packet[at + 7:at + 9], "big"), int.from_bytes(
                packet[at + 5:at + 7], "big")
        at += 1 if mark == 0xFF else 2 + int.from_bytes(packet[at + 2:at + 4], "big")
    return None
