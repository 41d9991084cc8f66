"""The file of the jobs: SQLite, in thread ``db``. Rows in, rows out; JobQueue has the rest.

Keeps I6: a file that cannot be read is put aside and a new one begun. Beside the jobs it holds
what finished exports came to (history.py), at most SAMPLES of them, and how fast each place was.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path

from fieldrec.core import durable
from fieldrec.core.errors import FieldrecError
from fieldrec.core.model import Job, JobKind, JobState
from fieldrec.jobs.history import Sample

Rates = dict[tuple[str, str], float]
"""Bytes per second by (place, what is done there)."""
SCHEMA_VERSION = 4
SAMPLES = 500
"""Finished exports that are remembered."""
_COLUMNS = ("id", "kind", "item", "item_uuid", "destination", "preset", "delete_source",
            "allow_battery", "state", "reason", "attempt", "total_bytes", "created_ns",
            "changed_ns", "paused", "first", "destination_label", "cpu_s", "energy_mwh")
_ADDED = {"paused": "INTEGER NOT NULL DEFAULT 0", "first": "INTEGER NOT NULL DEFAULT 0",
          "destination_label": "TEXT NOT NULL DEFAULT ''", "cpu_s": "REAL NOT NULL DEFAULT 0",
          "energy_mwh": "REAL"}
"""Columns that earlier versions lack."""
_JOBS = """
CREATE TABLE IF NOT EXISTS jobs (
    id INTEGER PRIMARY KEY, kind TEXT NOT NULL, item TEXT NOT NULL, item_uuid TEXT NOT NULL,
    destination TEXT, preset TEXT, delete_source INTEGER NOT NULL, allow_battery INTEGER NOT NULL,
    state TEXT NOT NULL, reason TEXT NOT NULL, attempt INTEGER NOT NULL,
    total_bytes INTEGER NOT NULL, created_ns INTEGER NOT NULL, changed_ns INTEGER NOT NULL,
    paused INTEGER NOT NULL DEFAULT 0, first INTEGER NOT NULL DEFAULT 0,
    destination_label TEXT NOT NULL DEFAULT '', cpu_s REAL NOT NULL DEFAULT 0, energy_mwh REAL)
"""
_RATES = """
CREATE TABLE IF NOT EXISTS rates (
    place TEXT NOT NULL, what TEXT NOT NULL, bytes_per_s REAL NOT NULL, PRIMARY KEY (place, what))
"""
_SAMPLES = """
CREATE TABLE IF NOT EXISTS exports (
    id INTEGER PRIMARY KEY, camera TEXT NOT NULL, preset TEXT NOT NULL, width INTEGER NOT NULL,
    height INTEGER NOT NULL, bits_per_pixel REAL NOT NULL, encode_s_per_frame REAL NOT NULL,
    verify_s_per_frame REAL NOT NULL, cpu_s_per_frame REAL NOT NULL)
"""
_SAMPLE_COLUMNS = ("camera", "preset", "width", "height", "bits_per_pixel", "encode_s_per_frame",
                   "verify_s_per_frame", "cpu_s_per_frame")


class JobRows:
    """One file. Every method blocks; one thread at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection: sqlite3.Connection | None = None

    def load(self) -> tuple[list[Job], list[Sample], Rates, str]:
        """The jobs, the samples, oldest first, the rates, and what was wrong with the file, "" for
        nothing."""
        try:
            return (*self._read(), "")
        except sqlite3.OperationalError as error:  # locked, read-only, disk full: not its fault
            self.close()
            return [], [], {}, (f"{self.path} cannot be opened ({error}): jobs are kept in memory "
                                "only")
        except (sqlite3.DatabaseError, ValueError) as error:
            self.close()
            trouble = f"{self.path} cannot be read ({error})"
        try:
            aside = self._put_aside()
            return (*self._read(), f"{trouble}: put aside as {aside.name}, jobs begin anew")
        except (sqlite3.Error, OSError, FieldrecError, ValueError) as error:
            self.close()
            return [], [], {}, f"{trouble}, nor replaced ({error}): jobs are kept in memory only"

    def save(self, jobs: Iterable[Job], gone: Iterable[int] = (), samples: Iterable[Sample] = (),
             rates: Rates | None = None) -> str:
        """Write rows, remove those of the jobs `gone`; what went wrong, "" for nothing."""
        if self._connection is None:
            return "the file could not be opened"
        try:
            with self._connection as rows:
                rows.executemany(_insert("OR REPLACE INTO jobs", _COLUMNS), map(_row, jobs))
                rows.executemany("DELETE FROM jobs WHERE id = ?", [(job_id,) for job_id in gone])
                rows.executemany(_insert("INTO exports", _SAMPLE_COLUMNS),
                                 [tuple(getattr(sample, column) for column in _SAMPLE_COLUMNS)
                                  for sample in samples])
                rows.execute("DELETE FROM exports WHERE id <= (SELECT MAX(id) FROM exports) - ?",
                             (SAMPLES,))
                rows.executemany("INSERT OR REPLACE INTO rates VALUES (?, ?, ?)",
                                 [(*key, rate) for key, rate in (rates or {}).items()])
        except sqlite3.Error as error:
            return str(error)
        return ""

    def close(self) -> None:
        """Close the file. Idempotent."""
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None

    def _read(self) -> tuple[list[Job], list[Sample], Rates]:
        with contextlib.suppress(OSError, FieldrecError):
            durable.make_directories(self.path.parent)
        rows = self._connection = sqlite3.connect(self.path, check_same_thread=False)
        rows.execute("PRAGMA journal_mode=WAL")
        rows.execute("PRAGMA synchronous=NORMAL")
        version, = rows.execute("PRAGMA user_version").fetchone()
        if not 0 <= version <= SCHEMA_VERSION:
            raise ValueError(f"its version is {version}, not {SCHEMA_VERSION}")
        sound, = rows.execute("PRAGMA quick_check(1)").fetchone()
        if sound != "ok":
            raise ValueError(str(sound))
        with rows:
            rows.execute(_JOBS)
            rows.execute(_SAMPLES)
            rows.execute(_RATES)
            there = {name for _, name, *_ in rows.execute("PRAGMA table_info(jobs)")}
            for column in _ADDED.keys() - there:
                rows.execute(f"ALTER TABLE jobs ADD COLUMN {column} {_ADDED[column]}")
            rows.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
        return ([_job(row) for row in _select(rows, _COLUMNS, "jobs")],
                [Sample(*row) for row in _select(rows, _SAMPLE_COLUMNS, "exports")],
                {(str(place), str(what)): float(rate) for place, what, rate in
                 rows.execute("SELECT place, what, bytes_per_s FROM rates")})

    def _put_aside(self) -> Path:
        aside = self.path.with_name(self.path.name + ".bad")
        durable.rename(self.path, aside)
        for ending in ("-wal", "-shm"):
            durable.unlink(self.path.with_name(self.path.name + ending), missing_ok=True)
        return aside


def _insert(into: str, columns: Sequence[str]) -> str:
    return f"INSERT {into} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"


def _select(rows: sqlite3.Connection, columns: Sequence[str], table: str) -> sqlite3.Cursor:
    return rows.execute(f"SELECT {', '.join(columns)} FROM {table} ORDER BY id")


def _row(job: Job) -> tuple[object, ...]:
    values = {field: getattr(job, field) for field in _COLUMNS}
    values.update(kind=job.kind.value, state=job.state.value)
    return tuple(values.values())


def _job(row: tuple[object, ...]) -> Job:
    """A job from its row; ValueError for a kind or state that is not known."""
    values: dict[str, object] = dict(zip(_COLUMNS, row, strict=True))
    values.update(kind=JobKind(values["kind"]), state=JobState(values["state"]), done_bytes=0)
    for flag in ("delete_source", "allow_battery", "paused"):
        values[flag] = bool(values[flag])
    return Job(**values)  # type: ignore[arg-type]
