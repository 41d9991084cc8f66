"""What people put in: partitions, cards in readers, disks of RAID sets, swap, CD images… for real:
udevd, loop devices with partitions by partx, mkfs."""

from __future__ import annotations

import asyncio
import os
import struct
import subprocess
import zlib
from pathlib import Path

import pytest

from fieldrec.core.errors import DriveBusy
from fieldrec.core.model import DriveState
from fieldrec.drives.arrival import Arrival, Arrived
from fieldrec.drives.mounts import mounts_of, mounts_on_disk
from fieldrec.drives.table import Key
from fieldrec.drives.udev import BlockDevice
from fieldrec.drives.watcher import LOOKS
from fieldrec.status import words
from tests.fakes.waiting import PATIENCE_S
from tests.system.test_drives_udev import command, in_thread, watching
from tests.system.udevd import Udevd

pytestmark = [pytest.mark.root, pytest.mark.asyncio]


def cd_image(path: Path) -> None:
    """The volume descriptors of ISO 9660, which are all that udev looks at."""
    descriptor = b"\x01CD001\x01\x00" + b" " * 32 + b"FIELD".ljust(32)
    with path.open("r+b") as file:
        file.seek(32768)
        file.write(descriptor.ljust(2048, b"\0") + b"\xffCD001\x01".ljust(2048, b"\0"))


def volume_of_lvm(path: Path) -> None:
    """The label of an LVM physical volume: in the second sector, with LVM's own start of CRC-32."""
    rest = struct.pack("<I8s32s", 32, b"LVM2 001", b"a" * 32).ljust(512 - 20, b"\0")
    crc = zlib.crc32(rest, 0xf597a6cf ^ 0xffffffff) ^ 0xffffffff
    with path.open("r+b") as file:
        file.seek(512)
        file.write(b"LABELONE" + struct.pack("<QI", 1, crc) + rest)


def broken(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(2048)
        file.write(b"\xff" * 2048)  # the group descriptors


def run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)


async def test_what_is_not_used_says_why_and_what_to_do(udevd: Udevd, tmp_path: Path) -> None:
    """All of them at once, as from a hub."""
    images = {name: udevd.image(None) for name in (
        "unformatted", "swap", "CD image", "LVM", "LUKS", "unknown")}
    images |= {name: udevd.image(label=name) for name in ("protected", "broken", "full")}
    run("mkswap", str(images["swap"]))
    run("mkfs.minix", str(images["unknown"]))
    run("cryptsetup", "luksFormat", "--type", "luks1", "--batch-mode", "--pbkdf-force-iterations",
        "1000", "--key-file", "/proc/self/comm", str(images["LUKS"]))
    cd_image(images["CD image"])
    volume_of_lvm(images["LVM"])
    broken(images["broken"])
    devices = {name: udevd.insert(image, read_only=name == "protected")
               for name, image in images.items()}
    devices["empty table"] = udevd.insert(udevd.image(None))
    udevd.partition(devices["empty table"])
    (devices["empty partition"],) = udevd.partition(udevd.insert(udevd.image(None)), None)
    reasons = {
        "unformatted": "not formatted; format it as exFAT or ext4",
        "empty table": "not formatted; format it as exFAT or ext4",
        "empty partition": "not formatted; format it as exFAT or ext4",
        "swap": "a computer's swap space; use another, or format it",
        "CD image": "read-only by its nature (iso9660, as on CDs and boot sticks); use another",
        "LVM": "a part of a set of disks (LVM2_member), of no use alone; use another, or format",
        "LUKS": "encrypted, and fieldrec has no key; use another, or format it",
        "unknown": "file system minix is not among drives.file_systems; add it there, or format",
        "protected": "write-protect switch",
        "broken": "on a computer",
        "full": "must stay free; delete something on it or use another",
    }
    async with watching(udevd, tmp_path, keep_free_bytes=10**9) as watched:
        for name, reason in reasons.items():
            drive = await watched.until(devices[name], DriveState.REJECTED)
            assert reason in drive.reason, (name, drive.reason)
            assert "\n" not in drive.reason
        assert {d.device for d in watched.watcher.drives()} == set(devices.values())
    for device in devices.values():
        assert not mounts_of(device, "-")


async def test_partitions_are_drives_of_their_own_and_safe_together(udevd: Udevd, tmp_path: Path
                                                                    ) -> None:
    """What is taken out is the disk: the first that is ejected is safe when the second is."""
    image = udevd.image(None)
    disk = udevd.insert(image)
    first, second = udevd.partition(disk, "ext4", "ext4")
    async with watching(udevd, tmp_path) as watched:
        one = await watched.until(first, DriveState.READY)
        two = await watched.until(second, DriveState.READY)
        assert (one.label, two.label) == ("P1", "P2")
        assert {d.device for d in watched.watcher.drives()} == {first, second}
        with pytest.raises(DriveBusy, match="P1 is unmounted, but P2 on the same device is in use"):
            await watched.watcher.eject("P1")
        assert not mounts_of(first, "-")
        waits = await watched.until(first, DriveState.EJECTING)
        assert "P2 on the same device is in use" in words.describe_drive(waits)
        await watched.watcher.eject("P2")
        await watched.until(second, DriveState.SAFE)
        await watched.until(first, DriveState.SAFE)
        assert not mounts_on_disk(Path(disk).name)
        udevd.take_out(disk)
        await watched.until(second, DriveState.ABSENT)
        again = udevd.insert(image)  # put in later, with its partitions
        for device in udevd.find_partitions(again):
            await watched.until(device, DriveState.READY)
    assert not mounts_on_disk(Path(again).name)


async def test_a_file_system_over_all_and_one_in_a_partition(udevd: Udevd, tmp_path: Path) -> None:
    """What an old format left over the whole disk is never mounted over the partitions."""
    disk = udevd.insert(udevd.image(label="OLD"))
    (part,) = udevd.partition(disk, "ext4", table="dos")
    async with watching(udevd, tmp_path) as watched:
        assert (await watched.until(part, DriveState.READY)).label == "P1"
        drive = await watched.until(disk, DriveState.REJECTED)
        assert (drive.label, drive.fs_type) == ("OLD", "ext4")
        assert "it has partitions" in drive.reason
        assert not mounts_of(disk, "-")
        await watched.watcher.eject(part)
        await watched.until(part, DriveState.SAFE)


async def test_a_card_reader(udevd: Udevd, tmp_path: Path) -> None:
    """The slot stays, cards come and go in it: ejected, torn out, another in its place; the slot
    beside it is empty all the time."""
    cards = [udevd.image(label=f"CARD{number}") for number in range(3)]
    slot = udevd.insert(cards[0], slot=udevd.slot())
    async with watching(udevd, tmp_path) as watched:
        assert (await watched.until(slot, DriveState.READY)).label == "CARD0"
        await watched.watcher.eject(slot)
        udevd.take_out(slot)
        await watched.until(slot, DriveState.ABSENT)
        assert udevd.insert(cards[1], slot=slot) == slot
        assert (await watched.until(slot, DriveState.READY)).label == "CARD1"
        await in_thread(udevd.pull, slot)
        udevd.insert(cards[2], slot=slot)
        await watched.until_said("drive CARD2 is ready")
        assert [d.label for d in watched.watcher.drives() if d.state is DriveState.READY
                ] == ["CARD2"]
    assert not mounts_of(slot, "-")


async def test_a_drive_whose_partition_table_changes(udevd: Udevd, tmp_path: Path) -> None:
    """Formatted while it is in: each step is seen, the last is used."""
    disk = udevd.insert(udevd.image(None))
    udevd.write_table(disk, 1)
    async with watching(udevd, tmp_path) as watched:
        await watched.until(disk, DriveState.REJECTED)
        (part,) = udevd.find_partitions(disk)
        assert "not formatted" in (await watched.until(part, DriveState.REJECTED)).reason
        await watched.until_said("is out")  # the disk as a whole, which was to be formatted
        assert [d.device for d in watched.watcher.drives() if d.state is not DriveState.ABSENT
                ] == [part]
        await command("mkfs.ext4", "-q", "-L", "NEW", part)
        assert (await watched.until(part, DriveState.READY)).label == "NEW"
        await watched.watcher.eject("NEW")
        await command("partx", "--delete", disk)
        await in_thread(udevd.settle)  # while udev handles that, it sees nobody close the disk
        await command("wipefs", "--all", "--quiet", disk)
        await watched.until(disk, DriveState.REJECTED)
        await command("mkfs.ext4", "-q", "-L", "WHOLE", disk)
        assert (await watched.until(disk, DriveState.READY)).label == "WHOLE"


async def test_a_rejected_drive_is_looked_at_again_when_somebody_has_mended_it(
        udevd: Udevd, tmp_path: Path) -> None:
    """Its facts are the same: also what is seen while a formatter still writes it."""
    image = udevd.image()
    broken(image)
    disk = udevd.insert(image)
    async with watching(udevd, tmp_path) as watched:
        await watched.until(disk, DriveState.REJECTED)
        await command("e2fsck", "-fy", disk, ok=(0, 1))
        await watched.until(disk, DriveState.READY)
    assert [event for event in watched.events if "is not used" in event
            ] == watched.events[:1], "said once, however often it is looked at"


async def test_a_rejected_drive_is_looked_at_a_few_times_only(
        udevd: Udevd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking may itself be what writes to it."""
    looks = 0
    make_fit = Arrival.make_fit

    async def counted(self: Arrival, key: Key, block: BlockDevice) -> Arrived:
        nonlocal looks
        looks += 1
        try:
            return await make_fit(self, key, block)
        finally:
            # closed: udev tells of it, and it is as it was
            os.close(os.open(block.device, os.O_RDWR | os.O_CLOEXEC))

    monkeypatch.setattr(Arrival, "make_fit", counted)
    image = udevd.image()
    broken(image)
    disk = udevd.insert(image)
    async with watching(udevd, tmp_path) as watched:
        async with asyncio.timeout(PATIENCE_S):
            while looks < LOOKS:
                watched.changed.clear()
                await watched.changed.wait()
        await watched.until(disk, DriveState.REJECTED)
        await in_thread(udevd.settle)
        udevd.take_out(disk)
        await watched.until(disk, DriveState.ABSENT)  # after all that udev told before
    assert looks == LOOKS
    assert sum("is not used" in event for event in watched.events) == 1, "said once"


async def test_nothing_on_the_disk_of_a_recordings_folder_is_a_drive(udevd: Udevd, tmp_path: Path
                                                                    ) -> None:
    """The disk was mounted after the start: what lies beside the folder on it is let go too."""
    disk = udevd.insert(udevd.image(None))
    first, second = udevd.partition(disk, "ext4", "ext4")
    place = tmp_path / "data"
    place.mkdir()
    async with watching(udevd, tmp_path, place / "recordings") as watched:
        for device in (first, second):
            await watched.until(device, DriveState.READY)
        await command("mount", first, str(place))
        try:
            watched.watcher.folder_came()
            drive = await watched.until(second, DriveState.REJECTED)
            assert f"recordings folder {place}/recordings" in drive.reason
            await watched.until(first, DriveState.REJECTED)
        finally:
            await command("umount", str(place))
    assert not mounts_on_disk(Path(disk).name)
