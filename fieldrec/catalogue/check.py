"""Check the invariants of a recordings folder: fsck for recordings. Changes nothing.

Blocking; run by a command or the ``db`` thread. What is being recorded is left out: its state is
in motion. `deep` reads every byte of raw frames and exports.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import xxhash

from fieldrec.catalogue.scan import locked_state
from fieldrec.catalogue.sidecar import SUFFIX, matches, read_sidecar
from fieldrec.core.durable import PART_PREFIX, TRASH_PREFIX
from fieldrec.core.errors import FieldrecError, NotFoundError, StoreDamaged
from fieldrec.core.model import RecordingState
from fieldrec.store import layout
from fieldrec.store.layout import Columns
from fieldrec.store.metadata import METADATA_NAME
from fieldrec.store.npy_frames import NpyFiles
from fieldrec.store.reader import StoreReader, chunk_directories, read_index
from fieldrec.store.repair import frame_is_whole

_READ_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Problem:
    """One broken promise."""

    path: Path
    invariant: str
    """"I1" … "I9", as in DESIGN.md."""
    text: str
    """What is wrong and what to do, one line."""


def check(directory: Path, deep: bool = False) -> list[Problem]:
    """Every broken invariant (I1, I2, I4, I7) of a recordings folder. NotFoundError without it."""
    try:
        paths = sorted(directory.iterdir())
    except OSError as error:
        raise NotFoundError(f"{directory}: {error.strerror}; the recordings folder must exist"
                            ) from error
    problems: list[Problem] = []
    for path in paths:
        try:
            problems.extend(_check_entry(path, deep))
        except OSError as error:
            problems.append(Problem(path, "I1", f"cannot be read: {error.strerror or error}"))
    return problems


def _check_entry(path: Path, deep: bool) -> Iterator[Problem]:
    if path.name.startswith((PART_PREFIX, TRASH_PREFIX)):
        yield Problem(path, "I7", "unfinished work left behind; it is swept at the next start")
    elif path.name.startswith("."):
        return
    elif path.is_dir():
        yield from _check_directory(path, deep)
    elif path.name.endswith(SUFFIX):
        yield from _check_sidecar(path, deep)
    elif path.name.endswith(".mp4") and not path.with_name(path.name + ".json").exists():
        yield Problem(path, "I4", "an export without its sidecar; delete it and export again")


# --- stores -----------------------------------------------------------------------------------

def _check_directory(path: Path, deep: bool) -> Iterator[Problem]:
    state = locked_state(path)
    if state is RecordingState.RECORDING:
        return
    if state is RecordingState.INTERRUPTED:
        yield Problem(path, "I7", "interrupted; recover it")
        return
    if not (path / METADATA_NAME).exists():
        if chunk_directories(path):
            yield Problem(path, "I1", f"frames without {METADATA_NAME}; put it back from a "
                                      "copy")
        return
    try:
        reader = StoreReader(path)
    except FieldrecError as error:
        yield Problem(path, "I1", str(error))
        return
    yield from _check_store(path, reader, deep)


def _check_store(path: Path, reader: StoreReader, deep: bool) -> Iterator[Problem]:
    chunks = chunk_directories(path)
    for entry in sorted(path.iterdir()):
        if entry.is_dir() and entry not in chunks:
            yield Problem(entry, "I1", "no chunk; imgstore cannot open the store: move it away")
        elif entry.name == layout.RESERVE_NAME or entry.name.endswith(".tmp"):
            yield Problem(entry, "I7", "left behind by the writer; it can be deleted")
    expected = 0
    for chunk in chunks:
        for missing in range(expected, int(chunk.name)):
            yield Problem(path / layout.chunk_name(missing), "I1", "this chunk is missing; put it "
                                                                   "back from a copy")
        expected = int(chunk.name) + 1
        yield from _check_chunk(chunk, reader, deep)
    if not chunks:
        yield Problem(path, "I1", "has no chunk; put it back from a copy")


def _check_chunk(chunk: Path, reader: StoreReader, deep: bool) -> Iterator[Problem]:
    try:
        columns = read_index(chunk)
    except FileNotFoundError:
        yield Problem(chunk, "I1", "no index; its frames have no numbers and times")
        return
    except StoreDamaged as error:
        yield Problem(chunk, "I1", str(error))
        return
    for name in (layout.LOG_NAME, layout.PLAN_NAME):
        if (chunk / name).exists():
            yield Problem(chunk / name, "I7", "left behind beside a finished index; it can be "
                                              "deleted")
    yield from _check_frames(chunk, columns, reader, deep)


def _check_frames(chunk: Path, columns: Columns, reader: StoreReader, deep: bool
                  ) -> Iterator[Problem]:
    spec = reader.spec
    header = layout.npy_header(spec.shape, spec.dtype)
    sizes = _frame_sizes(chunk)
    for position in range(len(columns)):
        name = layout.frame_name(position)
        size = sizes.pop(name, None)
        if size is None:
            yield Problem(chunk / name, "I1", "the index lists this frame, and it is not there")
        elif columns.digests is None:  # another program's store: its headers may be longer
            if size < spec.frame_bytes:
                yield Problem(chunk / name, "I2", f"cut short: {size} bytes")
        elif size != len(header) + spec.frame_bytes:
            yield Problem(chunk / name, "I2", f"{size} bytes instead of "
                                              f"{len(header) + spec.frame_bytes}")
        elif deep and not frame_is_whole(chunk / name, NpyFiles(spec.shape, spec.dtype),
                                         int(columns.digests[position])):
            yield Problem(chunk / name, "I2", "the pixels are not those that were recorded")
    for name in sorted(sizes):
        yield Problem(chunk / name, "I1", "a frame that no index lists")


def _frame_sizes(chunk: Path) -> dict[str, int]:
    with os.scandir(chunk) as entries:
        return {entry.name: entry.stat().st_size for entry in entries
                if entry.name.endswith(".npy")}


# --- exports ----------------------------------------------------------------------------------

def _check_sidecar(path: Path, deep: bool) -> Iterator[Problem]:
    try:
        sidecar = read_sidecar(path)
    except StoreDamaged as error:
        yield Problem(path, "I4", str(error))
        return
    if not matches(sidecar):
        yield Problem(path, "I4", f"{sidecar.file.name} is missing or has another size; delete "
                                  "both and export again")
    elif deep and _digest(sidecar.file) != sidecar.export.digest.lower():
        yield Problem(sidecar.file, "I4", "its bytes are not those that were verified; delete it "
                                          "and export again")


def _digest(path: Path) -> str:
    """XXH64 of a file, in hexadecimal."""
    digest = xxhash.xxh64()
    with path.open("rb") as file:
        while data := file.read(_READ_BYTES):
            digest.update(data)
    return digest.hexdigest()
