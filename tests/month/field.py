"""What of the world is real: the recordings' disk and the drives, on loop devices, announced by a
real udev; needs root. Where that cannot be had, :func:`missing` says why.

Used by the driver and by the process of each boot (which is a fork of it). What is inserted is
kept in the world's state, so that whoever comes after a cut knows it. Blocking.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fieldrec.core.mountinfo import read_mounts
from tests.fakes.loop_devices import FS_IOC_GOINGDOWN, NO_LOG_FLUSH, LoopDisk, missing_for
from tests.system import udevd


def missing() -> str:
    """Why there can be no such field here; "" when there can."""
    return missing_for("ext4") or udevd._why_not() or udevd.cannot_mount("ext4")


@dataclass
class Field:
    """One month's disks and places."""

    root: Path
    disk: LoopDisk
    drives: udevd.Udevd
    images: dict[str, Path]
    """By label."""
    recordings: Path = field(init=False)
    mounts: Path = field(init=False)
    ledger: Path = field(init=False)
    power: Path = field(init=False)

    def __post_init__(self) -> None:
        self.recordings = self.disk.mount_point / "recordings"
        self.mounts = self.root / "mnt"
        self.ledger = self.root / "given.txt"
        self.power = self.root / "power"
        self.recordings.mkdir()
        self.mounts.mkdir()

    def cut(self) -> None:
        """Power is gone: nothing reaches a disk any more."""
        for mount_point in [self.disk.mount_point, *_mounted_below(self.mounts)]:
            with contextlib.suppress(OSError):
                descriptor = os.open(mount_point, os.O_RDONLY)
                try:
                    fcntl.ioctl(descriptor, FS_IOC_GOINGDOWN, struct.pack("I", NO_LOG_FLUSH))
                finally:
                    os.close(descriptor)

    def power_is_back(self) -> None:
        """After a cut: what was mounted is not any more; the recordings' disk is again."""
        for mount_point in _mounted_below(self.mounts):
            subprocess.run(["umount", str(mount_point)], check=True)
        self.disk.come_back()

    @contextlib.contextmanager
    def looked_at(self, label: str) -> Iterator[Path]:
        """A drive that is not in the box, read-only, in the laboratory."""
        at = self.root / f"lab-{label}"
        at.mkdir(exist_ok=True)
        subprocess.run(["mount", "-o", "loop,ro,noload", str(self.images[label]), str(at)],
                       check=True)
        try:
            yield at / "fieldrec"
        finally:
            subprocess.run(["umount", str(at)], check=True)


@contextlib.contextmanager
def field_in(root: Path, disk_mb: int, drives: Sequence[str]) -> Iterator[Field]:
    """Disk and drives for the length of a block; all is given back at its end."""
    images = root / "drives"
    images.mkdir(parents=True)
    disk = LoopDisk(root, "ext4", disk_mb << 20)
    try:
        with udevd.session(images) as token:
            slots = udevd.Udevd(token, images, {"FIELDREC_TEST": token})
            made = Field(root, disk, slots,
                         {label: slots.image("ext4", label=label, size_mb=96) for label in drives})
            try:
                yield made
            finally:
                for mount_point in _mounted_below(root / "mnt"):
                    subprocess.run(["umount", "-l", str(mount_point)], check=False)
                slots.clear()
    finally:
        disk.close()


def is_mounted(device: str) -> bool:
    """Whether anybody has it mounted."""
    return any(mount.source == device for mount in read_mounts())


def _mounted_below(folder: Path) -> list[Path]:
    return [mount.mount_point for mount in read_mounts()
            if mount.mount_point.is_relative_to(folder)]
