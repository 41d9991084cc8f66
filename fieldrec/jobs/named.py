"""What a person names: recordings, and drives and folders to bring them to; what is wrong with a
name is said with the nearest that there is. Blocks only in :func:`folder_named`."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path

from fieldrec.config.mounted_paths import may_hang, resolve_unasked
from fieldrec.core.errors import NotFoundError, StateError, UsageError
from fieldrec.core.model import Drive, DriveState, Recording, RecordingState
from fieldrec.drives.table import refusal

MOST_NAMED = 8
"""Recordings that an event lists by name."""
ONLY_DRIVE = "drive"
"""In place of a destination's name: the drive that is there."""


def named(recordings: Sequence[Recording], names: Sequence[str]) -> list[Recording]:
    """The recordings of these names; NotFoundError names a near match."""
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
    """Whether it is closed and whole."""
    return recording.state is RecordingState.COMPLETE


def check_complete(recording: Recording, verb: str) -> None:
    """StateError for one that is not."""
    if not is_complete(recording):
        raise StateError(f"cannot {verb} {recording.name}: it is {recording.state.value}")


def check_exportable(recording: Recording) -> None:
    """StateError for a recording without a raw that is whole."""
    check_complete(recording, "export")
    if not recording.has_raw:
        raise StateError(f"{recording.name}: the raw is gone, nothing to export")
    if recording.frame_count == 0:
        raise StateError(f"{recording.name} has no frames, nothing to export")


def drive_named(name: str, drives: Sequence[Drive]) -> str | None:
    """A drive as a destination, by its label, UUID or device; "drive" is the only one that is
    ready. None where no drive is called so; StateError for a suspect one, NotFoundError where there
    is not one alone, UsageError where several are called so. One that has gone counts where none is
    there, but not by its device: that is the next one's."""
    called = [drive for drive in drives if name and (
        name in (drive.label, drive.fs_uuid, f"drive:{drive.fs_uuid}")
        or (name == drive.device and drive.state is not DriveState.ABSENT))]
    there = [drive for drive in called if drive.state is not DriveState.ABSENT] or called[-1:]
    if len(there) > 1:
        devices = ", ".join(drive.device for drive in there)
        raise UsageError(f"{len(there)} drives are called {name}; name one by its device: "
                         f"{devices}")
    for drive in there:
        if drive.suspect:
            raise StateError(f"drive {name} {drive.suspect}; use another, or run "
                             f"`fieldrec drive trust {drive.fs_uuid}`")
        return f"drive:{drive.fs_uuid}"
    if name != ONLY_DRIVE:
        return None
    ready = [drive for drive in drives
             if drive.state is DriveState.READY and not drive.suspect]
    if len(ready) != 1:
        names = ", ".join(drive.label or drive.fs_uuid for drive in ready)
        raise NotFoundError(f"say which drive; ready: {names}" if names else "no drive is ready")
    return f"drive:{ready[0].fs_uuid}"


def check_ready(destination: str, drives: Sequence[Drive]) -> None:
    """DriveError, in words, for a drive that nothing can be brought to now."""
    named_so = [drive for drive in drives if f"drive:{drive.fs_uuid}" == destination]
    if named_so and not any(drive.state is DriveState.READY for drive in named_so):
        raise refusal(named_so[-1])


def folder_named(path: Path, recordings: Sequence[Path]) -> Path:
    """The folder at an absolute path, to bring recordings to. UsageError for one that cannot be a
    destination of these `recordings` folders, NotFoundError for none."""
    try:
        folder = resolve_unasked(Path("/"), path)
    except (OSError, ValueError, RuntimeError) as error:  # a loop of links, a NUL
        raise UsageError(f"destination {str(path)!r} cannot be used: {error}") from error
    for own in (one.resolve() for one in recordings):
        if folder.is_relative_to(own) or own.is_relative_to(folder):
            raise UsageError(f"destination {folder} is inside or around the recordings folder "
                             f"{own}; choose a folder elsewhere")
    if not may_hang(folder) and not folder.is_dir():  # its job says so, in a thread
        raise NotFoundError(f"destination {folder} is not a folder; create it first")
    return folder


def _no_such(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    hint = (f"did you mean {near[0]}?" if near
            else f"recordings here: {len(known)}, see `fieldrec list`")
    return f"no recording {name!r}; {hint}"
