"""Which jobs go first: pure, any thread. Admission says whether a job may run, this says when.

One job at a time on each resource: the processor (exports), each destination (copies, moves, raw
whose proof lies there, exports made there), and deleting. So a copy to one drive runs beside a copy
to another and beside an export. Deleting has a place of its own, because reading a proof takes a
disk, no processor to speak of, and a full disk must not wait for hours of encoding.

Never two jobs on one recording where one writes what the other reads or deletes: a job waits for
every other one on its recording, but that copies to several places only read, and that a copy does
not wait for an export that is held, or a drive would wait for mains or for the end of a recording.
A move waits for exports of its recording that were asked for earlier, because it takes the raw
away; what deletes nothing but the raw waits for every other job on its recording; an export waits
for offload of its recording, because a drive may leave. An upload only reads, and may take days: it
runs beside copies and exports, and makes way for what takes its recording away.

On one resource: deletions while space is short, then what the operator put first, then deletions of
whole recordings, then by age, an export counting as AGING_JOBS younger than it is, so that offload
goes before it. Nothing starves: each of those can pass a job only so often (a recording is deleted
once, an operator's word is one word, of later offload at most AGING_JOBS can be before an export),
a job that waits to be tried again stands in nobody's way, and an export that is held where another
one may run makes way for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from fieldrec.core.model import Job, JobKind, JobState
from fieldrec.jobs.admission import Wait

PROCESSOR = "the processor"
DELETION = "deletion"
AGING_JOBS = 200
"""Later offload jobs that may go to a destination before an export that is made there."""

_OFFLOAD = frozenset(JobKind) - {JobKind.EXPORT, JobKind.UPLOAD}
_TAKES_AWAY = (JobKind.MOVE, JobKind.DELETE)
_DELETIONS = (JobKind.DELETE, JobKind.DELETE_RAW)
_TURN = re.compile(r"\(job \d+\)\Z")
_WORDS = {JobKind.EXPORT: "export of", JobKind.COPY: "copy of", JobKind.MOVE: "move of",
          JobKind.UPLOAD: "upload of",
          JobKind.DELETE: "deletion of", JobKind.DELETE_RAW: "deletion of the raw of"}


@dataclass(frozen=True, slots=True)
class Arrangement:
    """What follows for jobs that admission lets run."""

    start: tuple[Job, ...]
    """In this order, at once."""
    waits: Mapping[int, Wait]
    """What each of the others waits for, by its id."""
    make_way: tuple[Job, ...]
    """Held jobs that are to stop, at a slice, for one that waits for their place."""


def resources(job: Job, *, space_short: bool = False) -> frozenset[str]:
    """What a job has for itself while it runs. While space is short a deletion does not wait for
    the destination that proves it."""
    own = {JobKind.EXPORT: {PROCESSOR}, JobKind.DELETE: {DELETION},
           JobKind.DELETE_RAW: {DELETION}}.get(job.kind, set())
    elsewhere = job.destination is not None and job.kind is not JobKind.DELETE \
        and not (job.kind is JobKind.DELETE_RAW and space_short)
    return frozenset(own | ({job.destination or ""} if elsewhere else set()))


def arrange(admitted: Iterable[Job], running: Sequence[Job], unfinished: Sequence[Job], *,
            space_short: bool = False) -> Arrangement:
    """Whom of the `admitted` to start beside those `running`, and what the others wait for.
    Of the running those that are WAITING are held."""
    rest = sorted(admitted, key=lambda job: rank(job, space_short=space_short))
    working = list(running)
    waiting_for, wanted = _by_recording(rest), _by_recording(unfinished)
    start: list[Job] = []
    waits: dict[int, Wait] = {}
    make_way: dict[int, Job] = {}
    for job in rest:
        others, all_of_it = waiting_for[job.item_uuid], wanted.get(job.item_uuid, ())
        blocker = _blocker(job, working, space_short)
        reason = behind(job, working, others, all_of_it) or \
            (None if blocker is None else Wait(_taken(job, blocker)))
        if reason is None:
            start.append(job)
            working.append(replace(job, state=JobState.QUEUED))
            continue
        waits[job.id] = reason
        held = _in_the_way(job, working, blocker)
        busy = [other for other in working if other not in held]
        if held and behind(job, busy, others, all_of_it) is None:
            make_way.update({one.id: one for one in held})
    return Arrangement(tuple(start), waits, tuple(make_way.values()))


def _by_recording(jobs: Iterable[Job]) -> dict[str, list[Job]]:
    """By uuid: a thousand jobs must not each be compared with a thousand."""
    found: dict[str, list[Job]] = {}
    for job in jobs:
        found.setdefault(job.item_uuid, []).append(job)
    return found


def may_go_on(held: Job, others: Sequence[Job], *, space_short: bool = False) -> Wait | None:
    """What a held job has to wait for still though admission lets it go on: another one that has
    taken its destination meanwhile. None for nothing."""
    blocker = _blocker(held, others, space_short)
    return None if blocker is None else Wait(_taken(held, blocker))


def waits_its_turn(job: Job) -> bool:
    """Whether a job that waits has nothing before it but another job in its place: it runs when
    that has ended. By the words of :func:`_taken`, which is all that a row keeps."""
    return job.state is JobState.WAITING and _TURN.search(job.reason) is not None


def rank(job: Job, *, space_short: bool = False) -> tuple[int, ...]:
    """The lowest goes first."""
    frees = space_short and job.kind in _DELETIONS
    age = job.id + (AGING_JOBS if job.kind is JobKind.EXPORT else 0)
    return (not frees, -job.first, job.kind is not JobKind.DELETE, age, job.id)


def behind(job: Job, running: Sequence[Job], admitted: Sequence[Job], unfinished: Sequence[Job]
           ) -> Wait | None:
    """Which other job on its recording an admitted job has to wait for; None for none."""
    for other in running:
        if other.item_uuid == job.item_uuid and not _beside(job, other):
            return Wait(f"job {other.id} ({other.kind.value}) works on this recording first")
    same = [other for other in unfinished
            if other.item_uuid == job.item_uuid and other.id != job.id]
    if job.kind is JobKind.MOVE:
        for other in same:
            if other.kind is JobKind.EXPORT and other.id < job.id:
                return Wait(f"job {other.id} exports this recording first")
    if job.kind is JobKind.DELETE_RAW:
        for other in same:
            if other.kind not in (JobKind.DELETE_RAW, JobKind.UPLOAD):
                return Wait(f"job {other.id} ({other.kind.value}) needs the raw first")
    if job.kind is JobKind.EXPORT:
        for other in admitted:
            if other.kind in _OFFLOAD and other.item_uuid == job.item_uuid and other.id != job.id \
                    and other.kind is not JobKind.DELETE_RAW and not _after(other, job):
                return Wait(f"job {other.id} ({other.kind.value}) goes first")
    if job.kind is JobKind.UPLOAD:
        for other in admitted:
            if other.kind in _TAKES_AWAY and other.item_uuid == job.item_uuid:
                return Wait(f"job {other.id} ({other.kind.value}) goes first")
    return None


def _after(other: Job, export: Job) -> bool:
    """Whether a job on the recording of an export waits for that in its turn."""
    return (other.kind is JobKind.MOVE and export.id < other.id) or export.first > other.first


def _beside(job: Job, other: Job) -> bool:
    """Whether a job may start while this other one works on its recording, or is held."""
    kinds = {job.kind, other.kind}
    if kinds <= {JobKind.COPY, JobKind.UPLOAD}:
        return other.destination != job.destination
    if kinds == {JobKind.UPLOAD, JobKind.EXPORT}:
        return not (job.delete_source or other.delete_source)
    if (job.kind, other.kind) == (JobKind.DELETE_RAW, JobKind.UPLOAD):
        return True  # whether it is the raw that is uploaded, the deletion finds out itself
    return (job.kind is JobKind.COPY and other.kind is JobKind.EXPORT
            and other.state is JobState.WAITING and not other.delete_source)


def _blocker(job: Job, working: Iterable[Job], space_short: bool) -> Job | None:
    """Who has one of the job's resources. A held job keeps the processor's place, its memory lies
    there, but not a destination."""
    wanted = resources(job, space_short=space_short)
    for other in working:
        has = resources(other, space_short=space_short)
        if other.state is JobState.WAITING:
            has &= {PROCESSOR}
        if other.id != job.id and wanted & has:
            return other
    return None


def _in_the_way(job: Job, working: Iterable[Job], blocker: Job | None) -> list[Job]:
    """Held exports that a job needs the place of: on the processor, or of the very recording that
    it deletes. Uploads of a recording that it takes away: they may need days, and go on where they
    were with what is left."""
    found = [] if blocker is None or blocker.state is not JobState.WAITING else [blocker]
    if job.kind is JobKind.DELETE:
        found += [other for other in working if other.item_uuid == job.item_uuid
                  and other.kind is JobKind.EXPORT and other.state is JobState.WAITING]
    if job.kind in _TAKES_AWAY:
        found += [other for other in working if other.item_uuid == job.item_uuid
                  and other.kind is JobKind.UPLOAD]
    return found


def _taken(job: Job, blocker: Job) -> str:
    """E.g. "copy of bees_20261121_060000 to the same drive"."""
    what = f"{_WORDS[blocker.kind]} {blocker.item}"
    if blocker.state is JobState.WAITING:
        return f"{what} makes way (job {blocker.id})"
    if job.destination is not None and job.destination == blocker.destination:
        drive = job.destination.startswith("drive:")
        return f"{what} to the same {'drive' if drive else 'destination'} (job {blocker.id})"
    return f"{what} goes first (job {blocker.id})"
