"""The public name of `imgstore.index`: ImgStoreIndex, which scripts pass on as `index=`.

fieldrec's readers keep an index of their own that is always right (frame_index); this one is there
for scripts that look into it. Blocking; one thread at a time.
"""

from __future__ import annotations

import logging
import math
import operator
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fieldrec.store import layout
from fieldrec.store.api import sqlite_index
from fieldrec.store.api.imgstore_errors import EmptyStore, WrongArgument
from fieldrec.store.api.sqlite_index import Frames

log = logging.getLogger(__name__)


class ImgStoreIndex:
    """Numbers and times of all frames of a store, by chunk."""

    VERSION = sqlite_index.VERSION

    def __init__(self, frames: Frames, chunk_paths: Iterable[str] = ()) -> None:
        """Of these frames; `chunk_paths` (without extension, one per chunk) go into files only."""
        self._frames = frames
        self._paths = list(chunk_paths) or [f"{chunk:06d}" for chunk in frames.chunks]
        self.frame_count = len(frames.numbers)
        there = self.frame_count > 0
        self.frame_min = float(frames.numbers.min()) if there else math.nan
        self.frame_max = float(frames.numbers.max()) if there else math.nan
        self.frame_time_min = float(frames.times_s.min()) if there else 0.0
        self.frame_time_max = float(frames.times_s.max()) if there else 0.0

    @classmethod
    def new_from_file(cls, path: str | Path) -> ImgStoreIndex:
        """The one in a `.index.sqlite`, whoever wrote it. StoreUnreadable."""
        return cls(sqlite_index.read_index(Path(path)))

    @classmethod
    def new_from_chunks(cls, chunk_n_and_chunk_paths: Iterable[tuple[int, str]]) -> ImgStoreIndex:
        """Of index files, given as (chunk, path without extension). What is missing or unreadable
        is left out with a warning."""
        rows: list[tuple[int, Any, Any]] = []
        chunks: list[tuple[int, str]] = []
        for chunk, path in sorted(chunk_n_and_chunk_paths, key=operator.itemgetter(0)):
            columns = _columns_of(str(path))
            if columns is not None and len(columns):
                chunks.append((chunk, str(path)))
                rows += [(chunk, number, time_s) for number, time_s in zip(
                    columns.numbers.tolist(), columns.seconds().tolist(), strict=True)]
        frames = sqlite_index.frames_of(rows, tuple(chunk for chunk, _ in chunks))
        return cls(frames, [path for _, path in chunks])

    @property
    def chunks(self) -> tuple[int, ...]:
        """Numbers of the chunks that have frames."""
        return self._frames.chunks

    def to_file(self, path: str | Path) -> None:
        """Write it for imgstore's new_from_file, replacing what is there. WriteFailed, DiskFull."""
        sqlite_index.write_index(Path(path), self._frames, self._paths)

    def get_all_metadata(self) -> dict[str, list[Any]]:
        """Numbers and times of all frames, in the order of the store."""
        return frame_metadata(self._frames.numbers, self._frames.times_s)

    def get_chunk_metadata(self, chunk_n: int) -> dict[str, list[Any]]:
        """The same of one chunk; empty lists for one that is not there."""
        span = self._span(chunk_n)
        return frame_metadata(self._frames.numbers[span], self._frames.times_s[span])

    def find_chunk(self, what: str, value: Any) -> tuple[int, int]:
        """(chunk, position in it) of the first frame whose `frame_number` or `frame_time` is
        `value`, or of the frame at that `index`; (-1, -1) without such a frame."""
        if what == "index":
            at = int(value)
            return self._place(at) if 0 <= at < self.frame_count else (-1, -1)
        found = np.flatnonzero(self._column(what) == value)
        return self._place(int(found[0])) if len(found) else (-1, -1)

    def find_chunk_nearest(self, what: str, value: Any) -> tuple[int, int]:
        """(chunk, position in it) of the frame nearest to `value`, the first of equals."""
        if not self.frame_count:
            raise EmptyStore("the index has no frame")
        return self._place(int(np.argmin(np.abs(self._column(what) - value))))

    def _column(self, what: str) -> NDArray[Any]:
        if what not in ("frame_number", "frame_time"):
            raise WrongArgument(f"{what!r} is neither frame_number nor frame_time")
        return self._frames.numbers if what == "frame_number" else self._frames.times_s

    def _span(self, chunk: int) -> slice:
        if chunk not in self._frames.chunks:
            return slice(0, 0)
        at = self._frames.chunks.index(chunk)
        return slice(int(self._frames.starts[at]), int(self._frames.starts[at + 1]))

    def _place(self, index: int) -> tuple[int, int]:
        at = int(np.searchsorted(self._frames.starts, index, side="right")) - 1
        return self._frames.chunks[at], index - int(self._frames.starts[at])


def frame_metadata(numbers: NDArray[Any], times_s: NDArray[np.float64]) -> dict[str, list[Any]]:
    """Both columns as lists of Python numbers, integers where they are whole."""
    listed: list[Any] = numbers.tolist()
    if numbers.dtype.kind == "f":
        listed = [plain_number(number) for number in listed]
    return {"frame_number": listed, "frame_time": times_s.tolist()}


def plain_number(number: float) -> int | float | None:
    """A frame number as imgstore gives it: an int where it is whole, None for NaN."""
    if math.isnan(number):
        return None
    return int(number) if number.is_integer() else number


def _columns_of(path: str) -> layout.Columns | None:
    try:
        if Path(path + ".npz").exists():
            return layout.parse_index(Path(path + ".npz").read_bytes())
        return layout.parse_index_yaml(Path(path + ".yaml").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        log.warning("%s: left out of the index: %s", path, error)
        return None
