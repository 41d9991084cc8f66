"""`fieldrec drive` on loop devices with a real udevd: what it marks, erases, and refuses to."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from fieldrec.cli.drive import drive_command
from fieldrec.core.errors import DriveBusy, DriveError, FieldrecError, UsageError
from fieldrec.core.folder import DRIVES_KEY_NAME, PRIVATE_NAME
from fieldrec.core.model import DriveState
from fieldrec.drives import formatting, marker
from fieldrec.drives.check import which
from fieldrec.drives.mounts import mounts_of
from tests.fakes.faulty_disk import faulty_disk, missing
from tests.system.box import Box
from tests.system.test_drives_udev import in_thread, watching
from tests.system.udevd import Udevd, cannot_mount

pytestmark = pytest.mark.root


@dataclass
class Desk:
    """A configuration, and the drives that lie beside it."""

    udevd: Udevd
    folder: Path

    @property
    def config(self) -> Path:
        return self.folder / "fieldrec.yaml"

    def configure(self, **drives: Any) -> None:
        (self.folder / "recordings").mkdir(exist_ok=True)
        self.config.write_text(yaml.safe_dump({
            "storage": {"directory": "recordings"},
            "drives": {"match": self.udevd.match, "mounter": "mount",
                       "mount_root": str(self.folder / "mnt"), "keep_free_bytes": 1_000_000}
            | drives}))

    def ran(self, *arguments: object, typed: str | None = None) -> str:
        """What a sub-command prints; raises what it raises."""
        done = CliRunner().invoke(drive_command, [
            *(str(one) for one in arguments), "--config", str(self.config)], input=typed)
        if done.exception is not None:
            raise done.exception
        return done.output

    def refused(self, kind: type[FieldrecError], *arguments: object) -> str:
        with pytest.raises(kind) as told:
            self.ran(*arguments)
        assert "\n" not in str(told.value)
        return str(told.value)


@pytest.fixture
def desk(udevd: Udevd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    made = Desk(udevd, tmp_path)
    made.configure()
    places = tmp_path / "tmp"
    places.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(places))
    yield made
    for device in list(udevd._inserted):
        subprocess.run(["partx", "--delete", device], capture_output=True, check=False)
    assert not list(places.iterdir())  # nothing is mounted for a moment longer


def digest(image: Path) -> str:
    return hashlib.sha256(image.read_bytes()).hexdigest()


def test_what_is_there_and_what_each_would_get(desk: Desk) -> None:
    assert desk.ran("list") == "no drives are there\n"
    device = desk.udevd.insert(desk.udevd.image(label="BEES"))
    blank = desk.udevd.insert(desk.udevd.image(None))
    desk.configure(on_insert="move", rules=[{"drive": "label:OTHER"}])
    rows = {row["device"]: row for row in json.loads(desk.ran("list", "--json"))}
    assert rows[device]["gets"] == "copies; then eject"
    assert "unknown to this recorder" in rows[device]["why"]
    assert rows[blank]["gets"] == "nothing: it is not used"
    assert rows[blank]["why"].startswith("not formatted; format it")
    assert "BEES" in desk.ran("list")
    desk.configure(accept="label:B*", on_insert="move")
    rows = {row["device"]: row for row in json.loads(desk.ran("list", "--json"))}
    assert rows[device]["gets"] == "moves; then eject"


@pytest.mark.parametrize("fs_type", ["exfat", "ntfs"])
def test_a_drive_is_marked_where_nobody_has_mounted_it(desk: Desk, fs_type: str) -> None:
    if reason := cannot_mount(fs_type):
        pytest.skip(reason)
    desk.configure(accept="marked", on_insert="move")
    device = desk.udevd.insert(desk.udevd.image(fs_type))
    told = desk.ran("prepare", device)
    assert f"cannot be told on {fs_type}" in told and "it gets copies" in told
    desk.configure(accept="marked", on_insert="move", unproven_moves=True)
    assert desk.ran("prepare", device, "--camera", "top", "--owner", "Bee\x1b lab").endswith(
        "it gets moves of cameras top; then eject (by drives.on_insert); that counts when it is "
        "put in again\nwhether it is as large as it says cannot be told on " + fs_type +
        " without filling it: drives.unproven_moves lets it get moves all the same\n")
    assert not mounts_of(device, "-")
    shown = json.loads(desk.ran("show", "FIELD", "--json"))
    assert (shown["known"], shown["marker"]["cameras"], shown["marker"]["owner"]) == (
        True, ["top"], "Bee? lab")
    desk.ran("prepare", device)
    again = json.loads(desk.ran("show", device, "--json"))["marker"]
    assert (again["id"], again["cameras"]) == (shown["marker"]["id"], None)
    key = desk.folder / "recordings" / PRIVATE_NAME / DRIVES_KEY_NAME
    assert key.stat().st_mode & 0o777 == 0o600


def test_a_drive_is_marked_where_it_is_mounted(desk: Desk) -> None:
    device = desk.udevd.insert(desk.udevd.image())
    place = desk.folder / "desktop"
    place.mkdir()
    subprocess.run(["mount", device, str(place)], check=True)
    try:
        desk.ran("prepare", device, "--on-insert", "nothing")
        found = json.loads((place / marker.NAME).read_text())
        assert found["on_insert"] == "nothing"
        lines = desk.ran("show", device).splitlines()
        assert "gets:      nothing by itself" in lines and "why:       by its marker" in lines
        assert "is mounted at" in desk.refused(UsageError, "prepare", device, "--format", "ext4",
                                               "--yes-erase", device)
        assert len(mounts_of(device, "-")) == 1
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_a_marker_of_another_recorder(desk: Desk) -> None:
    device = desk.udevd.insert(desk.udevd.image())
    desk.ran("prepare", device, "--on-insert", "move")
    first = json.loads(desk.ran("show", device, "--json"))["marker"]
    (desk.folder / "recordings" / PRIVATE_NAME / DRIVES_KEY_NAME).unlink()
    shown = desk.ran("show", device)
    assert f"marker:    another recorder's, {first['id']}, on insert move\n" in shown
    assert "gets:      copies; then eject\n" in shown
    desk.ran("prepare", device)
    assert json.loads(desk.ran("show", device, "--json"))["marker"]["id"] != first["id"]


@pytest.mark.parametrize("fs_type", ["exfat", "ext4"])
def test_a_drive_is_made_new(desk: Desk, fs_type: str) -> None:
    if reason := cannot_mount(fs_type):
        pytest.skip(reason)
    device = desk.udevd.insert(desk.udevd.image("ext4", label="OLD", size_mb=200))
    told = desk.ran("prepare", device, "--format", fs_type, "--label", "BEES", "--yes-erase",
                    "OLD", "--on-insert", "move").splitlines()
    part = f"{device}p1"
    assert told[0] == f"{device}: looking whether it is as large as it says"
    assert told[1] == f"{part}: formatted as {fs_type}, label BEES"
    assert told[2].endswith("it gets moves; then eject (by its marker)") and len(told) == 3
    shown = json.loads(desk.ran("show", "BEES", "--json"))
    assert shown["marker"]["capacity_bytes"] >= 190_000_000
    assert shown["gets"] == "moves; then eject"
    assert (shown["device"], shown["fs_type"], shown["known"]) == (part, fs_type, True)
    table = subprocess.run(["blkid", "-p", "-o", "value", "-s", "PTTYPE", device], check=True,
                           capture_output=True, text=True).stdout
    assert table == "gpt\n"
    desk.ran("prepare", device, "--format", "exfat", "--yes-erase", Path(device).name)  # over it
    assert json.loads(desk.ran("list", "--json"))[0]["label"] == "FIELDREC"


def test_a_counterfeit_drive_is_not_formatted(desk: Desk, tmp_path: Path) -> None:
    if reason := missing():
        pytest.skip(reason)
    cells = tmp_path / "cells"
    with cells.open("wb") as file:
        file.truncate(64 << 20)
    with faulty_disk(tmp_path, cells) as disk:
        disk.wrap(8 << 20)
        device = disk.device
        told = desk.refused(DriveError, "prepare", device, "--format", "exfat", "--any-disk",
                            "--yes-erase", Path(device).name)
        assert told.startswith(f"{device}: it tells 67.1 MB but keeps no more than about 8.4 MB: "
                               "counterfeit or broken; do not use it; it was not formatted")
    assert b"EXFAT" not in cells.read_bytes()


def test_nothing_is_erased_without_its_name(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    image = desk.udevd.image(label="OLD")
    before = digest(image)
    device = desk.udevd.insert(image)
    name = Path(device).name
    told = desk.refused(UsageError, "prepare", device, "--format", "ext4")
    assert told == (f"{device} (67.1 MB, with OLD ext4): everything on it would be erased; to go "
                    f"on without a terminal give --yes-erase {name}")
    for wrong in ("yes", "", "old", "loop", "/dev/sda"):
        assert "not erased" in desk.refused(UsageError, "prepare", device, "--format", "ext4",
                                            "--yes-erase", wrong)
    monkeypatch.setattr("fieldrec.cli.drive._is_terminal", lambda: True)
    with pytest.raises(UsageError, match="not erased: 'sure'"):
        desk.ran("prepare", device, "--format", "ext4", typed="sure\n")
    os.sync()
    assert digest(image) == before
    asked = desk.ran("prepare", device, "--format", "ext4", typed="OLD\n")
    assert f"Everything on it will be erased. To go on, type {name} or OLD" in asked
    assert f"{device}p1: formatted as ext4" in asked


def test_what_is_never_erased(desk: Desk) -> None:
    image = desk.udevd.image(size_mb=200)
    device = desk.udevd.insert(image)
    erase = ("--format", "ext4", "--yes-erase", Path(device).name)
    desk.configure(match={"FIELDREC_TEST": "another"})
    assert desk.refused(UsageError, "prepare", device, *erase) == (
        f"{device} is no removable drive; if it is really meant, give --any-disk")
    desk.configure()
    place = desk.folder / "recordings"
    subprocess.run(["mount", device, str(place)], check=True)
    try:
        for any_disk in ((), ("--any-disk",)):
            assert f"has the recordings folder {place} on it; it is never erased" in desk.refused(
                UsageError, "prepare", device, *erase, *any_disk)
        assert "recordings folder" in desk.refused(DriveError, "prepare", device)
    finally:
        subprocess.run(["umount", str(place)], check=True)
    root = subprocess.run(["findmnt", "-n", "-o", "SOURCE", "/"], check=True, capture_output=True,
                          text=True).stdout.strip()
    if Path(root).is_block_device():
        assert "of this machine; it is never erased" in desk.refused(
            UsageError, "prepare", root, "--format", "ext4", "--any-disk", "--yes-erase",
            Path(root).name)
        assert "it is no drive to mark" in desk.refused(DriveError, "prepare", root)
    held = os.open(device, os.O_RDONLY | os.O_EXCL)  # as a volume that is made of it
    try:
        assert "cannot be had for ourselves" in desk.refused(DriveBusy, "prepare", device, *erase)
    finally:
        os.close(held)
    desk.ran("prepare", device, *erase)
    assert desk.refused(UsageError, "prepare", f"{device}p1", *erase) == (
        f"{device}p1 is a part of {device}; a whole disk is formatted: name {device}")


def test_mistakes_in_one_line(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    device = desk.udevd.insert(desk.udevd.image(None))
    assert "has no file system; give --format exfat" in desk.refused(UsageError, "prepare", device)
    assert "is no drive" in desk.refused(UsageError, "prepare", "/etc/passwd")
    assert "No such file" in desk.refused(FieldrecError, "prepare", "/dev/no-such")
    assert "no drive 'BEES' is there" in desk.refused(FieldrecError, "show", "BEES")
    assert "takes up to 11 letters" in desk.refused(
        UsageError, "prepare", device, "--format", "exfat", "--label", "TWELVE-LONG-")
    assert "--camera: expected a camera's serial" in desk.refused(
        UsageError, "prepare", device, "--camera", " ")
    assert "are for --format" in desk.refused(UsageError, "prepare", device, "--label", "X")
    monkeypatch.setattr("fieldrec.drives.formatting.which", lambda _program: None)
    assert desk.refused(DriveError, "prepare", device, "--format", "exfat") == (
        "to format, wipefs, sfdisk, partx, blkid, mkfs.exfat must be installed: apt install "
        "exfatprogs fdisk util-linux")


def test_a_program_that_fails_is_named(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    device = desk.udevd.insert(desk.udevd.image(None))
    broken = desk.folder / "mkfs"
    broken.write_text("#!/bin/sh\necho begun; echo 'no good' >&2; exit 3\n")
    broken.chmod(0o755)
    monkeypatch.setattr("fieldrec.drives.formatting.which", lambda program: str(broken)
                        if program.startswith("mkfs") else which(program))
    assert desk.refused(DriveError, "prepare", device, "--format", "ext4", "--yes-erase", device
                        ) == f"mkfs.ext4 failed on {device}p1: no good"


def test_a_disk_that_changed_after_it_was_looked_at_is_not_erased(
        desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    device = desk.udevd.insert(desk.udevd.image(label="OLD"))

    def another(*_: object) -> None:
        """While the operator types, somebody exchanges the drives."""
        subprocess.run(["mkfs.ext4", "-q", "-F", "-L", "THEIRS", device], check=True)

    monkeypatch.setattr("fieldrec.cli.drive._confirm", another)
    assert "is another, or has changed, since it was looked at" in desk.refused(
        UsageError, "prepare", device, "--format", "exfat", "--yes-erase", device)
    assert b"THEIRS" in subprocess.run(["blkid", "-p", device], check=True,
                                       capture_output=True).stdout


def test_a_disk_that_somebody_mounted_before_it_was_locked_is_not_erased(
        desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device = desk.udevd.insert(desk.udevd.image(label="OLD"))
    place, lock = tmp_path / "place", formatting._lock
    place.mkdir()

    async def later(*arguments: Any) -> None:
        await in_thread(lambda: subprocess.run(["mount", device, str(place)], check=True))
        await lock(*arguments)

    monkeypatch.setattr(formatting, "_lock", later)
    try:
        assert f"not erased: {device} is mounted at {place}" in desk.refused(
            UsageError, "prepare", device, "--format", "exfat", "--yes-erase", device)
        (place / "theirs").write_text("kept")
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_without_the_right_to_it(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    device = desk.udevd.insert(desk.udevd.image())

    def refused(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("fieldrec.drives.marker.write", refused)
    assert desk.refused(DriveError, "prepare", device) == f"{device}: Permission denied; use sudo"
    assert not mounts_of(device, "-")


def test_beside_a_daemon_a_drive_is_marked_where_that_has_mounted_it(
        udevd: Udevd, tmp_path: Path) -> None:
    """An unknown drive gets no moves; marked, and put in again, it does."""
    image = udevd.image()
    device = udevd.insert(image)
    with Box(tmp_path, match=udevd.match, drives={
            "rules": [{"drive": "any", "on_insert": "move", "eject": False}]}) as box:
        box.until(lambda now: state_of(now) == "ready", "mounted")
        (row,) = json.loads(box.command("drive", "list", "--json"))
        assert (row["known"], row["gets"]) == (False, "copies; stays in use")
        assert "unknown to this recorder" in row["why"]
        told = box.command("drive", "prepare", device, "--owner", "Bee lab")
        assert "it gets moves; stays in use (by rule 1 of drives.rules (any))" in told
        box.ask("eject", drive=device)
        udevd.take_out(device)
        box.until(lambda now: state_of(now) == "absent", "it is out")
        udevd.insert(image)
        box.until(lambda now: state_of(now) == "ready", "it is in again")
        (row,) = json.loads(box.command("drive", "list", "--json"))
        assert (row["known"], row["marker"]["owner"]) == (True, "Bee lab")
        assert row["gets"] == "moves; stays in use"


def state_of(now: Any) -> str:
    """Of the newest drive in a snapshot."""
    return str(now["drives"][-1]["state"]) if now["drives"] else ""


@pytest.mark.asyncio
async def test_a_running_watcher_sees_it_when_it_is_marked_and_not_before(
        udevd: Udevd, tmp_path: Path) -> None:
    """The disk is locked while it is made: else the new file system would be taken for anybody's,
    mounted, and given copies."""
    desk = Desk(udevd, tmp_path)
    desk.configure()
    device = udevd.insert(udevd.image(None, size_mb=100))
    try:
        async with watching(udevd, tmp_path) as watched:
            await watched.until(device, DriveState.REJECTED)
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "fieldrec.cli.main", "drive", "prepare", device, "--format",
                "ext4", "--yes-erase", device, "--on-insert", "move", "--config", str(desk.config))
            drive = await watched.until(f"{device}p1", DriveState.READY)
            assert drive.known and drive.marker is not None and drive.marker.on_insert == "move"
            assert await process.wait() == 0
            assert [d.device for d in watched.watcher.drives() if d.state is DriveState.READY] == [
                f"{device}p1"]
        assert not [event for event in watched.events if "p1" in event and "rejected" in event]
    finally:
        await in_thread(lambda: subprocess.run(["partx", "--delete", device], check=False))
