"""A removable drive that can be pulled out at any moment: a file system on a disk that fails on
command, which keeps what was on it when it was pulled out.

Blocking; one process at a time has it, but a fork may pull it out. Every fresh start
(:meth:`Stick.reset`) has the content that the drive was made with.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from fieldrec.drives.mounts import mount_at
from tests.fakes.faulty_disk import FaultyDisk, missing_for
from tests.fakes.loop_devices import cut_off

MAKE = {"ext4": ("mkfs.ext4", "-q", "-F", "-m", "0", "-E",
                 "lazy_itable_init=0,lazy_journal_init=0"),
        "exfat": ("mkfs.exfat",), "ntfs": ("mkfs.ntfs", "-F", "-Q")}
MOUNT = {"ext4": ("mount", "-t", "ext4"), "exfat": ("mount.exfat-fuse",), "ntfs": ("ntfs-3g",)}
TRIES = 100


def missing(file_system: str) -> str:
    """Why there can be no such drive here; "" when there can be one."""
    return missing_for(MAKE[file_system][0]) or missing_for(MOUNT[file_system][0])


class Stick:
    """A drive of one file system, mounted at `mount_point` when it is in."""

    def __init__(self, folder: Path, file_system: str, size_bytes: int,
                 content: Callable[[Path, Path], object] = lambda _mount_point, _device: None,
                 options: tuple[str, ...] = ()) -> None:
        """`content` (mount point, device) puts what is on it from the beginning; `options` are for
        mkfs."""
        self.file_system = file_system
        self.mount_point = folder / f"{file_system}.mnt"
        self.mount_point.mkdir()
        self._fresh = folder / f"{file_system}.fresh"
        cells = folder / f"{file_system}.cells"
        with cells.open("wb") as file:
            file.truncate(size_bytes)
        subprocess.run([*MAKE[file_system], *options, cells], check=True, capture_output=True)
        self.disk = FaultyDisk(folder, cells)
        try:
            self.put_in()
            content(self.mount_point, Path(self.device))
            self.take_out()
            shutil.copyfile(cells, self._fresh)
        except BaseException:
            self.close()
            raise

    @property
    def device(self) -> str:
        return self.disk.device

    @property
    def is_in(self) -> bool:
        """Whether it is mounted; as the kernel has it, for the drive itself may not answer."""
        return mount_at(self.mount_point) is not None

    def put_in(self) -> None:
        """Mount it, as whole as it is."""
        for attempt in range(TRIES):
            done = subprocess.run([*MOUNT[self.file_system], self.device, str(self.mount_point)],
                                  check=False, capture_output=True, text=True)
            if done.returncode == 0:
                return
            time.sleep(0.01 * (attempt > 0))  # the driver before may still be ending
        raise OSError(f"{self.device} cannot be mounted: {done.stderr.strip()}")

    def take_out(self) -> None:
        """Unmount it; what it has not got by then, it does not get."""
        for _ in range(TRIES):
            done = subprocess.run(["umount", str(self.mount_point)], check=False,
                                  capture_output=True, text=True)
            if not self.is_in:
                break
            time.sleep(0.01)
        else:
            raise OSError(f"{self.mount_point} cannot be unmounted: {done.stderr.strip()}")
        subprocess.run(["blockdev", "--flushbufs", self.device], check=False, capture_output=True)

    def heal(self) -> None:
        """It is as it was when it was pulled out, and can be put in again. Not while it is in."""
        self.disk.heal()
        self.disk.grow()
        subprocess.run(["blockdev", "--flushbufs", self.device], check=True, capture_output=True)

    def reset(self) -> None:
        """Its first content again. Not while it is in; OSError when somebody else has unmounted it
        or taken its device."""
        if self.disk.backing() != str(self.disk.file):
            raise OSError(f"{self.device} is not ours any more but {self.disk.backing()}'s")
        self.disk.heal()
        self.disk.grow()
        with self._fresh.open("rb") as fresh, self.disk.cells.open("r+b") as cells:
            shutil.copyfileobj(fresh, cells, 1 << 20)
        subprocess.run(["blockdev", "--flushbufs", self.device], check=True, capture_output=True)

    def go_down(self) -> None:
        """Cut its file system off from it, the log unwritten (ext4)."""
        cut_off(self.mount_point)

    def close(self) -> None:
        """Idempotent."""
        if self.is_in:
            self.disk.heal()
            self.take_out()
        self.disk.close()
        self.disk.cells.unlink(missing_ok=True)
        self._fresh.unlink(missing_ok=True)
        with contextlib.suppress(FileNotFoundError):
            self.mount_point.rmdir()


@contextlib.contextmanager
def stick(folder: Path, file_system: str, size_bytes: int,
          content: Callable[[Path, Path], object] = lambda _mount_point, _device: None,
          options: tuple[str, ...] = ()) -> Iterator[Stick]:
    """A drive for the length of a block."""
    made = Stick(folder, file_system, size_bytes, content, options)
    try:
        yield made
    finally:
        made.close()
