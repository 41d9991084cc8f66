"""The chunk that is being written: one directory, one file per frame, one log record per frame.

Store thread only, but for a file that `ahead` writes before its frame's turn; the sync thread may
look at :attr:`OpenChunk.columns`. A frame's file is wholly
written before its record, and the index before the log goes: whatever a crash leaves, the log says
what to verify (I2). Nothing is allocated per frame but the file's name, the digest and what the
calls themselves need.
"""

from __future__ import annotations

import contextlib
import errno
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fieldrec.core import durable
from fieldrec.core.errors import StoreError, StoreFull
from fieldrec.store import layout
from fieldrec.store.ahead import Ahead
from fieldrec.store.chunk_paths import ChunkPaths
from fieldrec.store.frame_files import FrameFiles
from fieldrec.store.layout import Columns


def as_store_error(error: OSError, path: Path | str) -> StoreError:
    """The operating system's error in our words: StoreFull where more room would cure it."""
    reason = error.strerror or str(error)
    if error.errno in durable.FULL_ERRNOS:
        return StoreFull(f"{path}: {reason}; free space on this disk")
    return StoreError(f"{path}: cannot write: {reason}")


class OpenChunk:
    """One chunk of a directory store, from its first frame to its index."""

    def __init__(self, paths: ChunkPaths, chunksize: int, files: FrameFiles) -> None:
        """Create the directory and its frames.log; nothing is left of them when that fails."""
        self.paths = paths
        self.count = 0
        self.chunksize = chunksize
        self.past_cache = True
        """Whether frames are written past the page cache where that can be done."""
        self._files = files
        self._can_direct = files.extension == "npy"
        self._prefix = f"{paths.frames}{os.sep}"
        self._suffix = f".{files.extension}"
        self._record = bytearray(layout.LOG_RECORD.size)
        self._numbers = np.empty(chunksize, np.int64)
        self._times_ns = np.empty(chunksize, np.int64)
        self._device_ns = np.empty(chunksize, np.int64)
        self._digests = np.empty(chunksize, np.uint64)
        self._missing_next = 0
        self._missing: NDArray[np.uint32] | None = None
        """Only where a frame has something to say."""
        self._times_s: NDArray[np.float64] | None = None
        """Only where a frame's seconds are not told by its nanoseconds."""
        self._ahead = Ahead(f"ahead-{paths.frames.parent.name}")
        self._written_ahead: tuple[int, int, str] | None = None
        """Number, time and file of the frame that is being written, or was, before its turn."""
        self._log_path = str(paths.log)
        self._log = -1
        try:
            self._create()
        except (OSError, StoreError) as error:
            self._undo_create()
            if isinstance(error, OSError):
                raise as_store_error(error, paths.frames) from error
            raise
        except BaseException:
            self.release()
            raise

    def _create(self) -> None:
        """Nothing of this needs to be durable sooner than the first frame, and one sync after that
        makes all of it so."""
        durable.make_directory_unsynced(self.paths.frames)
        self._log = durable.create(self._log_path)
        head = layout.log_header()
        durable.write(self._log, [head], self._log_path, len(head))

    def _undo_create(self) -> None:
        if self._log >= 0:
            self.release()
            with contextlib.suppress(OSError, StoreError):
                durable.unlink(self.paths.log, missing_ok=True)
        with contextlib.suppress(OSError, StoreError):
            durable.remove_empty_directory(self.paths.frames)

    @property
    def full(self) -> bool:
        """Whether the next frame belongs into the next chunk."""
        return self.count >= self.chunksize

    @property
    def columns(self) -> Columns:
        """What is known of the frames so far (views; what they hold does not change any more)."""
        n, times_s = self.count, self._times_s
        return Columns(self._numbers[:n], self._times_ns[:n], self._device_ns[:n],
                       self._digests[:n], None if times_s is None else times_s[:n],
                       None if self._missing is None else self._missing[:n])

    # --- frames ---------------------------------------------------------------------------------

    def say_missing(self, word: int) -> None:
        """What is missing before the next frame that will be written (missing.py)."""
        self._missing_next = word

    def append(self, pixels: NDArray[Any], number: int, time_ns: int, device_time_ns: int,
               time_s: float | None = None, digest: int | None = None) -> int:
        """Write one frame and its record; return the bytes written.

        `digest`: what `files.digest_of` gives for these pixels, where it is known already.
        `time_s`: epoch seconds to be shown exactly so where `time_ns` rounds them. On any error
        the frame is not there: StoreFull when there is no room, StoreError otherwise; ValueError
        for pixels that the format cannot hold.
        """
        position = self.count
        files = self._files
        buffers, total = files.buffers(pixels)
        if digest is None:
            digest = files.digest(pixels, buffers)
        exact_s = None if time_s is None or time_s == layout.second_of(time_ns) else time_s
        try:
            layout.pack_record(self._record, position, number, time_ns, device_time_ns, digest,
                               exact_s, self._missing_next)
        except struct.error as error:
            raise StoreError(f"{self.paths.frames}: number {number} or time {time_ns} ns of a "
                             "frame does not fit 64 bits; the camera reports nonsense") from error
        path = f"{self._prefix}{position:06d}{self._suffix}"
        if self._written_ahead is None or not self._take_ahead(number, time_ns, path):
            self._write_frame(path, buffers, total)
        self._write_record(path)
        self._numbers[position] = number
        self._times_ns[position] = time_ns
        self._device_ns[position] = device_time_ns
        self._digests[position] = digest
        if self._missing_next:
            self._note_missing(position)
        if exact_s is not None or self._times_s is not None:
            self._note_seconds(position, layout.second_of(time_ns) if exact_s is None else exact_s)
        self.count = position + 1
        return total + layout.LOG_RECORD.size

    def _note_missing(self, position: int) -> None:
        if self._missing is None:
            self._missing = np.zeros(self.chunksize, np.uint32)
        self._missing[position], self._missing_next = self._missing_next, 0

    def write_ahead(self, pixels: NDArray[Any], number: int, time_ns: int) -> None:
        """Begin to write the frame that comes after the next one. Its pixels must stay as they are
        until it, or another in its place, has been appended: what goes wrong shows then."""
        position = self.count + 1
        if (self._written_ahead is not None or position >= self.chunksize
                or not (self._can_direct and self.past_cache)):
            return
        buffers, total = self._files.buffers(pixels)
        if len(buffers[0]) % layout.PAGE_BYTES:
            return  # a small frame: passing it on costs more than writing it
        path = f"{self._prefix}{position:06d}{self._suffix}"
        self._written_ahead = number, time_ns, path
        self._ahead.begin(lambda: self._write_frame(path, buffers, total))

    def _take_ahead(self, number: int, time_ns: int, path: str) -> bool:
        """Whether this frame's file has been written; one that was for another frame is removed."""
        if self._written_ahead is None or path != self._written_ahead[2]:
            return False  # its turn comes next
        is_it = self._written_ahead[:2] == (number, time_ns)
        failed = self._end_ahead()
        if failed is None and not is_it:
            _take_back(path)
        return failed is None and is_it

    def _end_ahead(self) -> Exception | None:
        """Wait until nothing is written ahead any more; what went wrong (and left no file)."""
        self._written_ahead = None
        return self._ahead.wait()

    def _drop_ahead(self) -> None:
        """Nothing comes after the frames there are."""
        if self._written_ahead is not None:
            path = self._written_ahead[2]
            if self._end_ahead() is None:
                _take_back(path)

    def _note_seconds(self, position: int, time_s: float) -> None:
        if self._times_s is None:
            times_s = np.empty(self.chunksize, np.float64)
            times_s[:position] = layout.seconds_of(self._times_ns[:position])
            self._times_s = times_s
        self._times_s[position] = time_s

    def _write_frame(self, path: str, buffers: list[Any], total: int) -> None:
        try:
            descriptor = durable.create(path)
        except OSError as error:
            raise as_store_error(error, path) from error
        try:
            try:
                if not (self._can_direct and self.past_cache
                        and len(buffers[0]) % layout.PAGE_BYTES == 0
                        and self._write_direct(descriptor, path, buffers, total)):
                    durable.write(descriptor, buffers, path, total)
            finally:
                os.close(descriptor)
        except (OSError, StoreError) as error:
            _take_back(path)
            if isinstance(error, OSError):
                raise as_store_error(error, path) from error
            raise

    def _write_direct(self, descriptor: int, path: str, buffers: list[Any], total: int) -> bool:
        """Write past the page cache, which spares copying, page tables and write-back; what is
        not a whole page at the end goes through it. False, the file empty again, where file
        system or memory do not allow it; then it is not tried again in this chunk."""
        if not durable.set_direct(descriptor, True):
            self._can_direct = False
            return False
        whole = total - total % layout.PAGE_BYTES
        try:
            if whole == total:
                durable.write(descriptor, buffers, path, whole)
            else:
                header, pixels = buffers
                flat = pixels.data.cast("B")
                cut = whole - len(header)
                durable.write(descriptor, [header, flat[:cut]], path, whole)
                durable.set_direct(descriptor, False)
                durable.write(descriptor, [flat[cut:]], path, total - whole)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            durable.set_direct(descriptor, False)
            os.ftruncate(descriptor, 0)
            os.lseek(descriptor, 0, os.SEEK_SET)
            self._can_direct = False
            return False
        return True

    def _write_record(self, frame: str) -> None:
        try:
            durable.write(self._log, (self._record,), self._log_path, len(self._record))
        except (OSError, StoreError) as error:
            _take_back(frame)
            with contextlib.suppress(OSError):  # a torn record would shift all that follow
                end = layout.LOG_HEADER.size + self.count * layout.LOG_RECORD.size
                os.ftruncate(self._log, end)
                os.lseek(self._log, end, os.SEEK_SET)
            if isinstance(error, OSError):
                raise as_store_error(error, self._log_path) from error
            raise

    # --- end ------------------------------------------------------------------------------------

    def finish(self) -> None:
        """Have all frames under their final names; here they are, from the start."""
        self._drop_ahead()

    def discard_empty(self) -> None:
        """Remove the chunk, which must have no frame in it."""
        self.release()
        durable.unlink(self.paths.index, missing_ok=True)  # first: it may list what is gone
        durable.unlink(self.paths.log, missing_ok=True)
        for path in self.paths.frames.iterdir():
            durable.unlink(path)
        durable.remove_empty_directory(self.paths.frames)

    def release(self) -> None:
        """Close the log's descriptor, leaving the files as they are. Idempotent."""
        self._drop_ahead()
        self._ahead.end()
        if self._log >= 0:
            os.close(self._log)
            self._log = -1


def _take_back(path: str) -> None:
    """Remove a frame that could not be written; if even that fails, recover removes it."""
    with contextlib.suppress(OSError, StoreError):
        durable.unlink(Path(path), missing_ok=True)
