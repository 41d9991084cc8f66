"""Read one store, of any kind, or an exported movie as if it were one: numbers and times of all
frames, pixels one frame at a time.

Blocking; one thread at a time. Reads what fieldrec, imgstore and Motif wrote, while it is recorded
too; one bad index costs its own chunk, and ``problems`` says which. Pixels come from a FrameSource
(:mod:`directory_frames`, :mod:`video.frames`), loaded with what it needs when it is needed.
"""

from __future__ import annotations

import datetime
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fieldrec.core.errors import NotFoundError, StoreDamaged
from fieldrec.core.model import FrameSpec
from fieldrec.store.directory_frames import DirectoryFrames
from fieldrec.store.frame_source import FrameSource
from fieldrec.store.indexing.compact_index import open_index
from fieldrec.store.indexing.frame_index import FrameIndex
from fieldrec.store.metadata import METADATA_NAME, StoreMetadata, parse_metadata, store_metadata
from fieldrec.store.movie.movie import Movie, is_movie
from fieldrec.store.spec import frame_spec, spec_at, stored_dtype

_MEASURED_FRAMES = 10_000
"""From which the frame rate is taken where the metadata does not say it."""


@dataclass(frozen=True, slots=True, eq=False)
class StoredFrame:
    """One frame as it was recorded."""

    index: int
    number: int | float
    time_ns: int
    pixels: NDArray[Any]


class StoreReader:
    """One store, or exported movie, opened from its metadata; the index is opened when first
    needed."""

    def __init__(self, path: Path, *, verify: bool = True) -> None:
        """`verify`: what is read is compared with the digest taken when it was recorded, where
        the index has one; a flipped bit is then an error, not a picture.

        NotFoundError without a store there, StoreDamaged when its metadata is unreadable,
        StoreError for frame files of a format that is not known.
        """
        self.path = path
        self._verify = verify
        self._movie = Movie(path) if is_movie(path) else None
        self.metadata, self.user_metadata = _described(path, self._movie)
        self.chunksize = self.metadata.chunksize
        self.uuid = self.metadata.uuid or ""
        self.timezone = self.metadata.timezone_local or "UTC"
        self.created_utc = created_text(self.metadata.created_utc)
        self._source: FrameSource | None = (
            None if self.metadata.is_video else DirectoryFrames(self.metadata))

    # --- what there is --------------------------------------------------------------------------

    @functools.cached_property
    def index(self) -> FrameIndex:
        """Which frames there were when this was first asked, and where they lie."""
        if self._movie is not None:
            return self._movie.index()
        return open_index(self.path, self.metadata)

    @functools.cached_property
    def spec(self) -> FrameSpec:
        """What the frames look like as stored; `nominal_hz` is measured where the metadata is
        silent."""
        if self._movie is not None and self._movie.spec.nominal_hz > 0:
            return self._movie.spec
        return frame_spec(self.metadata, self.user_metadata) or spec_at(
            self.metadata, self.user_metadata, self._measured_hz())

    @property
    def movie(self) -> Movie | None:
        """The exported movie that this is; None of a store."""
        return self._movie

    @property
    def frame_count(self) -> int:
        """Frames in chunks that have a readable index, or a journal."""
        return self.index.count

    @property
    def problems(self) -> tuple[str, ...]:
        """One line per chunk that is missing or cannot be read, and what to do."""
        return self.index.problems

    @property
    def numbers(self) -> NDArray[Any]:
        """The camera's frame numbers, in the order of recording; int64, but for other programs'
        stores with fractional ones."""
        return self.index.numbers

    @property
    def times_ns(self) -> NDArray[np.int64]:
        """Epoch nanoseconds; from `frame_time` (±120 ns) in stores of other programs."""
        return self.index.times_ns

    @property
    def device_times_ns(self) -> NDArray[np.int64]:
        """The camera's own clock; -1 where it has none."""
        return self.index.device_times_ns

    @property
    def digests(self) -> NDArray[np.uint64] | None:
        """XXH3-64 of each frame: of its pixel bytes in npy, of its file in other formats; None
        where some chunk has none."""
        return self.index.digests

    def __len__(self) -> int:
        return self.frame_count

    def _measured_hz(self) -> float:
        times_ns = self.times_ns[:_MEASURED_FRAMES + 1]
        if len(times_ns) < 2:
            return 0.0
        gap_ns = float(np.median(np.diff(times_ns)))
        return 1e9 / gap_ns if gap_ns > 0 else 0.0

    # --- pixels ---------------------------------------------------------------------------------

    def frame_path(self, index: int) -> Path:
        """The file that holds the frame at this index (0 … frame_count - 1); IndexError outside."""
        chunk, position = self.index.locate(index)
        if self.metadata.is_video:
            return chunk.frames
        return chunk.frame(position, self.metadata.format)

    def read(self, index: int, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """The pixels of one frame as they are stored, before any `encoding` is decoded.

        Into `out` (C-contiguous, of the store's shape and dtype) when given: npy is then copied
        nowhere else. Without it, a frame that is not of the store's shape comes as it is. Holds a
        descriptor of video only. StoreDamaged, naming the file, when it is missing, not whole or
        not what was recorded.
        """
        chunk, position = self.index.locate(index)
        digest = self.index.digest_at(index) if self._verify else None
        pixels = self._frames().read(chunk, position, out, digest)
        if out is not None and pixels is not out:
            self._put(index, pixels, out)
            return out
        return pixels

    def decoded(self, index: int) -> NDArray[Any]:
        """The picture of one frame: BGR where the store has an `encoding`, else as :meth:`read`."""
        pixels = self.read(index)
        if self.metadata.encoding is None:
            return pixels
        from fieldrec.store import encodings

        try:
            return encodings.decode(pixels, self.metadata.encoding)
        except ValueError as error:
            raise StoreDamaged(f"{self.frame_path(index)}: {error}") from error

    def _frames(self) -> FrameSource:
        if self._source is None and self._movie is not None:
            self._source = self._movie.frames()
        if self._source is None:  # the decoder is loaded with it
            from fieldrec.store.video.frames import VideoFrames

            self._source = VideoFrames(self.metadata)
        return self._source

    def _put(self, index: int, pixels: NDArray[Any], out: NDArray[Any]) -> None:
        """Copy a frame that was not read into `out`, where it is as the store says: some formats
        leave a last extent of 1 away."""
        shape, dtype = self.metadata.imgshape, stored_dtype(self.metadata)
        if out.shape != shape or out.dtype != dtype or not out.flags.c_contiguous:
            raise ValueError(f"out must be a contiguous {dtype} {shape} array")
        np.copyto(out, self._as_store(index, pixels))

    def _as_store(self, index: int, pixels: NDArray[Any]) -> NDArray[Any]:
        """The frame in the store's own shape. StoreDamaged when it is another's."""
        shape, dtype = self.metadata.imgshape, stored_dtype(self.metadata)
        if pixels.dtype != dtype or _without_one(pixels.shape) != _without_one(shape):
            raise StoreDamaged(f"{self.frame_path(index)}: the frame is {pixels.dtype} "
                               f"{pixels.shape}, the store {dtype} {shape}")
        return pixels.reshape(shape)

    def __iter__(self) -> Iterator[StoredFrame]:
        """Every frame in the order of recording, each with an array of its own."""
        numbers, times_ns = self.numbers, self.times_ns
        for index in range(self.frame_count):
            yield StoredFrame(index, numbers[index].item(), int(times_ns[index]), self.read(index))

    def close(self) -> None:
        """Let go of an open video; a later read opens it again. Idempotent."""
        if self._source is not None:
            self._source.close()

    def __enter__(self) -> StoreReader:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()


# --- metadata, for other readers too ------------------------------------------------------------

def _described(path: Path, movie: Movie | None) -> tuple[StoreMetadata, dict[str, Any]]:
    """(metadata, the user's part) of what is at `path`."""
    if movie is not None:
        return movie.metadata, movie.user_metadata
    store, user = read_metadata(path)
    try:
        return store_metadata(store), user
    except ValueError as error:
        raise StoreDamaged(f"{path / METADATA_NAME}: {error}; the frames beside it are intact"
                           ) from error


def read_metadata(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """(``__store``, user metadata) of the store at `path`. NotFoundError, StoreDamaged."""
    file = path / METADATA_NAME
    try:
        return parse_metadata(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise NotFoundError(f"{path}: no store there (no {METADATA_NAME})") from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise StoreDamaged(f"{file}: {reason}; the frames beside it are intact") from error


def created_text(value: Any) -> str:
    """ISO text of created_utc, which some files carry unquoted, as a YAML time."""
    if isinstance(value, datetime.datetime | datetime.date):
        return value.isoformat()
    return "" if value is None else str(value)


def _without_one(shape: tuple[int, ...]) -> tuple[int, ...]:
    return shape[:2] if shape[2:] == (1,) else shape
