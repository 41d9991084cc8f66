"""The rows of deferred work, in SQLite beside the recordings. Event loop; rows in thread ``db``.

What is read is a mirror in memory, so that looking costs no I/O; every change goes to the mirror at
once and to the file right after. Keeps I6: the file may be lost at any time. A corrupt one is put
aside and a new one begun; while rows cannot be written the jobs go on, and the trouble is told.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path

from fieldrec.core import durable, states
from fieldrec.core.clock import Clock, SystemClock
from fieldrec.core.errors import FieldrecError, NotFoundError, StateError
from fieldrec.core.model import Job, JobKind, JobState
from fieldrec.core.workers import Worker

log = logging.getLogger(__name__)

HISTORY = 200
"""Finished jobs that are kept."""
SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    id INTEGER PRIMARY KEY, kind TEXT NOT NULL, item TEXT NOT NULL, item_uuid TEXT NOT NULL,
    destination TEXT, preset TEXT, delete_source INTEGER NOT NULL, allow_battery INTEGER NOT NULL,
    state TEXT NOT NULL, reason TEXT NOT NULL, attempt INTEGER NOT NULL,
    total_bytes INTEGER NOT NULL, created_ns INTEGER NOT NULL, changed_ns INTEGER NOT NULL)
"""
_COLUMNS = ("id", "kind", "item", "item_uuid", "destination", "preset", "delete_source",
            "allow_battery", "state", "reason", "attempt", "total_bytes", "created_ns",
            "changed_ns")

OnChange = Callable[[Job], None]
OnEvent = Callable[[str, str], None]
"""(text, severity): "info", "warning" or "error"."""


class JobQueue:
    """All jobs. Every method is called from tasks of one event loop."""

    def __init__(self, path: Path, *, on_change: OnChange | None = None,
                 on_event: OnEvent | None = None, clock: Clock | None = None) -> None:
        self.path = path
        self._clock = clock or SystemClock()
        self._on_event = on_event or (lambda _text, _severity: None)
        self._watchers: list[OnChange] = [] if on_change is None else [on_change]
        self._state_watchers: list[OnChange] = []
        self._jobs: dict[int, Job] = {}
        self._next_id = 1
        self._worker = Worker("db")
        self._connection: sqlite3.Connection | None = None
        self._rows_work = True

    async def open(self) -> None:
        """Read the rows; every unfinished job is QUEUED again. Never fails for a bad file (I6)."""
        jobs, trouble = await self._worker.run(lambda _stop: self._load())
        if trouble:
            self._on_event(trouble, "warning")
        now_ns = self._clock.epoch_ns()
        for job in jobs:
            if not job.state.finished and job.state is not JobState.QUEUED:
                job = dataclasses.replace(job, state=JobState.QUEUED, reason="", changed_ns=now_ns)
            self._jobs[job.id] = job
        self._next_id = max(self._jobs, default=0) + 1
        await self._write(list(self._jobs.values()))

    async def close(self) -> None:
        """Finish what is being written and close the file. Idempotent."""
        if self._connection is not None:
            await self._worker.run(lambda _stop: self._disconnect())
        self._worker.close()

    def subscribe(self, watcher: OnChange) -> None:
        """Also tell `watcher` of every new job and changed state, but not of mere progress."""
        self._state_watchers.append(watcher)

    # -- looking ---------------------------------------------------------------------------------

    def jobs(self) -> tuple[Job, ...]:
        """Unfinished jobs, oldest first; then finished ones, the latest change first."""
        unfinished = [job for job in self._jobs.values() if not job.state.finished]
        finished = [job for job in self._jobs.values() if job.state.finished]
        unfinished.sort(key=lambda job: job.id)
        finished.sort(key=lambda job: (job.changed_ns, job.id), reverse=True)
        return (*unfinished, *finished)

    def job(self, job_id: int) -> Job:
        """One job; NotFoundError."""
        try:
            return self._jobs[job_id]
        except KeyError:
            raise NotFoundError(f"no job {job_id}; see `fieldrec jobs`") from None

    # -- changing --------------------------------------------------------------------------------

    async def add(self, kind: JobKind, item: str, item_uuid: str, *,
                  destination: str | None = None, preset: str | None = None,
                  delete_source: bool = False, allow_battery: bool = False,
                  automatic: bool = False) -> Job:
        """Queue a job. The same job unfinished already: that one is returned (and may now run on
        battery if this one may). An automatic export that failed or was cancelled before is not
        tried again by itself: the old one is returned."""
        asked = (kind, item_uuid, destination, preset, delete_source)
        same = [job for job in self._jobs.values() if _request(job) == asked]
        for job in same:
            if not job.state.finished:
                if allow_battery and not job.allow_battery:
                    job = await self._put(dataclasses.replace(job, allow_battery=True))
                return job
        if automatic and kind is JobKind.EXPORT:
            for job in same:
                if job.state in (JobState.FAILED, JobState.CANCELLED):
                    return job
        now_ns = self._clock.epoch_ns()
        job = Job(id=self._next_id, kind=kind, item=item, item_uuid=item_uuid,
                  destination=destination, preset=preset, delete_source=delete_source,
                  allow_battery=allow_battery, state=JobState.QUEUED, reason="", attempt=0,
                  done_bytes=0, total_bytes=0, created_ns=now_ns, changed_ns=now_ns)
        self._next_id += 1
        return await self._put(job)

    async def set_state(self, job_id: int, state: JobState, reason: str = "", *,
                        attempt: int | None = None) -> Job:
        """Take a job to `state`; the same state again only changes its reason. StateError for a
        step that the table does not have."""
        job = self.job(job_id)
        attempt = job.attempt if attempt is None else attempt
        if (job.state, job.reason, job.attempt) == (state, reason, attempt):
            return job
        if job.state is not state:
            states.step(states.JOB, job.state, state, f"job {job_id}")
        job = await self._put(dataclasses.replace(
            job, state=state, reason=reason, attempt=attempt, changed_ns=self._clock.epoch_ns()))
        if state.finished:
            await self._forget_old()
        return job

    def progress(self, job_id: int, done_bytes: int, total_bytes: int) -> None:
        """How far a job is; kept in memory only. Nothing for a job that is finished."""
        job = self._jobs.get(job_id)
        if job is None or job.state.finished:
            return
        job = dataclasses.replace(job, done_bytes=done_bytes, total_bytes=total_bytes)
        self._jobs[job_id] = job
        for watcher in self._watchers:
            watcher(job)

    async def retry(self, job_id: int) -> Job:
        """Queue a failed or cancelled job again, its attempts counted anew."""
        job = self.job(job_id)
        if job.state not in (JobState.FAILED, JobState.CANCELLED):
            raise StateError(f"job {job_id} is {job.state.value}; only failed and cancelled jobs "
                             "can be tried again")
        return await self.set_state(job_id, JobState.QUEUED, attempt=0)

    async def cancel(self, job_id: int) -> Job:
        """Cancel a job; a running one stops at its next slice. StateError once it is committing."""
        job = self.job(job_id)
        if job.state in (JobState.COMMITTING, JobState.DELETING_SOURCE):
            raise StateError(f"job {job_id} is {job.state.value}; it is too late to cancel it")
        if job.state.finished:
            raise StateError(f"job {job_id} is {job.state.value} already")
        return await self.set_state(job_id, JobState.CANCELLED, "cancelled by the operator")

    # -- inside ----------------------------------------------------------------------------------

    async def _put(self, job: Job) -> Job:
        self._jobs[job.id] = job
        for watcher in (*self._watchers, *self._state_watchers):
            watcher(job)
        await self._write([job])
        return job

    async def _forget_old(self) -> None:
        finished = [job for job in self.jobs() if job.state.finished][HISTORY:]
        if finished:
            for job in finished:
                del self._jobs[job.id]
            await self._write([], [job.id for job in finished])

    async def _write(self, jobs: Iterable[Job], forgotten: Iterable[int] = ()) -> None:
        rows = [_row(job) for job in jobs]
        gone = [(job_id,) for job_id in forgotten]
        trouble = await self._worker.run(lambda _stop: self._save(rows, gone))
        if trouble and self._rows_work:
            self._on_event(f"jobs cannot be saved in {self.path}: {trouble}; they go on, and are "
                           "forgotten at a restart; make room or check the disk", "error")
        self._rows_work = not trouble

    # -- in thread db ----------------------------------------------------------------------------

    def _load(self) -> tuple[list[Job], str]:
        """The rows, and what was wrong with the file, "" for nothing."""
        try:
            return self._read_rows(), ""
        except sqlite3.OperationalError as error:  # locked, read-only, disk full: not its fault
            self._disconnect()
            return [], f"{self.path} cannot be opened ({error}): jobs are kept in memory only"
        except (sqlite3.DatabaseError, ValueError) as error:
            self._disconnect()
            trouble = f"{self.path} cannot be read ({error})"
        try:
            aside = self._put_aside()
            return self._read_rows(), f"{trouble}: put aside as {aside.name}, jobs begin anew"
        except (sqlite3.Error, OSError, FieldrecError, ValueError) as error:
            self._disconnect()
            return [], f"{trouble}, nor replaced ({error}): jobs are kept in memory only"

    def _read_rows(self) -> list[Job]:
        with contextlib.suppress(OSError, FieldrecError):
            durable.make_directories(self.path.parent)
        self._connection = sqlite3.connect(self.path, check_same_thread=False)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=NORMAL")
        version, = self._connection.execute("PRAGMA user_version").fetchone()
        if version not in (0, SCHEMA_VERSION):
            raise ValueError(f"its version is {version}, not {SCHEMA_VERSION}")
        sound, = self._connection.execute("PRAGMA quick_check(1)").fetchone()
        if sound != "ok":
            raise ValueError(str(sound))
        with self._connection:
            self._connection.execute(_SCHEMA)
            self._connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
        rows = self._connection.execute(f"SELECT {', '.join(_COLUMNS)} FROM jobs")
        return [_job(row) for row in rows]

    def _put_aside(self) -> Path:
        aside = self.path.with_name(self.path.name + ".bad")
        durable.rename(self.path, aside)
        for ending in ("-wal", "-shm"):
            durable.unlink(self.path.with_name(self.path.name + ending), missing_ok=True)
        return aside

    def _save(self, rows: list[tuple[object, ...]], gone: list[tuple[int]]) -> str:
        """Write rows; what went wrong, "" for nothing."""
        if self._connection is None:
            return "the file could not be opened"
        marks = ", ".join("?" * len(_COLUMNS))
        try:
            with self._connection:
                self._connection.executemany(
                    f"INSERT OR REPLACE INTO jobs ({', '.join(_COLUMNS)}) VALUES ({marks})", rows)
                self._connection.executemany("DELETE FROM jobs WHERE id = ?", gone)
        except sqlite3.Error as error:
            return str(error)
        return ""

    def _disconnect(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None


def _request(job: Job) -> tuple[object, ...]:
    """What makes two jobs the same."""
    return (job.kind, job.item_uuid, job.destination, job.preset, job.delete_source)


def _row(job: Job) -> tuple[object, ...]:
    values = {field: getattr(job, field) for field in _COLUMNS}
    values.update(kind=job.kind.value, state=job.state.value)
    return tuple(values.values())


def _job(row: tuple[object, ...]) -> Job:
    """A job from its row; ValueError for a kind or state that is not known."""
    values: dict[str, object] = dict(zip(_COLUMNS, row, strict=True))
    values.update(kind=JobKind(values["kind"]), state=JobState(values["state"]),
                  delete_source=bool(values["delete_source"]),
                  allow_battery=bool(values["allow_battery"]), done_bytes=0)
    return Job(**values)  # type: ignore[arg-type]
