"""Open the index of a store at once, however long it is: from its compact file where that is right.

Blocking; one thread at a time. Right means: the chunks that are there now, and size and time of
each one's index file, are those in the file's table, so opening costs one stat per chunk. What
differs is read again, chunk by chunk, and the file is replaced where the store is complete, is
large enough for it to pay, and can be written to; otherwise the same lies in a temporary file
without a name, or in memory. Nothing depends on the file: failing to write it is no error.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fieldrec.core import durable
from fieldrec.core.errors import FieldrecError, NotFoundError, StoreDamaged
from fieldrec.store import layout
from fieldrec.store.chunk_paths import ChunkPaths, chunk_numbers, chunk_paths
from fieldrec.store.indexing import compact_file
from fieldrec.store.indexing.chunk_index import ChunkRows, read_open_rows, read_rows
from fieldrec.store.indexing.columns import Column, IndexFile, MemoryColumn, TornBlock
from fieldrec.store.indexing.compact_file import (
    CHUNK,
    JOURNAL,
    NO_INDEX,
    NPZ,
    UNREADABLE,
    YAML,
    IndexBuilder,
    rows_of,
)
from fieldrec.store.indexing.frame_index import (
    DEVICE_TIME_NS,
    DIGEST,
    NUMBER,
    SORTED,
    TIME_NS,
    TIME_S,
    FrameIndex,
    IndexRows,
)
from fieldrec.store.indexing.sort import in_order
from fieldrec.store.metadata import StoreMetadata

log = logging.getLogger(__name__)

COMPACT_NAME = ".frames.index"
PAYS_CHUNKS = 16
PAYS_BYTES = 400_000
"""From so many chunks, or bytes of indexes, on the file is worth its place: below, reading all
takes a few milliseconds."""
_UNSEEN_NS = 2_000_000_000
"""A file changed so shortly ago can change once more and show the same time (FAT: two seconds)."""
_STALE_S = 3600.0


def open_index(root: Path, metadata: StoreMetadata) -> FrameIndex:
    """The index of the store at `root`. NotFoundError when that cannot be listed.

    Blocks for one stat per chunk; the first time, or when chunks have changed, for their indexes.
    """
    return _Opening(root, metadata).index()


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What one look at a store told."""

    table: NDArray[Any]
    """A compact_file.CHUNK for each chunk that is there, without its rows."""
    inodes: NDArray[np.int64]
    """Of the index files; 0 without one."""
    locked: bool
    """It is being written, or was left open."""


def look(root: Path, metadata: StoreMetadata) -> Seen:
    """Every chunk that is there, and the state of its index file. OSError."""
    extension = metadata.extension
    numbers = chunk_numbers(root, metadata)
    directory = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        locked = _is_there(directory, layout.LOCK_NAME)
        rows = [_chunk_row(directory, number, extension, locked or number == numbers[-1])
                for number in numbers]
    finally:
        os.close(directory)
    return Seen(np.array([row for row, _ in rows], CHUNK),
                np.array([inode for _, inode in rows], np.int64), locked)


def _chunk_row(directory: int, number: int, extension: str, may_be_open: bool
               ) -> tuple[tuple[int, int, int, int, int], int]:
    name = f"{number:06d}"
    stem = name if extension else f"{name}/index"
    kind = NPZ
    status = _status(directory, f"{stem}.npz")
    if status is None:
        kind, status = YAML, _status(directory, f"{stem}.yaml")
    if may_be_open or status is None:
        own = f"{name}." if extension else f"{name}/"
        if _is_there(directory, f"{own}frames.log") or _is_there(directory, f"{own}frames.plan"):
            kind = JOURNAL
    if status is None:
        return (number, 0, -1, -1, kind if kind == JOURNAL else NO_INDEX), 0
    return (number, 0, status.st_size, status.st_mtime_ns, kind), status.st_ino


def _status(directory: int, name: str) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=directory)
    except OSError:
        return None


def _is_there(directory: int, name: str) -> bool:
    return _status(directory, name) is not None


def known_chunks(root: Path) -> NDArray[Any] | None:
    """The chunk table of the compact file, whether it is up to date or not; None without one."""
    with contextlib.suppress(OSError, TornBlock):
        return _loaded(root)[0]
    return None


def _loaded(root: Path) -> tuple[NDArray[Any], IndexRows]:
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW
    return compact_file.load(IndexFile(os.open(root / COMPACT_NAME, flags)))


class _Opening:
    """One store on its way to a FrameIndex."""

    def __init__(self, root: Path, metadata: StoreMetadata) -> None:
        self._root, self._metadata = root, metadata
        self._extension = metadata.extension
        self._frame_extension = "" if metadata.is_video else metadata.format
        self._troubles: dict[int, str] = {}
        self._positions: dict[int, NDArray[np.int64]] = {}

    def index(self) -> FrameIndex:
        seen = self._look()
        rows = self._known(seen) or self._read(seen)
        return FrameIndex(self._root, self._extension, rows, self._problems(seen),
                          self._made_again)

    def _look(self) -> Seen:
        try:
            return look(self._root, self._metadata)
        except OSError as error:
            raise NotFoundError(f"{self._root}: {error.strerror}") from error

    def _made_again(self) -> IndexRows:
        """All of it, read anew: the file has turned out to be torn."""
        return self._read(self._look(), trusting=False)

    # --- from the file --------------------------------------------------------------------------

    def _known(self, seen: Seen) -> IndexRows | None:
        """The file's rows, when it tells of exactly these chunks in this state."""
        if not _pays(seen) or (seen.table["kind"] == JOURNAL).any():
            return None
        with contextlib.suppress(OSError, TornBlock):
            table, rows = _loaded(self._root)
            if len(table) == len(seen.table) and unchanged(table, seen.table).all():
                return rows if self._still_unreadable(table) else None
        return None

    def _still_unreadable(self, table: NDArray[Any]) -> bool:
        """Whether the indexes that could not be understood still cannot; says why."""
        return all(self._chunk_rows(chunk) is None for chunk in table
                   if chunk["rows"] == UNREADABLE)

    # --- from the chunks ------------------------------------------------------------------------

    def _read(self, seen: Seen, trusting: bool = True) -> IndexRows:
        """Read what has changed; with `trusting`, take what has not from the file that there is."""
        if not _pays(seen):
            return self._in_memory(seen)
        for directory in self._places(seen):
            try:
                with contextlib.suppress(TornBlock):
                    return self._built(directory, seen, self._old(seen) if trusting else None)
                return self._built(directory, seen, None)
            except (OSError, FieldrecError, TornBlock) as error:
                log.debug("%s: no index in %s: %s", self._root, directory, error)
        return self._in_memory(seen)

    def _places(self, seen: Seen) -> Iterator[Path]:
        """Where the index may lie: for good in the store, or for now in a temporary file."""
        complete = not seen.locked and not (seen.table["kind"] == JOURNAL).any()
        if complete and os.access(self._root, os.W_OK):
            yield self._root
        yield Path(tempfile.gettempdir())

    def _old(self, seen: Seen) -> _Old | None:
        with contextlib.suppress(OSError, TornBlock):
            return _Old(*_loaded(self._root), seen.table)
        return None

    def _built(self, directory: Path, seen: Seen, old: _Old | None) -> IndexRows:
        now_ns = time.time_ns()
        with IndexBuilder(directory) as builder:
            for chunk in seen.table:
                rows = None if old is None else old.rows(int(chunk["number"]))
                if rows is None:
                    rows = self._chunk_rows(chunk)
                if abs(now_ns - int(chunk["mtime_ns"])) < _UNSEEN_NS:
                    chunk["mtime_ns"] = -1
                builder.add(chunk, rows)
            if directory == self._root:
                file = self._save(builder)
            else:
                with tempfile.TemporaryFile(dir=directory) as temporary:
                    builder.write(temporary.fileno())
                    file = IndexFile(os.dup(temporary.fileno()))
        return self._with_open_chunks(compact_file.load(file)[1], seen)

    def _save(self, builder: IndexBuilder) -> IndexFile:
        """Write the file under another name, then give it its own."""
        self._sweep()
        part = self._root / f"{COMPACT_NAME}.{os.urandom(4).hex()}.tmp"
        descriptor = durable.create(part)
        try:
            builder.write(descriptor)
            file = IndexFile(os.open(part, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW))
            durable.rename(part, self._root / COMPACT_NAME)
        except BaseException:
            with contextlib.suppress(OSError, FieldrecError):
                durable.unlink(part, missing_ok=True)
            raise
        finally:
            os.close(descriptor)
        return file

    def _sweep(self) -> None:
        """Remove what a process that was killed left unfinished here."""
        for part in self._root.glob(f"{COMPACT_NAME}.*.tmp"):
            if time.time() - part.stat().st_mtime > _STALE_S:
                durable.unlink(part, missing_ok=True)

    def _in_memory(self, seen: Seen) -> IndexRows:
        table = seen.table.copy()
        parts = [self._chunk_rows(chunk) for chunk in table]
        table["rows"] = [UNREADABLE if part is None else len(part) for part in parts]
        joined = joined_columns([part for part in parts if part is not None and len(part)])
        return self._with_open_chunks(rows_of(table, joined), seen)

    def _with_open_chunks(self, rows: IndexRows, seen: Seen) -> IndexRows:
        journals = seen.table["number"][seen.table["kind"] == JOURNAL]
        return dataclasses.replace(rows, positions=self._positions,
                                   open_chunks=frozenset(journals.tolist()))

    # --- one chunk ------------------------------------------------------------------------------

    def _chunk_rows(self, chunk: Any) -> ChunkRows | None:
        """What the chunk's index or journal lists; None, and a trouble noted, when there is none
        that can be read."""
        number, kind = int(chunk["number"]), int(chunk["kind"])
        paths = chunk_paths(self._root, number, self._extension)
        try:
            if kind != JOURNAL:
                return read_rows(paths)
            rows = read_open_rows(paths, self._frame_extension)
        except FileNotFoundError:
            self._note_missing(paths)
            return None
        except StoreDamaged as error:
            self._troubles[number] = f"{error}; its frames are left out"
            return None
        if rows is not None and rows.positions is not None:
            self._positions[number] = rows.positions
        return rows

    def _note_missing(self, paths: ChunkPaths) -> None:
        if paths.frames.is_file() or _has_frames(paths.frames, f".{self._frame_extension}"):
            self._troubles[paths.number] = (
                f"{paths.frames}: no index: its frames have no numbers or times; `fieldrec check "
                "--repair` makes one from the files")

    def _problems(self, seen: Seen) -> tuple[str, ...]:
        """Holes in the numbers of the chunks, and what is wrong with those that are there."""
        numbers = seen.table["number"]
        found = dict(self._troubles)
        before = np.concatenate([[-1], numbers[:-1]]) if len(numbers) else numbers
        for at in np.flatnonzero(numbers != before + 1):
            found.setdefault(int(before[at]) + 1, self._hole(int(before[at]) + 1, int(numbers[at])))
        return tuple(found[number] for number in sorted(found))

    def _hole(self, first: int, end: int) -> str:
        missing = (f"chunk {first:06d} is" if end == first + 1
                   else f"chunks {first:06d} to {end - 1:06d} are")
        return f"{self._root}: {missing} missing; put back what is there in a copy"


class _Old:
    """What an earlier file of the same store has of the chunks that have not changed since."""

    def __init__(self, table: NDArray[Any], rows: IndexRows, seen: NDArray[Any]) -> None:
        count = np.maximum(table["rows"], 0)
        end = np.cumsum(count)
        common, at, at_seen = np.intersect1d(table["number"], seen["number"],
                                             assume_unique=True, return_indices=True)
        usable = unchanged(table[at], seen[at_seen]) & (table["rows"][at] != UNREADABLE)
        self._rows = rows
        self._spans = {int(number): (int(end[row] - count[row]), int(end[row]))
                       for number, row in zip(common[usable], at[usable], strict=True)}

    def rows(self, number: int) -> ChunkRows | None:
        """The rows of this chunk; None when it is not one of those. TornBlock."""
        if number not in self._spans:
            return None
        start, stop = self._spans[number]
        taken = {name: column.rows(start, stop) for name, column in self._rows.columns.items()}
        return ChunkRows(taken[NUMBER], taken[TIME_S], taken[TIME_NS], taken.get(DEVICE_TIME_NS),
                         taken.get(DIGEST))


def unchanged(table: NDArray[Any], seen: NDArray[Any]) -> NDArray[np.bool_]:
    """Which chunks of a file's table are still in that state; both tables are of one length."""
    same: NDArray[np.bool_] = (table["mtime_ns"] != -1) | (table["kind"] == NO_INDEX)
    for name in CHUNK.names or ():
        if name != "rows":
            same = same & (table[name] == seen[name])
    return same


def _pays(seen: Seen) -> bool:
    sizes = seen.table["size"]
    return len(sizes) >= PAYS_CHUNKS or int(np.maximum(sizes, 0).sum()) >= PAYS_BYTES


def _has_frames(chunk: Path, ending: str) -> bool:
    try:
        with os.scandir(chunk) as entries:
            return any(entry.name.endswith(ending) for entry in entries)
    except OSError:
        return False


def joined_columns(parts: list[ChunkRows]) -> dict[str, Column]:
    """The columns of all chunks, in memory."""
    columns = {NUMBER: _concatenated([part.numbers for part in parts], np.int64),
               TIME_S: _concatenated([part.times_s for part in parts], np.float64),
               TIME_NS: _concatenated([part.times_ns for part in parts], np.int64)}
    if any(part.device_times_ns is not None for part in parts):
        columns[DEVICE_TIME_NS] = _concatenated(
            [part.device_times_ns if part.device_times_ns is not None
             else np.full(len(part), layout.NO_DEVICE_TIME) for part in parts], np.int64)
    digests = [part.digests for part in parts if part.digests is not None]
    if len(digests) == len(parts):
        columns[DIGEST] = _concatenated(digests, np.uint64)
    made: dict[str, Column] = {name: MemoryColumn(values) for name, values in columns.items()}
    for name, (values_name, order_name) in SORTED.items():
        if not made[name].ascends:
            values, order = in_order(columns[name])
            made[values_name], made[order_name] = MemoryColumn(values), MemoryColumn(order)
    return made


def _concatenated(parts: list[NDArray[Any]], dtype: type[Any]) -> NDArray[Any]:
    return np.concatenate(parts) if parts else np.zeros(0, dtype)
