"""Checksums of single coded pictures, where a video file has any: a decoder conceals most damage.

Two kinds: the frame heads of the files that fieldrec writes, and the slices of FFV1 (version 3,
with CRC), which FFmpeg's decoder checks but whose failure it only writes into its log. H.264 of
other programs has none, but byte sequences that cannot occur in it: there, lost blocks show
themselves. A flipped bit that still decodes cannot be told from a picture, nor anything in MJPEG.
One thread; blocks for the disk.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from fieldrec.store.video_avi import Avi
from fieldrec.store.video_growth import Container, Track
from fieldrec.store.video_matroska import Matroska
from fieldrec.store.video_mp4 import Mp4
from fieldrec.store.video_structure import AVI, MATROSKA, MP4

_HEAD_BYTES = 65_536
_CONTAINERS: dict[str, type[Container]] = {AVI: Avi, MATROSKA: Matroska, MP4: Mp4}
_SLICE_TAIL = 8
"""Of an FFV1 slice: its length in three bytes, an error status, the CRC."""
_AVCC_VERSION = 1
_LAST_PICTURE_UNIT = 5
_NEVER_IN_UNITS = (b"\0\0\0", b"\0\0\1", b"\0\0\2")
"""An encoder puts a three between: these begin units in streams that have no lengths."""
_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_ZERO_REGISTER = 0xFFFFFFFF


class PacketCheck(Protocol):
    """Tells whether the bytes of a coded picture are those that were written."""

    def is_sound(self, offset: int, packet: bytes) -> bool:
        """`offset`: where in the file the packet begins."""
        ...

    def close(self) -> None:
        """Let go of the file. Idempotent."""
        ...


def packet_check(path: Path, kind: str, codec: str, extradata: bytes | None,
                 samples: Sequence[tuple[int, bytes]]) -> PacketCheck | None:
    """The check that this file's pictures allow; None where there is none. OSError.

    `samples`: (offset, bytes) of some packets: one that is sound shows what they all must have.
    """
    if kind in _CONTAINERS:
        heads = FrameHeads(path, _CONTAINERS[kind]())
        if any(heads.is_sound(offset, packet) for offset, packet in samples):
            return heads
        heads.close()
    if codec == "ffv1" and any(slices_are_sound(packet) for _offset, packet in samples):
        return SliceChecks()
    if codec == "h264" and kind == MP4 and extradata and extradata[0] == _AVCC_VERSION:
        units = UnitChecks(1 + (extradata[4] & 3) if len(extradata) > 4 else 4)
        if any(units.is_sound(offset, packet) for offset, packet in samples):
            return units
    return None


class FrameHeads:
    """The frame heads that fieldrec writes before each packet."""

    def __init__(self, path: Path, container: Container) -> None:
        """Open the file. OSError."""
        self._container = container
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def is_sound(self, offset: int, packet: bytes) -> bool:
        """As in the protocol; False also when the disk cannot read."""
        length = self._container.frame_head_bytes
        if offset < length:
            return False
        try:
            head = self._container.read_frame_head(
                os.pread(self._descriptor, length, offset - length))
        except OSError:
            return False
        return head is not None and self._container.is_whole(head, packet)

    def track(self) -> Track | None:
        """What the decoder was told when the file was begun; None if that is damaged. OSError."""
        head = self._container.read_head(os.pread(self._descriptor, _HEAD_BYTES, 0))
        return head and head[0]

    def close(self) -> None:
        """As in the protocol."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


class SliceChecks:
    """The CRCs of FFV1's slices."""

    def is_sound(self, offset: int, packet: bytes) -> bool:
        """As in the protocol."""
        return slices_are_sound(packet)

    def close(self) -> None:
        """Nothing is held."""


class UnitChecks:
    """The row of length and unit that an H.264 packet in MP4 is, and what no unit may contain."""

    def __init__(self, length_bytes: int) -> None:
        self._length_bytes = length_bytes

    def is_sound(self, offset: int, packet: bytes) -> bool:
        """As in the protocol."""
        at, has_picture = 0, False
        while at < len(packet):
            start = at + self._length_bytes
            end = start + int.from_bytes(packet[at:start], "big")
            if not start < end <= len(packet) or packet[end - 2:end] == b"\0\0":
                return False  # a unit ends in a one; some writers leave one zero byte behind it
            if any(packet.find(never, start, end) >= 0 for never in _NEVER_IN_UNITS):
                return False
            has_picture = has_picture or 1 <= packet[start] & 0x1F <= _LAST_PICTURE_UNIT
            at = end
        return has_picture

    def close(self) -> None:
        """Nothing is held."""


def slices_are_sound(packet: bytes) -> bool:
    """Whether an FFV1 packet is a row of slices, each with a tail whose CRC-32 fits.

    The CRC is the one that begins with the highest bit; zlib's begins with the lowest, so the bits
    of every byte are turned round first.
    """
    end = len(packet)
    while end >= _SLICE_TAIL:
        start = end - _SLICE_TAIL - int.from_bytes(packet[end - 8:end - 5], "big")
        if start < 0:
            return False
        mirrored = packet[start:end].translate(_MIRRORED)
        if zlib.crc32(mirrored, _ZERO_REGISTER) != _ZERO_REGISTER:
            return False
        end = start
    return end == 0 and bool(packet)
