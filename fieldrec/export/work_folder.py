"""The private working folder of one export under way: ``.work-<name of the movie>`` beside it.

Blocking. In it lie the segments that were encoded already, so that an export which was stopped, or
killed, or cut off goes on where it was. A flock on the folder itself says that somebody works in
it; a folder that nobody works in and no job wants is swept.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from fieldrec.core import durable
from fieldrec.core.errors import EncoderFailed, FieldrecError, LockedError
from fieldrec.core.holding import hold, is_held
from fieldrec.export.segment_file import Segment, read_segment, segments_in

WORK_PREFIX = durable.WORK_PREFIX
PLAN_NAME = "plan.json"


def work_path(target: Path) -> Path:
    """The working folder of the movie at `target`; for slices, of the name without a number."""
    return target.with_name(WORK_PREFIX + target.name)


@contextlib.contextmanager
def working_folder(target: Path) -> Iterator[Path]:
    """The folder, made if it is not there, and nobody else's until the block ends.

    It stays when the block ends; :func:`remove` it there when it is not needed again. LockedError
    when another process makes the same movie.
    """
    folder = work_path(target)
    descriptor = _locked(folder)
    try:
        yield folder
    finally:
        os.close(descriptor)


def begin(folder: Path, plan: Mapping[str, Any]) -> None:
    """Make the folder one of this plan: segments of another are removed, and what a dead run was
    about to write. StoreFull; SyncFailed; OSError."""
    if _plan(folder) != json.loads(json.dumps(plan)):
        clear(folder)
        durable.write_atomic(folder / PLAN_NAME, json.dumps(plan).encode())
    for path in folder.glob(durable.PART_PREFIX + "*"):
        durable.unlink_unsynced(path)


def clear(folder: Path) -> None:
    """Remove all that is in the folder, the plan first: without one nothing else counts."""
    durable.unlink(folder / PLAN_NAME, missing_ok=True)
    for path in folder.iterdir():
        durable.unlink_unsynced(path)


def size_bytes(folder: Path) -> int:
    """Of all that is in the folder."""
    return sum(path.lstat().st_size for path in folder.iterdir())


def found_segments(folder: Path, count: int) -> list[Segment]:
    """The segments that are there and whole, from the first frame on without a gap, of `count`
    frames in all. The others are removed: they are made again."""
    paths, found, first = segments_in(folder), [], 0
    while first < count and first in paths:
        try:
            found.append(read_segment(paths.pop(first)))
        except (EncoderFailed, OSError):
            break
        first = found[-1].end
    kept = {segment.path for segment in found}
    for path in folder.glob("*.segment"):
        if path not in kept:
            durable.unlink_unsynced(path)
    return found


def _plan(folder: Path) -> Any:
    """None too where not all in the folder is a file: on a drive it may be somebody else's."""
    with os.scandir(folder) as entries:
        if not all(entry.is_file(follow_symlinks=False) for entry in entries):
            return None
    try:
        return json.loads((folder / PLAN_NAME).read_bytes())
    except (OSError, ValueError):
        return None


def remove(target: Path) -> None:
    """Remove the working folder of `target`, if there is one, or what is left of removing it.
    Nobody else may work in it."""
    folder = work_path(target)
    for path in (folder.with_name(durable.TRASH_PREFIX + folder.name), folder):
        if path.is_dir():
            durable.rmtree(path)


def sweep(folder: Path, wanted_names: Collection[str]) -> list[Path]:
    """Remove the working folders in `folder` that nobody works in and that belong to none of
    `wanted_names` (names of exports without a slice's number), and what is left of those whose
    removal was cut off; those that were removed."""
    trashed = durable.TRASH_PREFIX + WORK_PREFIX
    swept = []
    for path in _folders(folder, (trashed, WORK_PREFIX)):
        if path.name.startswith(trashed):
            with contextlib.suppress(FileNotFoundError):  # whoever began is still at it
                durable.rmtree(path)
        elif path.name.removeprefix(WORK_PREFIX) in wanted_names or is_held(path):
            continue
        else:
            durable.rmtree(path)
        swept.append(path)
    return swept


def _folders(folder: Path, starts: tuple[str, ...]) -> list[Path]:
    """Folders, no links to any, whose names begin so, sorted. `folder` may be somebody else's drive
    with very many entries: only these are kept; or a disk that is not there now: it has none."""
    try:
        with os.scandir(folder) as entries:
            return sorted(folder / entry.name for entry in entries
                          if entry.name.startswith(starts) and entry.is_dir(follow_symlinks=False))
    except FileNotFoundError:
        return []


def _locked(folder: Path) -> int:
    """A descriptor of the folder that holds its lock."""
    while True:
        _make(folder)
        try:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
                                 | os.O_CLOEXEC)
        except FileNotFoundError:
            continue  # swept in between
        try:
            hold(descriptor)
            if os.path.samestat(os.fstat(descriptor), folder.stat()):
                return descriptor
        except BlockingIOError as error:
            os.close(descriptor)
            raise LockedError(f"{folder}: another process is making this export") from error
        except FileNotFoundError:
            pass
        os.close(descriptor)  # it was renamed away before it was locked


def _make(folder: Path) -> None:
    try:
        durable.make_directory(folder)
    except FileExistsError:
        return
    except BaseException:
        with contextlib.suppress(OSError, FieldrecError):
            durable.remove_empty_directory(folder)
        raise
