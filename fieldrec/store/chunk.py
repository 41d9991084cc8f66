"""The chunk that is being written: one directory, one file per frame, one log record per frame.

Store thread only. A frame's file is wholly written before its record, and the index before the log
goes: whatever a crash leaves, the log says what to verify (I2). Nothing is allocated per frame but
the file's name, the digest and what the calls themselves need.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from fieldrec.core import durable
from fieldrec.core.errors import StoreError, StoreFull
from fieldrec.store import layout
from fieldrec.store.layout import Columns


def as_store_error(error: OSError, path: Path) -> StoreError:
    """The operating system's error in our words: StoreFull where more room would cure it."""
    reason = error.strerror or str(error)
    if error.errno in durable.FULL_ERRNOS:
        return StoreFull(f"{path}: {reason}; free space on this disk")
    return StoreError(f"{path}: cannot write: {reason}")


def _aligned(header: bytes) -> bytes | mmap.mmap:
    """The header in memory of its own page where it is whole pages: O_DIRECT asks for it."""
    if len(header) % layout.PAGE_BYTES:
        return header
    page = mmap.mmap(-1, len(header))
    page[:] = header
    return page


class OpenChunk:
    """One chunk from its first frame to its index."""

    def __init__(self, path: Path, chunksize: int, header: bytes, frame_bytes: int) -> None:
        """Create the directory and its frames.log; nothing is left of them when that fails."""
        self.path = path
        self.count = 0
        self.chunksize = chunksize
        self._header = _aligned(header)
        self._frame_bytes = len(header) + frame_bytes
        self.past_cache = True
        """Whether frames are written past the page cache where that can be done."""
        self._can_direct = len(header) % layout.PAGE_BYTES == 0
        self._record = bytearray(layout.LOG_RECORD.size)
        self._numbers = np.empty(chunksize, np.int64)
        self._times_ns = np.empty(chunksize, np.int64)
        self._device_ns = np.empty(chunksize, np.int64)
        self._digests = np.empty(chunksize, np.uint64)
        self._log_path = path / layout.LOG_NAME
        self._log = -1
        try:
            self._create()
        except (OSError, StoreError) as error:
            self._undo_create()
            if isinstance(error, OSError):
                raise as_store_error(error, path) from error
            raise
        except BaseException:
            self.release()
            raise

    def _create(self) -> None:
        durable.make_directory(self.path)
        self._log = durable.create(self._log_path)
        head = layout.log_header()
        durable.write(self._log, [head], self._log_path, len(head))
        durable.fsync_directory(self.path)

    def _undo_create(self) -> None:
        if self._log >= 0:
            self.release()
            with contextlib.suppress(OSError, StoreError):
                durable.unlink(self._log_path, missing_ok=True)
        with contextlib.suppress(OSError, StoreError):
            durable.remove_empty_directory(self.path)

    @property
    def full(self) -> bool:
        """Whether the next frame belongs into the next chunk."""
        return self.count >= self.chunksize

    @property
    def columns(self) -> Columns:
        """What is known of the frames so far (views, valid until the next append)."""
        n = self.count
        return Columns(self._numbers[:n], self._times_ns[:n], self._device_ns[:n],
                       self._digests[:n])

    def append(self, pixels: NDArray[Any], number: int, time_ns: int, device_time_ns: int) -> int:
        """Write one frame and its record; return the bytes written.

        On any error the frame is not there: StoreFull when there is no room, StoreError otherwise.
        """
        position = self.count
        digest = xxhash.xxh3_64_intdigest(pixels.data)
        try:
            layout.pack_record(self._record, position, number, time_ns, device_time_ns, digest)
        except struct.error as error:
            raise StoreError(f"{self.path}: number {number} or time {time_ns} ns of a frame does "
                             "not fit 64 bits; the camera reports nonsense") from error
        path = self.path / layout.frame_name(position)
        self._write_frame(path, pixels)
        self._write_record(path)
        self._numbers[position] = number
        self._times_ns[position] = time_ns
        self._device_ns[position] = device_time_ns
        self._digests[position] = digest
        self.count = position + 1
        return self._frame_bytes + layout.LOG_RECORD.size

    def _write_frame(self, path: Path, pixels: NDArray[Any]) -> None:
        try:
            descriptor = durable.create(path)
        except OSError as error:
            raise as_store_error(error, path) from error
        try:
            try:
                if not (self.past_cache and self._can_direct
                        and self._write_direct(descriptor, path, pixels)):
                    durable.write(descriptor, [self._header, pixels], path, self._frame_bytes)
            finally:
                os.close(descriptor)
        except (OSError, StoreError) as error:
            self._take_back(path)
            if isinstance(error, OSError):
                raise as_store_error(error, path) from error
            raise

    def _write_direct(self, descriptor: int, path: Path, pixels: NDArray[Any]) -> bool:
        """Write past the page cache, which spares copying, page tables and write-back; what is
        not a whole page at the end goes through it. False, the file empty again, where file
        system or memory do not allow it; then it is not tried again in this chunk."""
        if not durable.set_direct(descriptor, True):
            self._can_direct = False
            return False
        whole = self._frame_bytes - self._frame_bytes % layout.PAGE_BYTES
        try:
            if whole == self._frame_bytes:
                durable.write(descriptor, [self._header, pixels], path, whole)
            else:
                flat = pixels.data.cast("B")
                cut = whole - len(self._header)
                durable.write(descriptor, [self._header, flat[:cut]], path, whole)
                durable.set_direct(descriptor, False)
                durable.write(descriptor, [flat[cut:]], path, self._frame_bytes - whole)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            durable.set_direct(descriptor, False)
            os.ftruncate(descriptor, 0)
            os.lseek(descriptor, 0, os.SEEK_SET)
            self._can_direct = False
            return False
        return True

    def _write_record(self, frame: Path) -> None:
        try:
            durable.write(self._log, [self._record], self._log_path, len(self._record))
        except (OSError, StoreError) as error:
            self._take_back(frame)
            with contextlib.suppress(OSError):  # a torn record would shift all that follow
                end = layout.LOG_HEADER.size + self.count * layout.LOG_RECORD.size
                os.ftruncate(self._log, end)
                os.lseek(self._log, end, os.SEEK_SET)
            if isinstance(error, OSError):
                raise as_store_error(error, self._log_path) from error
            raise

    @staticmethod
    def _take_back(frame: Path) -> None:
        """Remove a frame that could not be written; if even that fails, recover removes it."""
        with contextlib.suppress(OSError, StoreError):
            durable.unlink(frame, missing_ok=True)

    def discard_empty(self) -> None:
        """Remove the chunk, which must have no frame in it."""
        self.release()
        durable.unlink(self._log_path, missing_ok=True)
        for path in self.path.iterdir():
            durable.unlink(path)
        durable.remove_empty_directory(self.path)

    def release(self) -> None:
        """Close the log's descriptor, leaving the files as they are. Idempotent."""
        if self._log >= 0:
            os.close(self._log)
            self._log = -1
