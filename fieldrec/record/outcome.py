"""How recording from a camera ended, and whom its threads tell. Plain values; any thread."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from fieldrec.core.errors import FieldrecError, StoreFull, SyncFailed


class Cause(enum.Enum):
    """What ended it."""

    STOPPED = "stopped"
    ENDED = "camera ended"
    CAMERA = "camera failed"
    FULL = "disk full"
    STORE = "store failed"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it ended."""

    cause: Cause
    reason: str
    """For people and for the store's metadata."""
    problem: str = ""
    """What is wrong with the camera; "" when nothing is."""


def outcome_of_store(error: Exception) -> Outcome:
    """The end that an error of the store makes."""
    if isinstance(error, StoreFull):
        return Outcome(Cause.FULL, f"disk full: {error}")
    text = str(error) if isinstance(error, FieldrecError | OSError) \
        else f"{type(error).__name__}: {error}"
    return Outcome(Cause.STORE, f"store failed: {text}")


def disk_failed(error: BaseException | None) -> bool:
    """Whether the disk is what is wrong, so that another one may do better."""
    while error is not None:
        if isinstance(error, StoreFull | SyncFailed | OSError):
            return True
        error = error.__cause__
    return False
