"""The chunk of a video store that is being written: one video file and one log record per frame.

Store thread only; the same surface as :class:`fieldrec.store.chunk.OpenChunk`. The file grows under
the name ``000000.open``, which no imgstore reader looks at, and gets its own name when it is whole.
A frame's packet is wholly in the file before its record is in the log: whatever a crash leaves,
:mod:`fieldrec.store.video.repair` verifies it frame by frame (I2). A frame costs what its encoder
costs, and two system calls.
"""

from __future__ import annotations

import contextlib
import os
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fieldrec.core import durable
from fieldrec.core.errors import StoreError
from fieldrec.store import layout
from fieldrec.store.chunk import as_store_error
from fieldrec.store.chunk_paths import ChunkPaths
from fieldrec.store.layout import Columns
from fieldrec.store.video.codec import PictureEncoder, VideoForm
from fieldrec.store.video.file import GrowingVideo


class OpenVideoChunk:
    """One chunk from its first picture to its finished video."""

    def __init__(self, paths: ChunkPaths, chunksize: int, form: VideoForm) -> None:
        """Open the encoder, create the file and its frames.log; nothing is left of them when that
        fails (StoreError, StoreFull). `form`: :func:`fieldrec.store.video.codec.video_form`."""
        self.paths = paths
        self.count = 0
        self.chunksize = chunksize
        self.past_cache = False
        """Has no effect: packets are small, and their pages are written back at leisure."""
        if paths.open_video is None:
            raise ValueError(f"{paths.frames} is not a chunk of a video store")
        self._open_path = paths.open_video
        self._form = form
        self._encoder = PictureEncoder(form)
        self._key_needed = False
        self._finished = False
        self._record = bytearray(layout.LOG_RECORD.size)
        self._numbers = np.empty(chunksize, np.int64)
        self._times_ns = np.empty(chunksize, np.int64)
        self._device_ns = np.empty(chunksize, np.int64)
        self._times_s: NDArray[np.float64] | None = None
        self._log = -1
        self._video: GrowingVideo | None = None
        try:
            self._create()
        except (OSError, StoreError) as error:
            self._undo_create()
            if isinstance(error, OSError):
                raise as_store_error(error, self._open_path) from error
            raise
        except BaseException:
            self.release()
            raise

    def _create(self) -> None:
        self._log = durable.create(self.paths.log)
        head = layout.log_header()
        durable.write(self._log, [head], self.paths.log, len(head))
        self._video = GrowingVideo.create(self._open_path, self._form.container,
                                          self._encoder.track)
        durable.fsync_directory(self.paths.folder)

    def _undo_create(self) -> None:
        made = [path for path, there in ((self._open_path, self._video is not None),
                                         (self.paths.log, self._log >= 0)) if there]
        self.release()
        for path in made:
            with contextlib.suppress(OSError, StoreError):
                durable.unlink(path, missing_ok=True)

    @property
    def full(self) -> bool:
        """Whether the next frame belongs into the next chunk."""
        return self.count >= self.chunksize

    @property
    def columns(self) -> Columns:
        """What is known of the frames so far (views, valid until the next append). No digests:
        what a decoder gives is not what the camera gave."""
        n = self.count
        times_s = None if self._times_s is None else self._times_s[:n]
        return Columns(self._numbers[:n], self._times_ns[:n], self._device_ns[:n], None, times_s)

    def append(self, pixels: NDArray[Any], number: int, time_ns: int, device_time_ns: int,
               time_s: float | None = None) -> int:
        """Encode and write one picture and its record; return the bytes written.

        `pixels`: uint8, grey or BGR, of the store's size; an odd last row or column is not coded.
        On any error the frame is not there: StoreFull when there is no room, StoreError otherwise.
        """
        position = self.count
        video = self._writable()
        self._check(pixels)
        exact_s = None if time_s is None or time_s == layout.second_of(time_ns) else time_s
        try:
            layout.pack_record(self._record, position, number, time_ns, device_time_ns, 0, exact_s)
        except struct.error as error:
            raise StoreError(f"{self.paths.frames}: number {number} or time {time_ns} ns of a "
                             "frame does not fit 64 bits; the camera reports nonsense") from error
        written = self._write(video, position, pixels)
        self._numbers[position] = number
        self._times_ns[position] = time_ns
        self._device_ns[position] = device_time_ns
        self._note_seconds(position, time_ns, time_s)
        self.count = position + 1
        return written + layout.LOG_RECORD.size

    def _writable(self) -> GrowingVideo:
        if self._video is None or self._finished or self._video.ended:
            raise StoreError(f"{self.paths.frames}: the chunk is closed")
        if self.full:
            raise StoreError(f"{self.paths.frames}: the chunk is full")
        return self._video

    def _check(self, pixels: NDArray[Any]) -> None:
        form = self._form
        size = tuple(extent & -2 for extent in pixels.shape[:2])
        colour = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in (1, 3))
        if size != (form.height, form.width) or not colour or pixels.dtype != np.uint8:
            raise StoreError(f"{self.paths.frames}: a frame is {pixels.dtype} {pixels.shape}, the "
                             f"store has uint8 pictures of {form.width} x {form.height}")

    def _write(self, video: GrowingVideo, position: int, pixels: NDArray[Any]) -> int:
        """Packet, then record. What was encoded and is not in the file is missing to all that refer
        to it: the next picture is coded without the ones before it."""
        key, self._key_needed = self._key_needed, True
        packet, is_key = self._encoder.encode(pixels, key)
        if key and not is_key:
            raise StoreError(f"{self.paths.frames}: the encoder gives no key frame")
        path = self._open_path
        try:
            written = video.append(position, packet, is_key)
            try:
                path = self.paths.log
                durable.write(self._log, [self._record], path, len(self._record))
            except BaseException:
                video.take_back(written)
                self._cut_log()
                raise
        except OSError as error:
            raise as_store_error(error, path) from error
        self._key_needed = False
        return written

    def _cut_log(self) -> None:
        """A torn record would shift all that follow."""
        with contextlib.suppress(OSError):
            end = layout.LOG_HEADER.size + self.count * layout.LOG_RECORD.size
            os.ftruncate(self._log, end)
            os.lseek(self._log, end, os.SEEK_SET)

    def _note_seconds(self, position: int, time_ns: int, time_s: float | None) -> None:
        """Keep a time that nanoseconds do not say exactly."""
        exact = time_ns // 1_000_000_000 + time_ns % 1_000_000_000 / 1e9
        if self._times_s is None:
            if time_s is None or time_s == exact:
                return
            self._times_s = np.empty(self.chunksize, np.float64)
            self._times_s[:position] = layout.seconds_of(self._times_ns[:position])
        self._times_s[position] = exact if time_s is None else time_s

    def finish(self) -> None:
        """End the video, sync it and give it its name; no frame can be added then. Idempotent.

        Blocks for a sync; nothing is copied. A chunk without frames gets a black picture, so that
        every reader opens it. StoreFull, StoreError: the frames are there, and it may be tried
        again (it takes about 16 bytes a frame, and a copy of the picture where there is only one).
        SyncFailed: verify by :func:`fieldrec.store.video.repair.mend_video`.
        """
        if self._finished:
            return
        video = self._video
        if video is None:
            raise StoreError(f"{self.paths.frames}: the chunk is closed")
        path = self._open_path
        try:
            if len(video.samples) == 0:
                video.append_blank(*self._encoder.blank())
            video.end()
            path = self.paths.frames
            durable.rename(self._open_path, path)
        except OSError as error:
            raise as_store_error(error, path) from error
        self._finished = True
        video.close()

    def discard_empty(self) -> None:
        """Remove the chunk, which must have no frame in it."""
        self.release()
        paths = self.paths
        for path in (self._open_path, paths.frames, paths.index, paths.log, paths.plan):
            durable.unlink(path, missing_ok=True)

    def release(self) -> None:
        """Close the descriptors, leaving the files as they are. Idempotent."""
        if self._video is not None:
            self._video.close()
            self._video = None
        if self._log >= 0:
            os.close(self._log)
            self._log = -1
