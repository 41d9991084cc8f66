"""Turn an open chunk of frame files into a finished one: verify, close the holes, write the index.

Used by recover after a crash and by the writer after a failed sync. Blocking. May be killed at any
step and run again with the same result (I2), because each step can tell whether it was done:

1. Without a plan: write back what memory holds of every frame, then verify it against the log;
   remove what does not match. (A page that is not on the medium yet reads back right, too.)
2. Where that left holes: write ``frames.plan`` atomically: the surviving records with the positions
   they were written at. From here on nothing is verified, for a file's name no longer says which
   record it belongs to. Remove the open chunk's interim index: it would list other frames under
   these names (without holes it goes on telling the truth until the final one replaces it).
3. Rename survivors downwards over the holes, ascending. Only survivors are left, so a target that
   exists means that this move was made before.
4. Write the index, then remove the log, then the plan.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fieldrec.core import durable
from fieldrec.store import layout
from fieldrec.store.chunk_paths import ChunkPaths
from fieldrec.store.frame_files import FrameFiles
from fieldrec.store.layout import Columns, Log
from fieldrec.store.tar_frames import file_or_place


@dataclass(frozen=True, slots=True, eq=False)
class Mended:
    """What became of a chunk."""

    columns: Columns
    damaged: int
    """Frames that were logged or begun and are not whole."""

    def has_last_of(self, written: Columns) -> bool:
        """Whether the last frame that was `written`, if there was one, is the last one kept."""
        if len(written) == 0:
            return True
        kept = self.columns
        return len(kept) > 0 and bool(kept.numbers[-1] == written.numbers[-1]
                                      and kept.times_ns[-1] == written.times_ns[-1])


def mend(paths: ChunkPaths, files: FrameFiles, store: Mapping[str, Any], *,
         write_index: Callable[[Path, bytes], None] = durable.write_atomic) -> Mended:
    """Finish the chunk with the frames that can be verified. ValueError: its log is of no use.

    `store`: the ``__store`` mapping, which the index repeats.
    """
    damaged = 0
    if paths.plan.exists():
        kept = layout.parse_log(paths.plan.read_bytes())
    else:
        kept, damaged = _verify(paths, files)
        if not np.array_equal(kept.positions, np.arange(len(kept.positions))):
            durable.write_atomic(paths.plan, layout.log_bytes(kept))
    if paths.plan.exists():
        durable.unlink(paths.index, missing_ok=True)
        for target, source in enumerate(kept.positions.tolist()):
            _move(paths, files.extension, source, target)
    write_index(paths.index, layout.index_bytes(kept.columns, store))
    tidy(paths)
    return Mended(kept.columns, damaged)


def tidy(paths: ChunkPaths) -> int:
    """Remove what a finished chunk (one with a sound index) does not need; return how many files.

    The plan goes last: while the log is there, it says that the log is out of date. Extra data is
    not touched: :func:`~fieldrec.store.extra_log.mend_extra`.
    """
    temporaries = [path.with_name(f".{path.name}.tmp")
                   for path in (paths.index, paths.extra, paths.log, paths.plan)]
    present = [path for path in (*temporaries, paths.log, paths.plan) if path.exists()]
    for path in present:
        durable.unlink(path)
    return len(present)


def rewrite_log(paths: ChunkPaths, columns: Columns) -> None:
    """Put a log on disk anew from memory: its own pages are as doubtful as the frames."""
    records = Log(np.arange(len(columns), dtype=np.int64), columns)
    durable.write_atomic(paths.log, layout.log_bytes(records))


def _verify(paths: ChunkPaths, files: FrameFiles) -> tuple[Log, int]:
    """The logged frames that are whole; all other frame files are removed."""
    log = layout.parse_log(paths.log.read_bytes())
    digests = log.columns.digests
    durable.write_back(paths.frames)
    good = np.array([digests is not None
                     and _is_on_medium(paths.frame(position, files.extension), files,
                                       int(digests[at]))
                     for at, position in enumerate(log.positions.tolist())], dtype=bool)
    kept = {paths.frame(position, files.extension).name
            for position in log.positions[good].tolist()}
    unfit = [path for path in sorted(paths.frames.glob(f"*.{files.extension}"))
             if path.name not in kept]
    for path in unfit:
        durable.unlink(path)
    removed = {path.name for path in unfit}
    missing = sum(1 for position in log.positions[~good].tolist()
                  if paths.frame(position, files.extension).name not in removed)
    return Log(log.positions[good], log.columns.take(good)), len(unfit) + missing


def _is_on_medium(path: Path, files: FrameFiles, digest: int) -> bool:
    return durable.settle(path) and frame_is_whole(path, files, digest)


def frame_is_whole(path: Path, files: FrameFiles, digest: int) -> bool:
    """Whether the file on the medium is a whole frame with this digest.

    The page cache is dropped first where it is clean: after a failed sync it holds what the disk
    does not.
    """
    try:
        data = file_or_place(path).read(past_cache=True)
        return files.is_whole(memoryview(data), digest)
    except OSError:  # a bad sector is one frame's loss, not the chunk's
        return False


def _move(paths: ChunkPaths, extension: str, source: int, target: int) -> None:
    """Rename one survivor, unless an earlier try did."""
    to = paths.frame(target, extension)
    if source != target and not to.exists():
        durable.rename(paths.frame(source, extension), to)
