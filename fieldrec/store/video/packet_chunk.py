"""The chunk of a video store that is being written from a camera's own packets.

Store thread only; the same surface as :class:`fieldrec.store.chunk.OpenChunk`. It begins with a
key picture and ends before one: what comes behind `chunksize` frames still belongs to it until
then (:class:`fieldrec.store.video.packets_in.PacketStream` decides). Readers go by the index, so a
longer chunk is like any other.
"""

from __future__ import annotations

from fieldrec.core.errors import StoreError
from fieldrec.store.chunk_paths import ChunkPaths
from fieldrec.store.layout import Columns
from fieldrec.store.video.codec import PictureEncoder, VideoForm
from fieldrec.store.video.coded_chunk import Coded, CodedChunk
from fieldrec.store.video.growth import Track
from fieldrec.store.video.packets_in import MOST_AFTER_END, Taken


class OpenPacketChunk:
    """One chunk from its first key picture to its finished video."""

    def __init__(self, paths: ChunkPaths, chunksize: int, form: VideoForm) -> None:
        """Create its frames.log; nothing is left when that fails (StoreError, StoreFull). The
        video is created by the first packet, which says how the stream is coded."""
        self.paths = paths
        self.chunksize = chunksize
        self.past_cache = False
        """Has no effect, as for OpenVideoChunk."""
        self._form = form
        self._coded = CodedChunk(paths, chunksize, form)

    @property
    def count(self) -> int:
        """Frames so far."""
        return self._coded.count

    @property
    def track(self) -> Track | None:
        """How it is coded; None before the first packet."""
        return self._coded.track

    @property
    def full(self) -> bool:
        """Whether not even a key picture is waited for any more."""
        return self.count >= self.chunksize + MOST_AFTER_END

    @property
    def columns(self) -> Columns:
        """As :attr:`CodedChunk.columns`."""
        return self._coded.columns

    def say_missing(self, word: int) -> None:
        """As :meth:`OpenChunk.say_missing`."""
        self._coded.say_missing(word)

    def append(self, taken: Taken, number: int, time_ns: int, device_time_ns: int,
               time_s: float | None = None, _digest: int | None = None) -> int:
        """Write one packet and its record; return the bytes written. Errors as for CodedChunk; on
        any the packet is not there."""
        if not isinstance(taken, Taken):
            raise StoreError(f"{self.paths.frames}: pixels for a store of packets")
        if self._coded.track is None:
            self._coded.begin(taken.track)
        return self._coded.append(lambda: (taken.data, taken.key), number, time_ns,
                                  device_time_ns, time_s)

    def finish(self) -> None:
        """As :meth:`CodedChunk.finish`."""
        self._coded.finish(self._blank)

    def _blank(self) -> tuple[Track, Coded]:
        encoder = PictureEncoder(self._form)
        return encoder.track, encoder.blank()

    def discard_empty(self) -> None:
        """Remove the chunk, which must have no frame in it."""
        self._coded.discard_empty()

    def release(self) -> None:
        """Close the descriptors, leaving the files as they are. Idempotent."""
        self._coded.release()
