"""Checksums of single coded pictures, where a video file has any: a decoder conceals most damage.

Two kinds: the frame heads of the files that fieldrec writes, and the slices of FFV1 (version 3,
with CRC), which FFmpeg's decoder checks but whose failure it only writes into its log. H.264 and
MJPEG of other programs have none: a flipped bit that still decodes cannot be told from a picture.
One thread; blocks for the disk.
"""

from __future__ import annotations

import os
import zlib
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


def packet_check(path: Path, kind: str, codec: str, first: tuple[int, bytes] | None
                 ) -> PacketCheck | None:
    """The check that this file's pictures allow; None where they bear no checksums. OSError.

    `first`: (offset, bytes) of its first packet; a file whose first packet is damaged counts as
    one without checksums.
    """
    if first is None:
        return None
    offset, packet = first
    if kind in _CONTAINERS:
        heads = FrameHeads(path, _CONTAINERS[kind]())
        if heads.is_sound(offset, packet):
            return heads
        heads.close()
    if codec == "ffv1" and slices_are_sound(packet):
        return SliceChecks()
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
