"""Columns on disk that are larger than memory should be: written row by row, sorted piece by piece.

Blocking; one thread at a time. Temporary files without a name carry the bytes; a few megabytes of
memory are enough for any number of rows.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[Any]

PIECE_ROWS = 1 << 16
"""What is in memory at once: half a megabyte a column."""
_SAMPLED_ROWS = 1 << 8


class Spool:
    """One column on its way into a file."""

    def __init__(self, dtype: np.dtype[Any], directory: Path) -> None:
        """`directory` is where the bytes lie meanwhile. OSError."""
        self.dtype, self.count = dtype, 0
        self.smallest: Any = 0
        self.largest: Any = 0
        self.ascends = True
        self._last: Any = 0
        self._file: IO[bytes] = tempfile.TemporaryFile(dir=directory)  # noqa: SIM115

    def append(self, values: Values) -> None:
        """At least one value. A column of integers becomes one of floats with the first float."""
        if values.dtype.kind == "f" and self.dtype.kind == "i":
            self._become_float()
        values = values.astype(self.dtype, copy=False)
        smallest, largest = values.min().item(), values.max().item()
        self.ascends &= bool((values[1:] >= values[:-1]).all())
        if self.count:
            self.ascends &= bool(values[0] >= self._last)
            smallest, largest = min(smallest, self.smallest), max(largest, self.largest)
        self.smallest, self.largest, self._last = smallest, largest, values[-1].item()
        self.count += len(values)
        self._file.write(np.ascontiguousarray(values).data)

    def _become_float(self) -> None:
        self.dtype = np.dtype("<f8")
        self._last, self.smallest, self.largest = (
            float(value) for value in (self._last, self.smallest, self.largest))
        for at in range(0, self.count * 8, PIECE_ROWS * 8):
            self._file.seek(at)
            integers = np.frombuffer(self._file.read(PIECE_ROWS * 8), "<i8")
            self._file.seek(at)
            self._file.write(integers.astype("<f8").data)

    def pieces(self) -> Iterator[Values]:
        """All values, PIECE_ROWS at a time."""
        self._file.seek(0)
        while data := self._file.read(PIECE_ROWS * 8):
            yield np.frombuffer(data, self.dtype)

    def rows(self, start: int, stop: int) -> Values:
        """Some of the values."""
        self._file.seek(start * 8)
        return np.frombuffer(self._file.read((stop - start) * 8), self.dtype)

    def close(self) -> None:
        """Give the file back."""
        self._file.close()


def in_order(values: Values) -> tuple[Values, Values]:
    """(the values ascending, the row that each is from), equal values by row."""
    order = np.argsort(values, kind="stable")
    return values[order], order


def sort(column: Spool, directory: Path) -> tuple[Spool, Spool]:
    """The same of a column on disk, in spools to be closed by the caller. OSError."""
    values, order = Spool(column.dtype, directory), Spool(np.dtype("<i8"), directory)
    try:
        for sorted_values, rows in _sorted(column, directory):
            values.append(sorted_values)
            order.append(rows)
    except BaseException:
        values.close()
        order.close()
        raise
    return values, order


def _sorted(column: Spool, directory: Path) -> Iterator[tuple[Values, Values]]:
    """Pieces are sorted each for itself, then cut at the same values; what lies between two cuts
    comes from all pieces and is small enough to be sorted in memory."""
    values, rows = Spool(column.dtype, directory), Spool(np.dtype("<i8"), directory)
    try:
        samples = []
        for piece in column.pieces():
            ascending, order = in_order(piece)
            samples.append(ascending[::_SAMPLED_ROWS])
            rows.append(order + values.count)
            values.append(ascending)
        known = np.sort(np.concatenate(samples))
        cuts = np.unique(known[PIECE_ROWS // _SAMPLED_ROWS::PIECE_ROWS // _SAMPLED_ROWS])
        ends = np.array([[0, *np.searchsorted(piece, cuts), len(piece)]
                         for piece in values.pieces()]) + (
            np.arange(len(samples))[:, np.newaxis] * PIECE_ROWS)
        for start, stop in zip(ends.T[:-1], ends.T[1:], strict=True):
            spans = [(first, last) for first, last in zip(start.tolist(), stop.tolist(),
                                                          strict=True) if first < last]
            if spans:
                together, order = in_order(np.concatenate([values.rows(*span) for span in spans]))
                yield together, np.concatenate([rows.rows(*span) for span in spans])[order]
    finally:
        values.close()
        rows.close()
