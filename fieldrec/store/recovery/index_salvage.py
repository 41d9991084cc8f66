"""What is left of an index.npz that cannot be opened: its members one by one, by their checksums.

Pure; any thread. A zip's table of contents lies at its end, so that a cut index cannot be opened
although numbers and times, its first members, are often whole. Each member has a header of its own
with a CRC: what matches it is as good as before.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fieldrec.store.indexing.chunk_index import nanoseconds_of
from fieldrec.store.layout import NO_DEVICE_TIME, Columns, seconds_of

NUMBER_ESTIMATED, TIME_ESTIMATED = "frame_number_estimated", "frame_time_estimated"
"""Members of an index that was rebuilt: one byte per frame, 1 where nobody measured it."""
DIGEST_LATE = "frame_digest_late"
"""Likewise: 1 where the digest is that of the file when the index was rebuilt."""

_FRAME_MEMBERS = frozenset({
    "frame_number", "frame_time", "frame_time_ns", "device_time_ns", "frame_digest",
    "missing_before",
    NUMBER_ESTIMATED, TIME_ESTIMATED, DIGEST_LATE, "_frame_number_before_reindex"})
_LOCAL = struct.Struct("<4s5H3L2H")
_SIGNATURE = b"PK\x03\x04"
_IN_EXTRA = 0xFFFFFFFF
_LARGEST_BYTES = 1 << 30


@dataclass(frozen=True, slots=True, eq=False)
class Salvaged:
    """What an index tells of the frames at positions 0 …."""

    columns: Columns
    has_numbers: bool
    has_times: bool
    number_estimated: NDArray[np.uint8]
    time_estimated: NDArray[np.uint8]
    """1 where what is told was itself an estimate."""
    digest_late: NDArray[np.uint8]
    """1 where a digest was not taken when the frame was recorded."""

    @classmethod
    def nothing(cls) -> Salvaged:
        """No frame is known."""
        flags = np.zeros(0, np.uint8)
        return cls(Columns.empty(), False, False, flags, flags, flags)


def salvage(data: bytes) -> Salvaged:
    """The frames that an index.npz tells of, however damaged it is."""
    members = {name: array for name, array in _arrays(data) if name in _FRAME_MEMBERS}
    if "frame_time" not in members and "frame_time_ns" in members:
        members["frame_time"] = seconds_of(members["frame_time_ns"].astype(np.int64))
    numbers, no_number = _values(members.get("frame_number"))
    times_s, no_time = _values(members.get("frame_time"))
    told = [column for column in (numbers, times_s) if column is not None]
    if not told:
        return Salvaged.nothing()
    count = min(len(column) for column in told)
    columns = _columns(
        members, np.zeros(count, np.int64) if numbers is None else _whole(numbers[:count]),
        np.zeros(count) if times_s is None else times_s[:count].astype(np.float64))
    return Salvaged(columns, numbers is not None, times_s is not None,
                    _flags(members.get(NUMBER_ESTIMATED), no_number, count),
                    _flags(members.get(TIME_ESTIMATED), no_time, count),
                    _flags(members.get(DIGEST_LATE), np.zeros(0, np.bool_), count))


def marks_in(data: bytes, columns: Columns) -> Salvaged:
    """What an index that can be read tells, with its marks of what is estimated."""
    known = salvage(data)
    if len(known.columns) == len(columns):
        return replace(known, columns=columns, has_numbers=True, has_times=True)
    flags = np.zeros(len(columns), np.uint8)
    return Salvaged(columns, True, True, flags, flags, flags)


def store_members(data: bytes) -> dict[str, Any]:
    """The ``__store`` mapping that an index.npz carries, as far as it can be read; a member that
    only pickle could read (imgstore's `encoding` when there is none) is None."""
    return {name: array.tolist() if array is not None else None
            for name, array in _loaded(data) if name not in _FRAME_MEMBERS}


def _values(array: NDArray[Any] | None) -> tuple[NDArray[Any] | None, NDArray[np.bool_]]:
    """A column of numbers, what is not finite in it filled in from its neighbours, and which."""
    if array is None or array.ndim != 1 or array.dtype.kind not in "iuf":
        return None, np.zeros(0, np.bool_)
    missing = ~np.isfinite(array)
    if missing.any():
        at = np.arange(len(array))
        if missing.all():
            return None, np.zeros(0, np.bool_)
        array = np.interp(at, at[~missing], array[~missing])
    return array, missing


def _whole(numbers: NDArray[Any]) -> NDArray[Any]:
    """As int64 where that says the same."""
    whole = numbers.astype(np.int64)
    return whole if np.array_equal(whole, numbers) else numbers.astype(np.float64)


def _columns(members: Mapping[str, NDArray[Any]], numbers: NDArray[Any],
             times_s: NDArray[np.float64]) -> Columns:
    count = len(numbers)
    times_ns = _ours(members.get("frame_time_ns"), np.int64, count)
    if times_ns is None:
        times_ns = nanoseconds_of(times_s)
    devices_ns = _ours(members.get("device_time_ns"), np.int64, count)
    if devices_ns is None:
        devices_ns = np.full(count, NO_DEVICE_TIME, np.int64)
    exact = np.array_equal(times_s, seconds_of(times_ns))
    return Columns(numbers, times_ns, devices_ns,
                   _ours(members.get("frame_digest"), np.uint64, count),
                   None if exact else times_s)


def _ours(array: NDArray[Any] | None, dtype: type[Any], count: int) -> NDArray[Any] | None:
    """A column that only fieldrec writes; None where it is not one value of this type a frame."""
    sound = array is not None and array.dtype == dtype and array.ndim == 1 and len(array) >= count
    return array[:count] if array is not None and sound else None


def _flags(array: NDArray[Any] | None, filled: NDArray[np.bool_], count: int
           ) -> NDArray[np.uint8]:
    """Which values are estimates: so marked in the index, or filled in here."""
    flags = np.zeros(count, np.uint8)
    flags[:min(count, len(filled))] = filled[:count]
    if array is not None and array.shape == (count,) and array.dtype.kind in "uib":
        flags |= array != 0
    return flags


def _arrays(data: bytes) -> Iterator[tuple[str, NDArray[Any]]]:
    return ((name, array) for name, array in _loaded(data) if array is not None)


def _loaded(data: bytes) -> Iterator[tuple[str, NDArray[Any] | None]]:
    """(name, array) of every whole member; None for an array of Python objects."""
    for name, content in _members(data):
        try:
            yield name, np.load(io.BytesIO(content), allow_pickle=False)
        except ValueError as error:
            if "allow_pickle" in str(error):
                yield name, None
        except (OSError, EOFError, SyntaxError, MemoryError):
            continue


def _members(data: bytes) -> Iterator[tuple[str, bytes]]:
    """(name without .npy, bytes) of every stored member whose bytes match its own CRC."""
    at = data.find(_SIGNATURE)
    while 0 <= at <= len(data) - _LOCAL.size:
        member = _member_at(data, at)
        if member is None:
            at = data.find(_SIGNATURE, at + len(_SIGNATURE))
            continue
        name, start, size = member
        yield name.removesuffix(".npy"), data[start:start + size]
        at = data.find(_SIGNATURE, start + size)


def _member_at(data: bytes, at: int) -> tuple[str, int, int] | None:
    """(name, where its bytes begin, how many) of the member whose header lies here."""
    (_, _, _, method, _, _, crc, size, _, name_bytes, extra_bytes) = _LOCAL.unpack_from(data, at)
    start = at + _LOCAL.size + name_bytes + extra_bytes
    if size == _IN_EXTRA:
        size = _long_size(data[start - extra_bytes:start])
    if method != 0 or size > _LARGEST_BYTES or start + size > len(data):
        return None
    if zlib.crc32(data[start:start + size]) != crc:
        return None
    return data[at + _LOCAL.size:start - extra_bytes].decode("utf-8", "replace"), start, size


def _long_size(extra: bytes) -> int:
    """The size in a header's zip64 field, which numpy always writes."""
    if len(extra) >= 12 and extra[:2] == b"\x01\x00":
        return int.from_bytes(extra[4:12], "little")
    return _LARGEST_BYTES + 1
