"""Check one store of any kind: what fieldrec promises of it, and what imgstore needs to read it.

Blocking; changes nothing. What is being recorded is left out: its state is in motion. Without
`deep` each frame costs a directory entry (pictures: a few bytes, videos: their packets); with it
every byte is read and compared with its digest, or decoded where there is none.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from fieldrec.catalogue.frame_look import cut_text
from fieldrec.catalogue.problem import Problem
from fieldrec.catalogue.scan import locked_state
from fieldrec.core.errors import FieldrecError, NotFoundError, StoreDamaged
from fieldrec.core.model import RecordingState
from fieldrec.store import layout
from fieldrec.store.chunk_paths import ChunkPaths, chunk_paths, find_chunks
from fieldrec.store.frame_files import FrameFiles, frame_files
from fieldrec.store.indexing import compact_index
from fieldrec.store.indexing.compact_index import COMPACT_NAME, known_chunks, open_index, unchanged
from fieldrec.store.layout import Columns
from fieldrec.store.metadata import METADATA_NAME, StoreMetadata, store_metadata
from fieldrec.store.reader import read_metadata
from fieldrec.store.recovery.chunk_look import ChunkLook, holes_plan, look_at
from fieldrec.store.recovery.index_salvage import marks_in
from fieldrec.store.recovery.metadata_faults import fault_line, metadata_faults
from fieldrec.store.recovery.note import NOTE_NAME, read_entries
from fieldrec.store.recovery.renumber import PLAN_NAME as CHUNKS_PLAN
from fieldrec.store.recovery.strays import find_strays
from fieldrec.store.repair import frame_is_whole
from fieldrec.store.tar_frames import file_or_place, sizes_in

_REPAIR = "`fieldrec check --repair` makes it again"


def check_store(path: Path, deep: bool = False) -> list[Problem]:
    """Every broken promise of the store at `path`; none of one that is being recorded.

    NotFoundError when there is no store.
    """
    if not path.is_dir():
        raise NotFoundError(f"{path}: no such store")
    state = locked_state(path)
    if state is RecordingState.RECORDING:
        return []
    if state is RecordingState.INTERRUPTED:
        return [Problem(path, "I7", "interrupted; recover it")]
    try:
        return list(_check_unlocked(path, deep))
    except OSError as error:
        return [Problem(path, "I1", f"cannot be read: {error.strerror or error}")]


def may_hold_frames(path: Path) -> bool:
    """Whether a directory without metadata looks like a store that has lost it."""
    return any(entry.name.split(".")[0].isdecimal() for entry in path.iterdir())


def not_judged(path: Path) -> str:
    """What even a deep check of this store cannot tell, one line; "" when it can tell all.

    Frames that have no digest can only be decoded: flipped bits among the pixels of other
    programs' stores are not noticed.
    """
    try:
        metadata = store_metadata(read_metadata(path)[0])
        looks = [look_at(paths) for paths in find_chunks(path, metadata)]
    except (FieldrecError, OSError, ValueError):
        return ""
    if metadata.is_video:
        return ""
    frames = sum(_without_digest(look) for look in looks)
    if not frames or metadata.format == "png":
        return ""
    return (f"{frames} frames have no digest from when they were recorded, for another program "
            "wrote them or their index was made again: flipped bits in them cannot be told")


def _without_digest(look: ChunkLook) -> int:
    """Frames of a chunk that have no digest from when they were recorded."""
    if look.columns is None:
        return 0
    if look.columns.digests is None:
        return len(look.columns)
    return int(marks_in(look.data, look.columns).digest_late.sum())


def _check_unlocked(path: Path, deep: bool) -> Iterator[Problem]:
    file = path / METADATA_NAME
    if not file.exists():
        if not may_hold_frames(path):
            raise NotFoundError(f"{path}: no store there (no {METADATA_NAME})")
        yield Problem(path, "I1", f"frames without {METADATA_NAME}; put it back from a copy, or "
                                  "`fieldrec check --repair` guesses it")
        return
    try:
        store, user = read_metadata(path)
        metadata = store_metadata(store)
    except (StoreDamaged, ValueError) as error:
        yield Problem(path, "I1", f"{error}; `fieldrec check --repair` makes {METADATA_NAME} again")
        return
    for fault in metadata_faults(store, user):
        yield Problem(file, "I1", fault_line(fault))
    yield from _StoreCheck(path, metadata, deep).problems()


class _StoreCheck:
    """The check of one store whose metadata can be read."""

    def __init__(self, root: Path, metadata: StoreMetadata, deep: bool) -> None:
        self._root, self._metadata, self._deep = root, metadata, deep
        self._listed: list[Columns] = []

    def problems(self) -> Iterator[Problem]:
        """All there are."""
        strays = find_strays(self._root, self._metadata)
        for stray in strays:
            yield Problem(stray.path, "I1", stray.text, stray.chunk)
        yield from self._leftovers()
        chunks = find_chunks(self._root, self._metadata)
        if not self._metadata.is_video:
            chunks = [paths for paths in chunks if paths.frames.is_dir()]
        expected = 0
        for paths in chunks:
            yield from self._gap(expected, paths)
            expected = paths.number + 1
            look = look_at(paths)
            if look.columns is not None and len(look.columns):
                self._listed.append(look.columns)
            yield from self._chunk(look, last=paths == chunks[-1])
        if not chunks:
            yield Problem(self._root, "I1", "has no chunk; put it back from a copy")
        yield from self._compact()

    def _gap(self, expected: int, paths: ChunkPaths) -> Iterator[Problem]:
        if paths.number == expected:
            return
        missing = chunk_paths(self._root, expected, self._metadata.extension)
        count = paths.number - expected
        text = "this chunk is missing" if count == 1 else f"{count} chunks from here are missing"
        yield Problem(missing.frames, "I1", f"{text}; imgstore stops reading here: put it back from"
                                            " a copy, or `fieldrec check --repair` closes the gap")

    def _leftovers(self) -> Iterator[Problem]:
        for entry in sorted(self._root.iterdir()):
            if entry.name == layout.RESERVE_NAME or _is_temporary(entry.name):
                yield Problem(entry, "I7", "left behind by the writer; it can be deleted")
            elif entry.name == CHUNKS_PLAN:
                yield Problem(entry, "I7", "chunks were being renamed; recover the store")
        try:
            read_entries(self._root)
        except (OSError, ValueError) as error:
            yield Problem(self._root / NOTE_NAME, "I7", f"{error}; it can be deleted")

    # --- chunks ---------------------------------------------------------------------------------

    def _chunk(self, look: ChunkLook, *, last: bool) -> Iterator[Problem]:
        paths = look.paths
        where = paths.index if self._metadata.is_video else paths.frames
        leftovers = [paths.log, paths.plan, paths.extra_log, holes_plan(paths)]
        if paths.open_video is not None:
            leftovers.append(paths.open_video)
        for file in leftovers:
            if file.exists() and file.parent.is_dir():
                yield Problem(file, "I7", "left behind beside a finished index; it can be deleted"
                              if look.columns is not None and not look.holes
                              else "the chunk was not finished; recover the store", paths.number)
        if look.columns is None:
            yield Problem(where, "I1", f"{_sentence(look)}; {_REPAIR}", paths.number)
        else:
            if len(look.columns) == 0 and not last:
                yield Problem(where, "I1", "no frames in it: imgstore stops reading here; "
                                           "`fieldrec check --repair` closes the gap", paths.number)
            frames = self._video if self._metadata.is_video else self._files
            yield from frames(paths, look.columns)
        yield from self._extra(paths)

    def _files(self, paths: ChunkPaths, columns: Columns) -> Iterator[Problem]:
        try:
            files = frame_files(self._metadata)
        except FieldrecError as error:
            yield Problem(paths.frames, "I1", str(error))
            return
        sizes, others = _sizes(paths.frames, files.extension)
        sizes = {**sizes_in(paths.frames), **sizes}
        for name in others:
            yield Problem(paths.frames / name, "I7", "left behind by the writer; it can be deleted",
                          paths.number)
        usual = _usual_size(self._metadata)
        for position in range(len(columns)):
            path = paths.frame(position, files.extension)
            size = sizes.pop(path.name, None)
            if size is None:
                yield Problem(path, "I1", "the index lists this frame, and it is not there",
                              paths.number)
                continue
            fault = (_deep_fault(path, files, columns, position) if self._deep
                     else cut_text(path, size, files.extension) if size != usual else "")
            if fault:
                yield Problem(path, "I2", fault, paths.number)
        for name in sorted(sizes):
            yield Problem(paths.frames / name, "I1", "a frame that no index lists", paths.number)

    def _video(self, paths: ChunkPaths, columns: Columns) -> Iterator[Problem]:
        from fieldrec.store.video.frames import picture_count, problems_of

        if not paths.frames.exists():
            yield Problem(paths.frames, "I1", "the index lists frames of this video, and it is not "
                                              "there", paths.number)
            return
        try:
            fault = problems_of(paths.frames, deep=self._deep)
            if fault is not None:
                yield Problem(paths.frames, "I2", fault, paths.number)
                return
            pictures = picture_count(paths.frames)
        except FieldrecError as error:
            yield Problem(paths.frames, "I2", _without_path(error, paths.frames), paths.number)
            return
        # An empty chunk has a black picture, and players want two of a single one.
        if not len(columns) <= pictures <= max(len(columns), 2):
            yield Problem(paths.frames, "I1", f"{pictures} pictures, and the index lists "
                                              f"{len(columns)}", paths.number)

    # --- what lies beside -----------------------------------------------------------------------

    def _extra(self, paths: ChunkPaths) -> Iterator[Problem]:
        for file in (paths.extra, paths.motif_extra()[1]):
            try:
                records = json.loads(file.read_bytes())
                fault = "" if isinstance(records, list) else "no list"
            except FileNotFoundError:
                continue
            except (ValueError, RecursionError) as error:
                fault = str(error)
            if fault:
                yield Problem(file, "I1", f"extra data cannot be read: {fault}; `fieldrec check "
                                          "--repair` keeps what can be", paths.number)

    def _compact(self) -> Iterator[Problem]:
        """Compare the compact index with the chunks' own, where readers would take it for them."""
        table = known_chunks(self._root)
        if table is None:
            return
        seen = compact_index.look(self._root, self._metadata).table
        if len(table) != len(seen) or not unchanged(table, seen).all():
            return
        file = self._root / COMPACT_NAME
        try:
            index = open_index(self._root, self._metadata)
        except FieldrecError as error:
            yield Problem(file, "I1", f"{error}; delete it")
            return
        truth = ((index.numbers, [columns.numbers for columns in self._listed]),
                 (index.times_s, [columns.seconds() for columns in self._listed]))
        if any(not np.array_equal(told, np.concatenate(parts)) for told, parts in truth if parts):
            yield Problem(file, "I1", "it lists other frames than the chunks' indexes; delete it")


# --- small things ------------------------------------------------------------------------------

def _deep_fault(path: Path, files: FrameFiles, columns: Columns, position: int) -> str:
    if columns.digests is not None:
        whole = frame_is_whole(path, files, int(columns.digests[position]))
        return "" if whole else "the pixels are not those that were recorded"
    try:
        whole = files.looks_whole(memoryview(file_or_place(path).read()))
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return "" if whole else "not whole: it cannot be decoded"


def _sizes(chunk: Path, extension: str) -> tuple[dict[str, int], list[str]]:
    """(size of each frame file by name, temporary files)."""
    with os.scandir(chunk) as entries:
        found = [(entry.name, entry) for entry in entries]
        sizes = {name: entry.stat().st_size for name, entry in found
                 if name.endswith(f".{extension}")}
    return sizes, sorted(name for name, _ in found if _is_temporary(name))


def _usual_size(metadata: StoreMetadata) -> int:
    """Of a frame file as fieldrec writes it where all are alike; -1 where they are not."""
    if metadata.format != "npy":
        return -1
    pixels = int(np.prod(metadata.imgshape)) * np.dtype(metadata.dtype).itemsize
    return len(layout.npy_header(metadata.imgshape, metadata.dtype)) + pixels


def _is_temporary(name: str) -> bool:
    return name.startswith(".") and name.endswith(".tmp")


def _sentence(look: ChunkLook) -> str:
    if look.fault == "no index":
        return "no index; its frames have no numbers and times"
    return look.fault if "index" in look.fault else f"unreadable index: {look.fault}"


def _without_path(error: FieldrecError, path: Path) -> str:
    return str(error).removeprefix(f"{path}").lstrip(":, ")
