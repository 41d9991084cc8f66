"""One SQLite file that may be lost (I6): opened, checked, put aside when it is damaged. Blocking;
one thread at a time.

Its owner says what tables it has and what is read from it. A file that cannot be read is put aside
as ``NAME.bad`` and a new one begun; while it cannot be opened or written, all goes on in memory.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from fieldrec.core import durable
from fieldrec.core.errors import FieldrecError

T = TypeVar("T")


class RowFile(Generic[T]):
    """The file at `path`; what it holds is a T."""

    def __init__(self, path: Path, version: int, prepare: Callable[[sqlite3.Connection], None],
                 read: Callable[[sqlite3.Connection], T], *, write_ahead: bool) -> None:
        """`prepare` makes the tables that are not there yet. `write_ahead`: SQLite's WAL, for a
        file that is written often."""
        self.path = path
        self._version = version
        self._prepare = prepare
        self._read = read
        self._write_ahead = write_ahead
        self._connection: sqlite3.Connection | None = None

    def load(self, empty: T) -> tuple[T, str]:
        """What it holds, made where it is not there, and what was wrong with it, "" for nothing.
        `empty` where it holds nothing that can be had."""
        try:
            return self._opened(), ""
        except sqlite3.OperationalError as error:  # locked, read-only, disk full: not its fault
            self.close()
            return empty, f"{self.path} cannot be opened ({error}): kept in memory only"
        except (sqlite3.DatabaseError, ValueError) as error:
            self.close()
            trouble = f"{self.path} cannot be read ({error})"
        try:
            aside = self._put_aside()
            return self._opened(), f"{trouble}: put aside as {aside.name}, begun anew"
        except (sqlite3.Error, OSError, FieldrecError, ValueError) as error:
            self.close()
            return empty, f"{trouble}, nor replaced ({error}): kept in memory only"

    def write(self, work: Callable[[sqlite3.Connection], None]) -> str:
        """Do `work` on it as one transaction; what went wrong, "" for nothing."""
        if self._connection is None:
            return "the file could not be opened"
        try:
            with self._connection as rows:
                work(rows)
        except (sqlite3.Error, OverflowError) as error:
            return str(error)
        return ""

    def close(self) -> None:
        """Close the file. Idempotent."""
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None

    def _opened(self) -> T:
        with contextlib.suppress(OSError, FieldrecError):
            durable.make_directories(self.path.parent)
        rows = self._connection = sqlite3.connect(self.path, check_same_thread=False)
        if self._write_ahead:
            rows.execute("PRAGMA journal_mode=WAL")
            rows.execute("PRAGMA synchronous=NORMAL")
        check(rows, self._version)
        with rows:
            self._prepare(rows)
            rows.execute(f"PRAGMA user_version={self._version}")
        return self._read(rows)

    def _put_aside(self) -> Path:
        aside = self.path.with_name(self.path.name + ".bad")
        durable.rename(self.path, aside)
        for ending in ("-wal", "-shm", "-journal"):
            durable.unlink(self.path.with_name(self.path.name + ending), missing_ok=True)
        return aside


def check(rows: sqlite3.Connection, version: int) -> None:
    """ValueError when the file is of a later version or damaged; sqlite3.Error when it is none."""
    found, = rows.execute("PRAGMA user_version").fetchone()
    if not 0 <= found <= version:
        raise ValueError(f"its version is {found}, not {version}")
    sound, = rows.execute("PRAGMA quick_check(1)").fetchone()
    if sound != "ok":
        raise ValueError(str(sound))


def insert(into: str, columns: Sequence[str]) -> str:
    """The statement: `into` is "INTO jobs", or "OR REPLACE INTO jobs"."""
    return f"INSERT {into} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"
