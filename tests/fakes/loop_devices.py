"""Disks of one's own, on loop devices: to be cut off, filled, shrunk under their file system.

Needs root, a free loop device and the file system's mkfs; `missing_for` says what is not there.
Blocking; one process at a time has one disk. The image should lie in memory (`quick_folder`): what
is tested is what the file system keeps, not how fast a disk is.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

FS_IOC_GOINGDOWN = 0x8004587D
"""_IOR('X', 125, __u32): ext4 and xfs have it in common."""
NO_LOG_FLUSH = 2
SMALLEST = {"ext4": 8 << 20, "xfs": 300 << 20}
"""Bytes below which mkfs refuses, or makes something that no recorder could use."""
_MAKE = {"ext4": ("mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0"),
         "xfs": ("mkfs.xfs", "-q")}


def missing_for(file_system: str) -> str:
    """Why there can be no such disk here; "" when there can be one."""
    if os.geteuid() != 0:
        return "a disk of one's own needs root: a loop device is mounted"
    if not Path("/dev/loop-control").exists():
        return "no loop devices in this kernel"
    program = _MAKE[file_system][0]
    return "" if shutil.which(program) else f"{program} is not installed"


def now_ns() -> int:
    """CLOCK_BOOTTIME, which frames are stamped with."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class LoopDisk:
    """An image with a file system, attached and mounted until :meth:`close`."""

    def __init__(self, folder: Path, file_system: str, size_bytes: int, *options: str) -> None:
        """`options`: of mount, each kept for every mount, e.g. errors=remount-ro."""
        self.image = folder / f"{file_system}.img"
        self.mount_point = folder / file_system
        self.device = ""
        self._options = options
        self._mounted = False
        with self.image.open("wb") as file:
            file.truncate(size_bytes)
        _run(*_MAKE[file_system], str(self.image))
        self.device = _run("losetup", "-f", "--show", str(self.image)).strip()
        self.mount_point.mkdir()
        try:
            self.mount()
        except BaseException:
            self.close()
            raise

    def mount(self) -> None:
        words = ("-o", ",".join(self._options)) if self._options else ()
        _run("mount", *words, self.device, str(self.mount_point))
        self._mounted = True

    def unmount(self) -> None:
        _run("umount", str(self.mount_point))
        self._mounted = False

    def go_down(self) -> tuple[int, int]:
        """Cut the power: from now on nothing reaches the disk, and the log of the file system is
        not flushed. When that was, at the earliest and at the latest (:func:`now_ns`)."""
        descriptor = os.open(self.mount_point, os.O_RDONLY)
        try:
            before_ns = now_ns()
            fcntl.ioctl(descriptor, FS_IOC_GOINGDOWN, struct.pack("I", NO_LOG_FLUSH))
            return before_ns, now_ns()
        finally:
            os.close(descriptor)

    def come_back(self) -> None:
        """Power is back: what the log of the file system has is there, what it has not is gone."""
        self.unmount()
        self.mount()

    def shrink(self, size_bytes: int) -> None:
        """Take the end of the device away under the file system: I/O beyond fails with EIO."""
        os.truncate(self.image, size_bytes)
        _run("losetup", "-c", self.device)

    @property
    def used_share(self) -> float:
        """0 to 1."""
        figures = os.statvfs(self.mount_point)
        return 1 - figures.f_bavail / figures.f_blocks

    @property
    def is_read_only(self) -> bool:
        return bool(os.statvfs(self.mount_point).f_flag & os.ST_RDONLY)

    def close(self) -> None:
        """Unmount, detach, remove. Idempotent."""
        if self._mounted:
            self.unmount()
        if self.device:
            _run("losetup", "-d", self.device)
            self.device = ""
        self.image.unlink(missing_ok=True)
        with contextlib.suppress(FileNotFoundError):
            self.mount_point.rmdir()


@contextlib.contextmanager
def loop_disk(folder: Path, file_system: str, size_bytes: int, *options: str
              ) -> Iterator[LoopDisk]:
    """A disk for the length of a block."""
    disk = LoopDisk(folder, file_system, size_bytes, *options)
    try:
        yield disk
    finally:
        disk.close()


def _run(*words: str) -> str:
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise OSError(f"{' '.join(words)}: {done.stderr.strip()}")
    return done.stdout
