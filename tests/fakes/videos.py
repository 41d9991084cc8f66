"""Small videos and video stores made on the spot: every picture is unlike every other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from fieldrec.store.chunk_paths import ChunkPaths, chunk_paths
from fieldrec.store.layout import NO_DEVICE_TIME, Columns, index_bytes
from fieldrec.store.metadata import (
    METADATA_NAME,
    VIDEO_CLASS,
    StoreMetadata,
    metadata_text,
    store_mapping,
    store_metadata,
)

START_NS = 1_700_000_000_000_000_000
_TICKS = 90_000


def picture(number: int, height: int, width: int) -> NDArray[np.uint8]:
    """BGR blocks by chance: pictures of different numbers differ by 80 levels on the average."""
    blocks = np.random.default_rng(number).integers(0, 256, (6, 8, 3), np.uint8)
    rows, columns = np.arange(height) * 6 // height, np.arange(width) * 8 // width
    chosen: NDArray[np.uint8] = blocks[rows][:, columns]
    return chosen


def write_video(path: Path, *, codec: str = "libx264", pixels: str = "yuv420p", first: int = 0,
                frames: int = 60, hz: float | Fraction = 25, size: tuple[int, int] = (48, 64),
                times: Sequence[int] | None = None, gop: int = 25, b_frames: int = 0,
                options: dict[str, str] | None = None,
                container_options: dict[str, str] | None = None) -> Path:
    """Write the pictures from `first` on, of size (h, w), at a constant rate, or at `times` in
    ticks of 1/90000 s."""
    rate = Fraction(hz).limit_denominator(1001)
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream: Any = container.add_stream(codec, rate=rate)
        stream.height, stream.width = size
        stream.pix_fmt = pixels
        stream.options = options or {}
        context = stream.codec_context
        context.gop_size = gop
        if codec.startswith("libx264"):
            context.max_b_frames = b_frames
        if times is not None:
            context.time_base = Fraction(1, _TICKS)
        for number in range(frames):
            frame = _frame(first + number, size, pixels)
            frame.pts = number if times is None else times[number]
            frame.time_base = context.time_base if times is not None else 1 / rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def _frame(number: int, size: tuple[int, int], pixels: str) -> Any:
    if pixels == "gray":
        return av.VideoFrame.from_ndarray(np.ascontiguousarray(picture(number, *size)[..., 1]),
                                          format="gray")
    return av.VideoFrame.from_ndarray(picture(number, *size), format="bgr24")


def copy_packets(source: Path, path: Path, shift: Callable[[int], int] = lambda stamp: stamp,
                 options: dict[str, str] | None = None) -> Path:
    """The same coded pictures in another container, with other times."""
    with av.open(str(source)) as reading, \
            av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream_from_template(reading.streams.video[0])
        for packet in reading.demux(video=0):
            if packet.size:
                packet.pts = None if packet.pts is None else shift(packet.pts)
                packet.dts = None if packet.dts is None else shift(packet.dts)
                packet.stream = stream
                container.mux(packet)
    return path


def opencv_pictures(path: Path) -> list[NDArray[np.uint8]]:
    """Every picture in the order in which OpenCV's VideoCapture gives them, without a seek."""
    return list(_captured(path))


def _captured(path: Path) -> Iterator[NDArray[np.uint8]]:
    import cv2

    capture = cv2.VideoCapture(str(path))
    try:
        while (read := capture.read())[0]:
            yield np.asarray(read[1], np.uint8)
    finally:
        capture.release()


def video_metadata(shape: tuple[int, ...] = (48, 64, 3), extension: str = ".mp4",
                   form: str = "free text", class_name: str = VIDEO_CLASS, chunksize: int = 60,
                   encoding: str | None = None) -> StoreMetadata:
    """Metadata of a video store whose format only a reader knows."""
    return store_metadata(store_mapping(
        shape, "uint8", chunksize=chunksize, timezone="UTC", created_epoch_ns=START_NS,
        uuid="0" * 32, class_name=class_name, form=form, encoding=encoding, extension=extension))


def video_store(root: Path, metadata: StoreMetadata, counts: Sequence[int],
                write: Callable[[Path, int, int], Any]) -> Path:
    """A video store: its metadata, and chunks of so many frames whose videos are made by
    `write(path, first frame, frames)`."""
    root.mkdir()
    (root / METADATA_NAME).write_text(metadata_text(metadata.raw, {}))
    first = 0
    for number, count in enumerate(counts):
        paths = chunk_paths(root, number, metadata.extension)
        write(paths.frames, first, count)
        write_index(paths, metadata, first, count)
        first += count
    return root


def write_index(paths: ChunkPaths, metadata: StoreMetadata, first: int, count: int) -> None:
    """The chunk's index: frame numbers from `first` on, 40 ms apart."""
    numbers = np.arange(first, first + count, dtype=np.int64)
    columns = Columns(numbers, START_NS + numbers * 40_000_000,
                      np.full(count, NO_DEVICE_TIME, np.int64), None)
    paths.index.write_bytes(index_bytes(columns, metadata.raw))
