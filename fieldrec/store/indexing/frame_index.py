"""Which frames a store has, in the order of recording, and where each one lies.

Blocking, for single blocks of an index file at most; one thread at a time. Every question by
number, time or index is answered in O(log n) from columns that need not be in memory
(:mod:`indexing.columns`). Where the file beneath turns out to be torn, it is made again behind the
caller's back; an answer is right or an exception.
"""

from __future__ import annotations

import bisect
import dataclasses
import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from fieldrec.core.errors import NotFoundError, StoreDamaged
from fieldrec.store.chunk_paths import ChunkPaths, chunk_paths
from fieldrec.store.indexing.columns import Column, TornBlock
from fieldrec.store.layout import NO_DEVICE_TIME

T = TypeVar("T")

NUMBER, TIME_S, TIME_NS = "number", "time_s", "time_ns"
DEVICE_TIME_NS, DIGEST = "device_time_ns", "digest"
SORTED = {NUMBER: ("number_sorted", "number_order"), TIME_S: ("time_s_sorted", "time_s_order")}
"""Columns beside one that does not ascend: its values in order, and the row that each is from;
equal values by row."""


@dataclass(frozen=True, slots=True, eq=False)
class IndexRows:
    """What is known of all frames of a store."""

    chunk_numbers: NDArray[np.int64]
    """Of the chunks that have frames, ascending."""
    starts: NDArray[np.int64]
    """Row of each chunk's first frame, and at the end the number of frames."""
    columns: Mapping[str, Column]
    """NUMBER, TIME_S and TIME_NS; DEVICE_TIME_NS and DIGEST where there are any; those in SORTED
    where they are needed."""
    positions: Mapping[int, NDArray[np.int64]] = field(default_factory=dict)
    """By chunk number: where in the chunk each frame lies, where that is not 0, 1, 2 …"""

    open_chunks: frozenset[int] = frozenset()
    """Numbers of those that may still be written to."""

    def same_frames(self, other: IndexRows) -> bool:
        """Whether both list the same chunks with as many frames."""
        return (np.array_equal(self.chunk_numbers, other.chunk_numbers)
                and np.array_equal(self.starts, other.starts))


class FrameIndex:
    """The frames of one store. Its arrays are read-only."""

    def __init__(self, root: Path, extension: str, rows: IndexRows, problems: tuple[str, ...] = (),
                 make_again: Callable[[], IndexRows] | None = None,
                 only_chunk: ChunkPaths | None = None) -> None:
        """`extension` as for :func:`chunk_paths`; `make_again` is called when a column turns out
        to be torn; `only_chunk`: where the single chunk of what is no store lies."""
        self._root, self._extension = root, extension
        self._rows = rows
        self._make_again = make_again
        self._last_paths = only_chunk
        self.problems = problems
        """One line for each chunk that is missing or cannot be read: what, where, what to do."""
        self.chunk_numbers = rows.chunk_numbers
        self.starts = rows.starts
        """Index of each chunk's first frame, and at the end the number of frames."""
        self.count = int(rows.starts[-1])

    def __len__(self) -> int:
        return self.count

    # --- all frames -----------------------------------------------------------------------------

    @property
    def numbers(self) -> NDArray[Any]:
        """Frame numbers: int64, or float64 when some number is fractional."""
        return self._whole(NUMBER)

    @property
    def times_s(self) -> NDArray[np.float64]:
        """`frame_time` as it is stored, and as imgstore shows it."""
        return self._whole(TIME_S)

    @property
    def times_ns(self) -> NDArray[np.int64]:
        """Epoch nanoseconds; from `frame_time` (±120 ns) in stores of other programs."""
        return self._whole(TIME_NS)

    @property
    def device_times_ns(self) -> NDArray[np.int64]:
        """The camera's own clock; -1 where it has none."""
        if DEVICE_TIME_NS in self._rows.columns:
            return self._whole(DEVICE_TIME_NS)
        return np.broadcast_to(np.int64(NO_DEVICE_TIME), (self.count,))

    @property
    def digests(self) -> NDArray[np.uint64] | None:
        """XXH3-64 of each frame; None when some chunk does not have them."""
        return self._whole(DIGEST) if DIGEST in self._rows.columns else None

    @property
    def number_min(self) -> int | float:
        """NaN without frames, as imgstore has it; likewise `number_max`."""
        return self._rows.columns[NUMBER].smallest if self.count else math.nan

    @property
    def number_max(self) -> int | float:
        return self._rows.columns[NUMBER].largest if self.count else math.nan

    @property
    def time_s_min(self) -> float:
        """0.0 without frames, as imgstore has it; likewise `time_s_max`."""
        return float(self._rows.columns[TIME_S].smallest) if self.count else 0.0

    @property
    def time_s_max(self) -> float:
        return float(self._rows.columns[TIME_S].largest) if self.count else 0.0

    @functools.cached_property
    def chunks(self) -> tuple[ChunkPaths, ...]:
        """Those that have frames, ascending. `chunk_numbers` says the same for less."""
        return tuple(self._paths(int(number)) for number in self.chunk_numbers)

    # --- one frame ------------------------------------------------------------------------------

    def locate(self, index: int) -> tuple[ChunkPaths, int]:
        """The chunk in which frame `index` lies, and where in it. IndexError outside 0 … count."""
        if not 0 <= index < self.count:
            raise IndexError(f"{self._root}: no frame {index}, it has {self.count}")
        at = int(np.searchsorted(self.starts, index, side="right")) - 1
        number = int(self.chunk_numbers[at])
        position = int(index - self.starts[at])
        if number in self._rows.positions:
            position = int(self._rows.positions[number][position])
        return self._paths(number), position

    def number_at(self, index: int) -> int | float:
        """The number of one frame, without a look at the others. IndexError outside."""
        return self._at(NUMBER, index)

    def time_s_at(self, index: int) -> float:
        """`frame_time` of one frame. IndexError outside."""
        return float(self._at(TIME_S, index))

    def time_ns_at(self, index: int) -> int:
        """Epoch nanoseconds of one frame. IndexError outside."""
        return int(self._at(TIME_NS, index))

    def digest_at(self, index: int) -> int | None:
        """XXH3-64 of one frame; None when some chunk has none. IndexError outside."""
        return int(self._at(DIGEST, index)) if DIGEST in self._rows.columns else None

    def find_number(self, number: int | float) -> int | None:
        """Index of the first stored frame of this number; None without one."""
        sought = _plain(number)
        return None if sought is None else self._asked(lambda rows: _find(rows, sought))

    def nearest_number(self, number: int | float) -> int:
        """Index of the frame with the nearest number, of several the one stored first.

        NotFoundError without frames; NaN is as near to one as to another.
        """
        return self._nearest(NUMBER, number)

    def nearest_time(self, time_s: int | float) -> int:
        """Index of the frame whose `frame_time` is nearest; otherwise as `nearest_number`."""
        return self._nearest(TIME_S, time_s)

    def _nearest(self, name: str, value: int | float) -> int:
        if not self.count:
            raise NotFoundError(f"{self._root}: has no frames")
        sought = _plain(value)
        return 0 if sought is None else self._asked(lambda rows: _nearest(rows, name, sought))

    def _at(self, name: str, index: int) -> int | float:
        if not 0 <= index < self.count:
            raise IndexError(f"{self._root}: no frame {index}, it has {self.count}")
        return self._asked(lambda rows: rows.columns[name].at(int(index)))

    def _whole(self, name: str) -> NDArray[Any]:
        return self._asked(lambda rows: rows.columns[name].whole())

    def _paths(self, number: int) -> ChunkPaths:
        if self._last_paths is None or self._last_paths.number != number:
            paths = chunk_paths(self._root, number, self._extension)
            if number in self._rows.open_chunks:
                return _as_it_is_now(paths)
            self._last_paths = paths
        return self._last_paths

    def _asked(self, question: Callable[[IndexRows], T]) -> T:
        """The answer, from an index made again when this one is torn."""
        try:
            return question(self._rows)
        except TornBlock as error:
            if self._make_again is None:
                raise StoreDamaged(f"{self._root}: {error}") from error
        rows = self._make_again()
        if not rows.same_frames(self._rows):
            raise StoreDamaged(f"{self._root}: changed while it was read; open it again")
        self._rows = rows
        return question(rows)


def _as_it_is_now(paths: ChunkPaths) -> ChunkPaths:
    """With the video where it lies while it is written."""
    if paths.open_video is None or paths.frames.exists():
        return paths
    return dataclasses.replace(paths, frames=paths.open_video)


# --- looking up ---------------------------------------------------------------------------------

def _plain(value: Any) -> int | float | None:
    """A Python number, whatever kind of number was given; None for NaN."""
    number: int | float = value.item() if isinstance(value, np.generic) else value
    return None if number != number else number


def _in_order(rows: IndexRows, name: str) -> tuple[Column, Column | None]:
    """The column's values in ascending order, and the rows they are from (None: as they come)."""
    column = rows.columns[name]
    if column.ascends:
        return column, None
    values, order = SORTED[name]
    return rows.columns[values], rows.columns[order]


def _find(rows: IndexRows, number: int | float) -> int | None:
    values, order = _in_order(rows, NUMBER)
    at = values.left(number)
    if at == len(values) or values.at(at) != number:
        return None
    return at if order is None else int(order.at(at))


def _nearest(rows: IndexRows, name: str, value: int | float) -> int:
    """Distances are compared as imgstore does, after rounding: among those that come out equal the
    first stored wins, be their values equal or not."""
    values, order = _in_order(rows, name)
    at = values.left(value)

    def distance(row: int) -> int | float:
        return abs(value - values.at(row))

    least = min(distance(row) for row in (at - 1, at) if 0 <= row < len(values))
    first = at
    if at and distance(at - 1) == least:
        first = values.left(values.at(at - 1))
        if first and distance(first - 1) == least:  # rounded to the same: far away from all frames
            first = bisect.bisect_left(range(first), -least, key=lambda row: -distance(row))
    if order is None:
        return first
    last = at + bisect.bisect_right(range(at, len(values)), least, key=distance)
    return int(order.rows(first, last).min())
