"""Renumber the frames of a finished store so that those before its only frame 0 are negative.

Blocking, under the store's lock (I3). Each index and each file of extra data is replaced
atomically (I1); new numbers follow from the place of frame 0 alone, so that a run that was cut off
is completed by another one.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fieldrec.core import durable
from fieldrec.core.errors import FieldrecError
from fieldrec.store import layout
from fieldrec.store.api.imgstore_errors import (
    ExtraDataDamaged,
    StoreBusy,
    StoreUnreadable,
    WriteFailed,
    WrongArgument,
    write_error,
)
from fieldrec.store.chunk_paths import ChunkPaths, find_chunks
from fieldrec.store.extra_read import extra_files, own_records
from fieldrec.store.indexing.chunk_index import read_rows
from fieldrec.store.indexing.frame_index import FrameIndex
from fieldrec.store.metadata import StoreMetadata
from fieldrec.store.npz import npz_bytes

log = logging.getLogger(__name__)

BEFORE = "_frame_number_before_reindex"
"""Where imgstore keeps what the numbers were, in indexes and in extra data."""


def reindex(root: Path, metadata: StoreMetadata, index: FrameIndex) -> None:
    """Number the frames before the only frame 0 with -n … -1, in indexes and in extra data.

    WrongArgument (a ValueError) unless one frame, and no other, has the number 0; StoreBusy while
    the store is written or unless it is complete; StoreUnreadable when it is not as in `index`.
    """
    before = index.numbers
    zero = _zero_in(before, root)
    after = before.copy()
    after[:zero] = np.arange(-zero, 0)
    try:
        with _locked(root, metadata):
            for at, chunk in enumerate(index.chunks):
                start, end = int(index.starts[at]), int(index.starts[at + 1])
                _rewrite_index(chunk, metadata, before[start:end], after[start:end])
            for file in extra_files(root, metadata, (".extra.json", ".extra_data.json")):
                if not file.by_motif or metadata.is_video:  # as imgstore does
                    _rewrite_extra(file.path, after)
    except FieldrecError as error:
        raise write_error(error) from error
    except OSError as error:
        raise WriteFailed(f"{root}: cannot be reindexed: {error}") from error


def _zero_in(numbers: NDArray[Any], root: Path) -> int:
    zeros = np.flatnonzero(numbers == 0)
    if len(zeros) != 1:
        raise WrongArgument(f"{root}: {len(zeros)} frames have the number 0; just one must, for "
                            "the frames before it to become negative")
    return int(zeros[0])


@contextmanager
def _locked(root: Path, metadata: StoreMetadata) -> Iterator[None]:
    """Hold the store as its writer does."""
    path = root / layout.LOCK_NAME
    descriptor = _take_lock(root, metadata, path)
    try:
        yield
    finally:
        try:
            with contextlib.suppress(OSError):
                durable.unlink(path)
        finally:
            os.close(descriptor)


def _take_lock(root: Path, metadata: StoreMetadata, path: Path) -> int:
    """Make the lock, or take over the one that a run left which was cut off: a store whose chunks
    all have their index is not being written, nor does it need recovery."""
    try:
        descriptor = durable.create(path)
    except FileExistsError:
        if not all(chunk.index.exists() or chunk.index_yaml.exists()
                   for chunk in find_chunks(root, metadata)):
            raise StoreBusy(f"{root}: is being written, or was interrupted; end the recording or "
                            "recover the store first") from None
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise StoreBusy(f"{root}: is being written by another program; end that first") from error
    return descriptor


def _rewrite_index(chunk: ChunkPaths, metadata: StoreMetadata, before: NDArray[Any],
                   after: NDArray[Any]) -> None:
    """Replace the chunk's index by one with the new numbers and all else as it is."""
    if np.array_equal(before, after):
        return
    rows = read_rows(chunk)
    if not np.array_equal(rows.numbers, before):
        raise StoreUnreadable(f"{chunk.index}: was changed meanwhile; open the store again")
    try:
        members: dict[str, Any] = dict(layout.index_members(chunk.index.read_bytes()))
    except FileNotFoundError:  # an old store's index.yaml
        members = {"frame_time": rows.times_s}
    members[BEFORE] = before
    columns = {name: np.asarray(values)[:len(rows)] for name, values in members.items()}
    store = {key: "" if value is None else value for key, value in metadata.raw.items()}
    durable.write_atomic(chunk.index, npz_bytes({**store, **columns, "frame_number": after}))
    durable.unlink(chunk.index_yaml, missing_ok=True)


def _rewrite_extra(path: Path, after: NDArray[Any]) -> None:
    try:
        records = own_records(path)
    except ExtraDataDamaged as error:
        log.warning("%s; its frame numbers are left as they are", error)
        return
    if any("frame_index" not in record for record in records):
        log.warning("%s: records do not say which frame they belong to; their numbers are left as "
                    "they are", path)
        return
    new = [_renumbered(record, after) for record in records]
    durable.write_atomic(path, ("[" + ",\n ".join(map(json.dumps, new)) + "]\n").encode("ascii"))


def _renumbered(record: dict[str, Any], after: NDArray[Any]) -> dict[str, Any]:
    """The record with its frame's new number; of one before the first frame nothing changes."""
    at = record["frame_index"]
    known = isinstance(at, int | float) and 0 <= at < len(after)
    number = after[int(at)].item() if known else record.get("frame_number")
    return {**record, "frame_number": number,
            BEFORE: record.get(BEFORE, record.get("frame_number"))}
