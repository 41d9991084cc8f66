"""Frames that lie in one tar for each chunk, ``000000.tar`` beside the chunk's folder ``000000/``,
which keeps the index and all else: how a store is copied to a drive where many small files are slow
(``raw_as: tar``). Any thread; nothing is held open between calls.

Every reader asks for a frame by its path; where there is no such file, it is looked for here. In a
tar of frames that are all of one size (npy) each lies where it must, so that reading one is one
seek; of others a table is made once. What is read is checked: a header that does not name the frame
is none of it. ``tar -xf`` in the store's folder makes it an ordinary store again.
"""

from __future__ import annotations

import contextlib
import functools
import mmap
import os
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from fieldrec.store.tar_layout import BLOCK_BYTES, END, padded

ENDING = ".tar"
AnyPath = str | os.PathLike[str]
_TABLES = 4
"""Tars whose tables are kept."""
_REGULAR = (tarfile.REGTYPE, tarfile.AREGTYPE)


@dataclass(frozen=True, slots=True)
class Place:
    """Where the bytes of a frame are: a file of their own, or a stretch of a tar."""

    path: str
    begin: int
    size_bytes: int

    def read(self, *, past_cache: bool = False) -> bytes:
        """All of them, fewer where the file has become shorter. `past_cache`: what the medium has,
        where the cache can be dropped. OSError."""
        descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if past_cache:
                first = self.begin - self.begin % mmap.PAGESIZE  # whole pages alone are dropped
                last = -(-(self.begin + self.size_bytes) // mmap.PAGESIZE) * mmap.PAGESIZE
                with contextlib.suppress(OSError):
                    os.posix_fadvise(descriptor, first, last - first, os.POSIX_FADV_DONTNEED)
            parts, left = [], self.size_bytes
            while left > 0 and (part := os.pread(descriptor, left,
                                                 self.begin + self.size_bytes - left)):
                parts.append(part)
                left -= len(part)
            return parts[0] if len(parts) == 1 else b"".join(parts)
        finally:
            os.close(descriptor)


def file_or_place(frame: AnyPath) -> Place:
    """Where the frame is that should be in the file at this path. OSError: in no tar either."""
    try:
        return Place(os.fspath(frame), 0, Path(frame).stat().st_size)
    except FileNotFoundError:
        place = place_of(frame)
        if place is None:
            raise
        return place


def tar_of(chunk: AnyPath) -> str:
    """The tar of the frames of a chunk's folder."""
    return f"{os.fspath(chunk)}{ENDING}"


def place_of(frame: AnyPath) -> Place | None:
    """The stretch of a tar that holds the frame which would be in the file at this path; None
    without one. OSError."""
    path = Path(frame)
    tar, state = _state_of(path.parent)
    if state is None:
        return None
    wanted = f"{path.parent.name}/{path.name}"
    size = _all_of_one_size(tar, state)
    if size is not None and path.stem.isdecimal():
        begin = int(path.stem) * (BLOCK_BYTES + padded(size))
        if begin < state.size_bytes and _header_at(tar, begin) == (wanted, size):
            return Place(tar, begin + BLOCK_BYTES, size)
    found = _table(tar, state).get(wanted)
    return None if found is None else Place(tar, *found)


def sizes_in(chunk: Path) -> Mapping[str, int]:
    """Bytes of each frame in the tar of a chunk's folder, by file name; nothing where there is no
    tar. OSError."""
    tar, state = _state_of(chunk)
    found = {} if state is None else _table(tar, state)
    return {name.rpartition("/")[2]: size for name, (_, size) in found.items()
            if name.rpartition("/")[0] == chunk.name}


class _State(NamedTuple):
    """By which a tar is known to be the same as before."""

    size_bytes: int
    mtime_ns: int


def _state_of(chunk: Path) -> tuple[str, _State | None]:
    """(the chunk's tar, how it is now; None where there is none)."""
    tar = tar_of(chunk)
    try:
        status = Path(tar).stat()
    except OSError:
        return tar, None
    return tar, _State(status.st_size, status.st_mtime_ns)


@functools.lru_cache(_TABLES)
def _all_of_one_size(tar: str, state: _State) -> int | None:
    """The size of every frame, where the first one and that of the whole say so."""
    first = _header_at(tar, 0)
    if first is None:
        return None
    whole = BLOCK_BYTES + padded(first[1])
    even = 0 in (state.size_bytes % whole, (state.size_bytes - len(END)) % whole)
    return first[1] if even else None


@functools.lru_cache(_TABLES)
def _table(tar: str, state: _State) -> dict[str, tuple[int, int]]:
    """(where its bytes begin, how many) of each frame, by its name in the tar."""
    return {name: (begin, size) for name, begin, size in _entries(tar, state)}


def _entries(tar: str, state: _State) -> Iterator[tuple[str, int, int]]:
    """Those that are whole, up to the end or to what is no header; among frames that seem to be of
    one size it is passed over, for then it is known where the next one is."""
    size, at = _all_of_one_size(tar, state), 0
    while at < state.size_bytes:
        found = _header_at(tar, at)
        if found is not None and at + BLOCK_BYTES + found[1] <= state.size_bytes:
            yield found[0], at + BLOCK_BYTES, found[1]
        elif size is None:
            return
        at += BLOCK_BYTES + padded((size or 0) if found is None else found[1])


def _header_at(tar: str, at: int) -> tuple[str, int] | None:
    """(name, size) of the regular file whose header is there; None when there is none."""
    descriptor = os.open(tar, os.O_RDONLY | os.O_CLOEXEC)
    try:
        block = os.pread(descriptor, BLOCK_BYTES, at)
    finally:
        os.close(descriptor)
    try:
        info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except (tarfile.HeaderError, ValueError):
        return None
    return (info.name, info.size) if info.type in _REGULAR and info.size >= 0 else None
