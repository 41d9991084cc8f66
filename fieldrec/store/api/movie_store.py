"""MovieImgStore: a store object over an exported movie, to be read like the store it was made of.

Blocking; one thread at a time, as all store objects. Numbers and times are the recording's own.
"""

from __future__ import annotations

import os
from typing import Any, ClassVar

from fieldrec.store.api.base_store import ImgStore
from fieldrec.store.api.imgstore_errors import NotWritable, StoreUnreadable, WrongArgument
from fieldrec.store.api.only_frame import only_frame
from fieldrec.store.api.store_writing import StoreWriting
from fieldrec.store.metadata import StoreMetadata


class MovieImgStore(ImgStore):
    """One movie (a slice is a movie); read only."""

    _DEFAULT_CHUNKSIZE: ClassVar[int] = 1

    def _open_to_write(self, **options: Any) -> StoreWriting:
        raise NotWritable(f"{self._basedir}: movies are made by `fieldrec export` and `fieldrec "
                          "transcode`")

    def _check_class(self, metadata: StoreMetadata) -> None:
        if not metadata.is_movie:
            raise StoreUnreadable(f"{self._basedir}: is a {metadata.class_name}, not a movie")

    @classmethod
    def supported_formats(cls) -> list[str]:
        """None: a movie is not written frame by frame."""
        return []

    @classmethod
    def extract_only_frame(cls, full_path: Any, frame_index: Any, _smd: object = None) -> Any:
        """As :func:`stores.extract_only_frame`; `full_path` is the movie, with "metadata.yaml"
        behind it."""
        return only_frame(full_path, frame_index)

    @property
    def full_path(self) -> str:
        """The movie: it has no metadata.yaml."""
        return self._basedir

    @property
    def lossless(self) -> bool:
        """Whether images are those that were recorded, bit for bit."""
        movie = self._to_read().reader.movie
        return movie is not None and movie.is_exact

    def reindex(self) -> None:
        """NotWritable: a movie stays as it was verified."""
        raise NotWritable(f"{self._basedir}: an exported movie is not changed; reindex the store")

    def save_index(self, path: str | os.PathLike[str] | None = None) -> None:
        """As of any store; `path` must be given, a movie has no directory of its own."""
        if not path:
            raise WrongArgument(f"{self._basedir}: say where to write the index of a movie")
        super().save_index(path)
