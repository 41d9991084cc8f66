"""The kinds of chunks that a writer fills, behind one surface: frame files, videos of pixels, and
videos of packets that the camera encoded itself.

What video needs is imported only by stores of video. Store thread.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from fieldrec.core.errors import StoreError
from fieldrec.store import repair
from fieldrec.store.chunk import OpenChunk
from fieldrec.store.chunk_paths import ChunkPaths
from fieldrec.store.frame_files import frame_files
from fieldrec.store.layout import Columns
from fieldrec.store.metadata import StoreMetadata
from fieldrec.store.repair import Mended
from fieldrec.store.video.packet_form import packet_form

if TYPE_CHECKING:
    from fieldrec.store.video.packets_in import PacketStream

WriteIndex = Callable[[Path, bytes], None]


class Chunk(Protocol):
    """A chunk that is being written: OpenChunk or OpenVideoChunk, whose methods say more."""

    paths: ChunkPaths
    past_cache: bool

    @property
    def count(self) -> int:
        """Frames so far."""
        ...

    @property
    def full(self) -> bool:
        """Whether the next frame belongs into the next chunk."""
        ...

    @property
    def columns(self) -> Columns:
        """What is known of the frames so far."""
        ...

    def say_missing(self, word: int) -> None:
        """What is missing before the next frame that will be written (missing.py)."""
        ...

    def append(self, pixels: Any, number: int, time_ns: int, device_time_ns: int,
               time_s: float | None = None, digest: int | None = None, /) -> int:
        """Write one frame and its record; return the bytes written. `pixels`: an array, or, for
        chunks of packets, what :meth:`PacketStream.take` gave. `digest`: of the pixels, where it
        is known; chunks of videos have no use for it."""
        ...

    def finish(self) -> None:
        """Have all frames under their final names. May be tried again."""
        ...

    def discard_empty(self) -> None:
        """Remove the chunk, which must have no frame in it."""
        ...

    def release(self) -> None:
        """Let go of all descriptors, leaving the files as they are. Idempotent."""
        ...


class ChunkKind(Protocol):
    """How the chunks of one store are begun and mended."""

    @property
    def packets(self) -> PacketStream | None:
        """What packets go through before they are written; None in stores of pixels."""
        ...

    @property
    def most_frames(self) -> int:
        """No chunk has more."""
        ...

    @property
    def digest_of(self) -> Callable[[Any], int] | None:
        """The digest of pixels that the index keeps; None where it keeps none, or another."""
        ...

    def begin(self, paths: ChunkPaths) -> Chunk:
        """A new chunk. StoreFull, StoreError, SyncFailed: nothing is left of it."""
        ...

    def mend(self, paths: ChunkPaths, write_index: WriteIndex) -> Mended:
        """Finish a released chunk with the frames that can be verified."""
        ...


def chunk_kind(metadata: StoreMetadata, pixel_format: str = "") -> ChunkKind:
    """The kind that a store with this metadata has, for frames of this format. StoreError where it
    cannot be written."""
    form = packet_form(pixel_format)
    if form is None:
        return VideoChunks(metadata) if metadata.is_video else DirectoryChunks(metadata)
    if metadata.format != form:
        raise StoreError(f"packets of {pixel_format} are recorded as {form}, not as "
                         f"{metadata.format}")
    return PacketChunks(metadata)


class DirectoryChunks:
    """Chunks of frame files."""

    packets = None

    def __init__(self, metadata: StoreMetadata) -> None:
        self._metadata = metadata
        self.most_frames = metadata.chunksize
        self._files = frame_files(metadata)
        self.digest_of = self._files.digest_of

    def begin(self, paths: ChunkPaths) -> OpenChunk:
        """A directory with its log."""
        return OpenChunk(paths, self._metadata.chunksize, self._files)

    def mend(self, paths: ChunkPaths, write_index: WriteIndex) -> Mended:
        """As :func:`repair.mend`."""
        return repair.mend(paths, self._files, self._metadata.raw, write_index=write_index)


class VideoChunks:
    """Chunks of one video each."""

    packets = None
    digest_of = None

    def __init__(self, metadata: StoreMetadata) -> None:
        from fieldrec.store.video.codec import video_form

        self._metadata = metadata
        self.most_frames = metadata.chunksize
        self._form = video_form(metadata)

    def begin(self, paths: ChunkPaths) -> Chunk:
        """An unfinished video with its log."""
        from fieldrec.store.video.chunk import OpenVideoChunk

        return OpenVideoChunk(paths, self._metadata.chunksize, self._form)

    def mend(self, paths: ChunkPaths, write_index: WriteIndex) -> Mended:
        """As :func:`video_repair.mend_video`."""
        from fieldrec.store.video.repair import mend_video

        return mend_video(paths, self._metadata, write_index=write_index)


class PacketChunks:
    """Chunks of one video each, of packets as they come."""

    digest_of = None

    def __init__(self, metadata: StoreMetadata) -> None:
        from fieldrec.store.video.codec import video_form
        from fieldrec.store.video.packets_in import MOST_AFTER_END, PacketStream

        self._metadata = metadata
        self.most_frames = metadata.chunksize + MOST_AFTER_END
        self._form = video_form(metadata)
        self.packets = PacketStream(self._form, metadata.chunksize)

    def begin(self, paths: ChunkPaths) -> Chunk:
        """A log; the video follows with the first packet."""
        from fieldrec.store.video.packet_chunk import OpenPacketChunk

        return OpenPacketChunk(paths, self._metadata.chunksize, self._form)

    def mend(self, paths: ChunkPaths, write_index: WriteIndex) -> Mended:
        """As :func:`video_repair.mend_video`."""
        from fieldrec.store.video.repair import mend_video

        return mend_video(paths, self._metadata, write_index=write_index)
