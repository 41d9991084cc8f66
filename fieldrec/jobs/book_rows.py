"""The file of the books: what was used, and which copies were verified. SQLite, thread ``books``.

Keeps I6: losing it loses no data; forecasts begin anew, and what was copied counts as verified
again only when it was found at its destination. A file that cannot be read is put aside and a new
one begun; while it cannot be written the books go on in memory.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from fieldrec.core import durable
from fieldrec.core.errors import FieldrecError
from fieldrec.jobs.energy_book import ENTRIES
from fieldrec.jobs.energy_figures import Entry
from fieldrec.jobs.verified_copies import VerifiedCopy

BOOKS_NAME = "books.sqlite"
SCHEMA_VERSION = 1
COPIES = 20_000
"""Verified copies that are remembered, the latest."""
_ENTRY = tuple(field.name for field in fields(Entry))
_COPY = tuple(field.name for field in fields(VerifiedCopy))
_TABLES = ("""
CREATE TABLE IF NOT EXISTS energy (
    id INTEGER PRIMARY KEY, kind TEXT NOT NULL, label TEXT NOT NULL, ended_ns INTEGER NOT NULL,
    seconds REAL NOT NULL, measured_s REAL NOT NULL, mwh REAL NOT NULL, idle_mwh REAL NOT NULL,
    cpu_s REAL NOT NULL, size_bytes INTEGER NOT NULL)
""", """
CREATE TABLE IF NOT EXISTS idling (
    id INTEGER PRIMARY KEY CHECK (id = 1), mw REAL NOT NULL, seconds REAL NOT NULL)
""", """
CREATE TABLE IF NOT EXISTS copies (
    uuid TEXT NOT NULL, name TEXT NOT NULL, destination TEXT NOT NULL, label TEXT NOT NULL,
    verified_at_ns INTEGER NOT NULL, fingerprint TEXT NOT NULL, size_bytes INTEGER NOT NULL,
    PRIMARY KEY (uuid, name, destination))
""")


@dataclass(frozen=True, slots=True)
class Books:
    """All that the file holds."""

    entries: tuple[Entry, ...] = ()
    idle_mw: float = 0.0
    idle_s: float = 0.0
    copies: tuple[VerifiedCopy, ...] = ()


class BookRows:
    """One file. Every method blocks; one thread at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection: sqlite3.Connection | None = None
        self._is_new = False

    def load(self) -> tuple[Books, str]:
        """What it holds, and what was wrong with it, "" for nothing. It is made when there is
        something to keep."""
        if not self.path.exists():
            self._is_new = True
            return Books(), ""
        try:
            return self._read(), ""
        except sqlite3.OperationalError as error:  # locked, read-only, disk full: not its fault
            self.close()
            return Books(), f"{self.path} cannot be opened ({error}): kept in memory only"
        except (sqlite3.DatabaseError, ValueError) as error:
            self.close()
            trouble = f"{self.path} cannot be read ({error})"
        try:
            aside = self.path.with_name(self.path.name + ".bad")
            durable.rename(self.path, aside)
            durable.unlink(self.path.with_name(self.path.name + "-journal"), missing_ok=True)
            return self._read(), f"{trouble}: put aside as {aside.name}, begun anew"
        except (sqlite3.Error, OSError, FieldrecError, ValueError) as error:
            self.close()
            return Books(), f"{trouble}, nor replaced ({error}): kept in memory only"

    def save(self, entries: Iterable[Entry], idle: tuple[float, float],
             copies: Iterable[VerifiedCopy], gone: Iterable[VerifiedCopy]) -> str:
        """Add what is new, remove what is gone; what went wrong, "" for nothing."""
        if self._is_new:
            self._is_new = False
            if trouble := self._begin():
                return trouble
        if self._connection is None:
            return "the file could not be opened"
        try:
            with self._connection as rows:
                rows.executemany(_insert("INTO energy", _ENTRY), [_row(e, _ENTRY) for e in entries])
                rows.execute("DELETE FROM energy WHERE id <= (SELECT MAX(id) FROM energy) - ?",
                             (ENTRIES,))
                rows.execute("INSERT OR REPLACE INTO idling VALUES (1, ?, ?)", idle)
                rows.executemany("DELETE FROM copies WHERE uuid = ? AND name = ? AND "
                                 "destination = ?", [(c.uuid, c.name, c.destination) for c in gone])
                rows.executemany(_insert("OR REPLACE INTO copies", _COPY),
                                 [_row(copy, _COPY) for copy in copies])
                rows.execute("DELETE FROM copies WHERE rowid NOT IN (SELECT rowid FROM copies "
                             "ORDER BY verified_at_ns DESC LIMIT ?)", (COPIES,))
        except (sqlite3.Error, OverflowError) as error:
            return str(error)
        return ""

    def close(self) -> None:
        """Close the file. Idempotent."""
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None

    def _begin(self) -> str:
        try:
            self._read()
        except (sqlite3.Error, ValueError) as error:
            self.close()
            return str(error)
        return ""

    def _read(self) -> Books:
        with contextlib.suppress(OSError, FieldrecError):
            durable.make_directories(self.path.parent)
        rows = self._connection = sqlite3.connect(self.path, check_same_thread=False)
        _check(rows)
        with rows:
            for table in _TABLES:
                rows.execute(table)
            rows.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
        return _books(rows)


def look(path: Path) -> Books:
    """What a file holds that somebody else may be writing; nothing is changed. Empty where there
    is none. Blocking; FieldrecError when it cannot be read."""
    if not path.exists():
        return Books()
    try:
        with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
                                ) as rows:
            _check(rows)
            return _books(rows)
    except (sqlite3.Error, ValueError) as error:
        raise FieldrecError(f"{path} cannot be read: {error}; the daemon puts it aside and begins "
                            "anew at its next start") from error


def _check(rows: sqlite3.Connection) -> None:
    version, = rows.execute("PRAGMA user_version").fetchone()
    if not 0 <= version <= SCHEMA_VERSION:
        raise ValueError(f"its version is {version}, not {SCHEMA_VERSION}")
    sound, = rows.execute("PRAGMA quick_check(1)").fetchone()
    if sound != "ok":
        raise ValueError(str(sound))


def _books(rows: sqlite3.Connection) -> Books:
    entries = [_entry(row) for row in
               rows.execute(f"SELECT {', '.join(_ENTRY)} FROM energy ORDER BY id")]
    mw, seconds = rows.execute("SELECT mw, seconds FROM idling").fetchone() or (0.0, 0.0)
    copies = [_copy(row) for row in rows.execute(
        f"SELECT {', '.join(_COPY)} FROM copies ORDER BY verified_at_ns")]
    return Books(tuple(entries), float(mw), float(seconds), tuple(copies))


def _insert(into: str, columns: Sequence[str]) -> str:
    return f"INSERT {into} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"


def _row(value: object, columns: Sequence[str]) -> tuple[object, ...]:
    return tuple(getattr(value, column) for column in columns)


def _entry(row: tuple[Any, ...]) -> Entry:
    """ValueError for what is no figure: somebody else wrote it."""
    kind, label, ended_ns, seconds, measured_s, mwh, idle_mwh, cpu_s, size_bytes = row
    return Entry(str(kind), str(label), int(ended_ns), float(seconds), float(measured_s),
                 float(mwh), float(idle_mwh), float(cpu_s), int(size_bytes))


def _copy(row: tuple[Any, ...]) -> VerifiedCopy:
    uuid, name, destination, label, verified_at_ns, fingerprint, size_bytes = row
    return VerifiedCopy(str(uuid), str(name), str(destination), str(label), int(verified_at_ns),
                        str(fingerprint), int(size_bytes))
