"""Checksums of single coded pictures, where a video file has any: a decoder conceals most damage.

Two kinds: the frame heads of the files that fieldrec writes, and the slices of FFV1 (version 3,
with CRC), which FFmpeg's decoder checks but whose failure it only writes into its log. H.264 and
JPEG of other programs have none, but a structure, and byte sequences that cannot occur: lost blocks
show themselves. A flipped bit that still decodes cannot be told from a picture.
One thread; blocks for the disk.
"""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from fieldrec.store.video.avi import Avi
from fieldrec.store.video.file import WrittenVideo
from fieldrec.store.video.growth import Container, FrameHead, Track
from fieldrec.store.video.matroska import Matroska
from fieldrec.store.video.mp4 import Mp4
from fieldrec.store.video.structure import AVI, MATROSKA, MP4

_HEAD_BYTES = 65_536
_CONTAINERS: dict[str, type[Container]] = {AVI: Avi, MATROSKA: Matroska, MP4: Mp4}
_SLICE_TAIL = 8
"""Of an FFV1 slice: its length in three bytes, an error status, the CRC."""
BLOCK_HEAD = 4
"""Track, time and flags, to which FFmpeg points in Matroska."""
_AVCC_VERSION = 1
_LAST_PICTURE_UNIT = 5
_MOST_BETWEEN = 1 << 20
_HUFFMAN, _SCAN, _END = 0xC4, 0xDA, 0xD9
_AFTER_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)
"""A marker other than those that a scan may contain."""
_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_ZERO_REGISTER = 0xFFFFFFFF


class PacketCheck(Protocol):
    """Tells whether the bytes of a coded picture are those that were written."""

    def is_sound(self, offset: int, packet: bytes) -> bool:
        """`offset`: where in the file the packet is, as FFmpeg says it."""
        ...

    def close(self) -> None:
        """Let go of the file. Idempotent."""
        ...


def packet_check(path: Path, kind: str, codec: str, extradata: bytes | None,
                 samples: Sequence[tuple[int, bytes]]) -> PacketCheck:
    """The checks that this file's pictures allow. OSError.

    `samples`: (offset, bytes) of some packets: what holds for one of them must hold for all.
    """
    if kind in _CONTAINERS:
        heads = FrameHeads(path, _CONTAINERS[kind](), BLOCK_HEAD if kind == MATROSKA else 0)
        if any(heads.is_sound(offset, packet) for offset, packet in samples):
            return heads
        heads.close()
    checks: list[PacketCheck] = []
    if codec == "ffv1":
        checks.append(ByContent(slices_are_sound))
    elif codec == "mjpeg":
        checks.append(ByContent(jpeg_is_sound))
    elif codec == "h264" and kind == MP4 and extradata and extradata[0] == _AVCC_VERSION:
        checks.append(ByContent(UnitChecks(1 + (extradata[4:5] or b"\3")[0] % 4)))
    checks = [check for check in checks
              if any(check.is_sound(offset, packet) for offset, packet in samples)]
    return AllOf([*checks, ChunkHeads(path)]) if kind == AVI else AllOf(checks)


class AllOf:
    """Several checks."""

    def __init__(self, checks: list[PacketCheck]) -> None:
        self._checks = checks

    def is_sound(self, offset: int, packet: bytes) -> bool:
        """As in the protocol."""
        return all(check.is_sound(offset, packet) for check in self._checks)

    def close(self) -> None:
        """As in the protocol."""
        for check in self._checks:
            check.close()


class ByContent:
    """A check of the packet's bytes alone."""

    def __init__(self, holds: Callable[[bytes], bool]) -> None:
        self._holds = holds

    def is_sound(self, offset: int, packet: bytes) -> bool:
        """As in the protocol."""
        return self._holds(packet)

    def close(self) -> None:
        """Nothing is held."""


class ChunkHeads:
    """The name and length that AVI puts before each packet: an index may point elsewhere."""

    def __init__(self, path: Path) -> None:
        """Open the file. OSError."""
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def is_sound(self, offset: int, packet: bytes) -> bool:
        """As in the protocol; False also when the disk cannot read."""
        try:
            head = os.pread(self._descriptor, 8, max(0, offset - 8))
        except OSError:
            return False
        return head[2:4] in (b"dc", b"db") and int.from_bytes(head[4:8], "little") == len(packet)

    def close(self) -> None:
        """As in the protocol."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


class FrameHeads:
    """The frame heads that fieldrec writes before each packet."""

    def __init__(self, path: Path, container: Container, shift: int = 0) -> None:
        """Open the file. OSError. `shift`: from where FFmpeg says a packet is to its bytes."""
        self._path = path
        self._container = container
        self._shift = shift
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def is_sound(self, offset: int, packet: bytes) -> bool:
        """As in the protocol; False also when the disk cannot read."""
        length = self._container.frame_head_bytes
        start = offset + self._shift - length
        if start < 0:
            return False
        try:
            head = self._container.read_frame_head(os.pread(self._descriptor, length, start))
        except OSError:
            return False
        return head is not None and self._container.is_whole(head, packet)

    def lists_all(self, offsets: Sequence[int], sizes: Sequence[int]) -> bool:
        """Whether a list of packets has every frame of the file, and each once. OSError."""
        head = self._container.read_head(os.pread(self._descriptor, _HEAD_BYTES, 0))
        if self._position(offsets[-1]) != len(offsets) - 1:
            return False
        end = 0 if head is None else head[1]
        for offset, size in zip(offsets, sizes, strict=True):
            start = offset + self._shift - self._container.frame_head_bytes
            if start != end and (start < end or self._has_frames(end, start)):
                return False
            end = offset + self._shift + size + len(self._container.padding(size))
        return not self._has_frames(end, end + self._container.frame_head_bytes)

    def frames(self) -> list[tuple[FrameHead, int]]:
        """(head, where FFmpeg would say it is) of every frame that is whole, by reading all of the
        file. OSError."""
        head = self._container.read_head(os.pread(self._descriptor, _HEAD_BYTES, 0))
        with WrittenVideo(self._path, self._container) as video:
            return [(frame, offset - self._shift)
                    for frame, offset in video.whole_frames(0 if head is None else head[1])]

    def _position(self, offset: int) -> int | None:
        """Which frame the packet is by its frame head."""
        start = offset + self._shift - self._container.frame_head_bytes
        head = self._container.read_frame_head(
            os.pread(self._descriptor, self._container.frame_head_bytes, max(0, start)))
        return None if head is None else head.position

    def _has_frames(self, start: int, end: int) -> bool:
        """Whether a frame head may lie in these bytes; those of a damaged one count."""
        if end - start > _MOST_BETWEEN:
            return True
        return self._container.marker in os.pread(self._descriptor, max(0, end - start), start)

    def track(self) -> Track | None:
        """What the decoder was told when the file was begun; None if that is damaged. OSError."""
        head = self._container.read_head(os.pread(self._descriptor, _HEAD_BYTES, 0))
        return head and head[0]

    def close(self) -> None:
        """As in the protocol."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


class UnitChecks:
    """The row of length and unit that an H.264 packet in MP4 is, and what no unit may contain."""

    def __init__(self, length_bytes: int) -> None:
        self._length_bytes = length_bytes

    def __call__(self, packet: bytes) -> bool:
        """Whether the packet is sound as far as can be told."""
        at, has_picture = 0, False
        while at < len(packet):
            start = at + self._length_bytes
            end = start + int.from_bytes(packet[at:start], "big")
            if not start < end <= len(packet) or packet[end - 2:end] == b"\0\0":
                return False  # a unit ends in a one; some writers leave one zero byte behind it
            if _begins_another(packet, start, end):
                return False
            has_picture = has_picture or 1 <= packet[start] & 0x1F <= _LAST_PICTURE_UNIT
            at = end
        return has_picture


def _begins_another(packet: bytes, start: int, end: int) -> bool:
    """Whether two zeros and a byte below three are in the unit: those begin units in streams that
    have no lengths, and an encoder puts a three between."""
    at = packet.find(b"\0\0", start, end)
    while at >= 0:
        if at + 2 < end and packet[at + 2] < 3:
            return True
        at = packet.find(b"\0\0", at + 1, end)
    return False


def jpeg_is_sound(packet: bytes) -> bool:
    """Whether a JPEG's segments fit into each other: FFmpeg shows an old picture where the tables
    are damaged. The scans themselves say nothing but where they end."""
    if packet[:2] != b"\xff\xd8":
        return False
    at = 2
    while at + 4 <= len(packet):
        mark, length = packet[at + 1], int.from_bytes(packet[at + 2:at + 4], "big")
        end = at + 2 + length
        if packet[at] != 0xFF or length < 2 or end > len(packet):
            return False
        if mark == _HUFFMAN and not _tables_fit(packet[at + 4:end]):
            return False
        if mark == _SCAN:
            found = _AFTER_SCAN.search(packet, end)
            if found is None:
                return False
            end = found.start()
            if packet[end + 1] == _END:
                return True
        at = end
    return False


def _tables_fit(segment: bytes) -> bool:
    """Whether Huffman tables fill their segment, and have no more codes than there can be."""
    at = 0
    while at < len(segment):
        counts = segment[at + 1:at + 17]
        if sum(count << 16 - length for length, count in enumerate(counts, 1)) > 1 << 16:
            return False
        at += 17 + sum(counts)
    return at == len(segment)


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
