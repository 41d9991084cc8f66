"""Which drives are let in, for real: markers, rules and errors on loop devices; and that a drive
which is not let in has not one byte changed."""

from __future__ import annotations

import fcntl
import hashlib
import os
import struct
import subprocess
from pathlib import Path

import pytest

from fieldrec.core.model import Drive, DriveMarker, DriveState
from fieldrec.drives import marker
from fieldrec.drives.accept import serving
from fieldrec.drives.mounts import mounts_of
from tests.system.test_drives_udev import watching
from tests.system.udevd import Udevd, cannot_mount
from tests.unit.test_drives_check import ext4_errors

pytestmark = [pytest.mark.root, pytest.mark.asyncio]


def digest(image: Path) -> str:
    return hashlib.sha256(image.read_bytes()).hexdigest()


def fs_uuid_of(image: Path) -> str:
    return subprocess.run(["blkid", "-p", "-s", "UUID", "-o", "value", str(image)], check=True,
                          capture_output=True, text=True).stdout.strip()


def mark(image: Path, folder: Path, wanted: DriveMarker, *, cut_off: bool = False) -> None:
    """Write a marker with the key of the recordings in `folder`; `cut_off`: then pull it out while
    it is written (GOINGDOWN)."""
    recordings = folder / "recordings"
    recordings.mkdir(parents=True, exist_ok=True)
    place = folder / "at"
    place.mkdir()
    fs_type = subprocess.run(["blkid", "-p", "-s", "TYPE", "-o", "value", str(image)], check=True,
                             capture_output=True, text=True).stdout.strip()
    driver = {"exfat": ["-t", "exfat-fuse"], "ntfs": ["-t", "ntfs-3g"]}.get(fs_type, [])
    subprocess.run(["mount", *driver, "-o", "loop", str(image), str(place)], check=True)
    try:
        marker.write(place, fs_uuid_of(image), marker.key_for([recordings]), wanted)
        if cut_off:
            os.sync()
            (place / "half").write_bytes(b"x" * 100_000)
            for path, request in ((place / "half", None), (place, 2)):
                descriptor = os.open(path, os.O_RDONLY)
                if request is None:
                    os.fsync(descriptor)
                else:
                    fcntl.ioctl(descriptor, 0x8004587D, struct.pack("I", request))
                os.close(descriptor)
    finally:
        subprocess.run(["umount", str(place)], check=True)
        place.rmdir()


def known_as(drive: Drive) -> tuple[bool, int, DriveMarker | None]:
    return drive.known, drive.rule, drive.marker


@pytest.mark.parametrize(("fs_type", "accept"), [
    ("ext4", "marked"), ("exfat", "marked"), ("ntfs", "marked"), ("ext4", "uuid:0000-0000")])
async def test_a_drive_that_is_not_accepted_is_not_written(
        udevd: Udevd, tmp_path: Path, fs_type: str, accept: str) -> None:
    if reason := cannot_mount(fs_type):
        pytest.skip(reason)
    image = udevd.image(fs_type)
    if fs_type == "ext4":  # pulled out earlier: mounting it for writing would replay its journal
        mark(image, tmp_path / "other", DriveMarker("d", ours=True), cut_off=True)
    before = digest(image)
    device = udevd.insert(image)
    async with watching(udevd, tmp_path, accept=accept, check="repair") as watched:
        drive = await watched.until(device, DriveState.REJECTED)
        assert f"not among drives.accept ({accept}); to use it " in drive.reason
        assert f"add uuid:{drive.fs_uuid} to drives.accept" in drive.reason
        assert (f"`fieldrec drive prepare {device}`" in drive.reason) == (accept == "marked")
        foreign = fs_type == "ext4" and accept == "marked"
        assert drive.reason.startswith("marked by another recorder") == foreign
        assert not mounts_of(device, "-")
        assert any("is not used: " in event for event in watched.events)
    assert not list((tmp_path / "mnt").glob("*"))
    os.sync()
    assert digest(image) == before


@pytest.mark.parametrize("fs_type", ["exfat", "ntfs"])
async def test_a_drive_that_this_recorder_marked_is_known(
        udevd: Udevd, tmp_path: Path, fs_type: str) -> None:
    if reason := cannot_mount(fs_type):
        pytest.skip(reason)
    image = udevd.image(fs_type)
    wanted = DriveMarker("d1", ours=True, owner="Bee lab", on_insert="move", cameras=("top",))
    mark(image, tmp_path, wanted)
    device = udevd.insert(image)
    rules = [{"drive": "label:OTHER"}, {"drive": "marked", "eject": False}]
    async with watching(udevd, tmp_path, accept="marked", rules=rules,
                        unproven_moves=True) as watched:
        drive = await watched.until(device, DriveState.READY)
        assert known_as(drive) == (True, 1, wanted)
        gets = serving(watched.config, drive)
        assert (gets.on_insert, gets.cameras, gets.eject) == ("move", ("top",), False)
        with watched.watcher.lease(drive.fs_uuid) as lease:
            (lease.mount_point / "written").write_bytes(b"x")


async def test_a_marked_drive_that_was_pulled_out_is_let_in(udevd: Udevd, tmp_path: Path) -> None:
    image = udevd.image()
    mark(image, tmp_path, DriveMarker("d1", ours=True), cut_off=True)
    device = udevd.insert(image)
    async with watching(udevd, tmp_path, accept="marked") as watched:
        assert (await watched.until(device, DriveState.READY)).known
        assert not [event for event in watched.events if event.startswith("warning")]


async def test_an_unknown_drive_is_used_as_unknown(udevd: Udevd, tmp_path: Path) -> None:
    image = udevd.image()
    foreign = DriveMarker("d1", ours=True, on_insert="move")
    mark(image, tmp_path / "other", foreign)
    device = udevd.insert(image)
    plain = udevd.insert(udevd.image(label="PLAIN"))
    async with watching(udevd, tmp_path, on_insert="move") as watched:
        drive = await watched.until(device, DriveState.READY)
        assert known_as(drive) == (False, -1, DriveMarker("d1", ours=False, on_insert="move"))
        assert serving(watched.config, drive).on_insert == "copy"
        assert ("warning: drive FIELD was marked by another recorder: it counts as unknown here"
                in watched.events)
        drive = await watched.until(plain, DriveState.READY)
        assert known_as(drive) == (False, -1, None)
        assert serving(watched.config, drive).on_insert == "copy"


async def test_a_marker_that_is_a_trap(udevd: Udevd, tmp_path: Path) -> None:
    image = udevd.image()
    mark(image, tmp_path, DriveMarker("d1", ours=True))
    subprocess.run(  # noqa: ASYNC221
        ["debugfs", "-w", "-R", f"rm /{marker.NAME}", str(image)], check=True, capture_output=True)
    subprocess.run(  # noqa: ASYNC221
        ["debugfs", "-w", "-R", f"symlink /{marker.NAME} /etc/passwd", str(image)], check=True,
        capture_output=True)
    device = udevd.insert(image)
    async with watching(udevd, tmp_path) as watched:
        drive = await watched.until(device, DriveState.READY)
        assert known_as(drive) == (False, -1, None)
        assert any("is no plain file" in event and "counts as not marked" in event
                   for event in watched.events)


async def test_room_is_kept_as_its_rule_says(udevd: Udevd, tmp_path: Path) -> None:
    device = udevd.insert(udevd.image())
    rules = [{"drive": "label:FIELD", "keep_free_bytes": "1 GB"}]
    async with watching(udevd, tmp_path, rules=rules) as watched:
        drive = await watched.until(device, DriveState.REJECTED)
        assert "1.0 GB must stay free" in drive.reason


async def test_errors_keep_it_out_until_they_are_mended(udevd: Udevd, tmp_path: Path) -> None:
    image = udevd.image()
    ext4_errors(image)
    before = digest(image)
    device = udevd.insert(image)
    async with watching(udevd, tmp_path) as watched:
        drive = await watched.until(device, DriveState.REJECTED)
        assert drive.reason.startswith("its file system has errors; set drives.check to repair")
    assert digest(image) == before
    async with watching(udevd, tmp_path, check="repair") as watched:
        await watched.until(device, DriveState.READY)
        assert ("warning: drive FIELD: its file system had errors; they were mended by e2fsck -p"
                in watched.events)


async def test_the_check_leaves_a_drive_alone_that_others_mounted(
        udevd: Udevd, tmp_path: Path) -> None:
    image = udevd.image()
    ext4_errors(image)
    device = udevd.insert(image)
    place = Path("/media") / f"fieldrec-test-{udevd.token}"
    place.mkdir(parents=True)
    subprocess.run(["mount", device, str(place)], check=True)  # noqa: ASYNC221
    try:
        async with watching(udevd, tmp_path, check="repair") as watched:
            assert (await watched.until(device, DriveState.READY)).mount_point == place
            assert not [event for event in watched.events if event.startswith("warning")]
    finally:
        subprocess.run(["umount", str(place)], check=True)  # noqa: ASYNC221
        place.rmdir()
