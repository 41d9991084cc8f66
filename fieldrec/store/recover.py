"""Make an interrupted store complete: what a crash left open is verified, closed and unlocked.

Blocking, in the db thread or a command. May be killed at any step and run again with the same
result; running it on a complete store changes nothing. Keeps I1 (``.lock`` goes last), I2 (only
whole frames are indexed) and I3 (works under the store's flock, and not beside another program that
seems to write the store). What it does to one chunk is in :mod:`recovery.completion`.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fieldrec.core import durable
from fieldrec.core.errors import LockedError, NotFoundError, StoreDamaged, StoreError
from fieldrec.store import layout
from fieldrec.store.chunk_paths import ChunkPaths, find_chunks
from fieldrec.store.metadata import (
    METADATA_NAME,
    StoreMetadata,
    metadata_text,
    parse_metadata,
    store_metadata,
)
from fieldrec.store.recovery.chunk_look import look_at
from fieldrec.store.recovery.completion import Completion
from fieldrec.store.recovery.in_use import writer_of
from fieldrec.store.recovery.metadata_faults import mended, metadata_faults
from fieldrec.store.recovery.metadata_rebuild import rebuild_metadata, write_metadata
from fieldrec.store.recovery.note import Estimate, Journal
from fieldrec.store.recovery.strays import move_strays
from fieldrec.store.spec import ours_in
from fieldrec.store.store_folder import LOCK_TEXT


@dataclass(frozen=True, slots=True)
class Recovered:
    """What recover found and did; with what an earlier recovery did that was killed."""

    frames_kept: int
    """Frames that the store now lists."""
    frames_damaged: int
    """Frames that were begun and are not whole."""
    chunks_repaired: int
    """Chunks that got another index."""
    note: str
    """One line per thing worth saying, "; " between them."""
    notes: tuple[str, ...] = ()
    """The same one by one."""
    estimated: tuple[Estimate, ...] = ()
    """Frames whose numbers or times nobody measured."""


def recover(path: Path, *, force: bool = False, now: Callable[[], float] = time.time) -> Recovered:
    """Finish an interrupted store of any kind; a store without ``.lock`` is left as it is.

    A store that crashed before its metadata was written has no frames: it is removed. LockedError
    while somebody writes it (`force`: although it looks as if another program than ours did);
    StoreDamaged when its metadata cannot be read and no index repeats it (nothing is changed then);
    NotFoundError when nothing is there. `now`: epoch seconds.
    """
    if not path.is_dir():
        raise NotFoundError(f"{path}: no such recording")
    if not (path / layout.LOCK_NAME).exists():
        return _without_lock(path)
    return _under_lock(path, frozenset(), thorough=False, force=force, now=now)


def put_right(path: Path, suspects: Collection[int], *, force: bool = False,
              now: Callable[[], float] = time.time) -> Recovered:
    """As :func:`recover`, but whether it is interrupted or not, and thoroughly: also look at every
    frame of the chunks with these numbers, mend what imgstore would refuse, and guess what no file
    tells of lost metadata."""
    if not path.is_dir():
        raise NotFoundError(f"{path}: no such recording")
    try:
        made = not (path / layout.LOCK_NAME).exists()
        if made:
            _make_lock(path / layout.LOCK_NAME)
    except OSError as error:
        raise StoreError(f"{path}: cannot be repaired: {error.strerror}") from error
    try:
        return _under_lock(path, frozenset(suspects), thorough=True, force=force or made, now=now)
    except StoreDamaged:
        if made:  # nothing could be done: it was not interrupted before
            durable.unlink(path / layout.LOCK_NAME, missing_ok=True)
        raise


def _make_lock(path: Path) -> None:
    descriptor = durable.create(path)
    try:
        durable.write(descriptor, [LOCK_TEXT], path, len(LOCK_TEXT))
    finally:
        os.close(descriptor)


def _under_lock(path: Path, suspects: frozenset[int], *, thorough: bool, force: bool,
                now: Callable[[], float]) -> Recovered:
    try:
        with _locked(path):
            if not (path / METADATA_NAME).exists() and not _may_hold_frames(path):
                return _remove_unborn(path)
            return _recover(path, suspects, thorough=thorough, force=force, now_s=now())
    except OSError as error:
        raise StoreError(f"{path}: cannot recover: {error}") from error


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


def _recover(path: Path, suspects: frozenset[int], *, thorough: bool, force: bool, now_s: float
             ) -> Recovered:
    store, user, lost = _metadata(path, thorough)
    metadata = store_metadata(store)
    chunks = find_chunks(path, metadata)
    if not force and not _is_ours(path, user, chunks):
        _refuse_if_written(path, chunks, now_s)
    durable.unlink(path / layout.RESERVE_NAME, missing_ok=True)  # first: it makes room
    for leftover in _temporaries(path, chunks):
        durable.unlink(leftover, missing_ok=True)
    journal = Journal(path, now_s)
    if lost:
        for note in lost:
            journal.say(note)
        journal.save()
        write_metadata(path, store, user)
    if thorough:
        _make_readable(path, store, user, journal)
        metadata = store_metadata(store)
    kept = Completion(path, metadata, user, journal, suspects).run()
    journal.finish(kept)
    durable.fsync_directory(path)
    durable.unlink(path / layout.LOCK_NAME)
    entry = journal.entry
    return Recovered(kept, entry.frames_damaged, len(entry.chunks_repaired),
                     "; ".join(entry.notes), tuple(entry.notes), tuple(entry.estimated))


def _temporaries(path: Path, chunks: list[ChunkPaths]) -> Iterator[Path]:
    """Files that were about to replace others; in chunks that are whole otherwise too, whose extra
    data is written when the next one begins."""
    yield from sorted(path.glob(".*.tmp"))
    for paths in chunks:
        for file in (paths.index, paths.extra):
            temporary = file.with_name(f".{file.name}.tmp")
            if temporary.exists():
                yield temporary


def _make_readable(path: Path, store: dict[str, object], user: dict[str, object],
                   journal: Journal) -> None:
    """Mend what keeps imgstore from opening the store; `store` is changed accordingly."""
    faults = [fault for fault in metadata_faults(store, user) if fault.can_be_mended]
    if faults:
        store |= mended(store, faults)
        durable.write_atomic(path / METADATA_NAME, metadata_text(store, user).encode("ascii"))
    said = [f"{METADATA_NAME}: {fault.text}: mended" for fault in faults]
    for note in (*said, *move_strays(path, store_metadata(store))):
        journal.say(note)


# --- what there is -----------------------------------------------------------------------------

def _metadata(path: Path, thorough: bool) -> tuple[dict[str, object], dict[str, object], list[str]]:
    """(``__store``, user metadata, what to say when they had to be rebuilt)."""
    file = path / METADATA_NAME
    try:
        store, user = parse_metadata(file.read_text(encoding="utf-8"))
        store_metadata(store)
        return store, user, []
    except FileNotFoundError as error:
        reason: Exception = error
        text = (f"{path}: has frames but no {METADATA_NAME}; put it back from a copy, then recover "
                "again")
    except (OSError, ValueError) as error:
        reason = error
        text = f"{file}: {error}; the frames beside it are intact"
    try:
        rebuilt = rebuild_metadata(path, guess=thorough)
    except StoreDamaged as error:
        raise StoreDamaged(f"{text} ({str(error).partition('; ')[2]})") from reason
    return rebuilt.store, rebuilt.user, rebuilt.notes


def _is_ours(path: Path, user: dict[str, object], chunks: list[ChunkPaths]) -> bool:
    """Whether its writer would hold the flock: then nobody writes it."""
    if (path / layout.LOCK_NAME).stat().st_size > 0:  # imgstore's is empty, and not flocked
        return True
    return ((path / layout.LOCK_NAME).read_bytes() == LOCK_TEXT or bool(ours_in(user))
            or (path / layout.RESERVE_NAME).exists()
            or any(paths.log.exists() or paths.plan.exists() for paths in chunks[-2:]))


def _refuse_if_written(path: Path, chunks: list[ChunkPaths], now_s: float) -> None:
    """LockedError when another program, which flocks nothing, seems to write the store."""
    recent = [path, path / METADATA_NAME, path / layout.LOCK_NAME]
    for paths in chunks[-1:]:
        recent += [paths.frames, paths.index, paths.extra]
    why = writer_of(path, recent, now_s)
    if why:
        raise LockedError(f"{path}: seems to be written still: {why}; stop the program that does, "
                          "or wait a minute; if you know better, use --force")


def _may_hold_frames(path: Path) -> bool:
    """Whether there is any chunk, of whatever kind of store."""
    return any(entry.name.split(".")[0].isdecimal() for entry in path.iterdir())


def _remove_unborn(path: Path) -> Recovered:
    """Remove what a crash left before metadata.yaml; of a directory that holds other things only
    what is ours."""
    others = [entry for entry in path.iterdir()
              if entry.name not in (layout.LOCK_NAME, layout.RESERVE_NAME)
              and not (entry.name.startswith(".") and entry.name.endswith(".tmp"))]
    if not others:
        durable.rmtree(path)
        return Recovered(0, 0, 0, "nothing was recorded: removed")
    for name in (layout.RESERVE_NAME, f".{METADATA_NAME}.tmp", layout.LOCK_NAME):
        durable.unlink(path / name, missing_ok=True)
    return Recovered(0, 0, 0, "nothing was recorded: unlocked")


def _without_lock(path: Path) -> Recovered:
    if not any(path.iterdir()):  # the crash came between the directory and its lock
        durable.rmtree(path)
        return Recovered(0, 0, 0, "nothing was recorded: removed")
    return Recovered(_count(path), 0, 0, "was complete already")


def _count(path: Path) -> int:
    """Frames that its readable indexes list."""
    try:
        metadata: StoreMetadata = store_metadata(
            parse_metadata((path / METADATA_NAME).read_text(encoding="utf-8"))[0])
        looks = (look_at(paths) for paths in find_chunks(path, metadata))
        return sum(len(look.columns) for look in looks if look.columns is not None)
    except (OSError, ValueError):
        return 0
