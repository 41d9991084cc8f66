"""mountinfo, as the kernel writes it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fieldrec.drives import mounts
from fieldrec.drives.mounts import (
    folder_due,
    folder_on,
    holders,
    machine_disks,
    mount_at,
    mount_holding,
    read_mounts,
    showable,
    system_disks,
)
from tests.fakes.mountinfo import TEXT


def test_the_root_is_mounted() -> None:
    assert mount_at(Path("/")) is not None
    assert mount_at(Path("/nowhere")) is None


def test_which_mount_a_path_lies_on_by_its_name() -> None:
    mounts = read_mounts(TEXT + "46 43 8:19 / /mnt/a/inner rw - ext4 /dev/sdb3 rw\n"
                                "47 27 8:20 / /mnt/b rw - ext4 /dev/x rw\n")
    for path, number in (("/mnt/a", "8:17"), ("/mnt/a/inner/deep", "8:19"), ("/mnt/ab", "254:0"),
                         ("/mnt/b/over", "8:20"), ("/", "254:0")):
        held = mount_holding(Path(path), mounts)
        assert held is not None
        assert held.number == number, path


def test_the_folder_on_a_device(tmp_path: Path) -> None:
    held = mount_holding(tmp_path)
    assert held is not None
    assert folder_on("/dev/none", held.number, [Path("/proc"), tmp_path]) == tmp_path
    assert folder_on(held.source, "0:0", [tmp_path]) == tmp_path
    assert folder_on("/dev/none", "0:0", [tmp_path]) is None
    for disk in system_disks((tmp_path,)):
        assert folder_on("/dev/none", "0:0", [tmp_path], disk) == tmp_path  # beside it
    assert folder_on("/dev/none", "0:0", [tmp_path], "sdzz") is None


@pytest.mark.parametrize("word", [
    "PARTUUID=ab-01", "PARTLABEL=data", "{dev}/disk/by-partuuid/ab-01"])
def test_fstab_by_links_of_udev(tmp_path: Path, word: str) -> None:
    dev, folder = tmp_path / "dev", Path("/data/recordings")
    for link in ("by-partuuid/ab-01", "by-partlabel/data"):
        (dev / "disk" / link).parent.mkdir(parents=True)
        (dev / "disk" / link).symlink_to("../../sdb1")
    line = f"{word.format(dev=dev)} /data ext4\n"
    assert folder_due({f"{dev}/sdb1"}, [folder], line, dev) == folder
    assert folder_due({f"{dev}/sdb2"}, [folder], line, dev) is None


@pytest.mark.parametrize(("line", "found"), [
    ("UUID=ab-1 /mnt/ssd ext4 nofail 0 2", True), ('UUID="ab-1" /mnt/ssd ext4', True),
    ("LABEL=FIELD /mnt ext4", True), ("/dev/sdb1 /mnt/ssd/rec ext4", True),
    ("# UUID=ab-1 /mnt/ssd ext4", False), ("UUID=ab-2 /mnt/ssd ext4", False),
    ("UUID=ab-1 /mnt/other ext4", False), ("UUID=ab-1 / ext4", False),
    ("UUID=ab-1 none swap", False), ("UUID=ab-1", False)])
def test_the_folder_that_fstab_mounts_a_device_under(line: str, found: bool) -> None:
    names = {"/dev/sdb1", "UUID=ab-1", "LABEL=FIELD"}
    folder = Path("/mnt/ssd/rec")
    assert folder_due(names, [Path("/srv"), folder], f"proc /proc proc\n{line}\n") == (
        folder if found else None)


def block(sysfs: Path, number: str, where: str, *, partition: bool = False) -> Path:
    path = sysfs / "devices" / where
    path.mkdir(parents=True)
    if partition:
        (path / "partition").write_text("1\n")
    link = sysfs / "dev" / "block" / number
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(path)
    return path


def number_of(path: Path) -> str:
    number = path.stat().st_dev
    return f"{os.major(number)}:{os.minor(number)}"


@pytest.mark.parametrize("partition", [False, True])
def test_the_disk_of_a_path(tmp_path: Path, partition: bool, monkeypatch: pytest.MonkeyPatch
                            ) -> None:
    block(tmp_path, number_of(tmp_path), "sda/sda1" if partition else "sda", partition=partition)
    assert system_disks((tmp_path,), tmp_path) == {"sda"}
    monkeypatch.setattr(mounts, "MACHINE", (tmp_path, tmp_path / "not there"))
    assert machine_disks([]) == system_disks((tmp_path,)) == machine_disks([tmp_path])


def test_the_disks_under_a_mapping(tmp_path: Path) -> None:
    mapped = block(tmp_path, number_of(tmp_path), "dm-0")
    below = block(tmp_path, "8:1", "sda/sda1", partition=True)
    (mapped / "slaves").mkdir()
    (mapped / "slaves" / "sda1").symlink_to(below)
    assert system_disks((tmp_path,), tmp_path) == {"dm-0", "sda"}


def test_what_is_mounted_through_a_mapping_keeps_its_disk_in_use(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside our partition on a stick somebody has opened an encrypted one."""
    mapped = block(tmp_path, "253:0", "virtual/dm-0")
    (mapped / "slaves").mkdir()
    (mapped / "slaves" / "sdb2").symlink_to(block(tmp_path, "8:18", "usb/2-1/sdb/sdb2"))
    opened = mounts.Mount("253:0", Path("/media/x"), frozenset(), "ext4", "/dev/mapper/x",
                          frozenset())
    monkeypatch.setattr(mounts, "read_mounts", lambda: [opened])
    for device, found in (("2-1", [opened]), ("2-1/sdb", [opened]), ("2-2", [])):
        assert mounts.mounts_on(tmp_path / "devices/usb" / device, tmp_path) == found


def test_no_disk_under_a_path(tmp_path: Path) -> None:
    assert system_disks((Path("/proc"),), tmp_path) == frozenset()


def test_who_holds_a_folder(tmp_path: Path) -> None:
    assert holders(tmp_path) == []
    with (tmp_path / "file").open("w"):
        assert [who.rpartition("(")[2] for who in holders(tmp_path)] == [f"{os.getpid()})"]


def test_a_mount_point_that_cannot_be_shown() -> None:
    assert not showable(Path("/media/root/A\x0cB"))
    assert showable(Path("/media/jörg/Füße 1"))
