"""The evidence before a recording is deleted because it is verified elsewhere (I5).

Blocking; in the jobs' threads. Where the destination is present, every file is read back from it
and compared with what is here, as before a move. Where it is away, the book of verified copies
must say that a copy was verified there, and what is here must still be what was copied then.
"""

from __future__ import annotations

import threading

from fieldrec.core.errors import JobRefused
from fieldrec.core.model import Recording
from fieldrec.destinations import Destination
from fieldrec.jobs import transfer
from fieldrec.jobs.source import check
from fieldrec.jobs.verified_copies import VerifiedCopy, fingerprint


class NotVerified(JobRefused):
    """The copy is not there, not right, or of something else: the recording is kept."""


def check_there(recording: Recording, destination: Destination, stop: threading.Event,
                on_progress: transfer.Progress) -> None:
    """NotVerified unless the destination has all of the recording; VerifyMismatch where it has
    other bytes."""
    missing = transfer.verify_present(recording, destination, stop=stop, on_progress=on_progress)
    if missing:
        raise NotVerified(f"{destination.name} has no {missing}; {recording.name} is kept; copy it "
                          "again")


def check_book(recording: Recording, copy: VerifiedCopy | None, stop: threading.Event) -> None:
    """NotVerified unless a copy is on record, of what is here now."""
    check(stop)
    if copy is None:
        raise NotVerified(f"no verified copy of {recording.name} is on record; it is kept")
    if fingerprint(recording) != copy.fingerprint:
        raise NotVerified(f"{recording.name} is not what was copied to "
                          f"{copy.label or copy.destination} any more; it is kept; copy it again")
