"""What udev says of USB drives: a faked /sys by umockdev, the real libudev and pyudev over it."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from fieldrec.drives import udev

USB = "/devices/pci0000:00/0000:00:14.0/usb2/2-1"
DISK = f"{USB}/2-1:1.0/host4/target4:0:0/4:0:0:0/block/sda"
SCRIPT = """
import asyncio, json
from fieldrec.drives.udev import BlockEvents
async def main():
    found = []
    events = BlockEvents(MATCH, lambda change, block: found.append(
        [change.value, block.device, block.fs_uuid, block.label, block.fs_type, block.size_bytes,
         block.link_mbps, block.number, str(block.usb_path), block.usage, block.disk,
         block.partitioned, block.in_reader]))
    events.start(frozenset(SYSTEM))
    events.stop()
    print(json.dumps(found))
asyncio.run(main())
"""


def device(path: str, *, node: str = "", attributes: dict[str, str] | None = None,
           **properties: str) -> str:
    lines = [f"P: {path}"]
    if node:
        lines.append(f"N: {node}")
        properties["DEVNAME"] = f"/dev/{node}"
    lines += [f"E: {key}={value}" for key, value in properties.items()]
    lines += [f"A: {key}={value}" for key, value in (attributes or {}).items()]
    return "\n".join(lines) + "\n\n"


def disk(**properties: str) -> str:
    return device(DISK, node="sda", SUBSYSTEM="block", DEVTYPE="disk", MAJOR="8", MINOR="0",
                  ID_BUS="usb", attributes={"size": "2000", "dev": "8:0"}, **properties)


def partition(number: int, **properties: str) -> str:
    return device(f"{DISK}/sda{number}", node=f"sda{number}", SUBSYSTEM="block",
                  DEVTYPE="partition", MAJOR="8", MINOR=str(number), ID_BUS="usb",
                  attributes={"size": "1000", "dev": f"8:{number}", "partition": str(number)},
                  **properties)


def usb(speed: str) -> str:
    return device(USB, SUBSYSTEM="usb", DEVTYPE="usb_device", attributes={"speed": speed})


FS = {"ID_FS_USAGE": "filesystem", "ID_FS_TYPE": "exfat", "ID_FS_UUID": "71C7-17D6",
      "ID_FS_LABEL": "FIELD-01"}
TABLE = {"ID_PART_TABLE_TYPE": "gpt"}


def blocks(tmp_path: Path, *devices: str, system: tuple[str, ...] = (), bus: str = "usb"
           ) -> list[list[object]]:
    if shutil.which("umockdev-run") is None:
        pytest.skip("umockdev is not installed")
    description = tmp_path / "usb.umockdev"
    description.write_text("".join(devices))
    done = subprocess.run(
        ["umockdev-run", "--device", str(description), "--", sys.executable, "-c",
         SCRIPT.replace("SYSTEM", repr(system)).replace("MATCH", repr({"ID_BUS": bus}))],
        capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: list[list[object]] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize(("speed", "mbps"), [("5000", 5000), ("480", 480), ("1.5", 1),
                                             ("unknown", None)])
def test_a_partition_and_its_link(tmp_path: Path, speed: str, mbps: int | None) -> None:
    (found,) = blocks(tmp_path, usb(speed), disk(**TABLE), partition(1, **FS))
    assert found[:8] == ["added", "/dev/sda1", "71C7-17D6", "FIELD-01", "exfat", 512_000, mbps,
                         "8:1"]
    assert str(found[8]).endswith("usb2/2-1")


def test_system_partitions_are_not_reported(tmp_path: Path) -> None:
    esp = {"ID_PART_ENTRY_TYPE": "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"}
    assert blocks(tmp_path, usb("5000"), disk(**TABLE), partition(1, **FS, **esp)) == []
    assert blocks(tmp_path, disk(**TABLE), partition(1, **FS, ID_PART_ENTRY_TYPE="0xef")) == []


def test_the_disk_of_the_system_is_not_reported(tmp_path: Path) -> None:
    assert blocks(tmp_path, disk(**TABLE), partition(1, **FS), system=("sda",)) == []


def test_what_counts_as_a_drive_may_be_a_pattern(tmp_path: Path) -> None:
    for pattern, found in (("us?", 1), ("*", 1), ("at*", 0)):
        assert len(blocks(tmp_path, disk(**TABLE), partition(1, **FS), bus=pattern)) == found
    nameless = partition(1, **FS).replace("E: ID_BUS=usb\n", "")
    assert blocks(tmp_path, disk(**TABLE), nameless, bus="*") == []


def test_disks_without_a_file_system(tmp_path: Path) -> None:
    (found,) = blocks(tmp_path, usb("480"), disk())
    assert found[1:5] == ["/dev/sda", "", "", ""]
    (found,) = blocks(tmp_path, disk(**TABLE))  # a table with nothing in it
    assert (found[4], found[9], found[11]) == ("", "", False)
    (found,) = blocks(tmp_path, disk(ID_FS_USAGE="raid", ID_FS_TYPE="LVM2_member"))
    assert (found[4], found[9]) == ("LVM2_member", "raid")
    assert blocks(tmp_path, disk().replace("size=2000", "size=0")) == []
    (found,) = blocks(tmp_path, disk(ID_FS_USAGE="crypto", ID_FS_TYPE="crypto_LUKS"))
    assert found[4] == "crypto"


def test_empty_partitions(tmp_path: Path) -> None:
    """One for people's files is reported, so that they learn why it is not used; others are not."""
    (found,) = blocks(tmp_path, disk(**TABLE), partition(1, ID_PART_ENTRY_TYPE="0x83"),
                      partition(2, ID_PART_ENTRY_TYPE="0x5"),
                      partition(3, ID_PART_ENTRY_TYPE="fe3a2a5d-4f32-41a7-b725-accc3285a309"))
    assert (found[1], found[9]) == ("/dev/sda1", "")


def test_a_file_system_over_the_whole_disk_and_one_in_a_partition(tmp_path: Path) -> None:
    found = blocks(tmp_path, disk(**FS, **TABLE), partition(1, **FS))
    assert [(row[1], row[10], row[11]) for row in found] == [
        ("/dev/sda", "sda", True), ("/dev/sda1", "sda", False)]


def test_a_card_is_told_from_a_stick(tmp_path: Path) -> None:
    for properties, in_reader in (({"ID_MODEL": "Storage_Device"}, False),
                                  ({"ID_MODEL": "USB3.0_CRW_SD_Reader"}, True),
                                  ({"ID_DRIVE_FLASH_SD": "1"}, True)):
        (found,) = blocks(tmp_path, disk(**FS, **properties))
        assert found[12] is in_reader


def on_hub(port: int, name: str, speed: str, *, slots: int = 1) -> str:
    """A drive, or a card reader with slots, behind a hub that links at full speed."""
    own = f"{USB}/2-1.{port}"
    text = device(own, SUBSYSTEM="usb", DEVTYPE="usb_device", attributes={"speed": speed})
    for slot in range(slots):
        letter = chr(ord(name) + slot)
        minor = (ord(letter) - ord("a")) * 16
        text += device(
            f"{own}/2-1.{port}:1.0/host{port}/target{port}:0:0/{port}:0:0:{slot}/block/sd{letter}",
            node=f"sd{letter}", SUBSYSTEM="block", DEVTYPE="disk", MAJOR="8", MINOR=str(minor),
            ID_BUS="usb", attributes={"size": "0" if slot else "2000", "dev": f"8:{minor}"},
            **({} if slot else FS))
    return text


def test_drives_behind_a_hub(tmp_path: Path) -> None:
    """Each has its own link and its own port; the hub's speed is not theirs. Empty slots of a
    reader are no drives."""
    hub = device(USB, SUBSYSTEM="usb", DEVTYPE="usb_device", attributes={"speed": "5000"})
    found = blocks(tmp_path, hub, on_hub(1, "a", "480"), on_hub(2, "b", "5000"),
                   on_hub(3, "c", "480", slots=4))
    assert [(row[1], row[6], str(row[8]).rpartition("/")[2]) for row in found] == [
        ("/dev/sda", 480, "2-1.1"), ("/dev/sdb", 5000, "2-1.2"), ("/dev/sdc", 480, "2-1.3")]


def test_only_the_configured_bus(tmp_path: Path) -> None:
    assert blocks(tmp_path, disk(**FS).replace("ID_BUS=usb", "ID_BUS=ata")) == []


def test_whether_udev_runs_is_told_by_who_listens(tmp_path: Path,
                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    control = tmp_path / "control"
    monkeypatch.setattr(udev, "CONTROL", control)
    assert not udev.is_running()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
        listening.bind(str(control))
        assert not udev.is_running()
        listening.listen(0)
        assert udev.is_running()
    assert control.exists()  # left behind: nobody listens any more
    assert not udev.is_running()
