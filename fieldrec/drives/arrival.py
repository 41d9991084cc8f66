"""From a block device that came to a drive that may be written to, and what is said of it.

Used by the drive watcher's tasks on the event loop; what touches the file system runs in the
drive's own thread or in a process, with a time limit (I9). Each step either passes or raises
DriveRejected with what to do; what was mounted by then is the watcher's to take down.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from fieldrec.config.drives import DrivesConfig
from fieldrec.core.errors import DriveRejected
from fieldrec.core.model import Drive
from fieldrec.drives import mount
from fieldrec.drives.mounted import Mounted
from fieldrec.drives.table import Key, name_of
from fieldrec.drives.udev import BlockDevice
from fieldrec.drives.work import DriveWork

MEASURE_TIMEOUT_S = 15.0
FAST_MBPS = 5000


@dataclass(frozen=True, slots=True)
class Arrived:
    """A drive that is fit for use."""

    mount_point: Path
    size_bytes: int
    free_bytes: int


class Arrival:
    """The steps that every drive goes through when it comes."""

    def __init__(self, config: DrivesConfig, mounted: Mounted, work: DriveWork) -> None:
        self._config = config
        self._mounted = mounted
        self._work = work

    def refused(self, block: BlockDevice) -> str:
        """Why it is not even looked at, by what udev says of it; "" when it is. Never blocks."""
        return mount.unusable(block, self._config.file_systems)

    async def make_fit(self, key: Key, block: BlockDevice) -> Arrived:
        """Mount it (or find it mounted) and look at it. DriveRejected, DriveBusy, OSError."""
        mounted = await self._mounted.found(key, block)
        if mounted is None:
            mounted = await self._mounted.mount(key, block)
        size_bytes, free_bytes = await self.measure(key, mounted.mount_point, named(block))
        if free_bytes <= self._config.keep_free_bytes:
            raise DriveRejected(
                f"full: {_megabytes(free_bytes)} of {_megabytes(size_bytes)} free, "
                f"{_megabytes(self._config.keep_free_bytes)} must stay free; delete something on "
                "it or use another")
        return Arrived(mounted.mount_point, size_bytes, free_bytes)

    async def measure(self, key: Key, mount_point: Path, name: str) -> tuple[int, int]:
        """(size, free for us) in bytes; DriveBusy when the drive does not answer."""
        facts = await self._work.run(key, lambda _stop: os.statvfs(mount_point), MEASURE_TIMEOUT_S,
                                     f"drive {name} does not answer")
        return facts.f_frsize * facts.f_blocks, facts.f_frsize * facts.f_bavail


def named(block: BlockDevice) -> str:
    """What people call it; see :func:`table.name_of`."""
    return block.label or block.fs_uuid or block.device


def welcome(drive: Drive) -> list[tuple[str, str]]:
    """What is said of a drive that is READY: (text, severity)."""
    name = name_of(drive)
    said = [(f"drive {name} is ready: {_megabytes(drive.free_bytes)} of "
             f"{_megabytes(drive.size_bytes)} free, {drive.fs_type}", "info")]
    if drive.link_mbps is not None and drive.link_mbps < FAST_MBPS:
        generation = "USB 2" if drive.link_mbps > 12 else "USB 1"
        said.append((f"drive {name} is on {generation} ({drive.link_mbps} Mb/s); "
                     "use a blue port", "warning"))
    return said


def _megabytes(count: int) -> str:
    """Bytes for people, in the units printed on drives."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
