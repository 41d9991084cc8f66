"""The state machines as tables: the one place that says which step may follow which.

An owner changes a state only through :func:`step`; an illegal transition raises, because a state
that is not backed by the evidence on disk is worse than a stopped job.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import TypeVar

from fieldrec.core.errors import StateError
from fieldrec.core.model import CameraState, DriveState, JobState, RecordingState

S = TypeVar("S", bound=enum.Enum)

R = RecordingState
RECORDING: Mapping[RecordingState, frozenset[RecordingState]] = {
    R.OPENING: frozenset({R.RECORDING, R.FAILED}),
    R.RECORDING: frozenset({R.PAUSED, R.CLOSING, R.INTERRUPTED}),
    R.PAUSED: frozenset({R.RECORDING, R.CLOSING, R.INTERRUPTED}),
    R.CLOSING: frozenset({R.COMPLETE, R.INTERRUPTED}),
    R.INTERRUPTED: frozenset({R.RECOVERING}),
    R.RECOVERING: frozenset({R.COMPLETE, R.DAMAGED, R.INTERRUPTED}),
    R.COMPLETE: frozenset({R.DELETING, R.DAMAGED}),
    R.DELETING: frozenset({R.GONE}),
    R.DAMAGED: frozenset({R.DELETING, R.RECOVERING}),
    R.FAILED: frozenset(),
    R.GONE: frozenset(),
}

J = JobState
JOB: Mapping[JobState, frozenset[JobState]] = {
    J.QUEUED: frozenset({J.RUNNING, J.WAITING, J.FAILED, J.CANCELLED, J.DONE}),
    J.WAITING: frozenset({J.RUNNING, J.QUEUED, J.FAILED, J.CANCELLED, J.DONE}),
    J.RUNNING: frozenset(
        {J.WAITING, J.QUEUED, J.VERIFYING, J.COMMITTING, J.DONE, J.FAILED, J.CANCELLED}
    ),
    J.VERIFYING: frozenset({J.COMMITTING, J.WAITING, J.QUEUED, J.FAILED, J.CANCELLED, J.DONE}),
    J.COMMITTING: frozenset({J.DELETING_SOURCE, J.DONE, J.FAILED, J.QUEUED}),
    J.DELETING_SOURCE: frozenset({J.DONE, J.FAILED, J.QUEUED}),
    J.DONE: frozenset(),
    J.FAILED: frozenset({J.QUEUED}),
    J.CANCELLED: frozenset({J.QUEUED}),
}

D = DriveState
DRIVE: Mapping[DriveState, frozenset[DriveState]] = {
    D.SEEN: frozenset({D.MOUNTING, D.REJECTED, D.ABSENT}),
    D.MOUNTING: frozenset({D.READY, D.REJECTED, D.ABSENT}),
    D.READY: frozenset({D.EJECTING, D.ABSENT, D.REJECTED}),
    D.EJECTING: frozenset({D.SAFE, D.READY, D.ABSENT, D.REJECTED}),
    D.SAFE: frozenset({D.ABSENT, D.MOUNTING}),
    D.REJECTED: frozenset({D.ABSENT, D.MOUNTING}),
    D.ABSENT: frozenset({D.SEEN}),
}

C = CameraState
CAMERA: Mapping[CameraState, frozenset[CameraState]] = {
    C.CLOSED: frozenset({C.OPENING}),
    C.OPENING: frozenset({C.READY, C.FAILED, C.CLOSED}),
    C.READY: frozenset({C.RECORDING, C.FAILED, C.CLOSED}),
    C.RECORDING: frozenset({C.READY, C.FAILED, C.CLOSED}),
    C.FAILED: frozenset({C.OPENING, C.CLOSED}),
}


def step(table: Mapping[S, frozenset[S]], old: S, new: S, of: str) -> S:
    """Return `new` if the table allows it after `old`; else StateError naming the thing (`of`)."""
    if new not in table[old]:
        raise StateError(f"{of}: cannot go from {old.value} to {new.value}")
    return new
