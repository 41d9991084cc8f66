"""A segment: some seconds of a movie, encoded, as a file of its own in the working folder.

Blocking; one thread at a time. A segment begins with a key frame and needs nothing of another. It
is written under a ``.part-`` name, synced once and renamed: a file with the name of a segment is
whole, and can prove it by the XXH64 of all that is before it.

::

    the encoder's packets, one after the other, in the order of decoding
    for each of them: position (i64), size (u32), 1 for a key frame (u32)
    JSON: first, end, extradata, unreadable frames
    MAGIC, packets (u64), bytes of JSON (u64)
    XXH64 of everything before (8 bytes, big-endian)

Little-endian but for the digest. A packet's position is that of its frame among those that the
movie is made of. It stands for its time, which only the join knows.
"""

from __future__ import annotations

import json
import os
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from fieldrec.core import durable
from fieldrec.core.errors import EncoderFailed
from fieldrec.core.write_behind import WriteBehind
from fieldrec.export.part import discard, part_path

MAGIC = b"FRSEGM01"
PACKET = np.dtype([("position", "<i8"), ("size", "<u4"), ("is_key", "<u4")])
_TAIL = struct.Struct("<8sQQ")
_DIGEST_BYTES = 8
_BLOCK_BYTES = 1 << 18
_NAME = re.compile(r"(\d{9})-(\d{9})\.segment\Z")


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A frame that could not be read in the store and is not in the movie."""

    position: int
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """A whole segment on disk."""

    path: Path
    first: int
    end: int
    """Made of the frames at the positions `first` … `end` - 1."""
    extradata: bytes
    """The encoder's head; empty in a segment without a packet."""
    unreadable: tuple[Unreadable, ...]
    table: NDArray[Any]
    """Of dtype PACKET, in the order of decoding."""

    @property
    def size_bytes(self) -> int:
        """Of all packets."""
        return int(self.table["size"].sum())

    def packets(self) -> Iterator[bytes]:
        """The encoder's bytes, in the order of decoding."""
        with self.path.open("rb", buffering=_BLOCK_BYTES) as file:
            for size in self.table["size"].tolist():
                yield file.read(size)


class SegmentWriter:
    """Writes one segment; only :meth:`commit` makes it one. For one ``with`` block."""

    def __init__(self, folder: Path, first: int, end: int) -> None:
        """StoreFull; OSError."""
        self.first, self.end = first, end
        self.size_bytes = 0
        self.unreadable: list[Unreadable] = []
        self._path = folder / f"{first:09d}-{end:09d}.segment"
        self._part = part_path(self._path)
        self._rows: list[tuple[int, int, bool]] = []
        self._digest = xxhash.xxh64()
        self._waiting = bytearray()
        durable.unlink_unsynced(self._part)  # of a dead run
        self._descriptor = durable.create(self._part)
        self._behind = WriteBehind(self._descriptor)

    def __enter__(self) -> SegmentWriter:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)
        if self._part.exists():
            discard(self._part)

    def add(self, position: int, is_key: bool, data: bytes | memoryview) -> None:
        """The encoder's next packet, bytes; a large one is copied nowhere. StoreFull; OSError."""
        self._rows.append((position, len(data), is_key))
        self.size_bytes += len(data)
        if len(data) >= _BLOCK_BYTES:
            self._write(data)
            return
        self._waiting += data
        if len(self._waiting) >= _BLOCK_BYTES:
            self._write()

    def commit(self, extradata: bytes) -> Segment:
        """Make it durable and give it its name. StoreFull, SyncFailed; OSError."""
        table = np.array(self._rows, PACKET)
        told = json.dumps({
            "first": self.first, "end": self.end, "extradata": extradata.hex(),
            "unreadable": [[row.position, row.reason] for row in self.unreadable]}).encode()
        self._waiting += table.tobytes() + told + _TAIL.pack(MAGIC, len(table), len(told))
        self._write()
        self._waiting += self._digest.digest()
        self._write()
        durable.fsync(self._descriptor, self._part)
        durable.rename(self._part, self._path)
        return Segment(self._path, self.first, self.end, extradata, tuple(self.unreadable), table)

    def _write(self, more: bytes | memoryview = b"") -> None:
        """What waits, and then `more`."""
        size = len(self._waiting) + len(more)
        self._digest.update(self._waiting)
        self._digest.update(more)
        durable.write(self._descriptor, [self._waiting, more], self._part, size)
        self._behind.wrote(size)
        self._waiting = bytearray()


def segments_in(folder: Path) -> dict[int, Path]:
    """The segments in a working folder by their first position; of several the longest."""
    names = sorted(path.name for path in folder.iterdir())
    matches = [match for match in map(_NAME.match, names) if match]
    return {int(match[1]): folder / match[0] for match in matches}


def read_segment(path: Path) -> Segment:
    """The segment at `path`, every byte of it compared with its digest.

    EncoderFailed when it is not what was written; OSError.
    """
    with path.open("rb", buffering=0) as file:
        end = file.seek(0, os.SEEK_END) - _DIGEST_BYTES
        if not _is_whole(file, end):
            raise EncoderFailed(f"{path}: the disk gives other bytes than were written")
        file.seek(end - _TAIL.size)
        _, count, told_bytes = _TAIL.unpack(file.read(_TAIL.size))
        file.seek(end - _TAIL.size - told_bytes - count * PACKET.itemsize)
        table = np.frombuffer(file.read(count * PACKET.itemsize), PACKET)
        told = json.loads(file.read(told_bytes))
    return Segment(path, told["first"], told["end"], bytes.fromhex(told["extradata"]),
                   tuple(Unreadable(*row) for row in told["unreadable"]), table)


def drop(segment: Segment) -> None:
    """Remove a segment that is not wanted; not yet durable, which harms nobody."""
    durable.unlink_unsynced(segment.path)


def _is_whole(file: Any, end: int) -> bool:
    """Whether the bytes before `end` have the digest that follows them, and end as a segment."""
    if end < _TAIL.size:
        return False
    file.seek(0)
    digest, left, block = xxhash.xxh64(), end, b""
    while left:
        block = file.read(min(left, _BLOCK_BYTES))
        if not block:
            return False
        digest.update(block)
        left -= len(block)
    file.seek(end - _TAIL.size)
    return bool(file.read(len(MAGIC)) == MAGIC
                and file.seek(end) and file.read(_DIGEST_BYTES) == digest.digest())
