"""From a block device that came to a drive that may be written to, and what is said of it.

Used by the drive watcher's tasks on the event loop; what touches the file system runs in the
drive's own thread or in a process, with a time limit (I9). Each step either passes or raises
DriveRejected with what to do; what was mounted by then is the watcher's to take down.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fieldrec.config.drives import DrivesConfig
from fieldrec.core.errors import DriveError, DriveRejected
from fieldrec.core.model import Drive, DriveMarker, DriveState
from fieldrec.drives import accept, link, marker, mount
from fieldrec.drives.check import FileSystemCheck
from fieldrec.drives.choosing import may_mount
from fieldrec.drives.mounted import Mounted
from fieldrec.drives.table import Key, name_of
from fieldrec.drives.udev import BlockDevice
from fieldrec.drives.work import DriveWork

MEASURE_TIMEOUT_S = 15.0


@dataclass(frozen=True, slots=True)
class Arrived:
    """A drive that is fit for use."""

    mount_point: Path
    size_bytes: int
    free_bytes: int
    known: bool
    rule: int
    marker: DriveMarker | None


class Arrival:
    """The steps that every drive goes through when it comes."""

    def __init__(self, config: DrivesConfig, mounted: Mounted, work: DriveWork,
                 say: Callable[[str, str], None], folders: Sequence[Path]) -> None:
        """`folders` are the recordings folders: the keys that drives are marked with lie there."""
        self._config = config
        self._mounted = mounted
        self._work = work
        self._say = say
        self._folders = tuple(folders)
        self._check = FileSystemCheck(config, work, say)

    def refused(self, block: BlockDevice) -> str:
        """Why it is not even looked at, by what udev says of it; "" when it is. Never blocks."""
        if reason := mount.unusable(block, self._config.file_systems):
            return reason
        if self._config.require_usb3 and block.link_mbps is not None and link.is_slow(
                block.link_mbps):
            return link.refusal(block.link_mbps)
        drive = accept.recognised(self._config, drive_of(block))
        return "" if accept.marker_decides(self._config, drive) else accept.refusal(self._config,
                                                                                    drive)

    async def make_fit(self, key: Key, block: BlockDevice) -> Arrived:
        """Mount it (or find it mounted) and look at it. Nothing is written to a drive that is not
        accepted. DriveRejected, DriveBusy, OSError."""
        mounted = await self._mounted.found(key, block)
        if mounted is None:
            if accept.marker_decides(self._config, drive_of(block)):
                if not may_mount():
                    raise DriveRejected(
                        "only root can look for a marker without writing to the drive; run "
                        f"fieldrec as root, or add uuid:{block.fs_uuid} to drives.accept")
                async with mount.read_only(block, self._config.mount_root) as root:
                    self._accepted(block, await self._marker(key, block, root))
            await self._check.make_sure(key, block, named(block))
            mounted = await self._mounted.mount(key, block)
        found = await self._marker(key, block, mounted.mount_point)
        drive = self._accepted(block, found)
        self._tell(found, named(block))
        keep = accept.serving(self._config, drive).keep_free_bytes
        size_bytes, free_bytes = await self.measure(key, mounted.mount_point, named(block))
        if free_bytes <= keep:
            raise DriveRejected(
                f"full: {_megabytes(free_bytes)} of {_megabytes(size_bytes)} free, "
                f"{_megabytes(keep)} must stay free; delete something on it or use another")
        if reason := self._mounted.recorded_on(block):  # since it was looked at first
            raise DriveRejected(reason)
        return Arrived(mounted.mount_point, size_bytes, free_bytes, drive.known, drive.rule,
                       drive.marker)

    def welcome(self, drive: Drive) -> list[tuple[str, str]]:
        """What is said of a drive that is READY: (text, severity). What a slow link costs is said
        with the plan of what goes, where anything does."""
        name = name_of(drive)
        said = [(f"drive {name} is ready: {_megabytes(drive.free_bytes)} of "
                 f"{_megabytes(drive.size_bytes)} free, {drive.fs_type}", "info")]
        if link.is_slow(drive.link_mbps) and accept.serving(
                self._config, drive).on_insert == "nothing":
            said.append((f"drive {name} is {link.warning(drive.link_mbps or 0, 0)}", "warning"))
        return said

    def _accepted(self, block: BlockDevice, found: marker.Found) -> Drive:
        """The drive with what is made of it; DriveRejected when it is not among drives.accept."""
        drive = accept.recognised(self._config, replace(drive_of(block), marker=found.marker))
        if reason := accept.refusal(self._config, drive):
            raise DriveRejected("; ".join(filter(None, (found.problem, reason))))
        return drive

    async def _marker(self, key: Key, block: BlockDevice, root: Path) -> marker.Found:
        """What lies under the marker's name on a mounted drive; DriveBusy where it hangs."""
        def look(_stop: object) -> marker.Found:
            try:
                keys, problem = marker.keys_in(self._folders), ""
            except DriveError as error:
                keys, problem = (), str(error)
            found = marker.read(root, block.fs_uuid, keys)
            return replace(found, problem=problem) if problem and found.marker else found

        return await self._work.run(key, look, MEASURE_TIMEOUT_S,
                                    f"drive {named(block)} does not answer")

    def _tell(self, found: marker.Found, name: str) -> None:
        if found.problem:
            self._say(f"drive {name}: {found.problem}", "warning")
        elif found.marker is not None and not found.marker.ours:
            self._say(f"drive {name} was marked by another recorder: it counts as unknown here",
                      "warning")

    async def measure(self, key: Key, mount_point: Path, name: str) -> tuple[int, int]:
        """(size, free for us) in bytes; DriveBusy when the drive does not answer."""
        facts = await self._work.run(key, lambda _stop: os.statvfs(mount_point), MEASURE_TIMEOUT_S,
                                     f"drive {name} does not answer")
        return facts.f_frsize * facts.f_blocks, facts.f_frsize * facts.f_bavail


def named(block: BlockDevice) -> str:
    """What people call it; see :func:`table.name_of`."""
    return block.label or block.fs_uuid or block.device


def drive_of(block: BlockDevice) -> Drive:
    """The drive that has come, before anything is known of it."""
    return Drive(fs_uuid=block.fs_uuid, label=block.label, device=block.device, mount_point=None,
                 fs_type=block.fs_type, link_mbps=block.link_mbps, size_bytes=block.size_bytes,
                 free_bytes=0, state=DriveState.SEEN)


def _megabytes(count: int) -> str:
    """Bytes for people, in the units printed on drives."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
