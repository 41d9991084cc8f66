"""A folder on a leased removable drive. Blocking; ``copy`` thread; keeps I4.

As a folder, but everything below the mount point is distrusted, errors of a drive that was pulled
out become DriveGone (measured: writes succeed, fsync says EIO, later steps EROFS).
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path

from fieldrec.core.errors import DriveGone, FieldrecError
from fieldrec.destinations.folder import FolderDestination, errno_of, folder_failure

GONE_ERRNOS = frozenset({errno.ENODEV, errno.ENXIO, errno.ENOTCONN, errno.ESHUTDOWN})
"""Only a device that went away says these…"""
DOUBTFUL_ERRNOS = frozenset({errno.EIO, errno.EROFS, errno.ENOENT, errno.EBADF})
"""…and these may also be a bad or write-protected medium: `gone` decides."""


Prove = Callable[[int, Path, threading.Event], None]
"""Told our open folder, its path for messages, and what stops it; as :class:`Sized` asks for."""


class DriveDestination(FolderDestination):
    """The folder `folder` on the drive mounted at `mount_point`, made where missing."""

    def __init__(self, name: str, mount_point: Path, folder: str, *, device: Path | None,
                 gone: Callable[[], bool], keep_free_bytes: int = 0,
                 must_be_mounted: bool = True, raw_as: str = "files",
                 prove: Prove = lambda _folder, _path, _stop: None) -> None:
        """`gone` is asked, in the copy thread, after an error and when the folder was opened: has
        the drive been pulled out? `must_be_mounted` is False only in tests without root.
        `prove` looks whether it is as large as it says."""
        self._prove = prove

        def check_opened(descriptor: int) -> None:
            if gone() or (must_be_mounted and not is_mount(descriptor)):
                raise OSError(errno.ENODEV, "nothing is mounted there", str(mount_point))

        super().__init__(name, mount_point, subfolder=folder, keep_free_bytes=keep_free_bytes,
                         failure=lambda error: drive_failure(name, error, gone),
                         device=device, check_opened=check_opened, raw_as=raw_as)

    def prove_capacity(self, stop: threading.Event) -> None:
        with self._errors() as root:
            self._prove(root, self.path, stop)


def is_mount(descriptor: int) -> bool:
    """Whether an open directory is the root of a mount. Without this, a drive that was pulled out
    and let go of just before it was opened would leave us writing to the folder below: copies on
    the system's disk, verified, and for a move the source deleted."""
    above = os.stat("..", dir_fd=descriptor)
    return above.st_dev != os.fstat(descriptor).st_dev


def drive_failure(name: str, error: BaseException, gone: Callable[[], bool]) -> FieldrecError:
    """DriveGone for a drive that was pulled out, else as for any folder."""
    number = errno_of(error)
    if number in GONE_ERRNOS or (number in DOUBTFUL_ERRNOS and gone()):
        return DriveGone(f"drive {name} was pulled out; put it back and the copy goes on")
    return folder_failure(name, error)
