"""One column of a store's index, in memory or in a file, read block by block and searched.

Blocking; one thread at a time. A column in a file is never believed unread: a block counts only
after its digest was checked, when it is first touched, and :class:`TornBlock` says that it did not
match. Single values are read with pread, because a disk that fails under a mapping kills the
process; a whole column is mapped, after all of it was checked.
"""

from __future__ import annotations

import math
import mmap
import os
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import xxhash
from numpy.typing import NDArray

BLOCK_ROWS = 4096
"""Checked at once: 32 KiB, two microseconds."""
_BLOCKS_KEPT = 8
_BLOCKS_AT_ONCE = 32
_SMALLEST, _LARGEST = -2 ** 63, 2 ** 63 - 1


class TornBlock(Exception):
    """The file holds other bytes than were written; it must be made again."""


class Column(Protocol):
    """As many numbers as the store has frames."""

    smallest: int | float
    largest: int | float
    ascends: bool
    """Whether no value is smaller than the one before."""

    def __len__(self) -> int: ...

    def at(self, row: int) -> int | float:
        """One value, as a Python number."""
        ...

    def left(self, value: int | float) -> int:
        """The first row whose value is not below `value`; only where the column ascends."""
        ...

    def rows(self, start: int, stop: int) -> NDArray[Any]:
        """The values of some rows."""
        ...

    def whole(self) -> NDArray[Any]:
        """All values; not to be written to."""
        ...


class MemoryColumn:
    """A column that is in memory."""

    def __init__(self, values: NDArray[Any]) -> None:
        self._values = values
        self._values.flags.writeable = False
        self.ascends = bool((values[1:] >= values[:-1]).all())
        self.smallest = values.min().item() if len(values) else 0
        self.largest = values.max().item() if len(values) else 0

    def __len__(self) -> int:
        return len(self._values)

    def at(self, row: int) -> int | float:
        value: int | float = self._values[row].item()
        return value

    def left(self, value: int | float) -> int:
        sought = comparable(value, self._values.dtype)
        return int(np.searchsorted(self._values, sought)) if sought is not None else (
            len(self) if value > 0 else 0)

    def rows(self, start: int, stop: int) -> NDArray[Any]:
        return self._values[start:stop]

    def whole(self) -> NDArray[Any]:
        return self._values


def comparable(value: int | float, dtype: np.dtype[Any]) -> np.generic | None:
    """The smallest number of this type that is not below `value`; None when it has none, or when
    every one is larger."""
    if dtype.kind == "f":
        try:
            return np.float64(value)
        except OverflowError:
            return None
    if isinstance(value, float):
        if math.isinf(value):
            return None
        value = math.ceil(value)
    return np.int64(value) if _SMALLEST <= value <= _LARGEST else None


class IndexFile:
    """An open file of columns; its descriptor goes when the last column that reads it does."""

    def __init__(self, descriptor: int) -> None:
        """Takes the descriptor over."""
        self._descriptor = descriptor
        self._map: mmap.mmap | None = None

    def read(self, offset: int, size: int) -> bytes:
        """So many bytes, or fewer at the end of the file. TornBlock when they cannot be read."""
        try:
            return os.pread(self._descriptor, size, offset)
        except OSError as error:
            raise TornBlock(f"index: {error.strerror}") from error

    def size(self) -> int:
        """Bytes of the file."""
        return os.fstat(self._descriptor).st_size

    def mapped(self, dtype: np.dtype[Any], count: int, offset: int) -> NDArray[Any]:
        """Part of the file as an array that the kernel reads when it is looked at."""
        if self._map is None:
            self._map = mmap.mmap(self._descriptor, 0, access=mmap.ACCESS_READ)
        return np.frombuffer(self._map, dtype, count, offset)

    def __del__(self, close: Callable[[int], None] = os.close) -> None:
        close(self._descriptor)


class FileColumn:
    """A column that lies in a file, with the first value and the digest of each of its blocks."""

    def __init__(self, file: IndexFile, dtype: np.dtype[Any], count: int, offset: int,
                 firsts: NDArray[Any], digests: NDArray[np.uint64],
                 smallest: int | float, largest: int | float, ascends: bool) -> None:
        self._file, self._dtype, self._count, self._offset = file, dtype, count, offset
        self._firsts, self._digests = firsts, digests
        self.smallest, self.largest, self.ascends = smallest, largest, ascends
        self._kept: dict[int, NDArray[Any]] = {}
        self._whole: NDArray[Any] | None = None

    def __len__(self) -> int:
        return self._count

    def at(self, row: int) -> int | float:
        block, within = divmod(row, BLOCK_ROWS)
        value: int | float = self._block(block)[within].item()
        return value

    def left(self, value: int | float) -> int:
        sought = comparable(value, self._dtype)
        if sought is None:
            return self._count if value > 0 else 0
        block = int(np.searchsorted(self._firsts, sought)) - 1
        if block < 0:
            return 0
        return block * BLOCK_ROWS + int(np.searchsorted(self._block(block), sought))

    def whole(self) -> NDArray[Any]:
        if self._whole is None:
            self._whole = self._checked_whole()
        return self._whole

    def rows(self, start: int, stop: int) -> NDArray[Any]:
        blocks = range(start // BLOCK_ROWS, -(-stop // BLOCK_ROWS))
        parts = [self._block(block)[max(0, start - block * BLOCK_ROWS):stop - block * BLOCK_ROWS]
                 for block in blocks]
        return np.concatenate(parts) if parts else np.zeros(0, self._dtype)

    def _block(self, block: int) -> NDArray[Any]:
        known = self._kept.get(block)
        if known is None:
            data = self._file.read(self._offset + block * BLOCK_ROWS * 8, self._bytes_of(block))
            self._check(block, data)
            known = np.frombuffer(data, self._dtype)
            if len(self._kept) >= _BLOCKS_KEPT:
                del self._kept[next(iter(self._kept))]
            self._kept[block] = known
        return known

    def _checked_whole(self) -> NDArray[Any]:
        """Checked with reads of its own, so that no page is kept for it, then mapped."""
        for first in range(0, len(self._digests), _BLOCKS_AT_ONCE):
            blocks = range(first, min(first + _BLOCKS_AT_ONCE, len(self._digests)))
            data = memoryview(self._file.read(self._offset + first * BLOCK_ROWS * 8,
                                              sum(self._bytes_of(block) for block in blocks)))
            for block in blocks:
                at = (block - first) * BLOCK_ROWS * 8
                self._check(block, data[at:at + self._bytes_of(block)])
        if not self._count:
            return np.zeros(0, self._dtype)
        return self._file.mapped(self._dtype, self._count, self._offset)

    def _bytes_of(self, block: int) -> int:
        return min(BLOCK_ROWS, self._count - block * BLOCK_ROWS) * 8

    def _check(self, block: int, data: bytes | memoryview) -> None:
        if (len(data) != self._bytes_of(block)
                or xxhash.xxh3_64_intdigest(data) != self._digests[block]):
            raise TornBlock(f"index: block {block} is not what was written")
