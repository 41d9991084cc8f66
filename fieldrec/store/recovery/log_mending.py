"""What can still be made of a chunk's frames.log before it is worked off: bits flip in logs too.

Blocking, under the store's lock. A log that was changed is replaced atomically.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fieldrec.core import durable
from fieldrec.store import layout
from fieldrec.store.chunk_paths import ChunkPaths
from fieldrec.store.layout import Columns
from fieldrec.store.recovery.chunk_look import ChunkLook
from fieldrec.store.recovery.index_salvage import salvage


def is_spoilt(paths: ChunkPaths) -> bool:
    """Whether the log holds bytes, but no valid record. A header with a flipped bit is put right.

    One that never reached the disk (empty, zeros, half a record) is not spoilt: it tells that no
    frame was promised to be there.
    """
    try:
        data = paths.log.read_bytes()
    except OSError:
        return True
    if len(layout.parse_log(data).positions):
        return False
    records = data[layout.LOG_HEADER.size:]
    whole = layout.log_header() + records
    if len(layout.parse_log(whole).positions):
        durable.write_atomic(paths.log, whole)
        return False
    return len(records) >= layout.LOG_RECORD.size and any(records)


def told(look: ChunkLook) -> Columns:
    """What index or log still tell of a chunk's frames."""
    if look.columns is not None:
        return look.columns
    try:
        return layout.parse_log(look.paths.log.read_bytes()).columns
    except (OSError, ValueError):
        known = salvage(look.data)
        return known.columns if known.has_numbers and known.has_times else Columns.empty()


def logged(paths: ChunkPaths) -> int:
    """How many valid records the log has."""
    return len(layout.parse_log(paths.log.read_bytes()).positions)


def complete_log(paths: ChunkPaths, indexed: Columns) -> None:
    """Put records that the log has lost, and an earlier index still tells, back into it."""
    log = layout.parse_log(paths.log.read_bytes())
    lost = np.setdiff1d(np.arange(len(indexed)), log.positions)
    if len(lost) == 0 or indexed.digests is None:
        return
    positions = np.concatenate([log.positions, lost])
    order = np.argsort(positions, kind="stable")
    columns = _joined(log.columns, indexed.take(lost)).take(order)
    durable.write_atomic(paths.log, layout.log_bytes(layout.Log(positions[order], columns)))


def _joined(first: Columns, second: Columns) -> Columns:
    digests = None
    if first.digests is not None and second.digests is not None:
        digests = np.concatenate([first.digests, second.digests])
    times_s = None
    if first.times_s is not None or second.times_s is not None:
        times_s = np.concatenate([first.seconds(), second.seconds()])
    missing = np.concatenate([_missing(first), _missing(second)])
    return Columns(np.concatenate([first.numbers, second.numbers]),
                   np.concatenate([first.times_ns, second.times_ns]),
                   np.concatenate([first.device_times_ns, second.device_times_ns]),
                   digests, times_s, missing)


def _missing(columns: Columns) -> NDArray[np.uint32]:
    found = columns.missing_before
    return np.zeros(len(columns), np.uint32) if found is None else found
