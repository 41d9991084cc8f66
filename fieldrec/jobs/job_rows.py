"""The file of the jobs: SQLite, in thread ``db``. Rows in, rows out; JobQueue has the rest.

Keeps I6: a file that cannot be read is put aside and a new one begun. Beside the jobs it holds
what finished exports came to (history.py), at most SAMPLES of them, and how fast each place was.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path

from fieldrec.core.model import Job, JobKind, JobState
from fieldrec.jobs.history import Sample
from fieldrec.jobs.row_file import RowFile, insert

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


Held = tuple[list[Job], list[Sample], Rates]


class JobRows:
    """One file. Every method blocks; one thread at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: RowFile[Held] = RowFile(path, SCHEMA_VERSION, _prepare, _read,
                                            write_ahead=True)

    def load(self) -> tuple[list[Job], list[Sample], Rates, str]:
        """The jobs, the samples, oldest first, the rates, and what was wrong with the file, "" for
        nothing."""
        held, trouble = self._file.load(([], [], {}))
        return (*held, trouble)

    def save(self, jobs: Iterable[Job], gone: Iterable[int] = (), samples: Iterable[Sample] = (),
             rates: Rates | None = None) -> str:
        """Write rows, remove those of the jobs `gone`; what went wrong, "" for nothing."""
        def write(rows: sqlite3.Connection) -> None:
            rows.executemany(insert("OR REPLACE INTO jobs", _COLUMNS), map(_row, jobs))
            rows.executemany("DELETE FROM jobs WHERE id = ?", [(job_id,) for job_id in gone])
            rows.executemany(insert("INTO exports", _SAMPLE_COLUMNS),
                             [tuple(getattr(sample, column) for column in _SAMPLE_COLUMNS)
                              for sample in samples])
            rows.execute("DELETE FROM exports WHERE id <= (SELECT MAX(id) FROM exports) - ?",
                         (SAMPLES,))
            rows.executemany("INSERT OR REPLACE INTO rates VALUES (?, ?, ?)",
                             [(*key, rate) for key, rate in (rates or {}).items()])

        return self._file.write(write)

    def close(self) -> None:
        """Close the file. Idempotent."""
        self._file.close()


def _prepare(rows: sqlite3.Connection) -> None:
    for table in (_JOBS, _SAMPLES, _RATES):
        rows.execute(table)
    there = {name for _, name, *_ in rows.execute("PRAGMA table_info(jobs)")}
    for column in _ADDED.keys() - there:
        rows.execute(f"ALTER TABLE jobs ADD COLUMN {column} {_ADDED[column]}")


def _read(rows: sqlite3.Connection) -> Held:
    return ([_job(row) for row in _select(rows, _COLUMNS, "jobs")],
            [Sample(*row) for row in _select(rows, _SAMPLE_COLUMNS, "exports")],
            {(str(place), str(what)): float(rate) for place, what, rate in
             rows.execute("SELECT place, what, bytes_per_s FROM rates")})


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
