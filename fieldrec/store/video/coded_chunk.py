"""The chunk of a video store that is being written, from the packet on: a video file that grows and
one log record per frame. Encoding is its caller's matter, if there is any.

Store thread only. The file grows under the name ``000000.open``, which no imgstore reader looks at,
and gets its own name when it is whole. A frame's packet is wholly in the file before its record is
in the log: whatever a crash leaves, :mod:`fieldrec.store.video.repair` verifies it frame by frame
(I2). A frame costs two system calls.
"""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fieldrec.core import durable
from fieldrec.core.errors import StoreError
from fieldrec.store import layout
from fieldrec.store.chunk import as_store_error
from fieldrec.store.chunk_paths import ChunkPaths
from fieldrec.store.layout import Columns
from fieldrec.store.video.codec import VideoForm
from fieldrec.store.video.file import GrowingVideo
from fieldrec.store.video.growth import Track

Coded = tuple[bytes, bool]
"""(packet, whether it is a key frame)."""


class CodedChunk:
    """One chunk from its first packet to its finished video."""

    def __init__(self, paths: ChunkPaths, chunksize: int, form: VideoForm,
                 track: Track | None = None) -> None:
        """Create frames.log and, where the `track` is known already, the file; nothing is left of
        them when that fails (StoreError, StoreFull). `chunksize` is a guess: more frames fit."""
        self.paths = paths
        self.count = 0
        self.track = track
        """None until :meth:`begin`."""
        if paths.open_video is None:
            raise ValueError(f"{paths.frames} is not a chunk of a video store")
        self._open_path = paths.open_video
        self._form = form
        self._released = False
        self._finished = False
        self._record = bytearray(layout.LOG_RECORD.size)
        self._numbers = np.empty(chunksize, np.int64)
        self._times_ns = np.empty(chunksize, np.int64)
        self._device_ns = np.empty(chunksize, np.int64)
        self._times_s: NDArray[np.float64] | None = None
        self._missing_next = 0
        self._missing: dict[int, int] = {}
        """What is missing before some frames, by position."""
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
        if self.track is not None:
            self._create_video(self.track)
        durable.fsync_directory(self.paths.folder)

    def _create_video(self, track: Track) -> None:
        self._video = GrowingVideo.create(self._open_path, self._form.container, track)

    def _undo_create(self) -> None:
        made = [path for path, there in ((self._open_path, self._video is not None),
                                         (self.paths.log, self._log >= 0)) if there]
        self.release()
        for path in made:
            with contextlib.suppress(OSError, StoreError):
                durable.unlink(path, missing_ok=True)

    def begin(self, track: Track) -> None:
        """Create the file, before the first packet. StoreError, StoreFull: as if it had not been
        tried."""
        self._writable_log()
        try:
            self._create_video(track)
            durable.fsync_directory(self.paths.folder)
        except (OSError, StoreError) as error:
            self._undo_begin()
            if isinstance(error, OSError):
                raise as_store_error(error, self._open_path) from error
            raise
        self.track = track

    def _undo_begin(self) -> None:
        if self._video is None:
            return
        self._video.close()
        self._video = None
        with contextlib.suppress(OSError, StoreError):
            durable.unlink(self._open_path, missing_ok=True)

    @property
    def columns(self) -> Columns:
        """What is known of the frames so far (views, valid until the next append). No digests:
        what a decoder gives is not what the camera gave."""
        n = self.count
        times_s = None if self._times_s is None else self._times_s[:n]
        return Columns(self._numbers[:n], self._times_ns[:n], self._device_ns[:n], None, times_s,
                       self._missing_before() if self._missing else None)

    def _missing_before(self) -> NDArray[np.uint32]:
        words = np.zeros(self.count, np.uint32)
        words[list(self._missing)] = list(self._missing.values())
        return words

    def say_missing(self, word: int) -> None:
        """What is missing before the next frame that will be written (missing.py)."""
        self._missing_next = word

    def append(self, code: Callable[[], Coded], number: int, time_ns: int, device_time_ns: int,
               time_s: float | None = None) -> int:
        """Write one packet and its record; return the bytes written.

        `code` gives the packet; it is called when all else is known to be in order. On any error
        the frame is not there: StoreFull when there is no room, StoreError otherwise.
        """
        position = self.count
        video = self._writable()
        exact_s = None if time_s is None or time_s == layout.second_of(time_ns) else time_s
        try:
            layout.pack_record(self._record, position, number, time_ns, device_time_ns, 0, exact_s,
                               self._missing_next)
        except struct.error as error:
            raise StoreError(f"{self.paths.frames}: number {number} or time {time_ns} ns of a "
                             "frame does not fit 64 bits; the camera reports nonsense") from error
        written = self._write(video, position, *code())
        if position == len(self._numbers):
            self._grow()
        self._numbers[position] = number
        self._times_ns[position] = time_ns
        self._device_ns[position] = device_time_ns
        self._note_seconds(position, time_ns, time_s)
        if self._missing_next:
            self._missing[position], self._missing_next = self._missing_next, 0
        self.count = position + 1
        return written + layout.LOG_RECORD.size

    def _writable_log(self) -> None:
        if self._released or self._finished:
            raise StoreError(f"{self.paths.frames}: the chunk is closed")

    def _writable(self) -> GrowingVideo:
        self._writable_log()
        if self._video is None or self._video.ended:
            raise StoreError(f"{self.paths.frames}: the chunk is closed")
        return self._video

    def _write(self, video: GrowingVideo, position: int, packet: bytes, key: bool) -> int:
        """Packet, then record."""
        path = self._open_path
        try:
            written = video.append(position, packet, key)
            try:
                path = self.paths.log
                durable.write(self._log, [self._record], path, len(self._record))
            except BaseException:
                video.take_back(written)
                self._cut_log()
                raise
        except OSError as error:
            raise as_store_error(error, path) from error
        return written

    def _cut_log(self) -> None:
        """A torn record would shift all that follow."""
        with contextlib.suppress(OSError):
            end = layout.LOG_HEADER.size + self.count * layout.LOG_RECORD.size
            os.ftruncate(self._log, end)
            os.lseek(self._log, end, os.SEEK_SET)

    def _grow(self) -> None:
        size = 2 * len(self._numbers)
        self._numbers, self._times_ns, self._device_ns = (
            np.resize(column, size) for column in (self._numbers, self._times_ns, self._device_ns))
        if self._times_s is not None:
            self._times_s = np.resize(self._times_s, size)

    def _note_seconds(self, position: int, time_ns: int, time_s: float | None) -> None:
        """Keep a time that nanoseconds do not say exactly."""
        exact = time_ns // 1_000_000_000 + time_ns % 1_000_000_000 / 1e9
        if self._times_s is None:
            if time_s is None or time_s == exact:
                return
            self._times_s = np.empty(len(self._numbers), np.float64)
            self._times_s[:position] = layout.seconds_of(self._times_ns[:position])
        self._times_s[position] = exact if time_s is None else time_s

    def finish(self, blank: Callable[[], tuple[Track, Coded]]) -> None:
        """End the video, sync it and give it its name; no frame can be added then. Idempotent.

        Blocks for a sync; nothing is copied. A chunk without frames gets the picture that `blank`
        makes, so that every reader opens it. StoreFull, StoreError: the frames are there, and it
        may be tried again (it takes about 16 bytes a frame, and a copy of the picture where there
        is only one). SyncFailed: verify by :func:`fieldrec.store.video.repair.mend_video`.
        """
        if self._finished:
            return
        self._writable_log()
        path = self._open_path
        try:
            video = self._filled(blank)
            video.end()
            path = self.paths.frames
            durable.rename(self._open_path, path)
        except OSError as error:
            raise as_store_error(error, path) from error
        self._finished = True
        video.close()

    def _filled(self, blank: Callable[[], tuple[Track, Coded]]) -> GrowingVideo:
        if self._video is not None and len(self._video.samples):
            return self._video
        track, picture = blank()
        if self._video is None:
            self.begin(track)
        video = self._video
        if video is None:
            raise StoreError(f"{self.paths.frames}: the chunk is closed")
        video.append_blank(*picture)
        return video

    def discard_empty(self) -> None:
        """Remove the chunk, which must have no frame in it."""
        self.release()
        paths = self.paths
        for path in (self._open_path, paths.frames, paths.index, paths.log, paths.plan):
            durable.unlink(path, missing_ok=True)

    def release(self) -> None:
        """Close the descriptors, leaving the files as they are. Idempotent."""
        self._released = True
        if self._video is not None:
            self._video.close()
            self._video = None
        if self._log >= 0:
            os.close(self._log)
            self._log = -1
