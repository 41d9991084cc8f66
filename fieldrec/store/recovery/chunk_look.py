"""A first look at one chunk, without listing its frames: has it an index, is it still open?

Blocking; any thread. Costs a few stats and the reading of one small file.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fieldrec.core.errors import StoreDamaged
from fieldrec.store.chunk_paths import ChunkPaths
from fieldrec.store.indexing.chunk_index import ChunkRows, read_rows
from fieldrec.store.layout import NO_DEVICE_TIME, Columns, seconds_of

HOLES_PLAN = "index.plan"
"""In a chunk's directory while its frames are renamed over holes (rebuild.py)."""


@dataclass(frozen=True, slots=True, eq=False)
class ChunkLook:
    """What one chunk looks like from outside."""

    paths: ChunkPaths
    columns: Columns | None
    """What its index lists; None without a readable one."""
    data: bytes
    """The bytes of its index.npz, b"" without one."""
    fault: str
    """Why there are no columns: "no index", or what is wrong with it; "" where there are."""
    logged: bool
    """Whether it is open: its frames.log is there, or the plan by which that is worked off."""
    holes: bool
    """Whether closing its holes was begun and not finished."""


def look_at(paths: ChunkPaths) -> ChunkLook:
    """Look at one chunk. Raises nothing: what cannot be read is a fault."""
    data, columns, fault = _index(paths)
    return ChunkLook(paths, columns, data, fault, paths.log.exists() or paths.plan.exists(),
                     paths.open_video is None and holes_plan(paths).exists())


def holes_plan(paths: ChunkPaths) -> Path:
    """Where the plan for closing the holes of a directory chunk lies."""
    return paths.folder / HOLES_PLAN


def _index(paths: ChunkPaths) -> tuple[bytes, Columns | None, str]:
    try:
        data = paths.index.read_bytes()
    except OSError:
        data = b""
    try:
        return data, columns_of(read_rows(paths)), ""
    except FileNotFoundError:
        return data, None, "no index"
    except StoreDamaged as error:
        return data, None, str(error).partition(": ")[2]


def columns_of(rows: ChunkRows) -> Columns:
    """The frames that an index lists as what an index is made of. Fractional numbers stay so."""
    devices_ns = rows.device_times_ns
    if devices_ns is None:
        devices_ns = np.full(len(rows), NO_DEVICE_TIME, np.int64)
    exact = np.array_equal(rows.times_s, seconds_of(rows.times_ns))
    return Columns(rows.numbers, rows.times_ns, devices_ns, rows.digests,
                   None if exact else rows.times_s)
