"""The store format as pure functions between bytes and values: no file is opened here.

A store is what the imgstore package calls a DirectoryImgStore of format npy::

    <recording>/metadata.yaml            the ``__store`` mapping and the user's metadata
                .lock                    while it is written, or after a crash
                000000/000000.npy …      one file per frame, numbered within the chunk
                000000/index.npz         numbers and times; written when the chunk ends
                000000/frames.log        the same, record by record, while the chunk is open
                000000/index.extra.json  extra data, where there is any

Any thread. ``frame_time`` (float seconds) exists only in this file: everywhere else times are
integer nanoseconds since 1970 UTC.

``frames.log``, all integers little-endian. File header, 16 bytes::

    0   8  magic "FRAMELOG"
    8   2  version, 1
    10  2  bytes per record, 48
    12  4  CRC-32 of bytes 0 to 11

Then one record of 48 bytes per frame, in the order of writing::

    0   8  position of the frame in the chunk: its file is ``%06d.npy``
    8   8  frame number, signed: the camera's own count
    16  8  time, signed, ns since 1970 UTC
    24  8  device time, signed, ns by the camera's clock; -1 = it has none
    32  8  XXH3-64 of the pixel bytes, or of the file's bytes where frames are encoded
    40  4  bit 0, what bytes 24 to 31 are: 0 = the device time; 1 = the time in seconds as a
           float64, for frames without device time whose seconds nanoseconds do not say exactly;
           bits 1 to 31: what is missing before this frame (missing.py), 0 = nothing known
    44  4  CRC-32 of bytes 0 to 43 of the record

An all-zero record (what a power cut leaves of an unwritten block) fails its CRC.
"""

from __future__ import annotations

import io
import math
import re
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from fieldrec.store.npz import npy_head, npz_bytes

LOCK_NAME = ".lock"
RESERVE_NAME = ".reserve"
INDEX_NAME = "index.npz"
LOG_NAME = "frames.log"
PLAN_NAME = "frames.plan"
EXTRA_NAME = "index.extra.json"

LOG_MAGIC = b"FRAMELOG"
LOG_VERSION = 1
LOG_HEADER = struct.Struct("<8sHHI")
LOG_RECORD = struct.Struct("<QqqqQII")
_LOG_CRC_AT = LOG_RECORD.size - 4
_LOG_CRC = struct.Struct("<I")
_LOG_DTYPE = np.dtype([("position", "<u8"), ("number", "<i8"), ("time_ns", "<i8"),
                       ("device_time_ns", "<i8"), ("digest", "<u8"), ("flags", "<u4"),
                       ("crc", "<u4")])
_EXACT = 1
_FLOAT, _INTEGER = struct.Struct("<d"), struct.Struct("<q")

NO_DEVICE_TIME = -1
_LARGEST_S = 9.2e9
_INDEX_FIXED_BYTES = 8192
_INDEX_FRAME_BYTES = 44
_SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def seconds_of(times_ns: NDArray[np.int64]) -> NDArray[np.float64]:
    """Epoch seconds nearest to integer nanoseconds: the same double that was turned into them,
    for times since 1971. (`times_ns / 1e9` rounds twice and is off by up to 240 ns.)"""
    return times_ns // 1_000_000_000 + (times_ns % 1_000_000_000) / 1e9


def second_of(time_ns: int) -> float:
    """The same of one time, much faster."""
    return time_ns // 1_000_000_000 + (time_ns % 1_000_000_000) / 1e9


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """What is known of a run of frames besides their pixels: one entry per frame in each array."""

    numbers: NDArray[np.int64]
    times_ns: NDArray[np.int64]
    device_times_ns: NDArray[np.int64]
    """-1 where the camera has no clock."""
    digests: NDArray[np.uint64] | None
    """XXH3-64 of the pixel bytes (of the file's bytes where frames are encoded: png, jpg …); None
    in video stores and in stores that fieldrec did not write."""
    times_s: NDArray[np.float64] | None = None
    """`frame_time` exactly as another program wrote it, where nanoseconds do not say it exactly."""
    missing_before: NDArray[np.uint32] | None = None
    """What is missing before each frame (missing.py); None where nothing is known of that."""

    def seconds(self) -> NDArray[np.float64]:
        """`frame_time` as imgstore's users see it: epoch seconds."""
        return seconds_of(self.times_ns) if self.times_s is None else self.times_s

    def __len__(self) -> int:
        return len(self.numbers)

    def take(self, which: NDArray[Any] | slice) -> Columns:
        """The frames selected by a boolean mask, an array of positions or a slice."""
        digests = None if self.digests is None else self.digests[which]
        times_s = None if self.times_s is None else self.times_s[which]
        missing = None if self.missing_before is None else self.missing_before[which]
        return Columns(self.numbers[which], self.times_ns[which], self.device_times_ns[which],
                       digests, times_s, missing)

    @classmethod
    def empty(cls) -> Columns:
        """No frames."""
        nothing = np.zeros(0, np.int64)
        return cls(nothing, nothing, nothing, np.zeros(0, np.uint64))


@dataclass(frozen=True, slots=True, eq=False)
class Log:
    """The valid records of a frames.log, positions ascending."""

    positions: NDArray[np.int64]
    columns: Columns


# --- frame files -------------------------------------------------------------------------------

def frame_name(position: int) -> str:
    """File name of a frame within its chunk."""
    return f"{position:06d}.npy"


def chunk_name(number: int) -> str:
    """Directory name of a chunk."""
    return f"{number:06d}"


PAGE_BYTES = 4096
"""What O_DIRECT asks of addresses, lengths and offsets on every disk in use."""
LARGE_FRAME_BYTES = 128 * 1024
"""From here on a page of header is at most 3 % more."""


def npy_header(shape: tuple[int, ...], dtype: str) -> bytes:
    """Header of a C-ordered .npy v1.0 file, padded to a multiple of 128 bytes, as numpy does.

    Of large frames to a whole page: the pixels can then be written past the page cache, and the
    page costs little. Readers take up to 10,000 bytes.
    """
    kind = np.dtype(dtype)
    large = math.prod(shape) * kind.itemsize >= LARGE_FRAME_BYTES
    return npy_head(shape, kind, PAGE_BYTES if large else 128)


# --- index.npz ---------------------------------------------------------------------------------

def index_bytes(columns: Columns, store: Mapping[str, Any]) -> bytes:
    """An index.npz: a stored zip of frame_number, frame_time, the ``__store`` keys and our own.

    imgstore reads the first two only. It writes `encoding` None as a pickled object; here it is
    an empty text, so that no reader needs pickle.
    """
    members: dict[str, Any] = {
        "frame_number": columns.numbers.astype(np.int64, copy=False),
        "frame_time": columns.seconds(),
        "frame_time_ns": columns.times_ns.astype(np.int64, copy=False),
        "device_time_ns": columns.device_times_ns.astype(np.int64, copy=False),
    }
    if columns.digests is not None:
        members["frame_digest"] = columns.digests.astype(np.uint64, copy=False)
    if columns.missing_before is not None and columns.missing_before.any():
        members["missing_before"] = columns.missing_before.astype(np.uint32, copy=False)
    for key, value in store.items():
        members[str(key)] = "" if value is None else value
    return npz_bytes(members)


def index_size_bound(chunksize: int) -> int:
    """No index of so many frames is larger, in bytes: what must be kept free for it."""
    return _INDEX_FIXED_BYTES + _INDEX_FRAME_BYTES * chunksize


def parse_index(data: bytes) -> Columns:
    """The frames that an index.npz lists, by fieldrec or by imgstore. ValueError when unusable."""
    try:
        return _columns(index_members(data))
    except Exception as error:  # zipfile and numpy raise a dozen kinds for bad bytes
        raise ValueError(f"unreadable index: {type(error).__name__}: {error}") from error


def index_members(data: bytes) -> dict[str, NDArray[Any]]:
    """The columns in an index.npz as they are stored, unchecked: numbers and times by any program,
    device times and digests by us. Raises whatever zipfile and numpy do for bad bytes."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        there = archive.NameToInfo.keys()
        return {name: _array(archive.read(f"{name}.npy")) for name in _INDEX_MEMBERS
                if f"{name}.npy" in there}


_INDEX_MEMBERS = ("frame_number", "frame_time", "frame_time_ns", "device_time_ns", "frame_digest")
_PLAIN_NPY = re.compile(
    rb"\x93NUMPY\x01\x00..\{'descr': '(<[iuf]8)', 'fortran_order': (?:False|True), "
    rb"'shape': \((\d+),\), \} *\n", re.DOTALL)


def _array(data: bytes) -> NDArray[Any]:
    """An .npy file. numpy evaluates each header as Python, which takes most of the time that
    listing a folder of long recordings takes; what an index normally holds is told by sight."""
    plain_header = _PLAIN_NPY.match(data)
    if plain_header is None:
        other: NDArray[Any] = np.load(io.BytesIO(data), allow_pickle=False)
        return other
    dtype, count = plain_header.groups()
    return np.frombuffer(data, dtype.decode(), int(count), plain_header.end()).copy()


def parse_index_yaml(text: str) -> Columns:
    """The same from the index.yaml that old stores have. ValueError when unusable."""
    try:
        content = yaml.load(text, Loader=_SafeLoader)
        return _columns({name: np.asarray(content[name]) for name in _INDEX_MEMBERS[:2]})
    except Exception as error:
        raise ValueError(f"unreadable index: {type(error).__name__}: {error}") from error


def index_missing(data: bytes, count: int) -> NDArray[np.uint32] | None:
    """What an index.npz of `count` frames tells to be missing before each of them; None where it
    tells nothing, or nothing that could be used."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            found = _array(archive.read("missing_before.npy"))
    except Exception:  # noqa: BLE001 - as in parse_index; most have no such member
        return None
    return found if found.shape == (count,) and found.dtype == np.uint32 else None


def _columns(members: Mapping[str, NDArray[Any]]) -> Columns:
    """Columns of equal length (imgstore too cuts to the shortest) from what an index holds."""
    numbers = _integers(members["frame_number"])
    times_s = np.asarray(members["frame_time"], np.float64)
    times_ns = _integers(members["frame_time_ns"] if "frame_time_ns" in members
                         else _nanoseconds(times_s))
    device_ns = members.get("device_time_ns")
    digests = members.get("frame_digest")
    count = min(len(numbers), len(times_ns))
    if device_ns is None or len(device_ns) < count:
        device_ns = np.full(count, NO_DEVICE_TIME, np.int64)
    if digests is not None and (len(digests) < count or digests.dtype != np.uint64):
        digests = None
    times_ns, times_s = times_ns[:count], times_s[:count]
    exact = len(times_s) == count and np.array_equal(times_s, seconds_of(times_ns))
    return Columns(numbers[:count], times_ns, _integers(device_ns)[:count],
                   None if digests is None else digests[:count],
                   None if exact or len(times_s) < count else times_s)


def _nanoseconds(times_s: NDArray[np.float64]) -> NDArray[np.int64]:
    """Nanoseconds of epoch seconds, whole seconds apart: a product would be off by 120 ns."""
    if not (np.abs(times_s) < _LARGEST_S).all():
        raise ValueError("a time is not finite, or further than 290 years from 1970")
    whole = np.floor(times_s)
    return whole.astype(np.int64) * 1_000_000_000 + np.rint((times_s - whole) * 1e9).astype(
        np.int64)


def _integers(values: NDArray[Any]) -> NDArray[np.int64]:
    if values.ndim != 1 or values.dtype.kind not in "iuf":
        raise ValueError(f"expected numbers, found {values.dtype} of shape {values.shape}")
    if values.dtype.kind == "f":
        if not np.isfinite(values).all():
            raise ValueError("a number or time is not finite")
        values = np.rint(values)
    return values.astype(np.int64)


# --- frames.log --------------------------------------------------------------------------------

def log_header() -> bytes:
    """The first 16 bytes of a frames.log."""
    head = LOG_HEADER.pack(LOG_MAGIC, LOG_VERSION, LOG_RECORD.size, 0)[:-4]
    return head + _LOG_CRC.pack(zlib.crc32(head))


def pack_record(into: bytearray, position: int, number: int, time_ns: int, device_time_ns: int,
                digest: int, exact_s: float | None = None, missing: int = 0) -> None:
    """Fill the 48 bytes of a record. struct.error when a value does not fit.

    `exact_s` is `frame_time` where nanoseconds do not say it exactly; there is room for it only
    where there is no device time. `missing`: the word of missing.py.
    """
    exact = exact_s is not None and device_time_ns == NO_DEVICE_TIME
    if exact:
        device_time_ns = _INTEGER.unpack(_FLOAT.pack(exact_s))[0]
    LOG_RECORD.pack_into(into, 0, position, number, time_ns, device_time_ns, digest,
                         exact | missing << 1, 0)
    _LOG_CRC.pack_into(into, _LOG_CRC_AT, zlib.crc32(into[:_LOG_CRC_AT]))


def log_bytes(log: Log) -> bytes:
    """A whole frames.log of these records."""
    columns = log.columns
    seconds = seconds_of(columns.times_ns)
    rows = np.zeros(len(columns), _LOG_DTYPE)
    rows["position"], rows["number"] = log.positions, columns.numbers
    rows["time_ns"], rows["device_time_ns"] = columns.times_ns, columns.device_times_ns
    if columns.digests is not None:
        rows["digest"] = columns.digests
    if columns.times_s is not None:
        exact = (columns.times_s != seconds) & (columns.device_times_ns == NO_DEVICE_TIME)
        rows["device_time_ns"] = np.where(exact, columns.times_s.view(np.int64),
                                          columns.device_times_ns)
        rows["flags"] = exact
    if columns.missing_before is not None:
        rows["flags"] |= columns.missing_before.astype(np.uint32) << 1
    data = memoryview(rows.tobytes())
    size = LOG_RECORD.size
    rows["crc"] = [zlib.crc32(data[at:at + _LOG_CRC_AT]) for at in range(0, len(data), size)]
    return log_header() + rows.tobytes()


def parse_log(data: bytes) -> Log:
    """The valid records: a cut or torn tail, or a torn record anywhere, costs only itself.

    ValueError when the file was written by another version of the format.
    """
    head = data[:LOG_HEADER.size]
    if len(head) < LOG_HEADER.size or zlib.crc32(head[:-4]) != _LOG_CRC.unpack(head[-4:])[0]:
        return Log(np.zeros(0, np.int64), Columns.empty())  # not even the header reached the disk
    magic, version, record_size, _crc = LOG_HEADER.unpack(head)
    if magic != LOG_MAGIC or version != LOG_VERSION or record_size != LOG_RECORD.size:
        raise ValueError(f"frames.log version {version} is not known; use a newer fieldrec")
    count = (len(data) - LOG_HEADER.size) // LOG_RECORD.size
    records = np.frombuffer(data, _LOG_DTYPE, count, LOG_HEADER.size)
    rows = records[_valid_records(data, records)]
    times_ns, devices_ns = rows["time_ns"].astype(np.int64), rows["device_time_ns"].astype(np.int64)
    times_s = None
    if (exact := rows["flags"] & _EXACT == _EXACT).any():
        times_s = np.where(exact, devices_ns.view(np.float64), seconds_of(times_ns))
        devices_ns[exact] = NO_DEVICE_TIME
    return Log(rows["position"].astype(np.int64),
               Columns(rows["number"].astype(np.int64), times_ns, devices_ns,
                       rows["digest"].astype(np.uint64), times_s,
                       (rows["flags"] >> 1).astype(np.uint32)))


def _valid_records(data: bytes, records: NDArray[Any]) -> list[int]:
    """Places of the records whose CRC is right and whose position goes on upwards."""
    valid = []
    last = -1
    view = memoryview(data)
    for at, (position, crc) in enumerate(zip(records["position"].tolist(), records["crc"].tolist(),
                                             strict=True)):
        start = LOG_HEADER.size + at * LOG_RECORD.size
        if zlib.crc32(view[start:start + _LOG_CRC_AT]) == crc and position > last:
            valid.append(at)
            last = position
    return valid
