"""An exported movie as what a store's reader needs: metadata, index, extra data, pixels.

Blocking; one thread at a time. Numbers and times are those of the recording, exactly, from the
sidecar or, where that got lost, from the copy that the movie carries; the movie's own timestamps
are not asked. Imports PyAV only when a frame is read.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fieldrec.core.errors import StoreDamaged
from fieldrec.core.model import FrameSpec
from fieldrec.store.chunk_paths import ChunkPaths
from fieldrec.store.indexing.chunk_index import ChunkRows
from fieldrec.store.indexing.compact_index import joined_columns
from fieldrec.store.indexing.frame_index import FrameIndex, IndexRows
from fieldrec.store.layout import seconds_of
from fieldrec.store.metadata import MOVIE_CLASS, StoreMetadata
from fieldrec.store.movie.columns import unpack
from fieldrec.store.movie.content import (
    EXTENSIONS,
    Content,
    content_of,
    sidecar_path,
    unpack_records,
)

if TYPE_CHECKING:
    from fieldrec.store.movie.frames import MovieFrames

log = logging.getLogger(__name__)

_WRONG = (ValueError, TypeError, KeyError, AttributeError, OverflowError)
"""What values of the wrong kind raise."""


def is_movie(path: Path) -> bool:
    """Whether `path` may be an exported movie, by its name: a store is a directory."""
    return path.suffix.lower() in EXTENSIONS and path.is_file()


class Movie:
    """One exported movie, opened from what it tells."""

    def __init__(self, path: Path) -> None:
        """NotFoundError where nothing tells anything of it, StoreDamaged."""
        self.path = path
        self.content: Content = content_of(path)
        for problem in self.content.problems:
            log.warning("%s", problem)
        values = self.content.values
        try:
            self.count = int(values["frame_count"])
            self.pictures = _pictures(values)
            self.metadata: StoreMetadata = self._metadata(values)
            self.user_metadata = _user_metadata(values, self.pictures)
        except _WRONG as error:
            raise self._damaged(error) from error

    @property
    def spec(self) -> FrameSpec:
        """Of the frames as they are read."""
        told = self.content.values["recording"]
        return FrameSpec(self.metadata.imgshape, self.metadata.dtype,
                         str(self.pictures["pixel_format"]), float(told.get("nominal_hz") or 0.0))

    @property
    def is_exact(self) -> bool:
        """Whether frames read are the raw ones, bit for bit."""
        return bool(self.pictures.get("exact"))

    def index(self) -> FrameIndex:
        """Every frame of the movie, in one chunk."""
        columns = self._columns()
        numbers, times_ns = columns["number"], columns["time_ns"]
        rows = ChunkRows(numbers, columns.get("time_s", seconds_of(times_ns)), times_ns,
                         columns.get("device_time_ns"), None)
        chunks = 1 if self.count else 0
        index = IndexRows(np.arange(chunks), np.array([0, self.count][:chunks + 1]),
                          joined_columns([rows]))
        return FrameIndex(self.path, self.metadata.extension, index, only_chunk=self._chunk())

    def frames(self) -> MovieFrames:
        """The pixels."""
        from fieldrec.store.movie.frames import MovieFrames

        return MovieFrames(self.path, self.count, self.metadata, self.pictures)

    def records(self) -> Iterator[dict[str, Any]]:
        """The extra data; `frame_index` of each counts the frames of this movie. StoreDamaged."""
        try:
            places = self._raw_indexes()
            for record in unpack_records(self.content.values.get("extra_data")):
                yield _placed(record, places)
        except _WRONG as error:
            raise self._damaged(error) from error

    def _columns(self) -> dict[str, NDArray[Any]]:
        try:
            frames = self.content.values["frames"]
            packed = frames.get("columns", frames)
            return {name: unpack(packed[name], self.count)
                    for name in ("number", "time_ns", "time_s", "device_time_ns", "index")
                    if name in ("number", "time_ns") or name in packed}
        except _WRONG as error:
            raise self._damaged(error) from error

    def _raw_indexes(self) -> NDArray[np.int64]:
        """Which frame of the raw store each frame was."""
        columns = self._columns()
        if "index" in columns:
            return columns["index"]
        part = self.content.values.get("part") or {}
        return np.arange(self.count) + int(part.get("first_index", 0))

    def _metadata(self, values: Mapping[str, Any]) -> StoreMetadata:
        recording, store = values["recording"], dict(values.get("store") or {})
        shape = tuple(int(extent) for extent in self.pictures["shape"])
        if len(shape) not in (2, 3) or min(shape) < 1 or self.count < 0:
            raise ValueError(f"frames of the shape {list(shape)} are not possible")
        encoding = self.pictures.get("encoding")
        told = {"class": MOVIE_CLASS, "format": str(values.get("codec", "")),
                "imgshape": list(shape), "imgdtype": np.dtype(self.pictures["dtype"]).name,
                "encoding": encoding, "chunksize": max(1, self.count),
                "uuid": str(recording["uuid"]), "created_utc": recording["created_utc"],
                "timezone_local": str(recording["timezone"]), "extension": self.path.suffix}
        return StoreMetadata(
            class_name=MOVIE_CLASS, format=told["format"], imgshape=shape,
            dtype=told["imgdtype"], chunksize=told["chunksize"],
            encoding=str(encoding) if encoding else None, extension=self.path.suffix,
            uuid=told["uuid"] or None, created_utc=told["created_utc"] or None,
            timezone_local=told["timezone_local"] or None, raw={**store, **told})

    def _chunk(self) -> ChunkPaths:
        """The movie as the only chunk of a store."""
        beside = sidecar_path(self.path)
        nothing = self.path.with_name(f".{self.path.name}.none")
        return ChunkPaths(0, self.path, beside, nothing, nothing, nothing, beside, nothing, None)

    def _damaged(self, error: Exception) -> StoreDamaged:
        return StoreDamaged(f"{self.content.origin}: what it tells of the movie is damaged: "
                            f"{error if str(error) else type(error).__name__}")


def _pictures(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """What frames are read as; version 1 did not say it, and had no lossless movies."""
    told = values.get("pictures")
    if isinstance(told, dict):
        return told
    recording = values["recording"]
    shape = [int(extent) for extent in recording["shape"][:2]]
    if str(recording["pixel_format"]).startswith("MONO"):
        return {"shape": shape, "dtype": "uint8", "pixel_format": "MONO8"}
    return {"shape": [*shape, 3], "dtype": "uint8", "pixel_format": "BGR8"}


def _user_metadata(values: Mapping[str, Any], pictures: Mapping[str, Any]) -> dict[str, Any]:
    """The user's, where our own notes of pixels are those of the movie."""
    user: dict[str, Any] = copy.deepcopy(dict(values["user_metadata"]))
    ours = user.get("fieldrec")
    if isinstance(ours, dict) and "pixel_format" in ours:
        ours["pixel_format"] = str(pictures["pixel_format"])
    return user


def _placed(record: dict[str, Any], raw_indexes: NDArray[np.int64]) -> dict[str, Any]:
    at = record.get("frame_index")
    if isinstance(at, int):
        record["frame_index"] = int(np.searchsorted(raw_indexes, at, "right")) - 1
    return record
