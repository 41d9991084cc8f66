"""What a way of mounting drives must be able to do: mount(8), udisks2, or whatever comes next.

Called on the event loop by drives/mounted.py alone; no call may block the loop, each has a time
limit of its own, and one that is cancelled leaves nothing mounted half-way (I9). Which drive may be
mounted at all, and what belongs to whom, is decided before.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from fieldrec.drives.mounts import Mount
from fieldrec.drives.udev import BlockDevice


class Mounter(Protocol):
    """One way of mounting, unmounting and switching off."""

    def made(self, block: BlockDevice, found: Mount) -> bool:
        """Whether this mount was made in this way, by this run of ours or one that was killed."""
        ...

    async def mount(self, block: BlockDevice) -> Mount:
        """Mount with our options, and return the mount as mountinfo shows it.

        DriveRejected (one line, what to do) when it cannot be mounted for writing with nosuid,
        nodev and noexec; nothing is left mounted then.
        """
        ...

    async def unmount(self, block: BlockDevice, mount_point: Path) -> None:
        """Write everything out and unmount what we mounted; no error if it is not mounted.

        DriveBusy in words when it stays mounted.
        """
        ...

    async def unmount_others(self, block: BlockDevice, mount_point: Path) -> None:
        """For an eject: unmount what somebody else mounted, if that is ours to do. DriveBusy that
        says where to unmount it, if not."""
        ...

    async def detach(self, block: BlockDevice, mount_point: Path) -> None:
        """Let go of the mount of a drive that is gone or does not answer; never raises."""
        ...

    async def power_off(self, block: BlockDevice) -> None:
        """Switch off the USB device that the drive is, all of whose parts are unmounted.

        DriveError or OSError when it stays on.
        """
        ...
