"""Which way of mounting is used: udisks2 where it answers and lets us, else mount(8).

On the event loop. Each drive is mounted in the way that works at that moment; it is unmounted in
the way in which it was mounted. A udisksd that is gone, hangs or refuses costs a drive its time
limit at most and is said once (I9).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fieldrec.config.drives import DrivesConfig
from fieldrec.core.errors import DriveBusy, DriveError
from fieldrec.drives import system_bus
from fieldrec.drives.mount import ByMount
from fieldrec.drives.mounter import Mounter
from fieldrec.drives.mounts import Mount, mount_at, seen_by_all
from fieldrec.drives.udev import BlockDevice
from fieldrec.drives.udisks import ByUdisks, NoUdisks, UdisksAway
from fieldrec.drives.work import DriveWork

Say = Callable[[str, str], None]


def mounter_for(config: DrivesConfig, work: DriveWork, say: Say) -> Mounter:
    """The way that the configuration wants; `say` takes a line for people and its severity."""
    plain = ByMount(config.mount_root, work)
    if config.mounter == "mount":
        return plain
    udisks = ByUdisks(config.mount_root)
    if config.mounter == "udisks":
        return udisks
    return UdisksOrMount(udisks, plain, say, system_bus.missing())


class UdisksOrMount:
    """The `Mounter` that asks udisks2 first. `why_not`: why udisks2 cannot be asked at all."""

    def __init__(self, udisks: Mounter, plain: Mounter, say: Say, why_not: str) -> None:
        self._udisks = udisks
        self._plain = plain
        self._say = say
        self._why_not = why_not
        self._said: set[str] = set()

    def made(self, block: BlockDevice, found: Mount) -> bool:
        """Either of the two made it."""
        return self._plain.made(block, found) or self._udisks.made(block, found)

    async def mount(self, block: BlockDevice) -> Mount:
        """By udisks2; by mount(8) where that fails for whatever reason and we have the right."""
        if self._why_not == system_bus.NO_BUS:
            return await self._plain.mount(block)  # as on any small box: nothing to say
        try:
            if self._why_not:
                raise NoUdisks(self._why_not)
            return await self._udisks.mount(block)
        except DriveError as error:
            if not may_mount():
                raise
            if isinstance(error, UdisksAway):
                self._say_once(error)
        return await self._plain.mount(block)

    async def unmount(self, block: BlockDevice, mount_point: Path) -> None:
        """In the way it was mounted; see :meth:`_unmount`."""
        found = mount_at(mount_point)
        if found is None or self._plain.made(block, found):
            return await self._plain.unmount(block, mount_point)
        return await self._by_udisks(block, mount_point)

    async def unmount_others(self, block: BlockDevice, mount_point: Path) -> None:
        """By udisks2 alone, which knows whether it was mounted by it."""
        if self._why_not:
            return await self._plain.unmount_others(block, mount_point)
        return await self._udisks.unmount_others(block, mount_point)

    async def detach(self, block: BlockDevice, mount_point: Path) -> None:
        """In both ways."""
        await self._plain.detach(block, mount_point)
        if mount_at(mount_point) is not None and not self._why_not:
            await self._udisks.detach(block, mount_point)

    async def power_off(self, block: BlockDevice) -> None:
        """By udisks2, which also stops the motor; else by the kernel."""
        try:
            if self._why_not:
                raise UdisksAway(self._why_not)
            await self._udisks.power_off(block)
        except DriveError:
            await self._plain.power_off(block)

    async def _by_udisks(self, block: BlockDevice, mount_point: Path) -> None:
        """umount(8) in its place only where that is the machine's mount, not a copy of it in a
        namespace of ours."""
        try:
            if self._why_not:
                raise UdisksAway(self._why_not)
            await self._udisks.unmount(block, mount_point)
        except UdisksAway as error:
            if not (may_mount() and seen_by_all(mount_point)):
                raise DriveBusy(f"{error}; it stays mounted") from error
            self._say_once(error)
            await self._plain.unmount(block, mount_point)

    def _say_once(self, error: UdisksAway) -> None:
        why = str(error)
        if why not in self._said:
            self._said.add(why)
            self._say(f"drives are mounted without udisks2: {why}",
                      "info" if isinstance(error, NoUdisks) else "warning")


_SYS_ADMIN = 1 << 21


def may_mount() -> bool:
    """Whether this process has the right to mount (CAP_SYS_ADMIN)."""
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    for line in status.splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) & _SYS_ADMIN)
    return False

