"""How files lie in an uncompressed tar, byte for byte: pure, any thread.

The same files in the same order always give the same bytes, so that a stream can go on at any
offset, and a file in the tar is found without reading what is before it. Headers hold what a
recording's files have in common (mode 0644, nobody's) and each file's own time.
"""

from __future__ import annotations

import bisect
import itertools
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

BLOCK_BYTES = tarfile.BLOCKSIZE
END = bytes(2 * BLOCK_BYTES)
"""What ends an archive; readers do without."""


class Entry(Protocol):
    """A file that goes in."""

    @property
    def relative(self) -> str:
        """Its name in the archive."""
        ...

    @property
    def size_bytes(self) -> int: ...

    @property
    def mtime_ns(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of one entry's own bytes."""

    number: int
    """Of the entry, as they were given."""
    begin: int
    """First byte of it that is wanted; all up to its end are."""


class TarLayout:
    """Where everything lies. Takes 8 bytes for each entry."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.entries = entries
        sizes = (_header_bytes(entry) + padded(entry.size_bytes) for entry in entries)
        self._starts = list(itertools.accumulate(sizes, initial=0))

    @property
    def total_bytes(self) -> int:
        """Of the archive without :data:`END`."""
        return self._starts[-1]

    def data_offset(self, number: int) -> int:
        """Where the bytes of an entry begin."""
        return self._starts[number] + _header_bytes(self.entries[number])

    def pieces(self, begin: int = 0) -> Iterator[bytes | Part]:
        """From byte `begin` of the archive to its end: bytes as they are, and parts of entries that
        whoever asks reads."""
        first = max(bisect.bisect_right(self._starts, begin) - 1, 0)
        for number in range(first, len(self.entries)):
            skip = max(begin - self._starts[number], 0)
            yield from _entry_pieces(number, self.entries[number], skip)


def header(entry: Entry) -> bytes:
    """What stands before the bytes of an entry: a block, or several for a name of more than 100
    bytes."""
    info = tarfile.TarInfo(entry.relative)
    info.size = entry.size_bytes
    info.mtime = entry.mtime_ns // 1_000_000_000
    return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")


def _header_bytes(entry: Entry) -> int:
    """Its length, without making it for most names."""
    name = entry.relative.encode("utf-8", "surrogateescape")
    return BLOCK_BYTES if len(name) <= tarfile.LENGTH_NAME else len(header(entry))


def padded(count_bytes: int) -> int:
    """In whole blocks."""
    return -(-count_bytes // BLOCK_BYTES) * BLOCK_BYTES


def _entry_pieces(number: int, entry: Entry, skip: int) -> Iterator[bytes | Part]:
    head = header(entry)
    if skip < len(head):
        yield head[skip:]
    skip = max(skip - len(head), 0)
    if skip < entry.size_bytes:
        yield Part(number, skip)
    zeros = padded(entry.size_bytes) - max(entry.size_bytes, skip)
    if zeros > 0:
        yield bytes(zeros)
