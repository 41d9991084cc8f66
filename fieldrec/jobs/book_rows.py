"""The file of the books: what was used, which copies were verified, which drives had faults, and
which are as large as they say.
SQLite, thread ``books``.

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

from fieldrec.core.errors import FieldrecError
from fieldrec.jobs.energy_book import ENTRIES
from fieldrec.jobs.energy_figures import Entry
from fieldrec.jobs.row_file import RowFile, check, insert
from fieldrec.jobs.suspects import Capacity, Suspect
from fieldrec.jobs.verified_copies import VerifiedCopy

BOOKS_NAME = "books.sqlite"
SCHEMA_VERSION = 3
COPIES = 20_000
"""Verified copies that are remembered, the latest."""
_ENTRY = tuple(field.name for field in fields(Entry))
_COPY = tuple(field.name for field in fields(VerifiedCopy))
_FAULT = tuple(field.name for field in fields(Suspect))
_CAPACITY = tuple(field.name for field in fields(Capacity))
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
""", """
CREATE TABLE IF NOT EXISTS faults (
    fs_uuid TEXT PRIMARY KEY, label TEXT NOT NULL, faults INTEGER NOT NULL,
    last_ns INTEGER NOT NULL, words TEXT NOT NULL, is_suspect INTEGER NOT NULL,
    distrusted_ns INTEGER NOT NULL)
""", """
CREATE TABLE IF NOT EXISTS capacities (
    fs_uuid TEXT PRIMARY KEY, capacity_bytes INTEGER NOT NULL, proven_ns INTEGER NOT NULL)
""")


@dataclass(frozen=True, slots=True)
class Books:
    """All that the file holds."""

    entries: tuple[Entry, ...] = ()
    idle_mw: float = 0.0
    idle_s: float = 0.0
    copies: tuple[VerifiedCopy, ...] = ()
    suspects: tuple[Suspect, ...] = ()
    capacities: tuple[Capacity, ...] = ()


class BookRows:
    """One file. Every method blocks; one thread at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: RowFile[Books] = RowFile(path, SCHEMA_VERSION, _prepare, _books,
                                             write_ahead=False)
        self._is_new = False

    def load(self) -> tuple[Books, str]:
        """What it holds, and what was wrong with it, "" for nothing. It is made when there is
        something to keep."""
        self._is_new = not self.path.exists()
        return (Books(), "") if self._is_new else self._file.load(Books())

    def save(self, entries: Iterable[Entry], idle: tuple[float, float],
             copies: Iterable[VerifiedCopy], gone: Iterable[VerifiedCopy],
             suspects: Iterable[Suspect] = (), capacities: Iterable[Capacity] = ()) -> str:
        """Add what is new, remove what is gone; what went wrong, "" for nothing."""
        if self._is_new:
            self._is_new = False
            if trouble := self._file.load(Books())[1]:
                return trouble

        def write(rows: sqlite3.Connection) -> None:
            rows.executemany(insert("INTO energy", _ENTRY), [_row(e, _ENTRY) for e in entries])
            rows.execute("DELETE FROM energy WHERE id <= (SELECT MAX(id) FROM energy) - ?",
                         (ENTRIES,))
            rows.execute("INSERT OR REPLACE INTO idling VALUES (1, ?, ?)", idle)
            rows.executemany("DELETE FROM copies WHERE uuid = ? AND name = ? AND "
                             "destination = ?", [(c.uuid, c.name, c.destination) for c in gone])
            rows.executemany(insert("OR REPLACE INTO copies", _COPY),
                             [_row(copy, _COPY) for copy in copies])
            rows.execute("DELETE FROM copies WHERE rowid NOT IN (SELECT rowid FROM copies "
                         "ORDER BY verified_at_ns DESC LIMIT ?)", (COPIES,))
            rows.executemany(insert("OR REPLACE INTO faults", _FAULT),
                             [_row(one, _FAULT) for one in suspects])
            rows.executemany(insert("OR REPLACE INTO capacities", _CAPACITY),
                             [_row(one, _CAPACITY) for one in capacities])

        return self._file.write(write)

    def close(self) -> None:
        """Close the file. Idempotent."""
        self._file.close()


def _prepare(rows: sqlite3.Connection) -> None:
    for table in _TABLES:
        rows.execute(table)


def look(path: Path) -> Books:
    """What a file holds that somebody else may be writing; nothing is changed. Empty where there
    is none. Blocking; FieldrecError when it cannot be read."""
    if not path.exists():
        return Books()
    try:
        with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
                                ) as rows:
            check(rows, SCHEMA_VERSION)
            return _books(rows)
    except (sqlite3.Error, ValueError) as error:
        raise FieldrecError(f"{path} cannot be read: {error}; the daemon puts it aside and begins "
                            "anew at its next start") from error


def _books(rows: sqlite3.Connection) -> Books:
    entries = [_entry(row) for row in
               rows.execute(f"SELECT {', '.join(_ENTRY)} FROM energy ORDER BY id")]
    mw, seconds = rows.execute("SELECT mw, seconds FROM idling").fetchone() or (0.0, 0.0)
    copies = [_copy(row) for row in rows.execute(
        f"SELECT {', '.join(_COPY)} FROM copies ORDER BY verified_at_ns")]
    there = {name for name, in rows.execute("SELECT name FROM sqlite_master")}
    suspects = [] if "faults" not in there else [
        _suspect(row) for row in rows.execute(f"SELECT {', '.join(_FAULT)} FROM faults")]
    capacities = [] if "capacities" not in there else [
        Capacity(str(fs_uuid), int(capacity_bytes), int(proven_ns))
        for fs_uuid, capacity_bytes, proven_ns in
        rows.execute(f"SELECT {', '.join(_CAPACITY)} FROM capacities")]
    return Books(tuple(entries), float(mw), float(seconds), tuple(copies), tuple(suspects),
                 tuple(capacities))


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


def _suspect(row: tuple[Any, ...]) -> Suspect:
    fs_uuid, label, faults, last_ns, words, is_suspect, distrusted_ns = row
    return Suspect(str(fs_uuid), str(label), int(faults), int(last_ns), str(words),
                   bool(is_suspect), int(distrusted_ns))
