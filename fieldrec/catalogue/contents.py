"""What the chunks of a store hold, in a few numbers, cheap to ask again.

Blocking; one thread at a time. Each look costs one stat per chunk; an index is read only when it
is new or has changed, and not even then where the store's compact index knows its frames.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fieldrec.core.errors import StoreDamaged
from fieldrec.store import layout
from fieldrec.store.chunk_paths import ChunkPaths, chunk_paths
from fieldrec.store.indexing.chunk_index import read_rows
from fieldrec.store.indexing.compact_file import CHUNK, JOURNAL, UNREADABLE
from fieldrec.store.indexing.compact_index import known_chunks, look, unchanged
from fieldrec.store.metadata import StoreMetadata
from fieldrec.store.tar_frames import file_or_place

log = logging.getLogger(__name__)

_UNKNOWN = np.iinfo(np.int64).min
_REMEMBERED = np.dtype([*CHUNK.descr, ("inode", "<i8"), ("first_ns", "<i8"), ("last_ns", "<i8"),
                        ("frame_bytes", "<i8")])
_MEASURED_FILES = 16
"""Picture files of a chunk that are looked at for their size; a stat for each takes minutes."""


@dataclass(frozen=True, slots=True)
class Contents:
    """A store's frames in short."""

    whole: bool
    """Chunks 0 … n are there, each with an index that can be read (I1)."""
    frame_count: int
    """Those of open chunks by the size of their journal."""
    first_time_ns: int | None
    last_time_ns: int | None
    size_bytes: int
    """Of frames and indexes. Frames of npy are calculated, pictures are measured in samples."""
    chunk_count: int = 0
    frame_files: int = 0
    """Files with one frame each; none in videos."""


class ContentsMemory:
    """What was found in each store when it was last looked at."""

    def __init__(self) -> None:
        self._tables: dict[Path, NDArray[Any]] = {}

    def look(self, path: Path, metadata: StoreMetadata) -> Contents:
        """The store's contents now. OSError when it cannot be listed."""
        seen = look(path, metadata)
        table = np.zeros(len(seen.table), _REMEMBERED)
        for name in CHUNK.names or ():
            table[name] = seen.table[name]
        table["inode"] = seen.inodes
        fresh = _Chunks(path, metadata)
        new = np.ones(len(table), np.bool_)
        _take_over(table, new, self._tables.get(path))
        if new.any():
            _take_counts(table, new, known_chunks(path))
            for at in np.flatnonzero(new):
                fresh.fill(table[at:at + 1])
        self._tables[path] = table
        return fresh.contents(table)

    def keep_only(self, paths: Iterable[Path]) -> None:
        """Forget the stores that are not among these."""
        self._tables = {path: self._tables[path] for path in paths if path in self._tables}


def _take_over(table: NDArray[Any], new: NDArray[np.bool_], known: NDArray[Any] | None) -> None:
    """Fill in the chunks that are as they were; they are no longer new."""
    if known is None:
        return
    at, at_known = _pairs(table, known)
    same = (unchanged(known[at_known], table[at])
            & (known["inode"][at_known] == table["inode"][at]))
    table[at[same]] = known[at_known[same]]
    new[at[same]] = False


def _take_counts(table: NDArray[Any], new: NDArray[np.bool_], known: NDArray[Any] | None) -> None:
    """Fill in the frame counts of new chunks that the compact index knows; their times are not
    looked up before they are needed."""
    if known is None:
        return
    at, at_known = _pairs(table, known)
    same = unchanged(known[at_known], table[at]) & new[at] & (known["rows"][at_known] > 0)
    table["rows"][at[same]] = known["rows"][at_known[same]]
    table["first_ns"][at[same]] = table["last_ns"][at[same]] = _UNKNOWN


def _pairs(table: NDArray[Any], known: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Where the same chunks stand in both."""
    _, at, at_known = np.intersect1d(table["number"], known["number"], assume_unique=True,
                                     return_indices=True)
    return at, at_known


class _Chunks:
    """The chunks of one store, read from the disk; each is a table of one row."""

    def __init__(self, path: Path, metadata: StoreMetadata) -> None:
        self._path, self._metadata = path, metadata

    def fill(self, chunk: NDArray[Any]) -> None:
        """Read what is not known of it yet."""
        if not chunk["rows"][0]:
            self._read(chunk)
        chunk["frame_bytes"] = self._frame_bytes(chunk)

    def contents(self, table: NDArray[Any]) -> Contents:
        """The sum of all chunks."""
        numbers, rows = table["number"], np.maximum(table["rows"], 0)
        count = int(rows.sum())
        for at in np.flatnonzero(table["kind"] == JOURNAL):
            count += max(0, self._logged(table[at:at + 1]) - int(rows[at]))
        filled = np.flatnonzero(rows)
        first = last = None
        if len(filled):
            first = self._time(table[filled[0]:filled[0] + 1], "first_ns")
            last = self._time(table[filled[-1]:filled[-1] + 1], "last_ns")
        whole = (len(table) > 0 and bool((table["rows"] != UNREADABLE).all())
                 and bool((numbers == np.arange(len(numbers))).all()))
        return Contents(whole, count, first, last, self._size(table, count), len(table),
                        0 if self._metadata.is_video else count)

    def _paths(self, chunk: NDArray[Any]) -> ChunkPaths:
        return chunk_paths(self._path, int(chunk["number"][0]), self._metadata.extension)

    def _read(self, chunk: NDArray[Any]) -> None:
        try:
            found = read_rows(self._paths(chunk))
        except FileNotFoundError:
            chunk["rows"] = UNREADABLE
            return
        except StoreDamaged as error:
            log.warning("%s", error)
            chunk["rows"] = UNREADABLE
            return
        chunk["rows"] = len(found)
        if len(found):
            chunk["first_ns"], chunk["last_ns"] = found.times_ns[0], found.times_ns[-1]

    def _time(self, chunk: NDArray[Any], name: str) -> int | None:
        """When its first or its last frame was taken; None where that has become unreadable."""
        if chunk[name][0] == _UNKNOWN:
            count = int(chunk["rows"][0])
            self._read(chunk)
            if chunk["rows"][0] != count:
                return None
        return int(chunk[name][0])

    def _logged(self, chunk: NDArray[Any]) -> int:
        """Frames in the journal of an open chunk, by its size."""
        size = _size_of(self._paths(chunk).log)
        return max(0, size - layout.LOG_HEADER.size) // layout.LOG_RECORD.size

    # --- sizes ----------------------------------------------------------------------------------

    def _size(self, table: NDArray[Any], count: int) -> int:
        indexes = int(np.maximum(table["size"], 0).sum())
        if self._metadata.is_video or self._metadata.format != "npy":
            return indexes + int(table["frame_bytes"].sum())
        shape, dtype = self._metadata.imgshape, self._metadata.dtype
        pixels = int(np.prod(shape)) * np.dtype(dtype).itemsize
        return indexes + count * (len(layout.npy_header(shape, dtype)) + pixels)

    def _frame_bytes(self, chunk: NDArray[Any]) -> int:
        """Bytes of the chunk's video, or of its pictures by those that are looked at."""
        paths, rows = self._paths(chunk), int(chunk["rows"][0])
        if self._metadata.is_video:
            return _size_of(paths.frames) or (
                _size_of(paths.open_video) if paths.open_video is not None else 0)
        if self._metadata.format == "npy" or rows <= 0:
            return 0
        looked_at = range(0, rows, -(-rows // _MEASURED_FILES))
        sizes = [_size_of(paths.frame(position, self._metadata.format)) for position in looked_at]
        return round(sum(sizes) / len(sizes) * rows)


def _size_of(path: Path) -> int:
    with contextlib.suppress(OSError):
        return file_or_place(path).size_bytes
    return 0
