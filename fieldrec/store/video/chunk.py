"""The chunk of a video store that is being written from pixels: an encoder in front of the file.

Store thread only; the same surface as :class:`fieldrec.store.chunk.OpenChunk`. The file and its log
are :mod:`fieldrec.store.video.coded_chunk`'s. A frame costs what its encoder costs, and two system
calls.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fieldrec.core.errors import StoreError
from fieldrec.store.chunk_paths import ChunkPaths
from fieldrec.store.layout import Columns
from fieldrec.store.video.codec import PictureEncoder, VideoForm
from fieldrec.store.video.coded_chunk import Coded, CodedChunk
from fieldrec.store.video.growth import Track


class OpenVideoChunk:
    """One chunk from its first picture to its finished video."""

    def __init__(self, paths: ChunkPaths, chunksize: int, form: VideoForm) -> None:
        """Open the encoder, create the file and its frames.log; nothing is left of them when that
        fails (StoreError, StoreFull). `form`: :func:`fieldrec.store.video.codec.video_form`."""
        self.paths = paths
        self.chunksize = chunksize
        self.past_cache = False
        """Has no effect: packets are small, and their pages are written back at leisure."""
        self._form = form
        self._encoder = PictureEncoder(form)
        self._key_needed = False
        self._coded = CodedChunk(paths, chunksize, form, self._encoder.track)

    @property
    def count(self) -> int:
        """Frames so far."""
        return self._coded.count

    @property
    def full(self) -> bool:
        """Whether the next frame belongs into the next chunk."""
        return self.count >= self.chunksize

    @property
    def columns(self) -> Columns:
        """As :attr:`CodedChunk.columns`."""
        return self._coded.columns

    def say_missing(self, word: int) -> None:
        """As :meth:`OpenChunk.say_missing`."""
        self._coded.say_missing(word)

    def append(self, pixels: NDArray[Any], number: int, time_ns: int, device_time_ns: int,
               time_s: float | None = None, _digest: int | None = None) -> int:
        """Encode and write one picture and its record; return the bytes written.

        `pixels`: uint8, grey or BGR, of the store's size; an odd last row or column is not coded.
        On any error the frame is not there: StoreFull when there is no room, StoreError otherwise.
        """
        written = self._coded.append(lambda: self._encoded(pixels), number, time_ns,
                                     device_time_ns, time_s)
        self._key_needed = False
        return written

    def _check(self, pixels: NDArray[Any]) -> None:
        form = self._form
        size = tuple(extent & -2 for extent in pixels.shape[:2])
        colour = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in (1, 3))
        if size != (form.height, form.width) or not colour or pixels.dtype != np.uint8:
            raise StoreError(f"{self.paths.frames}: a frame is {pixels.dtype} {pixels.shape}, the "
                             f"store has uint8 pictures of {form.width} x {form.height}")

    def _encoded(self, pixels: NDArray[Any]) -> Coded:
        """What was encoded and is not in the file is missing to all that refer to it: the next
        picture is coded without the ones before it."""
        if self.full:
            raise StoreError(f"{self.paths.frames}: the chunk is full")
        self._check(pixels)
        key, self._key_needed = self._key_needed, True
        packet, is_key = self._encoder.encode(pixels, key)
        if key and not is_key:
            raise StoreError(f"{self.paths.frames}: the encoder gives no key frame")
        return packet, is_key

    def finish(self) -> None:
        """As :meth:`CodedChunk.finish`."""
        self._coded.finish(self._blank)

    def _blank(self) -> tuple[Track, Coded]:
        return self._encoder.track, self._encoder.blank()

    def discard_empty(self) -> None:
        """Remove the chunk, which must have no frame in it."""
        self._coded.discard_empty()

    def release(self) -> None:
        """Close the descriptors, leaving the files as they are. Idempotent."""
        self._coded.release()
