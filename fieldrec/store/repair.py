"""Turn a chunk that has no index into one that has: verify, close the holes, write the index.

Used by recover after a crash and by the writer after a failed sync. Blocking. May be killed at any
step and run again with the same result (I2), because each step can tell whether it was done:

1. Without a plan: verify every frame against the log, remove what does not match.
2. Write ``frames.plan`` atomically: the surviving records with the positions they were written at.
   From here on nothing is verified, for a file's name no longer says which record it belongs to.
3. Rename survivors downwards over the holes, ascending. Only survivors are left, so a target that
   exists means that this move was made before.
4. Write the index, then remove the log, then the plan.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from fieldrec.core import durable
from fieldrec.store import layout
from fieldrec.store.layout import Columns, Log


@dataclass(frozen=True, slots=True, eq=False)
class Mended:
    """What became of a chunk."""

    columns: Columns
    damaged: int
    """Frames that were logged or begun and are not whole."""


def mend(chunk: Path, header: bytes, frame_bytes: int, store: Mapping[str, Any], *,
         write_index: Callable[[Path, bytes], None] = durable.write_atomic) -> Mended:
    """Finish the chunk with the frames that can be verified. ValueError: its log is of no use."""
    plan_path = chunk / layout.PLAN_NAME
    damaged = 0
    if plan_path.exists():
        plan = layout.parse_log(plan_path.read_bytes())
    else:
        plan, damaged = _verify(chunk, header, frame_bytes)
        durable.write_atomic(plan_path, layout.log_bytes(plan))
    for target, source in enumerate(plan.positions.tolist()):
        _move(chunk, source, target)
    write_index(chunk / layout.INDEX_NAME, layout.index_bytes(plan.columns, store))
    tidy(chunk)
    return Mended(plan.columns, damaged)


def tidy(chunk: Path) -> int:
    """Remove what a finished chunk (one with a sound index) does not need; return how many files.

    The plan goes last: while the log is there, it says that the log is out of date.
    """
    leftovers = [path for path in sorted(chunk.iterdir())
                 if path.name.startswith(".") and path.name.endswith(".tmp")]
    leftovers += [chunk / layout.LOG_NAME, chunk / layout.PLAN_NAME]
    present = [path for path in leftovers if path.exists()]
    for path in present:
        durable.unlink(path)
    return len(present)


def _verify(chunk: Path, header: bytes, frame_bytes: int) -> tuple[Log, int]:
    """The logged frames that are whole; all other frame files are removed."""
    log = layout.parse_log((chunk / layout.LOG_NAME).read_bytes())
    digests = log.columns.digests
    good = np.array([digests is not None
                     and frame_is_whole(chunk / layout.frame_name(position), header, frame_bytes,
                                        int(digests[at]))
                     for at, position in enumerate(log.positions.tolist())], dtype=bool)
    kept = {layout.frame_name(position) for position in log.positions[good].tolist()}
    unfit = [path for path in sorted(chunk.glob("*.npy")) if path.name not in kept]
    for path in unfit:
        durable.unlink(path)
    removed = {path.name for path in unfit}
    missing = sum(1 for position in log.positions[~good].tolist()
                  if layout.frame_name(position) not in removed)
    return Log(log.positions[good], log.columns.take(good)), len(unfit) + missing


def frame_is_whole(path: Path, header: bytes, frame_bytes: int, digest: int) -> bool:
    """Whether the file on the medium has this header, this size and these pixels.

    The page cache is dropped first where it is clean: after a failed sync it holds what the disk
    does not.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        if os.fstat(descriptor).st_size != len(header) + frame_bytes:
            return False
        with contextlib.suppress(OSError):
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        data = memoryview(_read(descriptor, len(header) + frame_bytes))
        return (bytes(data[:len(header)]) == header
                and xxhash.xxh3_64_intdigest(data[len(header):]) == digest)
    except OSError:  # a bad sector is one frame's loss, not the chunk's
        return False
    finally:
        os.close(descriptor)


def _read(descriptor: int, size: int) -> bytes:
    parts = []
    while size > 0 and (part := os.read(descriptor, size)):
        parts.append(part)
        size -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _move(chunk: Path, source: int, target: int) -> None:
    """Rename one survivor, unless an earlier try did."""
    to = chunk / layout.frame_name(target)
    if source != target and not to.exists():
        durable.rename(chunk / layout.frame_name(source), to)
