"""The disk is kept at work while a large file is written, so that its sync at the end is short.

Any thread; blocks only where the disk's queue is full. Promises nothing and is no durable step: the
sync is still what counts.
"""

from __future__ import annotations

import ctypes

STRETCH_BYTES = 4 * 1024 * 1024
"""The kernel is told of so much at a time; by itself it would begin after seconds, or at a sync."""
_SYNC_FILE_RANGE_WRITE = 2

_libc = ctypes.CDLL(None)


class WriteBehind:
    """One file that is written from its beginning to its end."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._begun_bytes = 0
        self._written_bytes = 0

    def wrote(self, count: int) -> None:
        """So many bytes more were written; those that make a stretch are on their way from now."""
        self._written_bytes += count
        length = self._written_bytes - self._begun_bytes
        if length >= STRETCH_BYTES:
            _begin(self._descriptor, self._begun_bytes, length)
            self._begun_bytes = self._written_bytes


def _begin(descriptor: int, offset: int, length: int) -> None:
    """Where libc or the file system has no such call, the sync does all of it."""
    call = getattr(_libc, "sync_file_range", None)
    if call is not None:
        call(descriptor, ctypes.c_int64(offset), ctypes.c_int64(length), _SYNC_FILE_RANGE_WRITE)
