"""One frame of a store by its index, with nothing opened but what it needs.

Blocking; any thread; nothing stays open.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from fieldrec.core.errors import StoreDamaged
from fieldrec.store.api.imgstore_errors import FrameMissing, WrongType, frame_error
from fieldrec.store.api.store_reading import open_reader
from fieldrec.store.chunk_paths import ChunkPaths, chunk_paths
from fieldrec.store.directory_frames import DirectoryFrames
from fieldrec.store.metadata import StoreMetadata
from fieldrec.store.reader import StoreReader
from fieldrec.store.tar_frames import place_of


def only_frame(full_path: Any, frame_index: Any) -> NDArray[Any] | None:
    """The frame at this index as it is stored, no encoding decoded; of a video in colour always.

    Where the store has no such frame: FrameMissing of npy, None of other formats, as imgstore.
    Frames of a chunk without index are found by counting. FrameDamaged.
    """
    if isinstance(frame_index, str | bytes) or frame_index is None:
        raise WrongType(f"a frame index is a number, not {frame_index!r}")
    at = int(frame_index)
    with open_reader(Path(full_path).absolute().parent) as reader:
        try:
            pixels = _stored(reader, at)
        except StoreDamaged as error:
            raise frame_error(error) from error
        if pixels is None and not reader.metadata.is_video and reader.metadata.format == "npy":
            raise FrameMissing(f"{reader.path}: there is no frame with index {at}")
        is_video = reader.metadata.is_video and not reader.metadata.is_movie
        return _in_colour(pixels) if is_video and pixels is not None else pixels


def _stored(reader: StoreReader, at: int) -> NDArray[Any] | None:
    if 0 <= at < reader.index.count:
        return reader.read(at)
    return None if at < 0 else _counted(reader, at)


def _counted(reader: StoreReader, at: int) -> NDArray[Any] | None:
    """Where the frame would be if all chunks before its own were full; None without it."""
    metadata = reader.metadata
    number, position = divmod(at, metadata.chunksize)
    chunk = chunk_paths(reader.path, number, metadata.extension)
    if number in reader.index.chunk_numbers:
        return None  # the index of a chunk says how many it has
    if not metadata.is_video:
        path = chunk.frame(position, metadata.format)
        there = path.exists() or place_of(path) is not None
        return DirectoryFrames(metadata).read(chunk, position) if there else None
    return _of_video(metadata, chunk, position) if chunk.frames.exists() else None


def _of_video(metadata: StoreMetadata, chunk: ChunkPaths, position: int) -> NDArray[Any] | None:
    from fieldrec.store.video.frames import VideoFrames

    frames = VideoFrames(metadata)
    try:
        return frames.read(chunk, position)
    except StoreDamaged:  # nothing says that it should have so many
        return None
    finally:
        frames.close()


def _in_colour(pixels: NDArray[Any]) -> NDArray[Any]:
    from fieldrec.store.colour import ensure_color

    return ensure_color(pixels)
