"""What is mounted of which drive and by whom: by us, by an earlier run of ours, or by others.

Used by the drive watcher's tasks on the event loop, one task per drive at a time. How something is
mounted is the `Mounter`'s. What others mounted is used only in a place for such drives, and
unmounted only by an eject; what we mounted is unmounted in the end (I7), by force only where the
drive is gone or does not answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fieldrec.core.errors import DriveBusy, DriveError, DriveRejected
from fieldrec.drives import mount, mounts
from fieldrec.drives.labels import printable
from fieldrec.drives.mounter import Mounter
from fieldrec.drives.table import Key
from fieldrec.drives.udev import BlockDevice
from fieldrec.drives.work import DriveWork

HOLDERS_TIMEOUT_S = 15.0


@dataclass(frozen=True, slots=True)
class _Ours:
    block: BlockDevice
    mount_point: Path


class Mounted:
    """The mounts of all drives; `in_use` are the recordings folders, there or not yet."""

    def __init__(self, mounter: Mounter, work: DriveWork, in_use: Sequence[Path]
                 ) -> None:
        self._mounter = mounter
        self._work = work
        self._in_use = tuple(in_use)
        self._ours: dict[Key, _Ours] = {}
        self._switched_off: dict[Key, Path] = {}
        """The port of each in sysfs."""

    def ours(self) -> tuple[Key, ...]:
        """The drives that have a mount of ours."""
        return tuple(self._ours)

    def recorded_on(self, block: BlockDevice) -> str:
        """Why a device is no drive: a recordings folder lies on it; "" when none does."""
        return mount.recorded_on(block, self._in_use)

    async def found(self, key: Key, block: BlockDevice) -> mounts.Mount | None:
        """The mount there is: what an earlier run of ours left, or somebody's in a place for such
        drives; None when nobody has mounted it.

        DriveRejected, in words, when it is mounted but may not be used.
        """
        if reason := self.recorded_on(block):
            raise DriveRejected(reason)
        found = mounts.mounts_of(block.device, block.number)
        left = self.adopt(key, block)
        if left is not None:
            return await mount.harden(left)
        if not found:
            return None
        if not mounts.showable(found[-1].mount_point):
            raise DriveRejected("mounted by others under a name that cannot be shown; give it "
                                "another label on a computer")
        elsewhere = [m for m in found if not mounts.automounted(m)]
        if elsewhere:
            raise DriveRejected(f"mounted at {printable(str(elsewhere[0].mount_point), 80)}, so it "
                                "belongs to this machine; to use it here unmount it there and put "
                                "it in again")
        if found[-1].read_only:
            raise DriveRejected("mounted read-only by others; unmount it and put it in again")
        return found[-1]

    def adopt(self, key: Key, block: BlockDevice) -> Path | None:
        """Where an earlier run of ours left it mounted, which is ours again then; None: nowhere."""
        for there in mounts.mounts_of(block.device, block.number):
            if self._mounter.made(block, there):
                self._ours[key] = _Ours(block, there.mount_point)
                return there.mount_point
        return None

    async def mount(self, key: Key, block: BlockDevice) -> mounts.Mount:
        """A mount of our own, or of whoever was quicker. DriveRejected, DriveBusy in words."""
        try:
            mounted = await self._mounter.mount(block)
        except DriveError:
            if mounts.mounts_of(block.device, block.number):
                theirs = await self.found(key, block)
                if theirs is not None:
                    return theirs
            raise
        self._ours[key] = _Ours(block, mounted.mount_point)
        return mounted

    async def take_down(self, key: Key) -> None:
        """Unmount what will not be used, if it is ours; by force where it does not answer."""
        ours = self._ours.get(key)
        if ours is not None:
            try:
                await self._mounter.unmount(ours.block, ours.mount_point)
            except DriveBusy:
                await self._mounter.detach(ours.block, ours.mount_point)
        self._ours.pop(key, None)  # not before: one that is cancelled here is taken down at the end
        self._work.end(key)

    async def let_go(self, key: Key) -> None:
        """Detach what is no longer there, if it is ours."""
        ours = self._ours.get(key)
        if ours is not None:
            await self._mounter.detach(ours.block, ours.mount_point)
        self._ours.pop(key, None)
        self._work.end(key)

    async def release(self, key: Key, name: str) -> None:
        """Unmount what is ours, for an eject. DriveBusy that names who holds it."""
        ours = self._ours.get(key)
        if ours is None:
            return
        try:
            await self._mounter.unmount(ours.block, ours.mount_point)
        except DriveBusy as error:
            raise await self._held(key, name, ours.mount_point, error) from error
        self._ours.pop(key, None)

    async def release_others(self, key: Key, block: BlockDevice, name: str) -> None:
        """Unmount what others have mounted of it, for an eject, as far as that is ours to do.

        DriveBusy otherwise: a drive that is mounted anywhere is not safe.
        """
        ours = self._ours.get(key)
        for other in reversed(mounts.mounts_of(block.device, block.number)):
            if ours is not None and other.mount_point == ours.mount_point:
                continue
            try:
                await self._mounter.unmount_others(block, other.mount_point)
            except DriveBusy as error:
                raise await self._held(key, name, other.mount_point, error) from error

    async def _held(self, key: Key, name: str, mount_point: Path, error: DriveBusy) -> DriveBusy:
        held_by = await self._work.run(key, lambda _stop: mounts.holders(mount_point),
                                       HOLDERS_TIMEOUT_S, f"drive {name} is busy")
        who = f", held by {', '.join(held_by[:5])}" if held_by else ""
        return DriveBusy(f"drive {name}: {error}{who}")

    def still_mounted(self, block: BlockDevice) -> str:
        """Where it is mounted after all, in words; "" when it is not."""
        left = mounts.mounts_of(block.device, block.number)
        return mount.mounted_by_others(left[-1].mount_point) if left else ""

    def released(self, key: Key, block: BlockDevice) -> bool:
        """Whether nobody has it mounted any more; a mount of ours is forgotten then."""
        if mounts.mounts_of(block.device, block.number):
            return False
        self._ours.pop(key, None)
        return True

    async def power_off(self, together: Mapping[Key, BlockDevice], block: BlockDevice) -> None:
        """Switch a USB device off, best effort; `together`: all drives that are there.

        Not while any of it is mounted, and not what is more than the drive, such as the reader of a
        card, which nobody puts in again.
        """
        port = block.usb_path
        if (port is None or block.in_reader or mounts.is_more_than_a_disk(port)
                or mounts.mounts_on(port)):
            return
        going = [key for key, other in together.items() if other.usb_path == port]
        self._switched_off.update((key, port) for key in going)
        try:
            await self._mounter.power_off(block)
        except (DriveError, OSError):
            for key in going:
                self._switched_off.pop(key, None)

    def switched_off(self, key: Key) -> bool:
        """Whether we switched it off: that it goes away then is no news."""
        return key in self._switched_off

    def put_in(self, key: Key, block: BlockDevice) -> list[Key]:
        """It has come (again); returns the drives that we had switched off and of which no event
        will tell that they are out: this one is where they were."""
        self._switched_off.pop(key, None)
        out = [other for other, port in self._switched_off.items()
               if port == block.usb_path or other[1] == block.device]
        for other in out:
            del self._switched_off[other]
        return out
