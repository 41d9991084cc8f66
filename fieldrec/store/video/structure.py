"""What can be told of a video file from its outermost structure alone: cut, never closed, damaged.

Matroska, MP4 and AVI say how long their parts are, so a cut file shows itself without any
decoding; Matroska files as FFmpeg writes them also bear a CRC of every cluster of pictures. Pure
reading of bytes, without FFmpeg, which is silent about most of this. Any thread; blocks for the
disk.
"""

from __future__ import annotations

import os
import zlib
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

MATROSKA, MP4, AVI, OTHER = "matroska", "mp4", "avi", "other"

_EBML_HEADER = 0x1A45DFA3
_SEGMENT = 0x18538067
_CLUSTER = 0x1F43B675
_TRACKS = 0x1654AE6B
_CRC_START = b"\xbf\x84"
"""A CRC-32 element: its id and its length, four bytes, which follow."""
_LEVEL_ONE = {
    _CLUSTER: "cluster", _TRACKS: "tracks", 0x114D9B74: "seek head", 0x1549A966: "info",
    0x1C53BB6B: "cues", 0x1941A469: "attachments", 0x1043A770: "chapters", 0x1254C367: "tags",
    0xEC: "void", 0xBF: "crc"}
_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes of the file that are not what was written, `start` up to `end`."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Structure:
    """What the outermost parts of a video file say."""

    kind: str
    """MATROSKA, MP4, AVI or OTHER (of which nothing is known)."""
    problem: str | None
    """The first thing wrong, in words; None when nothing is."""
    cut: bool
    """The end is missing, or was never written."""
    unreadable: bool
    """The part that says what the pictures are is damaged: none of them can be trusted."""
    damages: tuple[Damage, ...]
    """Where the checksums of the file are wrong, ascending."""
    checked: bool = False
    """Whether all pictures and their times are covered by checksums."""

    def damaged_at(self, offset: int) -> bool:
        """Whether the byte lies in a damaged part."""
        at = bisect_right(self.damages, offset, key=lambda damage: damage.start) - 1
        return at >= 0 and offset < self.damages[at].end


def structure_of(path: Path, *, checksums: bool = True) -> Structure:
    """Walk the outermost parts of a file; where `checksums`, check what it has, which reads all of
    it. OSError."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        head = file.read(12)
        if head[:4] == _EBML_HEADER.to_bytes(4, "big"):
            return _matroska(file, size, checksums)
        if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
            return _plain(AVI, _avi_problem(file, size))
        if head[4:8] in (b"ftyp", b"moov", b"mdat", b"free", b"wide", b"skip"):
            return _plain(MP4, _mp4_problem(file, size))
    return Structure(OTHER, None, False, False, ())


def _plain(kind: str, problem: str | None) -> Structure:
    return Structure(kind, problem, problem is not None, False, ())


# --- MP4 and AVI -------------------------------------------------------------------------------

def _mp4_problem(file: BinaryIO, size: int) -> str | None:
    """The boxes must end where the file ends, and `moov` must be among them."""
    at, names = 0, set()
    while at < size:
        file.seek(at)
        head = file.read(16)
        length, name = int.from_bytes(head[:4], "big"), head[4:8]
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        elif length == 0:
            length = size - at  # the last box, to the end of the file
        if len(head) < 8 or length < 8:
            return f"no MP4 structure at byte {at}"
        if at + length > size:
            return f"cut short: {at + length - size} bytes are missing at the end"
        names.add(name)
        at += length
    return None if b"moov" in names else "never closed: it has no list of its pictures (moov)"


def _avi_problem(file: BinaryIO, size: int) -> str | None:
    """The RIFF parts must lie within the file; the length of one never closed is zero."""
    at = 0
    while at < size:
        file.seek(at)
        head = file.read(8)
        length = int.from_bytes(head[4:8], "little")
        if head[:4] not in (b"RIFF", b"JUNK"):
            return f"no AVI structure at byte {at}"
        if length < 4:
            return "never closed: its length was not written"
        if at + 8 + length > size:
            return f"cut short: {at + 8 + length - size} bytes are missing at the end"
        at += 8 + length + length % 2
    return None


# --- Matroska ----------------------------------------------------------------------------------

def _matroska(file: BinaryIO, size: int, checksums: bool) -> Structure:
    problem, cut, unreadable = None, False, False
    damages: list[Damage] = []
    bare: list[Damage] = []
    with_crc = 0
    try:
        for name, start, end in _level_one(file, size):
            sound = _crc_fits(file, start, end) if checksums or name == _TRACKS else True
            if sound is None and name == _CLUSTER:
                bare.append(Damage(start, end))
            elif sound is False:
                problem = problem or f"the checksum of bytes {start} to {end} is wrong"
                damages.append(Damage(start, end))
                unreadable = unreadable or name == _TRACKS
            with_crc += sound is not None and name == _CLUSTER
    except _NotClosed as error:
        problem, cut = problem or str(error), True
    except _Broken as error:
        problem = problem or str(error)
        damages.append(Damage(error.at, size))
    if bare and with_crc:  # no writer gives them to some clusters only
        problem = problem or f"the checksum at byte {bare[0].start} is damaged"
        damages = sorted([*damages, *bare], key=lambda damage: damage.start)
    return Structure(MATROSKA, problem, cut, unreadable, tuple(damages), with_crc > 0)


class _NotClosed(Exception):
    """The end of the file is missing, or was never written."""


class _Broken(Exception):
    """From here on no structure can be made out."""

    def __init__(self, at: int) -> None:
        super().__init__(f"no Matroska structure at byte {at}")
        self.at = at


def _level_one(file: BinaryIO, size: int) -> Iterator[tuple[int, int, int]]:
    """(id, first byte, byte behind the last) of the content of every part of the segment."""
    _name, at, length = _element(file, 0)
    if length is None:
        raise _Broken(0)
    name, at, length = _element(file, at + length)
    if name != _SEGMENT:
        raise _Broken(at)
    stop = size if length is None else at + length
    while at < min(stop, size):
        name, start, part = _element(file, at)
        if name not in _LEVEL_ONE:
            raise _Broken(at)
        if part is None:
            raise _NotClosed(f"never closed: the part at byte {at} has no length")
        if start + part > size:
            raise _NotClosed(f"cut short: {start + part - size} bytes or more are missing at the "
                             "end")
        yield name, start, start + part
        at = start + part
    if length is None:
        raise _NotClosed("never closed: its length was not written")
    if stop > size:
        raise _NotClosed(f"cut short: {stop - size} bytes are missing at the end")


def _element(file: BinaryIO, at: int) -> tuple[int, int, int | None]:
    """(id, where its content begins, length of the content or None if unknown)."""
    file.seek(at)
    head = file.read(12)
    name_bytes = 9 - head[0].bit_length() if head and head[0] else 9
    if name_bytes > 4:
        raise _Broken(at)
    size_bytes = 9 - head[name_bytes].bit_length() if len(head) > name_bytes else 1
    if len(head) < name_bytes + size_bytes:
        raise _NotClosed(f"cut short at byte {at}")
    if size_bytes > 8:
        raise _Broken(at)
    raw = int.from_bytes(head[name_bytes:name_bytes + size_bytes], "big")
    ones = (1 << 7 * size_bytes) - 1
    length = None if raw & ones == ones else raw & ones
    return int.from_bytes(head[:name_bytes], "big"), at + name_bytes + size_bytes, length


def _crc_fits(file: BinaryIO, start: int, end: int) -> bool | None:
    """Whether the CRC-32 with which the part begins is that of the rest; None if it has none."""
    file.seek(start)
    head = file.read(6)
    if head[:2] != _CRC_START or end - start < 6:
        return None
    crc, left = 0, end - start - 6
    while left > 0:
        block = file.read(min(left, _BLOCK_BYTES))
        if not block:
            return False
        crc = zlib.crc32(block, crc)
        left -= len(block)
    return crc == int.from_bytes(head[2:6], "little")
