"""Give a directory chunk without a log a right index, from its frame files and what is around it.

For what other programs left in a crash and for damage: an index that is gone or cannot be read,
frames that it lists and that are not there or not whole. Blocking, under the store's lock. Frames
that are not whole are put aside in the store's root as ``CHUNK.FILE.damaged``, never deleted. May
be killed at any step and run again with the same result (I2):

1. Put aside what is not whole.
2. Without holes among the positions that are left: write the index. That is all.
3. Else write ``index.plan``: those positions and the index that is to be. From here on a file's
   name no longer says which frame it is, so nothing is looked at again.
4. Remove the old index, rename the frames down over the holes, write the new one, remove the plan.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from fieldrec.core import durable
from fieldrec.core.errors import StoreDamaged
from fieldrec.store import layout
from fieldrec.store.chunk_paths import ChunkPaths
from fieldrec.store.frame_files import FrameFiles
from fieldrec.store.layout import Columns, seconds_of
from fieldrec.store.metadata import StoreMetadata
from fieldrec.store.npz import npz_bytes
from fieldrec.store.recovery import estimate
from fieldrec.store.recovery.chunk_look import holes_plan
from fieldrec.store.recovery.estimate import Clues
from fieldrec.store.recovery.index_salvage import (
    DIGEST_LATE,
    NUMBER_ESTIMATED,
    TIME_ESTIMATED,
    Salvaged,
)

Estimator: TypeAlias = Callable[[NDArray[np.int64], Clues], tuple[NDArray[np.int64], str]]
DAMAGED = ".damaged"
_DELAY_FRAMES = 10


@dataclass(frozen=True, slots=True, eq=False)
class FilesFound:
    """The frame files of a chunk."""

    whole: NDArray[np.int64]
    """Positions of files that look whole, ascending."""
    broken: tuple[Path, ...]
    written_ns: NDArray[np.int64]
    """When each whole one was last written."""
    digests: NDArray[np.uint64] | None = None
    """Of each whole one as it is now; None when they were not taken."""

    @property
    def broken_positions(self) -> list[int]:
        """Positions of the broken ones."""
        return [int(path.name.partition(".")[0]) for path in self.broken]


@dataclass(frozen=True, slots=True, eq=False)
class NewIndex:
    """What a chunk's index shall list, and how it became known."""

    positions: NDArray[np.int64]
    """Where the frames lie now; they belong at 0 … n - 1."""
    columns: Columns
    number_estimated: NDArray[np.uint8]
    time_estimated: NDArray[np.uint8]
    digest_late: NDArray[np.uint8]
    """Which digests are those of the files as they are now."""
    numbers_by: str = ""
    """How numbers were estimated; "" when all are known."""
    times_by: str = ""

    def data(self, metadata: StoreMetadata) -> bytes:
        """The index.npz."""
        marks = {name: flags for name, flags in ((NUMBER_ESTIMATED, self.number_estimated),
                                                 (TIME_ESTIMATED, self.time_estimated),
                                                 (DIGEST_LATE, self.digest_late))
                 if flags.any()}
        return layout.index_bytes(self.columns, {**metadata.raw, **marks})


# --- the files ---------------------------------------------------------------------------------

def frame_positions(paths: ChunkPaths, extension: str) -> dict[int, Path]:
    """The frame files of a directory chunk by position, ascending; whatever they hold."""
    names = re.compile(rf"([0-9]{{6,}})\.{re.escape(extension)}\Z")
    found = {int(match[1]): path for path in paths.frames.iterdir()
             if (match := names.match(path.name))}
    return {position: found[position] for position in sorted(found)
            if found[position].name == f"{position:06d}.{extension}"}


def find_files(paths: ChunkPaths, files: FrameFiles, *, digests: bool = False) -> FilesFound:
    """Read every frame file of the chunk and judge it by its structure."""
    whole, written_ns, broken = [], [], []
    found: list[int] = []
    for position, path in frame_positions(paths, files.extension).items():
        data = _whole_data(path, files)
        if data is None:
            broken.append(path)
            continue
        whole.append(position)
        written_ns.append(path.stat().st_mtime_ns)
        if digests:
            found.append(_digest(data, path, files))
    return FilesFound(np.array(whole, np.int64), tuple(broken), np.array(written_ns, np.int64),
                      np.array(found, np.uint64) if digests else None)


def looks_whole(path: Path, files: FrameFiles) -> bool:
    """Whether a frame file is whole by its structure; a bad sector is its file's fault."""
    return _whole_data(path, files) is not None


def _whole_data(path: Path, files: FrameFiles) -> memoryview | None:
    try:
        data = memoryview(path.read_bytes())
    except OSError:
        return None
    return data if files.looks_whole(data) else None


def _digest(data: memoryview, path: Path, files: FrameFiles) -> int:
    """As the writer would have taken it: of the pixels in .npy, else of the file."""
    if files.extension != "npy":
        return files.digest(np.zeros(0), [data])
    pixels = files.decode(data, path)
    return files.digest(pixels, [b"", np.ascontiguousarray(pixels)])


def file_delay_ns(paths: ChunkPaths, columns: Columns, extension: str) -> int | None:
    """How much later than its time a frame of this chunk was written, by the last few."""
    count = len(columns)
    delays = []
    for position in range(max(0, count - _DELAY_FRAMES), count):
        try:
            written_ns = paths.frame(position, extension).stat().st_mtime_ns
        except OSError:
            continue
        delays.append(written_ns - int(columns.times_ns[position]))
    return int(np.median(delays)) if delays else None


# --- what the index shall be -------------------------------------------------------------------

def new_index(found: FilesFound, known: Salvaged, clues: Clues, delay_ns: int | None = None,
              skipped: int = 0, span: int = 0) -> NewIndex:
    """Numbers and times of the whole frames: as an index still tells them, else estimated.

    `clues` are those of the frames before and after the chunk, with `skipped` frames that are gone
    between those before and it, and `span` from its first one up to those after (0 = not known);
    `delay_ns` is how late the files of the frames that `known` tells of were written, for those
    that follow them.
    """
    positions = found.whole
    count = len(known.columns)
    told = int(np.searchsorted(positions, count))
    listed = known.columns.take(positions[:told])
    begun = max((span, *(positions[-1:] + 1), *(at + 1 for at in found.broken_positions)))
    inner = replace(clues, before=known.columns, file_times_ns=found.written_ns[told:],
                    file_delay_ns=delay_ns, begun=int(begun) - count)
    outer = replace(clues, file_times_ns=found.written_ns, begun=int(begun) + skipped)
    if len(found.written_ns) == 0:  # a video: its pictures have no times of their own
        inner, outer = replace(inner, file_times_ns=None), replace(outer, file_times_ns=None)
    rest, all_of_it = positions[told:] - count, positions + skipped

    def fill(values: NDArray[np.int64], flags: NDArray[np.uint8], is_told: bool, by: Estimator
             ) -> tuple[NDArray[np.int64], str, NDArray[np.uint8]]:
        """(values, how they were estimated, which ones) of one column."""
        if not is_told:
            return *by(all_of_it, outer), np.ones(len(positions), np.uint8)
        if len(rest) == 0:
            return values, "between their neighbours" if flags.any() else "", flags
        more, how = by(rest, inner)
        return (np.concatenate([values, more]), how,
                np.concatenate([flags, np.ones(len(rest), np.uint8)]))

    numbers, numbers_by, number_flags = fill(
        listed.numbers, known.number_estimated[positions[:told]], known.has_numbers,
        estimate.estimate_numbers)
    times_ns, times_by, time_flags = fill(
        listed.times_ns, known.time_estimated[positions[:told]], known.has_times,
        estimate.estimate_times)
    digests, late = _digests(listed, known, found, told)
    columns = _columns(listed, numbers, times_ns, digests, known.has_times)
    return NewIndex(positions, columns, number_flags, time_flags, late, numbers_by, times_by)


def _digests(listed: Columns, known: Salvaged, found: FilesFound, told: int
             ) -> tuple[NDArray[np.uint64] | None, NDArray[np.uint8]]:
    """(digests, which of them are of the files as they are now)."""
    count = len(found.whole)
    if listed.digests is not None and told == count:
        return listed.digests, known.digest_late[found.whole]
    if found.digests is None:
        return None, np.zeros(count, np.uint8)
    late = np.ones(count, np.uint8)
    digests = found.digests.copy()
    if listed.digests is not None:
        digests[:told], late[:told] = listed.digests, known.digest_late[found.whole[:told]]
    return digests, late


def _columns(listed: Columns, numbers: NDArray[np.int64], times_ns: NDArray[np.int64],
             digests: NDArray[np.uint64] | None, has_times: bool) -> Columns:
    """The frames that were listed and those that follow them as one run."""
    more = len(numbers) - len(listed)
    devices_ns = np.concatenate([listed.device_times_ns,
                                 np.full(more, layout.NO_DEVICE_TIME, np.int64)])
    times_s = None
    if has_times and listed.times_s is not None:
        times_s = np.concatenate([listed.times_s, seconds_of(times_ns[len(listed):])])
    return Columns(numbers, times_ns, devices_ns, digests, times_s)


# --- onto the disk -----------------------------------------------------------------------------

def aside(root: Path, paths: ChunkPaths, broken: tuple[Path, ...]) -> list[tuple[Path, Path]]:
    """(file, where in the store's root it is put aside) of files of a chunk; nothing is done."""
    return [(path, free_name(root, (path.name if path == paths.frames
                                    else f"{paths.frames.name}.{path.name}") + DAMAGED))
            for path in broken]


def free_name(root: Path, name: str) -> Path:
    """`name` in `root`, with a number behind it where that is taken."""
    return next(path for path in _names(root, name) if not path.exists())


def _names(root: Path, name: str) -> Iterator[Path]:
    yield root / name
    for count in range(2, 1_000_000):
        yield root / f"{name}.{count}"


def put_index(paths: ChunkPaths, new: NewIndex, metadata: StoreMetadata) -> None:
    """Give the chunk this index, its holes closed. What is not listed must be out of the way."""
    data = new.data(metadata)
    if np.array_equal(new.positions, np.arange(len(new.positions))):
        durable.write_atomic(paths.index, data)
        return
    durable.write_atomic(holes_plan(paths), npz_bytes({
        "positions": new.positions, "index": np.frombuffer(data, np.uint8)}))
    carry_on(paths, metadata)


def carry_on(paths: ChunkPaths, metadata: StoreMetadata) -> None:
    """Do what ``index.plan`` says and has not been done. StoreDamaged when it cannot be read."""
    positions, data = _read_plan(holes_plan(paths))
    durable.unlink(paths.index, missing_ok=True)  # it would list frames that are others by now
    durable.unlink(paths.index_yaml, missing_ok=True)
    for target, source in enumerate(positions):
        to = paths.frame(target, metadata.format)
        if source != target and not to.exists():
            durable.rename(paths.frame(source, metadata.format), to)
    durable.write_atomic(paths.index, data)
    durable.unlink(holes_plan(paths))


def _read_plan(path: Path) -> tuple[list[int], bytes]:
    try:
        with np.load(path, allow_pickle=False) as plan:
            return plan["positions"].astype(np.int64).tolist(), plan["index"].tobytes()
    except Exception as error:  # zipfile and numpy raise a dozen kinds for bad bytes
        raise StoreDamaged(f"{path}: cannot be read; this chunk's frames were being renamed, and "
                           "which is which is lost; put the chunk back from a copy") from error
