"""The recordings that somebody names, and whether what is asked of them can be done. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from fieldrec.core.errors import NotFoundError, StateError
from fieldrec.core.model import Recording, RecordingState

MOST_NAMED = 8
"""Recordings that an event lists by name."""


def named(recordings: Sequence[Recording], names: Sequence[str]) -> list[Recording]:
    """Those called so, in this order; NotFoundError names a near match."""
    found: dict[str, Recording] = {}
    for recording in recordings:  # of one that somebody copied, what lies in the first folder
        found.setdefault(recording.name, recording)
    for name in names:
        if name not in found:
            raise NotFoundError(_no_such(name, sorted(found)))
    return [found[name] for name in names]


def listed(names: Sequence[str]) -> str:
    """Names for one line."""
    return ", ".join(names) if len(names) <= MOST_NAMED else f"{len(names)} recordings"


def is_complete(recording: Recording) -> bool:
    """Whether it may be given away: the one being recorded is never touched."""
    return recording.state is RecordingState.COMPLETE


def check_complete(recording: Recording, verb: str) -> None:
    """StateError where it is not."""
    if not is_complete(recording):
        raise StateError(f"cannot {verb} {recording.name}: it is {recording.state.value}")


def check_exportable(recording: Recording) -> None:
    """StateError for one of which there is nothing to export."""
    check_complete(recording, "export")
    if not recording.has_raw:
        raise StateError(f"{recording.name}: the raw is gone, nothing to export")
    if recording.frame_count == 0:
        raise StateError(f"{recording.name} has no frames, nothing to export")


def _no_such(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    hint = (f"did you mean {near[0]}?" if near
            else f"recordings here: {len(known)}, see `fieldrec list`")
    return f"no recording {name!r}; {hint}"
