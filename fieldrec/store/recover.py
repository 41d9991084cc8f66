"""Make an interrupted store complete: what a crash left open is verified, closed and unlocked.

Blocking, in the db thread or a command. May be killed at any step and run again with the same
result; running it on a complete store changes nothing. Keeps I1 (``.lock`` goes last), I2 (only
frames whose digest matches are indexed) and I3 (works under the store's flock).
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fieldrec.core import durable
from fieldrec.core.errors import LockedError, NotFoundError, StoreDamaged, StoreError
from fieldrec.store import layout, repair
from fieldrec.store.layout import Columns
from fieldrec.store.metadata import METADATA_NAME, metadata_text
from fieldrec.store.reader import chunk_directories, read_index, read_metadata


@dataclass(frozen=True, slots=True)
class Recovered:
    """What recover found and did."""

    frames_kept: int
    """Frames that the store now lists."""
    frames_damaged: int
    """Frames that were begun and are not whole: removed in this run."""
    chunks_repaired: int
    """Chunks that got an index in this run."""
    note: str
    """One line per thing worth saying, "; " between them."""


@dataclass(slots=True)
class _Progress:
    kept: int = 0
    damaged: int = 0
    repaired: int = 0

    def result(self, notes: list[str]) -> Recovered:
        return Recovered(self.kept, self.damaged, self.repaired, "; ".join(notes))


def recover(path: Path) -> Recovered:
    """Finish an interrupted store; a store without ``.lock`` is left as it is.

    A store that crashed before its metadata was written has no frames: it is removed. LockedError
    while somebody records into it; StoreDamaged when its metadata is unreadable (nothing is
    changed then); NotFoundError when nothing is there.
    """
    if not path.is_dir():
        raise NotFoundError(f"{path}: no such recording")
    if not (path / layout.LOCK_NAME).exists():
        return _without_lock(path)
    try:
        with _locked(path):
            if not (path / METADATA_NAME).exists():
                return _remove_unborn(path)
            return _recover(path)
    except OSError as error:
        raise StoreError(f"{path}: cannot recover: {error}") from error


def _without_lock(path: Path) -> Recovered:
    if not any(path.iterdir()):  # the crash came between the directory and its lock
        durable.rmtree(path)
        return Recovered(0, 0, 0, "nothing was recorded: removed")
    return Recovered(_count(path), 0, 0, "was complete already")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the store's flock. LockedError when its writer, or another recover, has it."""
    descriptor = os.open(path / layout.LOCK_NAME, os.O_RDWR | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise LockedError(f"{path}: is being recorded; stop the recording first") from error
        yield
    finally:
        os.close(descriptor)


def _remove_unborn(path: Path) -> Recovered:
    """Remove what a crash left before metadata.yaml; never anything that could hold frames."""
    if chunk_directories(path):
        raise StoreDamaged(f"{path}: has frames but no {METADATA_NAME}; put it back from a "
                           "copy, then recover again")
    durable.rmtree(path)
    return Recovered(0, 0, 0, "nothing was recorded: removed")


def _recover(path: Path) -> Recovered:
    store, user = read_metadata(path)
    durable.unlink(path / layout.RESERVE_NAME, missing_ok=True)  # first: it makes room
    _remove_temporaries(path)
    progress = _Progress()
    notes: list[str] = []
    for chunk in _chunks(path):
        _recover_chunk(chunk, store, progress, notes)
    _drop_empty_tail(path)
    _note_in_metadata(path, store, user)
    durable.fsync_directory(path)
    durable.unlink(path / layout.LOCK_NAME)
    return progress.result(notes)


def _remove_temporaries(directory: Path) -> None:
    for entry in sorted(directory.glob(".*.tmp")):
        durable.unlink(entry)


def _chunks(path: Path) -> list[Path]:
    """The store's chunks; the first is made when the crash came before it was."""
    first = path / layout.chunk_name(0)
    if not chunk_directories(path):
        durable.make_directory(first)
    return chunk_directories(path)


def _recover_chunk(chunk: Path, store: dict[str, Any], progress: _Progress,
                   notes: list[str]) -> None:
    """Give one chunk a sound index, or say why it has none."""
    try:
        columns = read_index(chunk)
    except FileNotFoundError:
        _mend(chunk, store, progress, notes)
    except StoreDamaged as error:
        if not _has_log(chunk):
            notes.append(f"{error}, and there is no {layout.LOG_NAME} to rebuild it from; its "
                         "frames are still there, without numbers and times")
            return
        _mend(chunk, store, progress, notes)
    else:
        progress.kept += len(columns)
        repair.tidy(chunk)


def _has_log(chunk: Path) -> bool:
    return (chunk / layout.LOG_NAME).exists() or (chunk / layout.PLAN_NAME).exists()


def _mend(chunk: Path, store: dict[str, Any], progress: _Progress, notes: list[str]) -> None:
    """Build the index from the log. A chunk that never got a log never got a frame."""
    if not _has_log(chunk):
        if any(chunk.glob("*.npy")):
            notes.append(f"{chunk}: neither index nor {layout.LOG_NAME}; its frames are still "
                         "there, without numbers and times")
            return
        durable.write_atomic(chunk / layout.INDEX_NAME,
                             layout.index_bytes(Columns.empty(), store))
        return
    header = layout.npy_header(tuple(store["imgshape"]), str(store["imgdtype"]))
    size = int(np.prod(store["imgshape"])) * np.dtype(store["imgdtype"]).itemsize
    try:
        mended = repair.mend(chunk, header, size, store)
    except ValueError as error:
        notes.append(f"{chunk}: {error}")
        return
    progress.kept += len(mended.columns)
    progress.damaged += mended.damaged
    progress.repaired += 1
    notes.append(f"{chunk.name}: {len(mended.columns)} frames kept, {mended.damaged} damaged")


def _drop_empty_tail(path: Path) -> None:
    """Remove a last chunk that the crash left without a frame; 000000 stays."""
    chunks = chunk_directories(path)
    while len(chunks) > 1 and _is_empty(chunks[-1]):
        last = chunks.pop()
        for file in sorted(last.iterdir(), key=lambda file: file.name == layout.INDEX_NAME):
            durable.unlink(file)
        durable.remove_empty_directory(last)


def _is_empty(chunk: Path) -> bool:
    try:
        return len(read_index(chunk)) == 0 and not any(chunk.glob("*.npy"))
    except (FileNotFoundError, StoreDamaged):
        return False


def _note_in_metadata(path: Path, store: dict[str, Any], user: dict[str, Any]) -> None:
    """Put the gaps in the frame numbers into the metadata of a recording that was cut off.

    The writer's split into dropped and lost died with it: all gaps count as dropped. Metadata that
    the writer has closed (`interrupted` false) is right as it is.
    """
    ours = user.get("fieldrec")
    if not isinstance(ours, dict) or not ours.get("interrupted", False):
        return
    changed = {**ours, "dropped": _gaps(path)}
    if changed != ours:
        text = metadata_text(store, {**user, "fieldrec": changed})
        durable.write_atomic(path / METADATA_NAME, text.encode("ascii"))


def _gaps(path: Path) -> int:
    numbers = np.concatenate([np.zeros(0, np.int64),
                              *(columns.numbers for columns in _sound(path))])
    steps = np.diff(numbers)
    return int((steps[steps > 1] - 1).sum())


def _count(path: Path) -> int:
    return sum(len(columns) for columns in _sound(path))


def _sound(path: Path) -> Iterator[Columns]:
    for chunk in chunk_directories(path):
        try:
            yield read_index(chunk)
        except (FileNotFoundError, StoreDamaged):
            continue
