"""The evidence before a recording is deleted because it is verified elsewhere (I5). Event loop;
what reads runs in the jobs' threads.

Where the destination is present, every file is read back from it and compared with what is here, as
before a move. Where it is away, the book of verified copies must say that a copy was verified
there, and what is here must still be what was copied then. What turns out wrong is forgotten, so
that nobody relies on it again.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from datetime import UTC, datetime

from fieldrec.core.errors import DestinationError, DriveGone, JobRefused, VerifyMismatch
from fieldrec.core.model import Job, Recording
from fieldrec.jobs import transfer
from fieldrec.jobs.places import DestinationFactory
from fieldrec.jobs.source import check
from fieldrec.jobs.threads import in_thread
from fieldrec.jobs.verified_copies import VerifiedCopies, VerifiedCopy, fingerprint


class NotVerified(JobRefused):
    """The copy is not there, not right, or of something else: the recording is kept."""


class Evidence:
    """Asked by the performer of a DELETE job that names a destination."""

    def __init__(self, copies: Callable[[], VerifiedCopies], forgot: Callable[[], None]) -> None:
        """`forgot` is called when a copy was forgotten."""
        self._copies = copies
        self._forgot = forgot

    async def look(self, job: Job, recording: Recording, place: DestinationFactory | None,
                   on_progress: transfer.Progress) -> str:
        """What was found, in words. `place`: the destination, None while it is away. NotVerified
        and VerifyMismatch say why the recording is kept; any other error says nothing about the
        copy (the drive was pulled, the disk failed)."""
        where = job.destination or ""
        try:
            missing = _AWAY if place is None else await self._read(recording, place, on_progress)
            if missing == _AWAY:
                copy = next((one for one in self._copies().of(recording)
                             if one.destination == where), None)
                return await in_thread("delete", lambda stop: _check_book(recording, copy, stop))
            if missing:
                raise NotVerified(f"{job.destination_label or where} has no {missing}; "
                                  f"{recording.name} is kept; copy it again")
            return f"read back at {job.destination_label or where} just now"
        except (NotVerified, VerifyMismatch):
            self._copies().forget(recording.uuid, recording.name, where)
            self._forgot()
            raise

    async def _read(self, recording: Recording, place: DestinationFactory,
                    on_progress: transfer.Progress) -> str:
        """Name of what is missing, "" when all is right; _AWAY when the place cannot be opened: a
        share that is not mounted."""
        with place() as destination:
            def read(stop: threading.Event) -> str:
                with contextlib.closing(destination):
                    try:
                        destination.free_bytes()
                    except (DestinationError, DriveGone):
                        return _AWAY
                    return transfer.verify_present(recording, destination, stop=stop,
                                                   on_progress=on_progress)

            return await in_thread(f"copy {destination.name}", read)


_AWAY = "/"
"""No item has this name."""


def _check_book(recording: Recording, copy: VerifiedCopy | None, stop: threading.Event) -> str:
    check(stop)
    if copy is None:
        raise NotVerified(f"no verified copy of {recording.name} is on record; it is kept")
    where = copy.label or copy.destination
    if fingerprint(recording) != copy.fingerprint:
        raise NotVerified(f"{recording.name} is not what was copied to {where} any more; it is "
                          "kept; copy it again")
    when = datetime.fromtimestamp(copy.verified_at_ns // 1_000_000_000, UTC)
    return f"verified at {where} on {when:%Y-%m-%d %H:%M} UTC, which is not present now"
