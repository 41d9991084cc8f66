"""The rows of deferred work, in SQLite beside the recordings. Event loop; rows in thread ``db``.

What is read is a mirror in memory, so that looking costs no I/O; every change goes to the mirror at
once and to the file right after. Keeps I6: the file may be lost at any time. A corrupt one is put
aside and a new one begun; while rows cannot be written the jobs go on, and the trouble is told.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from fieldrec.core import states
from fieldrec.core.clock import Clock, SystemClock
from fieldrec.core.errors import NotFoundError, StateError
from fieldrec.core.model import ExportProgress, Job, JobKind, JobState, Prediction
from fieldrec.core.workers import Worker
from fieldrec.jobs.history import Sample
from fieldrec.jobs.job_rows import SAMPLES, JobRows

log = logging.getLogger(__name__)

HISTORY_COUNT = 500
HISTORY_DAYS = 90.0
"""Finished jobs that are kept: so many, the latest, and for so long."""
NEWS_SHARE = 0.2
"""Of a rate by which it must change for expectations to be drawn anew."""

_DAY_NS = 86_400 * 1_000_000_000
_TOO_LATE = (JobState.COMMITTING, JobState.DELETING_SOURCE)
OnChange = Callable[[Job], None]
OnEvent = Callable[[str, str], None]
"""(text, severity): "info", "warning" or "error"."""


class JobQueue:
    """All jobs. Every method is called from tasks of one event loop."""

    def __init__(self, path: Path, *, on_change: OnChange | None = None,
                 on_event: OnEvent | None = None, clock: Clock | None = None,
                 history_count: int = HISTORY_COUNT, history_days: float = HISTORY_DAYS) -> None:
        """Of finished jobs the latest `history_count` are kept, for `history_days`."""
        self.path = path
        self._history_count = history_count
        self._history_ns = round(history_days * _DAY_NS)
        self._clock = clock or SystemClock()
        self._on_event = on_event or (lambda _text, _severity: None)
        self._watchers: list[OnChange] = [] if on_change is None else [on_change]
        self._state_watchers: list[OnChange] = []
        self._jobs: dict[int, Job] = {}
        self._next_id = 1
        self._worker = Worker("db")
        self._rows = JobRows(path)
        self._rows_open = False
        self._rows_work = True
        self._samples: list[Sample] = []
        self._rates: dict[tuple[str, str], float] = {}
        self.knowledge = 0
        """Counts up when what is known of sizes and rates has changed."""

    async def open(self) -> None:
        """Read the rows; every unfinished job is QUEUED again. Never fails for a bad file (I6)."""
        jobs, self._samples, self._rates, trouble = await self._worker.run(
            lambda _stop: self._rows.load())
        self._rows_open = True
        if trouble:
            self._on_event(trouble, "warning")
        now_ns = self._clock.epoch_ns()
        for job in jobs:
            if not job.state.finished and job.state is not JobState.QUEUED:
                job = dataclasses.replace(job, state=JobState.QUEUED, reason="", changed_ns=now_ns)
            self._jobs[job.id] = job
        self._next_id = max(self._jobs, default=0) + 1
        await self._write(list(self._jobs.values()))
        await self._forget_old()

    async def close(self) -> None:
        """Finish what is being written and close the file. Idempotent."""
        if self._rows_open:
            await self._write([job for job in self._jobs.values()
                               if job.cpu_s and not job.state.finished])
            self._rows_open = False
            await self._worker.run(lambda _stop: self._rows.close())
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

    @property
    def samples(self) -> tuple[Sample, ...]:
        """What finished exports came to, oldest first."""
        return tuple(self._samples)

    def rate(self, place: str, what: str) -> float:
        """Bytes per second that were measured lately: of "write" and "read" at a destination, of
        "read" and "delete" here (place ""); 0 while not known."""
        return self._rates.get((place, what), 0.0)

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
        before = self.job(job_id)
        attempt = before.attempt if attempt is None else attempt
        if (before.state, before.reason, before.attempt) == (state, reason, attempt):
            return before
        if before.state is not state:
            states.step(states.JOB, before.state, state, f"job {job_id}")
        ends = state.finished
        job = self._show_all(dataclasses.replace(
            before, state=state, reason=reason, attempt=attempt, changed_ns=self._clock.epoch_ns(),
            paused=before.paused and not ends, first=0 if ends else before.first,
            seconds_left=None if ends else before.seconds_left,
            progress=None if ends else before.progress))
        # a restart makes all unfinished jobs QUEUED: between those states nothing is to be kept
        if ends or before.state.finished or before.attempt != attempt:
            await self._write([self._jobs[job.id]])  # who watches may have noted what it has used
        if ends:
            await self._forget_old()
        return job

    def progress(self, job_id: int, done_bytes: int, total_bytes: int,
                 seconds_left: float | None = None, export: ExportProgress | None = None) -> None:
        """How far a job is; kept in memory only. Nothing for a job that is finished."""
        self._show(job_id, done_bytes=done_bytes, total_bytes=total_bytes,
                   seconds_left=seconds_left, progress=export)

    def expect(self, job_id: int, prediction: Prediction | None, frees_bytes: int,
               seconds: float | None = None, total_bytes: int = 0) -> None:
        """What a job will come to; kept in memory only. One that has done something knows better
        how long it will take."""
        job = self._jobs.get(job_id)
        if job is None:
            return
        new = job.done_bytes == 0 and job.state in (JobState.QUEUED, JobState.WAITING)
        self._show(job_id, prediction=prediction, frees_bytes=frees_bytes,
                   seconds_left=seconds if new else job.seconds_left,
                   total_bytes=total_bytes if new and total_bytes else job.total_bytes)

    def name_places(self, labels: Mapping[str, str]) -> None:
        """What people call destinations (by their names), so that jobs say it; written with the
        job's next change. Cheap when nothing is new."""
        for job in list(self._jobs.values()):
            label = labels.get(job.destination or "", "")
            if label and label != job.destination_label:
                self._show_all(dataclasses.replace(job, destination_label=label))

    def note_used(self, job_id: int, cpu_s: float, energy_mwh: float | None) -> None:
        """What a job has used so far; written with its end. Nothing for one that is forgotten."""
        job = self._jobs.get(job_id)
        if job is not None:
            self._jobs[job_id] = dataclasses.replace(job, cpu_s=cpu_s, energy_mwh=energy_mwh)

    def _show(self, job_id: int, **shown: Any) -> None:
        job = self._jobs.get(job_id)
        if job is None or job.state.finished:
            return
        changed = dataclasses.replace(job, **shown)
        if changed != job:
            self._jobs[job_id] = changed
            for watcher in self._watchers:
                watcher(changed)

    async def remember(self, sample: Sample) -> None:
        """Note what an export came to; the oldest are forgotten."""
        self._samples = [*self._samples, sample][-SAMPLES:]
        self.knowledge += 1
        await self._write([], samples=[sample])

    async def remember_rates(self, place: str, measured: Mapping[str, float]) -> None:
        """Note bytes per second, of what :meth:`rate` names; half of what was known before stays,
        because one job may have met a busy disk."""
        new = {}
        for what, bytes_per_s in measured.items():
            known = self.rate(place, what)
            new[place, what] = (known + bytes_per_s) / 2 if known else bytes_per_s
            if abs(new[place, what] - known) > NEWS_SHARE * known:
                self.knowledge += 1
        self._rates.update(new)
        if new:
            await self._write([], rates=new)

    async def set_paused(self, job_id: int, paused: bool) -> Job:
        """Note that the operator pauses a job, or lets it go on. StateError once it is committing
        or finished."""
        job = self.job(job_id)
        if job.state.finished or job.state in _TOO_LATE:
            raise StateError(f"job {job_id} is {job.state.value}; it can no longer be paused")
        if job.paused is paused:
            return job
        return await self._put(dataclasses.replace(job, paused=paused))

    async def put_first(self, job_id: int) -> Job:
        """Let a job go before all others of its kind of work. StateError once it is finished."""
        job = self.job(job_id)
        if job.state.finished:
            raise StateError(f"job {job_id} is {job.state.value}; only waiting jobs can go first")
        highest = max((other.first for other in self._jobs.values()), default=0)
        if 0 < job.first == highest:
            return job
        return await self._put(dataclasses.replace(job, first=highest + 1))

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
        if job.state in _TOO_LATE:
            raise StateError(f"job {job_id} is {job.state.value}; it is too late to cancel it")
        if job.state.finished:
            raise StateError(f"job {job_id} is {job.state.value} already")
        return await self.set_state(job_id, JobState.CANCELLED, "cancelled by the operator")

    # -- inside ----------------------------------------------------------------------------------

    async def _put(self, job: Job) -> Job:
        self._show_all(job)
        await self._write([job])
        return job

    def _show_all(self, job: Job) -> Job:
        self._jobs[job.id] = job
        for watcher in (*self._watchers, *self._state_watchers):
            watcher(job)
        return job

    async def _forget_old(self) -> None:
        """Drop finished jobs that are too many or too old, and their rows, in thread ``db``."""
        finished = [job for job in self.jobs() if job.state.finished]
        oldest_ns = self._clock.epoch_ns() - self._history_ns
        gone = [job.id for number, job in enumerate(finished)
                if number >= self._history_count or job.changed_ns < oldest_ns]
        for job_id in gone:
            del self._jobs[job_id]
        if gone:
            await self._write([], gone)

    async def _write(self, jobs: Iterable[Job], forgotten: Iterable[int] = (),
                     samples: Iterable[Sample] = (),
                     rates: Mapping[tuple[str, str], float] | None = None) -> None:
        rows, gone, new = list(jobs), list(forgotten), list(samples)
        measured = dict(rates or {})
        trouble = await self._worker.run(
            lambda _stop: self._rows.save(rows, gone, new, measured))
        if trouble and self._rows_work:
            self._on_event(f"jobs cannot be saved in {self.path}: {trouble}; they go on, and are "
                           "forgotten at a restart; make room or check the disk", "error")
        self._rows_work = not trouble


def _request(job: Job) -> tuple[object, ...]:
    """What makes two jobs the same."""
    return (job.kind, job.item_uuid, job.destination, job.preset, job.delete_source)
