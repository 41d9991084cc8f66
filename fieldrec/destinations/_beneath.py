"""Opening a directory below one that is open, and nowhere else. Not a kind of destination.

openat2(2) where the kernel has it (5.6): no symbolic link, no "..", and, what O_NOFOLLOW cannot
see, nothing that was mounted over a folder there: a bind mount would lead to another disk, or out
of our folder. Where there is no openat2 (old kernels, some sandboxes) O_NOFOLLOW alone. For
directories only: they are what is written below. Files are made with O_EXCL, and what is read from
them is compared.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

_OPENAT2 = 437
"""The number of the call, the same on all processors."""
_NO_XDEV, _NO_MAGICLINKS, _NO_SYMLINKS, _BENEATH = 0x01, 0x02, 0x04, 0x08
_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_HOW = struct.pack("=QQQ", _FLAGS, 0, _NO_XDEV | _NO_MAGICLINKS | _NO_SYMLINKS | _BENEATH)
_NOT_HERE = frozenset({errno.ENOSYS, errno.EPERM})
"""Of the call itself, where there is none, or a sandbox refuses it."""
ELSEWHERE = frozenset({errno.ELOOP, errno.ENOTDIR, errno.EXDEV})
"""What opening says of a symlink, of what is no directory, of a mount."""

_libc = ctypes.CDLL(None, use_errno=True)


def open_directory(name: str, parent: int) -> int:
    """A descriptor of the directory `name` in the open directory `parent`. OSError: one of
    ELSEWHERE when it is something else, or leads elsewhere."""
    while True:
        found = int(_libc.syscall(_OPENAT2, parent, os.fsencode(name), _HOW, len(_HOW)))
        if found >= 0:
            return found
        number = ctypes.get_errno()
        if number in _NOT_HERE:
            return os.open(name, _FLAGS, dir_fd=parent)
        if number != errno.EINTR:  # a signal came while a share or a daemon was waited for
            raise OSError(number, os.strerror(number), name)
