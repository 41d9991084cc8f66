"""The compact index of a store as a file: all numbers and times in one place, column by column.

Blocking; one thread at a time. It is never the truth, only a faster way to it: whoever reads it
compares its chunk table with the chunks' own index files (:mod:`indexing.compact_index`), and every
byte is under a digest that is checked before the byte is used. So it is written without any sync:
what a power cut leaves of it is found out, and made again.

``.frames.index`` in the store's directory; imgstore passes over such a file. All values are
little-endian. Header, 56 bytes::

    0   8  magic "FRAMEIDX"
    8   2  version, 1
    10  2  bytes of this header, 56
    12  4  rows per block, 4096
    16  8  rows: frames of the store
    24  4  chunks in the table
    28  4  columns
    32  8  bytes of the directory
    40  8  XXH3-64 of the directory
    48  8  XXH3-64 of bytes 0 to 47

Then the directory. First 40 bytes for each chunk, ascending::

    0   8  number of the chunk
    8   8  its rows; -1 = its index cannot be understood
    16  8  bytes of its index file
    24  8  modification time of that file, ns; -1 = it may have changed unseen: read it again
    32  8  0 = it has no index, 1 = index.npz, 2 = index.yaml

then 56 bytes for each column::

    0  16  name, padded with zeros: "number", "time_s", … as in :mod:`indexing.frame_index`
    16  8  numpy's name of the type, padded with zeros: every one has 8 bytes
    24  8  where in the file it begins
    32  8  its smallest value
    40  8  its largest
    48  8  1 = no value is smaller than the one before

then 16 bytes for each block of each column: its first value, and the XXH3-64 of its bytes. The
columns follow, each at a multiple of 4096, without gaps within; the file ends with the last.
"""

from __future__ import annotations

import struct
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from fieldrec.store.indexing.chunk_index import ChunkRows
from fieldrec.store.indexing.columns import BLOCK_ROWS, Column, FileColumn, IndexFile, TornBlock
from fieldrec.store.indexing.frame_index import (
    DEVICE_TIME_NS,
    DIGEST,
    NUMBER,
    SORTED,
    TIME_NS,
    TIME_S,
    IndexRows,
)
from fieldrec.store.indexing.sort import Spool, sort
from fieldrec.store.layout import NO_DEVICE_TIME

MAGIC, VERSION = b"FRAMEIDX", 1
HEADER = struct.Struct("<8sHHIQIIQQQ")
CHUNK = np.dtype([("number", "<i8"), ("rows", "<i8"), ("size", "<i8"), ("mtime_ns", "<i8"),
                  ("kind", "<i8")])
NO_INDEX, NPZ, YAML, JOURNAL = range(4)
"""Where a chunk's rows come from. JOURNAL: it may still be open; never in a file."""
UNREADABLE = -1
_COLUMN = np.dtype([("name", "S16"), ("dtype", "S8"), ("offset", "<i8"), ("smallest", "<u8"),
                    ("largest", "<u8"), ("ascends", "<i8")])
_BLOCK = np.dtype([("first", "<u8"), ("digest", "<u8")])
_BLOCK_BYTES = BLOCK_ROWS * 8
_ALIGNED = 4096
_MOST_CHUNKS = 10 ** 8

def rows_of(table: NDArray[Any], columns: dict[str, Column]) -> IndexRows:
    """The columns together with those chunks of the table that have rows."""
    filled = table[table["rows"] > 0]
    starts = np.zeros(len(filled) + 1, np.int64)
    np.cumsum(filled["rows"], out=starts[1:])
    return IndexRows(np.ascontiguousarray(filled["number"]), starts, columns)


# --- reading ------------------------------------------------------------------------------------

def load(file: IndexFile) -> tuple[NDArray[Any], IndexRows]:
    """(chunk table, rows) of the file. TornBlock when it is not one, of another version or torn.

    The columns are not read yet; each block is checked when it is.
    """
    head = file.read(0, HEADER.size)
    if len(head) < HEADER.size:
        raise TornBlock("index: too short")
    (magic, version, header_size, block_rows, count, chunks, columns, size, digest,
     own) = HEADER.unpack(head)
    if (magic, version, header_size, block_rows) != (MAGIC, VERSION, HEADER.size, BLOCK_ROWS):
        raise TornBlock("index: not one of this version")
    if own != xxhash.xxh3_64_intdigest(head[:-8]) or chunks > _MOST_CHUNKS:
        raise TornBlock("index: header torn")
    blocks = -(-count // BLOCK_ROWS)
    if size != chunks * CHUNK.itemsize + columns * (_COLUMN.itemsize + blocks * _BLOCK.itemsize):
        raise TornBlock("index: directory torn")
    directory = file.read(HEADER.size, size)
    if len(directory) < size or xxhash.xxh3_64_intdigest(directory) != digest:
        raise TornBlock("index: directory torn")
    table = np.frombuffer(directory, CHUNK, chunks)
    found = _columns(file, directory[table.nbytes:], columns, count)
    rows = rows_of(table, found)
    if rows.starts[-1] != count or not {NUMBER, TIME_S, TIME_NS} <= found.keys():
        raise TornBlock("index: incomplete")
    return table, rows


def _columns(file: IndexFile, directory: bytes, columns: int, count: int) -> dict[str, Column]:
    entries = np.frombuffer(directory, _COLUMN, columns)
    blocks = np.frombuffer(directory, _BLOCK, offset=entries.nbytes).reshape(columns, -1)
    found: dict[str, Column] = {}
    for entry, own in zip(entries, blocks, strict=True):
        dtype = np.dtype(entry["dtype"].decode())
        if int(entry["offset"]) + count * 8 > file.size() or dtype.itemsize != 8:
            raise TornBlock("index: cut short")
        smallest, largest = (entry[name].view(dtype).item() for name in ("smallest", "largest"))
        found[entry["name"].decode()] = FileColumn(
            file, dtype, count, int(entry["offset"]),
            np.ascontiguousarray(own["first"]).view(dtype), own["digest"],
            smallest, largest, bool(entry["ascends"]))
    return found


# --- writing ------------------------------------------------------------------------------------

class IndexBuilder:
    """Collects the rows chunk by chunk, in temporary files without a name, and writes the file."""

    def __init__(self, directory: Path) -> None:
        """`directory` is where the temporary files lie. OSError."""
        self._directory = directory
        self._table: list[tuple[int, int, int, int, int]] = []
        self._spools: dict[str, Spool] = {}
        self._has_clock, self._has_digests = False, True
        for name, dtype in ((NUMBER, "<i8"), (TIME_S, "<f8"), (TIME_NS, "<i8"),
                            (DEVICE_TIME_NS, "<i8"), (DIGEST, "<u8")):
            self._spools[name] = Spool(np.dtype(dtype), directory)

    def add(self, chunk: Any, rows: ChunkRows | None) -> None:
        """The next chunk (a row of a chunk table) and what its index lists; None: unreadable."""
        count = UNREADABLE if rows is None else len(rows)
        self._table.append((int(chunk["number"]), count, int(chunk["size"]),
                            int(chunk["mtime_ns"]), int(chunk["kind"])))
        if rows is None or not count:
            return
        self._spools[NUMBER].append(rows.numbers)
        self._spools[TIME_S].append(rows.times_s)
        self._spools[TIME_NS].append(rows.times_ns)
        self._has_clock |= rows.device_times_ns is not None
        self._spools[DEVICE_TIME_NS].append(
            np.full(count, NO_DEVICE_TIME) if rows.device_times_ns is None
            else rows.device_times_ns)
        self._has_digests &= rows.digests is not None
        if rows.digests is not None:
            self._spools[DIGEST].append(rows.digests)

    def write(self, descriptor: int) -> None:
        """Write all of it into a new file, the header last. OSError."""
        parts = self._parts()
        table = np.array(self._table, CHUNK)
        count = self._spools[NUMBER].count
        blocks = -(-count // BLOCK_ROWS)
        size = table.nbytes + len(parts) * (_COLUMN.itemsize + blocks * _BLOCK.itemsize)
        entries = np.zeros(len(parts), _COLUMN)
        offset = _aligned(HEADER.size + size)
        described = []
        with open(descriptor, "wb", closefd=False) as file:
            for entry, (name, part) in zip(entries, parts.items(), strict=True):
                file.seek(offset)
                described.append(_write_column(file, part, blocks))
                entry["name"], entry["dtype"] = name.encode(), part.dtype.str.encode()
                entry["offset"], entry["ascends"] = offset, part.ascends
                bounds = np.array([part.smallest, part.largest], part.dtype).view("<u8")
                entry["smallest"], entry["largest"] = bounds
                offset = _aligned(offset + count * 8)
            directory = b"".join([table.tobytes(), entries.tobytes(),
                                  *(blocks_of.tobytes() for blocks_of in described)])
            head = HEADER.pack(MAGIC, VERSION, HEADER.size, BLOCK_ROWS, count, len(table),
                               len(parts), size, xxhash.xxh3_64_intdigest(directory), 0)[:-8]
            file.seek(0)
            file.write(head + struct.pack("<Q", xxhash.xxh3_64_intdigest(head)) + directory)

    def _parts(self) -> dict[str, Spool]:
        """The columns that are written, with those in order beside the ones that are not."""
        for name, (values, order) in SORTED.items():
            if not self._spools[name].ascends and values not in self._spools:
                self._spools[values], self._spools[order] = sort(self._spools[name],
                                                                 self._directory)
        left_out = {*(() if self._has_clock else (DEVICE_TIME_NS,)),
                    *(() if self._has_digests else (DIGEST,))}
        return {name: spool for name, spool in self._spools.items() if name not in left_out}

    def close(self) -> None:
        """Give the temporary files back."""
        for spool in self._spools.values():
            spool.close()

    def __enter__(self) -> IndexBuilder:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()


def _write_column(file: IO[bytes], part: Spool, blocks: int) -> NDArray[Any]:
    """Write the values where the file stands; what the directory says of their blocks."""
    described = np.zeros(blocks, _BLOCK)
    block = 0
    for values in part.pieces():
        data = np.ascontiguousarray(values).data.cast("B")
        for at in range(0, len(data), _BLOCK_BYTES):
            own = data[at:at + _BLOCK_BYTES]
            described[block] = (int.from_bytes(own[:8], "little"),
                                xxhash.xxh3_64_intdigest(own))
            block += 1
        file.write(data)
    return described


def _aligned(offset: int) -> int:
    return -(-offset // _ALIGNED) * _ALIGNED
