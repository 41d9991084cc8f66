"""VideoImgStore: a store object whose frames are in video files.

Blocking; one thread at a time, as all store objects.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from fieldrec.store.api.base_store import ImgStore
from fieldrec.store.api.imgstore_errors import InsertRefused, StoreUnreadable, WrongArgument
from fieldrec.store.api.only_frame import only_frame
from fieldrec.store.api.store_writing import StoreWriting
from fieldrec.store.metadata import DIRECTORY_CLASS, VIDEO_FORMATS, StoreMetadata


class VideoImgStore(ImgStore):
    """A video file per chunk; Motif's are read too."""

    _DEFAULT_CHUNKSIZE: ClassVar[int] = 10_000

    def _open_to_write(self, **options: Any) -> StoreWriting:
        options.setdefault("chunksize", self._DEFAULT_CHUNKSIZE)
        if "imgshape" not in options:
            raise KeyError("imgshape")
        if not self.supports_format(options.get("format", "")):
            raise WrongArgument(f"format {options.get('format')!r} is not known for video; known "
                                f"are {', '.join(self.supported_formats())}")
        return super()._open_to_write(**options)

    def _check_class(self, metadata: StoreMetadata) -> None:
        if metadata.class_name == DIRECTORY_CLASS:
            raise StoreUnreadable(f"{self._basedir}: is a {metadata.class_name}, not a video store")

    @classmethod
    def supported_formats(cls) -> list[str]:
        """Video formats that can be written."""
        return list(VIDEO_FORMATS)

    @classmethod
    def supports_format(cls, fmt: str) -> bool:
        """Whether video can be written in this format; "mjpeg" is an old name of "mjpeg/avi"."""
        return fmt == "mjpeg" or fmt in VIDEO_FORMATS

    @classmethod
    def extract_only_frame(cls, full_path: Any, frame_index: Any, _smd: object = None) -> Any:
        """As :func:`stores.extract_only_frame`; `full_path` is the store's metadata.yaml."""
        return only_frame(full_path, frame_index)

    @property
    def lossless(self) -> bool:
        """False: these codecs lose."""
        return False

    def insert_chunk(self, video_path: str | os.PathLike[str], frame_numbers: Sequence[Any],
                     frame_times: Sequence[Any], move: bool = True) -> None:
        """Make a finished video file, whose pictures have these numbers and times, the next chunk;
        unless `move` it is copied.

        InsertRefused (an AssertionError and a ValueError) when they are not as many, or the file
        is not of the store's kind or has fewer pictures. DiskFull, WriteFailed.
        """
        writing = self._to_write()
        video = Path(video_path)
        extension = writing.metadata.extension
        if len(frame_numbers) != len(frame_times):
            raise InsertRefused(f"{video}: {len(frame_numbers)} numbers for {len(frame_times)} "
                                "times")
        if not video.name.endswith(extension):
            raise InsertRefused(f"{video}: the store's videos are {extension} files")
        from fieldrec.store.video.frames import picture_count

        if picture_count(video) < len(frame_numbers):
            raise InsertRefused(f"{video}: has {picture_count(video)} pictures for "
                                f"{len(frame_numbers)} numbers")
        writing.insert_video(video, frame_numbers, frame_times, move)
