"""Which jobs go first: pure, any thread. Admission says whether a job may run, this says when.

Two lanes, one job at a time in each: offload (copy, move, deletions) and export. Never two jobs on
one recording; but a copy does not wait for an export that is held, or a drive would wait for mains
or for the end of a recording (both only read the raw). Offload goes before export, because a drive
may leave; a move waits for exports of its recording that were asked for earlier, because it takes
the raw away, and what deletes nothing but the raw waits for every other job on its recording.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fieldrec.core.model import Job, JobKind, JobState
from fieldrec.jobs.admission import Wait

OFFLOAD = "offload"
EXPORT = "export"
LANES = (OFFLOAD, EXPORT)


def lane(job: Job) -> str:
    """Where a job runs."""
    return EXPORT if job.kind is JobKind.EXPORT else OFFLOAD


def judging_order(jobs: Iterable[Job]) -> list[Job]:
    """Offload before export, then by age: what :func:`behind` is told must be known before."""
    return sorted(jobs, key=lambda job: (lane(job) == EXPORT, job.id))


def first(runnable: Iterable[Job], in_lane: str) -> Job | None:
    """The job to start in a lane: deletions make room, so they go first; then by age."""
    there = (job for job in runnable if lane(job) == in_lane)
    return min(there, key=lambda job: (job.kind is not JobKind.DELETE, job.id), default=None)


def behind(job: Job, running: Sequence[Job], runnable: Sequence[Job], unfinished: Sequence[Job]
           ) -> Wait | None:
    """What an admitted job has to wait for, None if nothing but its lane."""
    for other in running:
        if other.item_uuid == job.item_uuid and not _beside(job, other):
            return Wait(f"job {other.id} ({other.kind.value}) works on this recording first")
    if job.kind is JobKind.MOVE:
        for other in unfinished:
            if (other.kind is JobKind.EXPORT and other.item_uuid == job.item_uuid
                    and other.id < job.id):
                return Wait(f"job {other.id} exports this recording first")
    if job.kind is JobKind.DELETE_RAW:
        for other in unfinished:
            if other.item_uuid == job.item_uuid and other.kind is not JobKind.DELETE_RAW:
                return Wait(f"job {other.id} ({other.kind.value}) needs the raw first")
    if job.kind is JobKind.EXPORT:
        for other in (*running, *runnable):
            if lane(other) == OFFLOAD:
                return Wait(f"job {other.id} ({other.kind.value}) goes first")
    return None


def _beside(job: Job, other: Job) -> bool:
    """Whether a job may start while this other one on its recording is held."""
    return (job.kind is JobKind.COPY and other.kind is JobKind.EXPORT
            and other.state is JobState.WAITING and not other.delete_source)
