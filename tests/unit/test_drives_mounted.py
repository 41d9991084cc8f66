"""Which USB devices are switched off after an eject; a folder stands for sysfs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fieldrec.core.errors import DriveBusy
from fieldrec.drives.mounted import Mounted
from fieldrec.drives.mounts import Mount
from fieldrec.drives.udev import BlockDevice
from fieldrec.drives.work import DriveWork

pytestmark = pytest.mark.asyncio


class Switch:
    """A `Mounter` of which only the switch is used."""

    def __init__(self, *, stays_on: bool = False) -> None:
        self.off: list[str] = []
        self._stays_on = stays_on

    def made(self, block: BlockDevice, found: Mount) -> bool:
        raise NotImplementedError

    async def mount(self, block: BlockDevice) -> Mount:
        raise NotImplementedError

    async def unmount(self, block: BlockDevice, mount_point: Path) -> None:
        raise NotImplementedError

    async def unmount_others(self, block: BlockDevice, mount_point: Path) -> None:
        raise NotImplementedError

    async def detach(self, block: BlockDevice, mount_point: Path) -> None:
        raise NotImplementedError

    async def power_off(self, block: BlockDevice) -> None:
        if self._stays_on:
            raise DriveBusy("it stays on")
        self.off.append(block.device)


def usb_device(root: Path, *disks: str) -> Path:
    for lun, disk in enumerate(disks):
        (root / f"2-1:1.0/host0/target0:0:0/0:0:0:{lun}/block/{disk}").mkdir(parents=True)
    return root


def part(port: Path, number: int = 1) -> BlockDevice:
    return BlockDevice(f"/dev/sda{number}", f"8:{number}", f"U{number}", "FIELD", "ext4", 1000,
                       5000, port, disk="sda")


async def test_every_part_of_a_disk_goes_with_it(tmp_path: Path) -> None:
    port = usb_device(tmp_path, "sda")
    blocks = {(f"U{n}", f"/dev/sda{n}"): part(port, n) for n in (1, 2)}
    switch = Switch()
    mounted = Mounted(switch, DriveWork(), ())
    await mounted.power_off(blocks, part(port))
    assert switch.off == ["/dev/sda1"]
    assert all(mounted.switched_off(key) for key in blocks)
    assert mounted.put_in(("U1", "/dev/sda1"), part(port)) == [("U2", "/dev/sda2")]
    assert not any(mounted.switched_off(key) for key in blocks)


@pytest.mark.parametrize(("port", "device", "is_out"), [
    ("2-1", "/dev/sdb1", True), ("2-2", "/dev/sda1", True), ("2-2", "/dev/sdb1", False)])
async def test_another_in_its_place_tells_that_it_is_out(tmp_path: Path, port: str, device: str,
                                                         is_out: bool) -> None:
    first = part(usb_device(tmp_path / "2-1", "sda"))
    key = ("U1", "/dev/sda1")
    mounted = Mounted(Switch(), DriveWork(), ())
    await mounted.power_off({key: first}, first)
    other = replace(first, device=device, fs_uuid="U9", usb_path=tmp_path / port)
    assert mounted.put_in(("U9", device), other) == [key] * is_out
    assert mounted.switched_off(key) is not is_out


async def test_what_is_more_than_the_drive_stays_on(tmp_path: Path) -> None:
    switch = Switch()
    mounted = Mounted(switch, DriveWork(), ())
    slots = part(usb_device(tmp_path / "several", "sda", "sdb", "sdc"))
    await mounted.power_off({("U1", "/dev/sda1"): slots}, slots)
    single = replace(part(usb_device(tmp_path / "one", "sda")), in_reader=True)
    await mounted.power_off({("U1", "/dev/sda1"): single}, single)
    modem = usb_device(tmp_path / "modem", "sda")
    for number, kind in (("1.0", "08"), ("1.1", "02")):  # its own card, and its network
        (modem / f"2-1:{number}").mkdir(exist_ok=True)
        (modem / f"2-1:{number}" / "bInterfaceClass").write_text(f"{kind}\n")
    for kind, off in (("02", []), ("08", ["/dev/sda1"])):
        (modem / "2-1:1.1" / "bInterfaceClass").write_text(f"{kind}\n")
        await mounted.power_off({("U1", "/dev/sda1"): part(modem)}, part(modem))
        assert switch.off == off


async def test_one_that_stays_on_may_be_pulled_out_as_news(tmp_path: Path) -> None:
    block = part(usb_device(tmp_path, "sda"))
    mounted = Mounted(Switch(stays_on=True), DriveWork(), ())
    await mounted.power_off({("U1", "/dev/sda1"): block}, block)
    assert not mounted.switched_off(("U1", "/dev/sda1"))
