"""Give a video chunk without a log a right index, from its pictures and what is around it.

For what other programs left in a crash and for damage. Blocking, under the store's lock. A video
whose end is missing is written anew from its whole packets, for readers cannot seek in it; what has
no picture at all is put aside. Each step may be killed and done again with the same result.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fieldrec.core import durable
from fieldrec.core.errors import StoreDamaged
from fieldrec.store.chunk_paths import ChunkPaths
from fieldrec.store.metadata import StoreMetadata
from fieldrec.store.picture_checks import problem as picture_problem
from fieldrec.store.recovery.rebuild import FilesFound
from fieldrec.store.video.frames import picture_count
from fieldrec.store.video.repair import end_unlogged
from fieldrec.store.video.structure import structure_of

_MUXERS = {".avi": "avi", ".mkv": "matroska", ".mp4": "mp4"}


@dataclass(frozen=True, slots=True)
class VideoFound:
    """What a chunk's video holds."""

    pictures: int
    """Whole ones, as far as can be told without decoding."""
    rewritten: bool
    """Whether its end was missing and it was written anew."""

    def as_files(self, path: Path, listed: int | None) -> FilesFound:
        """Its pictures as frame files are told: by position, without times.

        A video whose index lists no frame or one (`listed`) has two pictures all the same: readers
        open none without a picture, and imgstore cannot seek in one of a single picture.
        """
        count = self.pictures
        if listed is not None and listed <= 1 and 0 < self.pictures <= 2:
            count = listed
        broken = (path,) if self.pictures == 0 and path.exists() else ()
        return FilesFound(np.arange(count, dtype=np.int64), broken, np.zeros(0, np.int64))


def find_pictures(paths: ChunkPaths, metadata: StoreMetadata) -> VideoFound:
    """Count the pictures of a chunk's video, and make it whole first where its end is missing.

    0 pictures: nothing of it can be read. OSError, StoreFull.
    """
    path = paths.frames
    if paths.open_video is not None and paths.open_video.exists():
        if not path.exists():
            return VideoFound(end_unlogged(paths, metadata), True)
        durable.unlink(paths.open_video)
    try:
        cut = structure_of(path).cut
        pictures = picture_count(path) if path.stat().st_size else 0
    except (StoreDamaged, FileNotFoundError):
        return VideoFound(0, False)
    if not (cut and pictures and path.suffix in _MUXERS):
        return VideoFound(pictures, False)
    return VideoFound(_rewrite(path), True)


def _rewrite(path: Path) -> int:
    """Put the whole packets of a cut video into a new file under its name; how many they are."""
    temporary = path.with_name(f".{path.name}.tmp")
    durable.unlink(temporary, missing_ok=True)
    count = _copy_packets(path, temporary)
    if count == 0:
        durable.unlink(temporary, missing_ok=True)
        return 0
    with temporary.open("rb") as file:
        durable.fsync(file.fileno(), temporary)
    durable.rename(temporary, path)
    return count


def _copy_packets(source: Path, target: Path) -> int:
    """Copy every packet that is whole; whatever a damaged file makes FFmpeg raise ends it."""
    import av

    count = 0
    with av.open(str(source)) as damaged, av.open(
            str(target), "w", format=_MUXERS[source.suffix]) as whole:
        pictures = damaged.streams.video[0]
        stream = whole.add_stream_from_template(pictures)
        for packet in _packets(damaged, pictures):
            if pictures.codec_context.name == "mjpeg" and picture_problem(memoryview(packet)):
                continue
            packet.stream = stream
            whole.mux(packet)
            count += 1
    return count


def _packets(container: Any, stream: Any) -> Any:
    import av

    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except (StopIteration, av.error.FFmpegError):
            return
        if packet.size and packet.dts is not None:
            yield packet
