"""Chunks of video stores, made directly: each picture shows its number in eight bars."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fieldrec.store import layout
from fieldrec.store.chunk_paths import chunk_paths
from fieldrec.store.metadata import (
    METADATA_NAME,
    VIDEO_CLASS,
    StoreMetadata,
    metadata_text,
    store_mapping,
    store_metadata,
)
from fieldrec.store.video.chunk import OpenVideoChunk
from fieldrec.store.video.codec import video_form

EXTENSIONS = {"mjpeg/avi": ".avi", "h264/mkv": ".mkv", "avc1/mp4": ".mp4"}
FORMS = tuple(EXTENSIONS)
START_NS = 1_700_000_000_000_000_000
STEP_NS = 40_000_123
BITS = 8


def picture(number: int, shape: tuple[int, ...] = (48, 64)) -> NDArray[np.uint8]:
    """Black bars and white ones: the bits of `number`."""
    image = np.full(shape, 30, np.uint8)
    for bit in range(BITS):
        if number >> bit & 1:
            image[:, bit * shape[1] // BITS:(bit + 1) * shape[1] // BITS] = 220
    return image


def number_in(image: NDArray[Any]) -> int:
    """The number that a picture shows."""
    grey = image if image.ndim == 2 else image.mean(-1)
    height, width = grey.shape
    middle = grey[height // 4:3 * height // 4]
    return sum(int(middle[:, bit * width // BITS + 2:(bit + 1) * width // BITS - 2].mean() > 128)
               << bit for bit in range(BITS))


def new_store(root: Path, form: str, shape: tuple[int, ...] = (48, 64), chunksize: int = 100
              ) -> StoreMetadata:
    """A video store without chunks."""
    root.mkdir(exist_ok=True)
    stored = (shape[0] & -2, shape[1] & -2, *shape[2:])
    mapping = store_mapping(stored, "uint8", chunksize=chunksize, timezone="UTC",
                            created_epoch_ns=START_NS, uuid="ab" * 16, class_name=VIDEO_CLASS,
                            form=form, extension=EXTENSIONS[form])
    (root / METADATA_NAME).write_text(metadata_text(mapping, {"bird": "dove"}))
    return store_metadata(mapping)


def open_chunk(root: Path, metadata: StoreMetadata, number: int = 0) -> OpenVideoChunk:
    """An empty chunk of the store."""
    return OpenVideoChunk(chunk_paths(root, number, metadata.extension), metadata.chunksize,
                          video_form(metadata))


def append(chunk: OpenVideoChunk, numbers: Iterable[int], shape: tuple[int, ...] = (48, 64)
           ) -> None:
    """Pictures of these numbers, each with its own time."""
    for number in numbers:
        chunk.append(picture(number, shape), number, START_NS + number * STEP_NS, -1)


def write_chunk(root: Path, metadata: StoreMetadata, numbers: Iterable[int],
                shape: tuple[int, ...] = (48, 64), chunk: int = 0) -> None:
    """A finished chunk with its index, as a writer leaves it."""
    video = open_chunk(root, metadata, chunk)
    append(video, numbers, shape)
    video.finish()
    video.paths.index.write_bytes(layout.index_bytes(video.columns, metadata.raw))
    video.release()
    video.paths.log.unlink()


def decoded(path: Path) -> list[NDArray[np.uint8]]:
    """Every picture of a video by PyAV, in BGR; their times must be 0, 1, 2 … 25ths of a second."""
    import av
    with av.open(str(path)) as video:
        frames = list(video.decode(video=0))
        assert [round(frame.time * 25, 3) for frame in frames] == list(range(len(frames)))
        return [np.asarray(frame.to_ndarray(format="bgr24"), np.uint8) for frame in frames]


def shown(path: Path) -> list[int]:
    """The numbers that the pictures of a video show."""
    return [number_in(image) for image in decoded(path)]


def pictures_for(count: int) -> int:
    """How many pictures the video of a chunk of so many frames has: one is there twice, and a black
    one where there is none."""
    return {0: 1, 1: 2}.get(count, count)


def indexed(path: Path) -> list[int]:
    """The numbers that an index lists."""
    columns = layout.parse_index(path.read_bytes())
    assert columns.times_ns.tolist() == [START_NS + number * STEP_NS
                                         for number in columns.numbers.tolist()]
    return [int(number) for number in columns.numbers]
