"""Reading files past the page cache: what the medium has, and without pushing out what others have
in memory. Blocking; any thread.

O_DIRECT where the file system can. Where it cannot, the cache is told to forget the file before it
is read (which it does for pages that are on the medium) and afterwards.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import mmap
import os
from collections.abc import Callable, Iterator
from pathlib import Path

ALIGN_BYTES = 4096
"""O_DIRECT wants buffer, offset and length in multiples of the logical block; 4096 suits all."""

_BLKFLSBUF = 0x1261
"""ioctl of linux/fs.h: write back and drop a block device's buffers; needs CAP_SYS_ADMIN."""

Take = Callable[[], memoryview]
"""Gives memory to read the next slice into, as :func:`aligned_buffer` makes it."""
OpenWith = Callable[[int], int]
"""Opens one file for reading, with these flags besides its own; a descriptor."""


def forget_device(device: Path) -> bool:
    """Have the page cache drop what it holds of a block device; False where that is not allowed, or
    it is none. What the daemon of a FUSE file system reads comes from there, however the file was
    opened."""
    try:
        descriptor = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.ioctl(descriptor, _BLKFLSBUF)
        finally:
            os.close(descriptor)
    except OSError:
        return False
    return True


def aligned_buffer(size_bytes: int) -> memoryview:
    """Memory as O_DIRECT wants it. Made once and used again: fresh pages cost more than the read
    (measured: 4 MiB anew per 1.3 MB file took two thirds of a copy's CPU time)."""
    memory = mmap.mmap(-1, max(size_bytes // ALIGN_BYTES, 1) * ALIGN_BYTES,
                       flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with contextlib.suppress(OSError, AttributeError):  # not in every kernel
        memory.madvise(mmap.MADV_HUGEPAGE)
    return memoryview(memory)


class PastCache:
    """One open file."""

    def __init__(self, open_with: OpenWith) -> None:
        try:
            self.descriptor, self._direct = open_with(os.O_DIRECT), True
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOTSUP):
                raise
            self.descriptor, self._direct = open_with(0), False

    @property
    def size_bytes(self) -> int:
        """That it has now."""
        return os.fstat(self.descriptor).st_size

    def slices(self, take: Take) -> Iterator[memoryview]:
        """Its bytes, as many as it had when this began; fewer when it has become shorter."""
        self.forget()
        size, at = self.size_bytes, 0
        while at < size:
            view = take()
            # no more than there is: the kernel fills the rest with zeros, which takes as long
            # again for a file that is half as large as `view`
            blocks = -(-(size - at) // ALIGN_BYTES)
            count = self.read(view[:blocks * ALIGN_BYTES], at)
            if not count:
                return
            yield view[:min(count, size - at)]
            at += count

    def read(self, view: memoryview, at: int) -> int:
        """How many bytes came into `view` from this place on."""
        if self._direct and at % ALIGN_BYTES:
            self._leave_direct()  # after a read that came back short
        try:
            return os.preadv(self.descriptor, [view], at)
        except OSError as error:
            if not (self._direct and error.errno == errno.EINVAL):
                raise
        self._leave_direct()  # opens, but cannot read so: some FUSE, NFS
        return os.preadv(self.descriptor, [view], at)

    def forget(self) -> None:
        """Have the page cache drop what it holds of the file, but for what is not written yet."""
        os.posix_fadvise(self.descriptor, 0, 0, os.POSIX_FADV_DONTNEED)

    def close(self) -> None:
        os.close(self.descriptor)

    def _leave_direct(self) -> None:
        flags = fcntl.fcntl(self.descriptor, fcntl.F_GETFL)
        fcntl.fcntl(self.descriptor, fcntl.F_SETFL, flags & ~os.O_DIRECT)
        self._direct = False
        self.forget()
