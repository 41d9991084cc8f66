"""Room for recordings: how full their file system is, and when that forbids recording.

Blocking but short (statvfs; a small file created and removed); called by the session's worker.
Holds no state.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from fieldrec.config import StorageConfig
from fieldrec.core import durable
from fieldrec.core.errors import StoreError, StoreFull
from fieldrec.core.snapshot import StorageStatus
from fieldrec.drives.mounts import read_mounts

PROBE = ".fieldrec-probe"


class StorageGuard:
    """The limits of `config` applied to the file system that `directory` is on."""

    def __init__(self, directory: Path, config: StorageConfig, *,
                 statvfs: Callable[[Path], os.statvfs_result] = os.statvfs) -> None:
        """`statvfs` asks the kernel; tests give a disk of their own."""
        self._directory = directory
        self._config = config
        self._statvfs = statvfs

    def status(self, bytes_per_s: float = 0.0) -> StorageStatus:
        """How full it is now; `minutes_left` until the nearer limit at `bytes_per_s` (0: None).

        Used percent as df counts it: what ordinary users can still get is free. All zero when the
        folder cannot be asked.
        """
        try:
            figures = self._statvfs(self._directory)
        except OSError:
            return StorageStatus(stop_percent=self._config.stop_percent)
        free = figures.f_bavail * figures.f_frsize
        total = (figures.f_blocks - figures.f_bfree + figures.f_bavail) * figures.f_frsize
        used_percent = 100.0 * (1 - free / total) if total else 100.0
        status = StorageStatus(total_bytes=total, free_bytes=free, used_percent=used_percent,
                               stop_percent=self._config.stop_percent)
        if bytes_per_s <= 0:
            return status
        return replace(status, minutes_left=self.left_bytes(status) / bytes_per_s / 60)

    def left_bytes(self, status: StorageStatus) -> float:
        """What may still be written until the nearer limit, going by `status`."""
        return max(0.0, min(status.free_bytes - self._config.reserve_bytes, status.free_bytes
                            - status.total_bytes * (1 - self._config.stop_percent / 100)))

    def has_room_again(self, status: StorageStatus) -> bool:
        """Whether a folder that was full is so no more: by a margin, or closing what was recorded
        would let the next recording begin and end at once."""
        margin = min(status.total_bytes / 100, self._config.reserve_bytes)
        return self.refusal_of(status) is None and self.left_bytes(status) > margin

    def refusal(self) -> str | None:
        """Why there is no room to record, with the numbers; None when there is."""
        return self.refusal_of(self.status())

    def refusal_of(self, status: StorageStatus) -> str | None:
        """The same, going by `status`."""
        if not status.total_bytes:
            return f"{self._directory} cannot be read"
        free = f"{size_text(status.free_bytes)} free"
        if status.used_percent >= status.stop_percent:
            return (f"disk {status.used_percent:.1f} % used (stop at {status.stop_percent:g} %), "
                    f"{free}")
        if status.free_bytes < self._config.reserve_bytes:
            return (f"disk {status.used_percent:.1f} % used, {free} "
                    f"(stop below {size_text(self._config.reserve_bytes)})")
        return None

    def fault(self) -> str | None:
        """Why nothing can be written, as far as that can be seen without writing; None when it
        may be. Cheap: asked before every recording."""
        point = self._unmounted()
        if point is not None:
            return f"is not there: nothing is mounted on {point}; put the disk in and mount it"
        try:
            read_only = self._statvfs(self._directory).f_flag & os.ST_RDONLY
        except OSError as error:
            return f"cannot be read: {error.strerror}; {_advice(error.errno)}"
        if read_only:
            return f"cannot be written: {_advice(errno.EROFS)}"
        if not os.access(self._directory, os.W_OK | os.X_OK):
            return f"cannot be written: {_advice(errno.EACCES)}"
        return None

    def _unmounted(self) -> Path | None:
        """The mount point above the folder on which no disk is mounted, where one has to be."""
        points = [point for point in self._config.mount_points
                  if self._directory.is_relative_to(point)]
        there = {mount.mount_point for mount in read_mounts()} if points else set()
        return next((point for point in points if point not in there), None)

    def check_usable(self) -> None:
        """Really create and remove a file; StoreError or StoreFull says what to do. A folder that
        can be used has its recordings spread over the disk (durable.spread_directories)."""
        directory = self._directory
        if self._unmounted() is not None:
            raise StoreError(f"recordings folder {directory} {self.fault()}")
        try:
            if not directory.exists():  # EIO from a file system that has shut itself down
                raise StoreError(f"recordings folder {directory} does not exist; create it, or "
                                 "mount the disk it is on")
            if not directory.is_dir():
                raise StoreError(f"recordings folder {directory} is not a folder; set "
                                 "storage.directory to one")
            durable.write_atomic(directory / PROBE, b"fieldrec")
            durable.unlink(directory / PROBE)
            durable.spread_directories(directory)
        except StoreFull as error:
            raise self._full() from error
        except OSError as error:
            if error.errno in durable.FULL_ERRNOS:
                raise self._full() from error
            raise StoreError(f"recordings folder {directory} cannot be written: {error.strerror}; "
                             f"{_advice(error.errno)}") from error

    def _full(self) -> StoreFull:
        status = self.status()
        return StoreFull(f"no room in recordings folder {self._directory}: "
                         f"{status.used_percent:.1f} % used, {size_text(status.free_bytes)} free; "
                         "delete or move recordings first")


def _advice(number: int | None) -> str:
    if number == errno.EROFS:
        return "its file system is read-only: check the disk and mount it for writing"
    if number in (errno.EACCES, errno.EPERM):
        return "give the user that runs fieldrec the right to write there"
    return "check the disk"


def size_text(count: float) -> str:
    """Bytes in decimal units: "740.0 kB", "3.2 GB"."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(count) < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
