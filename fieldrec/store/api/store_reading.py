"""The reading half of a store object: a place in the store, and images from there or elsewhere.

Blocking for the disk; one thread at a time. A frame that cannot be read costs itself only: the
error names it, and the next call reads the one behind it. Chunks that are missing or damaged are
passed over; :attr:`StoreReading.problems` says which.
"""

from __future__ import annotations

import bisect
import logging
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fieldrec.core.errors import FieldrecError, StoreDamaged
from fieldrec.store.api import sought
from fieldrec.store.api.imgstore_errors import (
    EmptyStore,
    FrameDamaged,
    NoSuchFrame,
    StoreUnreadable,
    WrongArgument,
    frame_error,
    read_error,
)
from fieldrec.store.chunk_paths import chunk_paths
from fieldrec.store.directory_frames import DirectoryFrames
from fieldrec.store.index import plain_number
from fieldrec.store.indexing.frame_index import FrameIndex
from fieldrec.store.metadata import STORE_VERSION, StoreMetadata
from fieldrec.store.reader import StoreReader

log = logging.getLogger(__name__)

_MOST_LOOKED_AT = 1000
"""Missing chunk numbers in a row: more are no recording's."""

Image = tuple[NDArray[Any], tuple[int, float]]
"""(image, (frame number, frame time in seconds)). Stores of other programs may have numbers that
are fractions (float) or NaN (None); nobody else need care."""


def open_reader(path: Path, *, verify: bool = True) -> StoreReader:
    """The reader of the store at `path`. NoStore, StoreUnreadable."""
    try:
        reader = StoreReader(path, verify=verify)
    except FieldrecError as error:
        raise read_error(error) from error
    version = reader.metadata.raw.get("version", STORE_VERSION)
    if version != STORE_VERSION:
        raise StoreUnreadable(f"{path}: store version {version!r} is not known, only "
                              f"{STORE_VERSION}")
    return reader


class StoreReading:
    """A store that is open for reading."""

    def __init__(self, reader: StoreReader, *, mapped: bool, skip_damaged: bool,
                 verify: bool) -> None:
        """`mapped`: npy frames are given as read-only arrays over their files, neither copied nor
        verified. `skip_damaged`: going from image to image passes over what cannot be read.
        `verify`: as `reader` was opened."""
        metadata = reader.metadata
        if mapped and (metadata.is_video or metadata.format != "npy"):
            raise WrongArgument(f"{reader.path}: only npy frames can be mapped, these are "
                                f"{metadata.format}")
        self.frame_number: float = math.nan
        """Of the image that was read last; NaN before."""
        self.frame_time = math.nan
        """imgstore knows it when writing only."""
        self._skip_damaged = skip_damaged
        self._verify = verify
        self._decode = True
        self.place = 0
        """Index of the image that get_next_image gives next."""
        self._met: dict[str, None] = {}
        self._mapped = DirectoryFrames(metadata) if mapped else None
        self._take(reader)

    def _take(self, reader: StoreReader) -> None:
        self.reader = reader
        self.index = self._index_of(reader)
        self._empty = tuple(_empty_chunks(reader, self.index))
        for problem in (*self.index.problems, *self._empty):
            log.warning("%s", problem)

    @staticmethod
    def _index_of(reader: StoreReader) -> FrameIndex:
        try:
            return reader.index
        except FieldrecError as error:
            raise read_error(error) from error

    @property
    def metadata(self) -> StoreMetadata:
        """What the store's metadata.yaml says of it."""
        return self.reader.metadata

    @property
    def user_metadata(self) -> dict[Any, Any]:
        """The user's part of it."""
        return self.reader.user_metadata

    @property
    def image_shape(self) -> tuple[int, ...]:
        """As imgstore has it: of whatever has an encoding (h, w, 3), though the pictures of planar
        YUV are lower by a third."""
        metadata = self.reader.metadata
        return (*metadata.imgshape[:2], 3) if metadata.encoding else metadata.imgshape

    @property
    def frame_count(self) -> int:
        """Frames that there are."""
        return self.index.count

    @property
    def frame_min(self) -> float:
        """The smallest number; NaN without frames, as the largest."""
        return float(self.index.number_min)

    @property
    def frame_max(self) -> float:
        """The largest number."""
        return float(self.index.number_max)

    @property
    def frame_time_min(self) -> float:
        """The earliest time; 0.0 without frames, as the latest."""
        return self.index.time_s_min

    @property
    def frame_time_max(self) -> float:
        """The latest time."""
        return self.index.time_s_max

    @property
    def chunks(self) -> list[int]:
        """Numbers of the chunks that have frames."""
        found: list[int] = self.index.chunk_numbers.tolist()
        return found

    @property
    def problems(self) -> tuple[str, ...]:
        """One line for each chunk and frame that was found missing or damaged so far."""
        return (*self.index.problems, *self._empty, *self._met)

    # --- images ---------------------------------------------------------------------------------

    def get_image(self, number: Any, exact_only: bool, index: Any, out: NDArray[Any] | None
                  ) -> Image:
        """The image at this index where one is given, else of this number, else (`exact_only`
        false) the one nearest to it."""
        if index is not None:
            at = sought.frame_index(index, self.index.count)
        elif exact_only:
            at = self._exact(number)
        else:
            self._need_frames()
            at = self.index.nearest_number(sought.near(number))
        return self.image_at(at, out)

    def _exact(self, number: Any) -> int:
        wanted = sought.number_like(number)
        at = None if wanted is None else self.index.find_number(wanted)
        if at is None:
            raise NoSuchFrame(f"{self.reader.path}: there is no frame with the number {number!r}")
        return at

    def get_nearest_image(self, time_s: Any, out: NDArray[Any] | None) -> Image:
        """The image whose time is nearest."""
        self._need_frames()
        return self.image_at(self.index.nearest_time(sought.near(time_s)), out)

    def _need_frames(self) -> None:
        if not self.index.count:
            raise EmptyStore(f"{self.reader.path}: has no frames, so none is nearest")

    def get_next_image(self, out: NDArray[Any] | None) -> Image:
        """The image behind the last one asked for. EOFError behind the last of all."""
        while True:
            self._need_next()
            try:
                return self.image_at(self.place, out)
            except FrameDamaged as error:
                if not self._skip_damaged:
                    raise
                log.warning("%s; passed over", error)

    def next_number(self) -> int:
        """The number of that image; EOFError alike."""
        self._need_next()
        return self.number_at(self.place)

    def _need_next(self) -> None:
        if self.place >= self.index.count:
            raise EOFError(f"{self.reader.path}: there is no frame behind the last")

    def image_at(self, at: int, out: NDArray[Any] | None) -> Image:
        """The image at an index that there is; the next one is that behind it, even if this one
        cannot be read (FrameDamaged)."""
        self.place = at + 1
        try:
            pixels = self._pixels(at, out)
        except StoreDamaged as error:
            self._met[str(error)] = None
            raise frame_error(error) from error
        number = self.number_at(at)
        self.frame_number = number
        return pixels, (number, self.index.time_s_at(at))

    def _pixels(self, at: int, out: NDArray[Any] | None) -> NDArray[Any]:
        if self._decode and self.reader.metadata.encoding:
            decoded = self.reader.decoded(at)
            if out is None:
                return decoded
            np.copyto(out, decoded)
            return out
        if self._mapped is not None and out is None:
            return self._mapped.mapped(*self.index.locate(at))
        return self.reader.read(at, out)

    def number_at(self, at: int) -> int:
        """The number of the frame at an index that there is; None where it is NaN."""
        number: Any = self.index.number_at(at)
        return number if type(number) is int else plain_number(number)  # type: ignore[return-value]

    def disable_decoding(self) -> None:
        """Give images as they are stored from now on: mosaics, not BGR."""
        self._decode = False

    # --- the store ------------------------------------------------------------------------------

    def refresh(self) -> int:
        """Look at the disk again, where a writer may have added frames; how many more there are.

        The place in the store stays: the next image is that behind the last one read.
        """
        before, chunk, within = self.index.count, -1, 0
        if self.place:
            chunk = self.index.locate(self.place - 1)[0].number
            within = self.place - self._start_of(chunk)
        old = self.reader
        self._take(open_reader(old.path, verify=self._verify))
        old.close()
        there = chunk in self.index.chunk_numbers
        self.place = self._start_of(chunk) + (within if there else 0)
        return self.index.count - before

    def _start_of(self, chunk: int) -> int:
        """Index of the first frame of this chunk, or of the one behind it where it has none."""
        return int(self.index.starts[bisect.bisect_left(self.index.chunk_numbers, chunk)])

    def close(self) -> None:
        """Let go of open files; a later read opens them again. Idempotent."""
        self.reader.close()


def _empty_chunks(reader: StoreReader, index: FrameIndex) -> Iterator[str]:
    """What is to be said of chunks in the middle that are there and have no frames."""
    numbers = index.chunk_numbers
    for before in np.flatnonzero(np.diff(numbers) > 1).tolist():
        first, behind = int(numbers[before]) + 1, int(numbers[before + 1])
        for number in range(first, min(behind, first + _MOST_LOOKED_AT)):
            paths = chunk_paths(reader.path, number, reader.metadata.extension)
            told = any(f"{number:06d}" in problem for problem in index.problems)
            if not told and (paths.index.exists() or paths.index_yaml.exists()):
                yield (f"{paths.frames}: the chunk has no frames; reading goes on behind it "
                       "(imgstore stops there)")


class Images(Iterator[Image]):
    """All images of a store from the first, independent of the place in it. After an error for
    one frame the next call gives the one behind it."""

    def __init__(self, reading: StoreReading, store: object) -> None:
        """`store` is what must not be collected, and so closed, meanwhile."""
        self._reading = reading
        self._store = store
        self._at = 0

    def __next__(self) -> Image:
        reading = self._reading
        place, number = reading.place, reading.frame_number
        reading.place = self._at
        try:
            return reading.get_next_image(None)
        except EOFError:
            raise StopIteration from None
        finally:
            self._at = reading.place
            reading.place, reading.frame_number = place, number
