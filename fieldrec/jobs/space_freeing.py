"""Which recordings to delete so that there is room again: those verified elsewhere, the oldest
first, as many as are needed. Pure; asked by the app while the tier is ACT (`space.act`).

Nothing is deleted by this: each becomes a DELETE job with the destination that has it, and its
performing looks at the evidence again (freeing.py, I5).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from fieldrec.core.model import Job, JobKind, JobState, Recording, RecordingState
from fieldrec.jobs.verified_copies import VerifiedCopy

_OFFLOADS = (JobKind.COPY, JobKind.MOVE)
_BUSY = (JobState.RUNNING, JobState.VERIFYING, JobState.COMMITTING, JobState.DELETING_SOURCE)


@dataclass(frozen=True, slots=True)
class Freeing:
    """One recording that may go."""

    recording: Recording
    copy: VerifiedCopy
    """What shall be looked at before."""
    frees_bytes: int
    gives_up: tuple[int, ...]
    """Jobs that want the recording (exports that wait) and cannot be done any more."""


def freeings_wanted(recordings: Sequence[Recording],
                    copies_of: Callable[[Recording], Sequence[VerifiedCopy]],
                    jobs: Sequence[Job], *, needed_bytes: int, copies: int,
                    present: Collection[str], folders: Collection[Path]) -> list[Freeing]:
    """The oldest recordings with at least `copies` verified copies that together free
    `needed_bytes`, what is being deleted already counted.

    Left alone are recordings that a job works on, that wait to be copied elsewhere, that are not in
    one of `folders` (their disk is not there), or whose deletion for this copy failed or was
    cancelled. A destination in `present` is preferred: it can be looked at.
    """
    sizes = {recording.uuid: size_of(recording) for recording in recordings}
    missing = needed_bytes - sum(
        sizes.get(job.item_uuid, 0) for job in jobs
        if job.kind is JobKind.DELETE and not job.state.finished)
    wanted: list[Freeing] = []
    for recording in sorted(recordings, key=_age):
        if missing <= 0:
            break
        own = [job for job in jobs if job.item_uuid == recording.uuid]
        if not _may_go(recording, own) or recording.path.parent not in folders:
            continue
        known = copies_of(recording)
        copy = _best(known, own, present)
        if len({one.destination for one in known}) < copies or copy is None:
            continue
        wanted.append(Freeing(recording, copy, sizes[recording.uuid], tuple(
            job.id for job in own if not job.state.finished)))
        missing -= sizes[recording.uuid]
    return wanted


def size_of(recording: Recording) -> int:
    """What its deletion frees here: raw and exports."""
    return (recording.size_bytes if recording.has_raw else 0) + sum(
        export.size_bytes for export in recording.exports)


def _may_go(recording: Recording, own: Sequence[Job]) -> bool:
    if recording.state is not RecordingState.COMPLETE:
        return False
    return not any(job.state in _BUSY or job.kind in _OFFLOADS or job.kind is JobKind.DELETE
                   or (job.kind is JobKind.EXPORT and job.destination is not None)
                   for job in own if not job.state.finished)


def _best(known: Sequence[VerifiedCopy], own: Sequence[Job], present: Collection[str]
          ) -> VerifiedCopy | None:
    """The latest copy, of those whose deletion was not tried in vain since; present ones first."""
    refused = {job.destination: job.changed_ns for job in own
               if job.kind is JobKind.DELETE and job.state in (JobState.FAILED,
                                                               JobState.CANCELLED)}
    good = [copy for copy in known
            if copy.verified_at_ns > refused.get(copy.destination, -1)]
    return min(good, key=lambda copy: (copy.destination not in present, -copy.verified_at_ns),
               default=None)


def _age(recording: Recording) -> tuple[int, str, str]:
    first_ns = recording.first_time_ns
    return (0 if first_ns is None else first_ns, recording.created_utc, recording.name)
