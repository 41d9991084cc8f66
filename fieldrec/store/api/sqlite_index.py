"""imgstore's own index of a store, an SQLite file: written so that imgstore opens it, and read.

fieldrec itself needs none: it has its compact index. Blocking; one thread at a time. The file is
replaced atomically, so that saving twice, or a crash, leaves a whole one.
"""

from __future__ import annotations

import contextlib
import math
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fieldrec.core import durable
from fieldrec.core.errors import FieldrecError
from fieldrec.store.api.imgstore_errors import StoreUnreadable, WriteFailed, write_error

VERSION = "1"
_TABLES = (
    "CREATE TABLE frames (chunk INTEGER, frame_idx INTEGER, frame_number INTEGER, frame_time REAL)",
    "CREATE TABLE chunks (chunk INTEGER, chunk_path TEXT)",
    "CREATE TABLE index_information (name TEXT, value TEXT)",
    "CREATE TABLE summary (name TEXT, value REAL)",
)


@dataclass(frozen=True, slots=True, eq=False)
class Frames:
    """What such an index says: one entry per frame, in the order of the store."""

    numbers: NDArray[Any]
    """int64; float64 where some number is fractional."""
    times_s: NDArray[np.float64]
    chunks: tuple[int, ...]
    """Numbers of the chunks that have frames, ascending."""
    starts: NDArray[np.int64]
    """Index of the first frame of each of `chunks`, and at the end the number of frames."""


def write_index(path: Path, frames: Frames, chunk_paths: Iterable[str]) -> None:
    """Put the index at `path`, replacing what is there. WriteFailed, DiskFull."""
    temporary = path.with_name(f".{path.name.lstrip('.')}.tmp")
    try:
        durable.unlink(temporary, missing_ok=True)
        _fill(temporary, frames, chunk_paths)
        _sync(temporary)
        durable.rename(temporary, path)
    except (OSError, FieldrecError, sqlite3.Error) as error:
        with contextlib.suppress(OSError, FieldrecError):
            durable.unlink(temporary, missing_ok=True)
        if isinstance(error, FieldrecError):
            raise write_error(error) from error
        raise WriteFailed(f"{path}: the index cannot be written: {error}") from error


def _fill(path: Path, frames: Frames, chunk_paths: Iterable[str]) -> None:
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode = OFF")
        database.execute("PRAGMA synchronous = OFF")  # it is synced as a whole, before its name
        for table in _TABLES:
            database.execute(table)
        database.execute("INSERT INTO index_information VALUES ('version', ?)", (VERSION,))
        database.executemany("INSERT INTO summary VALUES (?, ?)", _summary(frames))
        database.executemany("INSERT INTO chunks VALUES (?, ?)",
                             zip(frames.chunks, chunk_paths, strict=True))
        database.executemany("INSERT INTO frames VALUES (?, ?, ?, ?)", _rows(frames))
        database.execute("CREATE INDEX chunk_index ON frames (chunk, frame_idx)")
        database.commit()


def _summary(frames: Frames) -> list[tuple[str, float | None]]:
    if not len(frames.numbers):  # imgstore's own cannot save an empty store: it has no such numbers
        return [(name, None) for name in ("frame_time_min", "frame_time_max", "frame_min",
                                          "frame_max")]
    return [("frame_time_min", float(frames.times_s.min())),
            ("frame_time_max", float(frames.times_s.max())),
            ("frame_min", float(frames.numbers.min())),
            ("frame_max", float(frames.numbers.max()))]


def _rows(frames: Frames) -> Iterator[tuple[int, int, Any, float]]:
    for chunk, start, end in zip(frames.chunks, frames.starts[:-1].tolist(),
                                 frames.starts[1:].tolist(), strict=True):
        yield from zip([chunk] * (end - start), range(end - start),
                       frames.numbers[start:end].tolist(), frames.times_s[start:end].tolist(),
                       strict=True)


def _sync(path: Path) -> None:
    with path.open("rb+") as file:
        durable.fsync(file.fileno(), path)


def read_index(path: Path) -> Frames:
    """What the index at `path` says. StoreUnreadable when it is not one."""
    try:
        with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro",
                                                uri=True)) as database:
            found = database.execute(
                "SELECT value FROM index_information WHERE name = 'version'").fetchone()
            if found is None or found[0] != VERSION:
                raise StoreUnreadable(f"{path}: index version {found} is not known")
            rows = database.execute(
                "SELECT chunk, frame_number, frame_time FROM frames ORDER BY rowid").fetchall()
            listed = database.execute("SELECT chunk FROM chunks ORDER BY chunk").fetchall()
    except sqlite3.Error as error:
        raise StoreUnreadable(f"{path}: not an index of an imgstore: {error}") from error
    return frames_of(rows, tuple(int(chunk) for chunk, in listed))


def frames_of(rows: list[tuple[int, Any, Any]], chunks: tuple[int, ...]) -> Frames:
    """Columns of rows (chunk, number, time s), which are in the order of the store."""
    values = [math.nan if number is None else number for _, number, _ in rows]
    whole = all(isinstance(number, int) for number in values)
    numbers = np.array(values, np.int64 if whole else np.float64)
    times_s = np.array([math.nan if time_s is None else time_s for *_, time_s in rows], np.float64)
    of_chunk = np.array([chunk for chunk, *_ in rows], np.int64)
    starts = np.searchsorted(of_chunk, np.array(chunks, np.int64))
    return Frames(numbers, times_s, chunks, np.append(starts, len(rows)))
