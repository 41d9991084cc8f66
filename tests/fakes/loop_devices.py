"""Disks of one's own, on loop devices: to be cut off, filled, shrunk under their file system.

Needs root, a free loop device and the file system's mkfs; `missing_for` says what is not there.
Blocking; one process at a time has one disk. The image should lie in memory (`quick_folder`): what
is tested is what the file system keeps, not how fast a disk is.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from tests.fakes.waiting import PATIENCE_S, wait_until

FS_IOC_GOINGDOWN = 0x8004587D
"""_IOR('X', 125, __u32): ext4 and xfs have it in common."""
NO_LOG_FLUSH = 2
FIFREEZE, FITHAW = 0xC0045877, 0xC0045878
"""_IOWR('X', 119, int) and 120: what fsfreeze(8) does."""
SMALLEST = {"ext4": 8 << 20, "xfs": 300 << 20}
"""Bytes below which mkfs refuses, or makes something that no recorder could use."""
TRIES, SLACK_BYTES = 50, 128 << 10
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


def attach(image: Path, *options: str) -> str:
    """The loop device that the image is on from now; `options` are losetup's."""
    return _run("losetup", "--find", "--show", *options, str(image)).strip()


def detach(device: str) -> None:
    """Returns when the kernel has let go of it: others, as udevd, may look at it just then, and it
    is kept until they have closed it."""
    image = backing(device)
    _run("losetup", "--detach", device)
    wait_until(lambda: backing(device) != image, PATIENCE_S, f"{device} is let go of")


def backing(device: str) -> str:
    """The file that a loop device is on; "" when it is on none."""
    try:
        return Path(f"/sys/block/{Path(device).name}/loop/backing_file").read_text().strip()
    except OSError:
        return ""


def attached_from(folder: Path) -> set[str]:
    """Loop devices on files in a folder, as "loop0: /the/file"."""
    with os.scandir("/sys/block") as disks:
        found = {disk.name: backing(disk.name) for disk in disks
                 if disk.name.startswith("loop") and os.access(f"{disk.path}/loop", os.F_OK)}
    return {f"{name}: {image}" for name, image in found.items() if image.startswith(f"{folder}/")}


def now_ns() -> int:
    """CLOCK_BOOTTIME, which frames are stamped with."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def cut_off(mount_point: Path) -> None:
    """From now on nothing reaches the disk, and the log of the file system is not flushed."""
    descriptor = os.open(mount_point, os.O_RDONLY)
    try:
        fcntl.ioctl(descriptor, FS_IOC_GOINGDOWN, struct.pack("I", NO_LOG_FLUSH))
    finally:
        os.close(descriptor)


class LoopDisk:
    """An image with a file system, attached and mounted until :meth:`close`."""

    def __init__(self, folder: Path, file_system: str, size_bytes: int, *options: str) -> None:
        """`options`: of mount, each kept for every mount, e.g. errors=remount-ro."""
        self.file_system = file_system
        self.image = folder / f"{file_system}.img"
        self.mount_point = folder / file_system
        self.device = ""
        self._options = options
        self._mounted = False
        with self.image.open("wb") as file:
            file.truncate(size_bytes)
        _run(*_MAKE[file_system], str(self.image))
        self.device = attach(self.image)
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
        before_ns = now_ns()
        cut_off(self.mount_point)
        return before_ns, now_ns()

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """In this block the disk does not answer: whoever writes to it waits in the kernel, where
        no signal reaches them. Thawed at the end, whatever happens."""
        descriptor = os.open(self.mount_point, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, FIFREEZE, 0)
            try:
                yield
            finally:
                fcntl.ioctl(descriptor, FITHAW, 0)
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

    def find_error(self) -> None:
        """Have ext4 do what it does when it finds itself damaged (mount option errors=…)."""
        Path(f"/sys/fs/ext4/{Path(self.device).name}/trigger_fs_error").write_text("1")

    def repair(self) -> None:
        """What one does with a damaged disk: unmount, check, mount."""
        self.unmount()
        if self.file_system == "ext4":
            done = subprocess.run(["e2fsck", "-fy", self.device], check=False, capture_output=True,
                                  text=True)
            if done.returncode > 3:  # 1, 2: errors that were corrected
                raise OSError(f"e2fsck: {done.stdout}")
        self.mount()

    @property
    def refuses_writing(self) -> bool:
        """Whether a new file is refused as on a read-only file system. (Since Linux 6.15 ext4 that
        has found itself damaged does so without the mount being shown as read-only.)"""
        try:
            (self.mount_point / "probe").touch()
        except OSError as error:
            return error.errno == errno.EROFS
        return False

    def close(self) -> None:
        """Unmount, detach, remove. Idempotent."""
        if self._mounted:
            self.unmount()
        if self.device:
            detach(self.device)
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


class Memory:
    """A tmpfs of a size that can be changed: full by itself, or, with the image of a disk in it, a
    disk with blocks that cannot be written (what was written stays readable)."""

    def __init__(self, folder: Path, size_bytes: int) -> None:
        self.folder = folder
        folder.mkdir()
        _run("mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", str(folder))

    def resize(self, size_bytes: int) -> None:
        _run("mount", "-o", f"remount,size={size_bytes}", str(self.folder))

    def freeze(self) -> None:
        """Make it so small that hardly anything is free, while it is being written."""
        for slack in range(TRIES):
            figures = os.statvfs(self.folder)
            used_bytes = (figures.f_blocks - figures.f_bfree) * figures.f_frsize
            with contextlib.suppress(OSError):  # more was written meanwhile
                self.resize(used_bytes + slack * SLACK_BYTES)
                return
        raise OSError(f"{self.folder} grows faster than it can be made small")

    def close(self) -> None:
        _run("umount", str(self.folder))
        self.folder.rmdir()


@contextlib.contextmanager
def memory(folder: Path, size_bytes: int) -> Iterator[Memory]:
    """A tmpfs for the length of a block."""
    made = Memory(folder, size_bytes)
    try:
        yield made
    finally:
        made.close()


def _run(*words: str) -> str:
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise OSError(f"{' '.join(words)}: {done.stderr.strip()}")
    return done.stdout
