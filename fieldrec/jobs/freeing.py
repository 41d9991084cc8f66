"""The evidence before a recording is deleted because it is verified elsewhere (I5). Event loop;
what reads runs in the jobs' threads.

Where the destination is present, every file is read back from it and compared with what is here, as
before a move. Where it is away, the book of verified copies must say that a copy was verified
there, and what is here must still be what was copied then. What turns out wrong is forgotten, so
that nobody relies on it again. An export that was made since the copy is on no destination: it
stays, while the raw that it was made of goes.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from fieldrec.core.errors import DestinationAway, DriveGone, JobRefused, VerifyMismatch
from fieldrec.core.model import Job, Recording
from fieldrec.jobs import transfer
from fieldrec.jobs.places import DestinationFactory
from fieldrec.jobs.source import check
from fieldrec.jobs.threads import at, in_thread
from fieldrec.jobs.verified_copies import VerifiedCopies, VerifiedCopy, covered


class NotVerified(JobRefused):
    """The copy is not there, not right, or of something else: the recording is kept."""


@dataclass(frozen=True, slots=True)
class Found:
    """What the evidence says."""

    names: frozenset[str]
    """Of the items, here, that may go."""
    words: str


class Evidence:
    """Asked by the performer of a DELETE job that names a destination."""

    def __init__(self, copies: Callable[[], VerifiedCopies], forgot: Callable[[], None],
                 proven: Callable[[str], bool] = lambda _destination: True) -> None:
        """`forgot` is called when a copy was forgotten; `proven`: whether a destination that is
        away is known to be as large as it says."""
        self._proven = proven
        self._copies = copies
        self._forgot = forgot

    async def look(self, job: Job, recording: Recording, place: DestinationFactory | None,
                   on_progress: transfer.Progress) -> Found:
        """What may go, and what was found. `place`: the destination, None while it is away.
        NotVerified and VerifyMismatch say why the recording is kept; any other error says nothing
        about the copy (the drive was pulled, the disk failed)."""
        where = job.destination or ""
        try:
            there = None if place is None else await self._read(recording, place, on_progress)
            if there is None:
                self._check_proven(job)
                copy = next((one for one in self._copies().of(recording)
                             if one.destination == where), None)
                return await in_thread("delete", lambda stop: _check_book(recording, copy, stop))
            if _lacks_raw(recording, there):
                raise NotVerified(f"{job.destination_label or where} has no {recording.name}; "
                                  f"{recording.name} is kept; copy it again")
            return Found(there, f"read back at {job.destination_label or where} just now")
        except (NotVerified, VerifyMismatch):
            self._copies().forget(recording.uuid, recording.name, where)
            self._forgot()
            raise

    def knows(self, job: Job) -> bool:
        """Whether a verified copy of a job's recording at its destination is on record."""
        return any(copy.destination == job.destination
                   for copy in self._copies().named(job.item_uuid, job.item))

    def _check_proven(self, job: Job) -> None:
        """JobRefused, which says nothing about the copy."""
        if not self._proven(job.destination or ""):
            name = job.destination_label or job.destination
            raise JobRefused(f"whether drive {name} is as large as it says was not looked at yet; "
                             f"{job.item} is kept; put the drive in and try again")

    async def _read(self, recording: Recording, place: DestinationFactory,
                    on_progress: transfer.Progress) -> frozenset[str] | None:
        """Names of the items that are there and right; None when the place is not there after all:
        a share that is not mounted. What is there and fails raises: of a medium that gives errors
        the books are not believed."""
        with place() as destination:
            def read(stop: threading.Event) -> frozenset[str] | None:
                with contextlib.closing(destination):
                    try:
                        destination.free_bytes()
                    except (DestinationAway, DriveGone):
                        return None
                    return transfer.verify_present(recording, destination, stop=stop,
                                                   on_progress=on_progress)

            return await at(destination, read)


def _lacks_raw(recording: Recording, names: frozenset[str]) -> bool:
    """Whether the raw is not among the items that are verified, or nothing is."""
    return not names or (recording.has_raw and recording.path.name not in names)


def _check_book(recording: Recording, copy: VerifiedCopy | None, stop: threading.Event) -> Found:
    check(stop)
    if copy is None:
        raise NotVerified(f"no verified copy of {recording.name} is on record; it is kept")
    where = copy.label or copy.destination
    names = covered(recording, copy.fingerprint)
    if _lacks_raw(recording, names):
        raise NotVerified(f"{recording.name} is not what was copied to {where} any more; it is "
                          "kept; copy it again")
    when = datetime.fromtimestamp(copy.verified_at_ns // 1_000_000_000, UTC)
    return Found(names, f"verified at {where} on {when:%Y-%m-%d %H:%M} UTC, which is not present "
                        "now")
