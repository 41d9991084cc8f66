"""What the queue is told of how far a job of bytes is: from the thread that works to the loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from fieldrec.core.model import Job, JobKind, Recording
from fieldrec.jobs.byte_pace import DELETE, READ, WRITE, BytePace, Phase
from fieldrec.jobs.job_queue import JobQueue
from fieldrec.jobs.proofs import exports_with

PROGRESS_S = 0.25
"""Progress is passed on at most this often, as often as people can read it."""
HERE = ""
"""In place of a destination: where the recordings lie."""


class Telling:
    """One run of one job. Made on the loop."""

    def __init__(self, queue: JobQueue, job: Job, phases: Sequence[Phase]) -> None:
        self._queue = queue
        self._job_id = job.id
        self._loop = asyncio.get_running_loop()
        self._pace = BytePace(phases, self._loop.time)
        self._told = ("", -PROGRESS_S)
        """Phase, and when."""

    def progress(self, what: str, done: int, total: int, skipped: int = 0) -> None:
        """Pass on how far a phase is, at its beginning, its end and now and then. Any one thread;
        never blocks."""
        phase, told_s = self._told
        now_s = time.monotonic()  # of the working thread: it only says how often
        if what != phase or done >= total or now_s - told_s >= PROGRESS_S:
            self._told = what, now_s
            self._loop.call_soon_threadsafe(self._take, what, done, total, skipped)

    async def remember(self, place: str, here: tuple[str, ...] = ()) -> None:
        """Let the rates measured count for later jobs: at `place`, those of the phases `here` for
        the disk of the recordings."""
        measured = self._pace.measured
        await self._queue.remember_rates(
            place, {what: rate for what, rate in measured.items() if what not in here})
        await self._queue.remember_rates(
            HERE, {what: rate for what, rate in measured.items() if what in here})

    def _take(self, what: str, done: int, total: int, skipped: int) -> None:
        self._pace.progress(what, done, total, skipped)
        self._queue.progress(self._job_id, done, total, self._pace.seconds_left())


def phases_of(job: Job, recording: Recording, queue: JobQueue) -> list[Phase]:
    """What a job will do, with the rates known; nothing for an export, which counts frames. The
    deletion that ends a move or follows a proof is left out while its rate is not known: it takes
    next to nothing."""
    raw = recording.size_bytes if recording.has_raw else 0
    exports = sum(export.size_bytes for export in recording.exports)
    if job.kind in (JobKind.COPY, JobKind.MOVE):
        place, total = job.destination or "", raw + exports
        if job.preset is not None:
            total = sum(export.size_bytes for export in exports_with(recording, job.preset))
        phases = [Phase(what, total, queue.rate(place, what)) for what in (WRITE, READ)]
    elif job.kind is JobKind.DELETE_RAW:
        proof = sum(export.size_bytes for export in recording.exports
                    if export.preset.lower() == (job.preset or "").lower())
        phases = [Phase(READ, proof, queue.rate(HERE, READ))]
    elif job.kind is JobKind.DELETE:
        total = raw + exports
        phases = [] if job.destination is None else [
            Phase(READ, total, queue.rate(job.destination, READ))]
        return [*phases, Phase(DELETE, total, queue.rate(HERE, DELETE))]
    else:
        return []
    rate = queue.rate(HERE, DELETE)
    if job.kind is not JobKind.COPY and rate > 0:
        phases.append(Phase(DELETE, raw, rate))
    return phases
