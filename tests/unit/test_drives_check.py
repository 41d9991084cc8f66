"""The look for errors, with each file system's own checker on real images, sound and broken."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import struct
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from fieldrec.config.drives import DrivesConfig
from fieldrec.core.errors import DriveRejected
from fieldrec.drives import check as check_module
from fieldrec.drives.check import CHECKERS, FileSystemCheck, put_away, which
from fieldrec.drives.udev import BlockDevice
from fieldrec.drives.work import DriveWork

pytestmark = pytest.mark.asyncio

MAKE = {
    "ext4": ("mkfs.ext4", "-q", "-F"), "exfat": ("mkfs.exfat",), "ntfs": ("mkfs.ntfs", "-q", "-F"),
    "vfat": ("mkfs.vfat",), "fat32": ("mkfs.vfat", "-F", "32", "-s", "1"),
    "xfs": ("mkfs.xfs", "-q"), "btrfs": ("mkfs.btrfs", "-q"),
}
SIZE_MB = {"xfs": 300, "btrfs": 128, "fat32": 64}


def image(folder: Path, kind: str) -> Path:
    """A file with such a file system; skips where this machine has no tools for it."""
    checker = CHECKERS["vfat" if kind == "fat32" else kind]
    for program in (MAKE[kind][0], checker.look[0]):
        if which(program) is None:
            pytest.skip(f"{program} is not installed")
    path = folder / f"{kind}.img"
    with path.open("wb") as file:
        file.truncate(SIZE_MB.get(kind, 16) << 20)
    program, *options = MAKE[kind]
    subprocess.run([which(program) or program, *options, str(path)], check=True,
                   capture_output=True)
    return path


def patch(path: Path, at: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


def written(path: Path) -> tuple[int, int]:
    """Another when a byte was written to it meanwhile."""
    facts = path.stat()
    return facts.st_mtime_ns, facts.st_blocks


def got(path: Path, at: int, count: int) -> bytes:
    with path.open("rb") as file:
        file.seek(at)
        return file.read(count)


# -- ways to be broken, or only pulled out ---------------------------------------------------------

def ext4_errors(path: Path) -> None:
    """A folder whose inode is gone, and the kernel's note that something is wrong."""
    for request in ("clri /lost+found", "ssv state 2"):
        subprocess.run([which("debugfs") or "debugfs", "-w", "-R", request, str(path)], check=True,
                       capture_output=True)


def ext4_beyond_preening(path: Path) -> None:
    """A folder's blocks are garbage: `e2fsck -p` says that a person must run it."""
    ext4_errors(path)
    debugfs = which("debugfs") or "debugfs"
    subprocess.run([debugfs, "-w", "-R", "sif <2> mode 0100644", str(path)], check=True,
                   capture_output=True)


def exfat_pulled_out(path: Path) -> None:
    patch(path, 106, b"\x02\0")


def exfat_errors(path: Path) -> None:
    """Pulled out while a file was made: its entries do not match their checksum."""
    exfat_pulled_out(path)
    begin = got(path, 0, 512)
    heap, root = struct.unpack_from("<I", begin, 88)[0], struct.unpack_from("<I", begin, 96)[0]
    at = (heap + ((root - 2) << begin[109])) << begin[108]
    while got(path, at, 1) != b"\0":
        at += 32
    for kind in (b"\x85\x02\x12\x34", b"\xc0\x01\0\x01", b"\xc1\0x\0"):
        patch(path, at, kind.ljust(32, b"\0"))
        at += 32


def fat_pulled_out(path: Path) -> None:
    patch(path, 0x41 if got(path, 0x52, 5) == b"FAT32" else 0x25, b"\x01")


def fat32_errors(path: Path) -> None:
    """Clusters that no file has."""
    fat_pulled_out(path)
    begin = got(path, 0, 512)
    reserved, sectors = struct.unpack_from("<H", begin, 14)[0], struct.unpack_from("<I", begin, 36)
    for copy in (0, 1):
        patch(path, (reserved + copy * sectors[0]) * 512 + 4 * 100, b"\xff\xff\xff\x0f")


def ntfs_errors(path: Path) -> None:
    """The table of files and its mirror differ."""
    begin = got(path, 0, 512)
    sector, cluster = struct.unpack_from("<H", begin, 11)[0], begin[13]
    table = struct.unpack_from("<Q", begin, 48)[0] * sector * cluster
    patch(path, table + 3 * 1024 + 200, b"\xff\xff")


def xfs_errors(path: Path) -> None:
    """The free space of the first group is garbage."""
    patch(path, 512 + 36, b"\xff" * 16)


def btrfs_errors(path: Path) -> None:
    """Both copies of the trees are overwritten, as far as they can be found."""
    with path.open("r+b") as file:
        whole = file.read()
        magic = whole[0x10020:0x10030]  # every tree block has the id of the file system at 32
        at = whole.find(magic, 0x20000)
        while at != -1:
            file.seek(at + 200)
            file.write(b"\xff" * 64)
            at = whole.find(magic, at + 1)


# -- the test's own watcher ----------------------------------------------------------------------

@dataclass
class Look:
    said: list[str] = field(default_factory=list)
    work: DriveWork = field(default_factory=DriveWork)

    async def at(self, path: Path, fs_type: str, *, find: Callable[[str], str | None] = which,
                 **options: Any) -> str:
        """The reason why it is rejected; "" when it is used."""
        config = DrivesConfig.model_validate(options)
        check = FileSystemCheck(config, self.work, lambda text, how: self.said.append(
            f"{how}: {text}"), find=find)
        block = BlockDevice(str(path), "-", "AB", "BEES", fs_type, 1, None, None)
        try:
            await check.make_sure(("AB", str(path)), block, "BEES")
        except DriveRejected as error:
            return str(error)
        return ""


@pytest.fixture
def look() -> Iterator[Look]:
    made = Look()
    yield made
    made.work.close()


def fs(kind: str) -> str:
    return "vfat" if kind == "fat32" else kind


@pytest.mark.parametrize("kind", list(MAKE))
async def test_a_sound_drive_is_used_without_a_word(tmp_path: Path, look: Look, kind: str) -> None:
    path = image(tmp_path, kind)
    before = written(path)
    assert await look.at(path, fs(kind)) == ""
    assert look.said == []
    assert written(path) == before


@pytest.mark.parametrize(("kind", "pulled"), [
    ("exfat", exfat_pulled_out), ("vfat", fat_pulled_out), ("fat32", fat_pulled_out)])
async def test_a_drive_that_was_only_pulled_out_is_used(
        tmp_path: Path, look: Look, kind: str, pulled: Callable[[Path], None]) -> None:
    path = image(tmp_path, kind)
    pulled(path)
    assert not put_away(got(path, 0, 512))
    before = written(path)
    assert (await look.at(path, fs(kind)), look.said) == ("", [])
    assert written(path) == before


def exfat_torn(path: Path, place: Path, names: list[str]) -> None:
    """Pulled out while it was written: the clusters of these files are noted as free."""
    place.mkdir()
    subprocess.run(["mount", "-t", "exfat-fuse", "-o", "loop", str(path), str(place)], check=True)
    try:
        for number, name in enumerate(names):
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_bytes(f"torn-{number}-".encode() * 400)
    finally:
        subprocess.run(["umount", str(place)], check=True)
    exfat_pulled_out(path)
    whole = path.read_bytes()
    heap, root = struct.unpack_from("<I", whole, 88)[0], struct.unpack_from("<I", whole, 96)[0]
    start, shift = heap << whole[108], whole[108] + whole[109]
    entries = range(start + ((root - 2) << shift), len(whole), 32)
    bitmap = next(at for at in entries if whole[at] == 0x81)
    bits = start + ((struct.unpack_from("<I", whole, bitmap + 20)[0] - 2) << shift)
    for number in range(len(names)):
        cluster = (whole.index(f"torn-{number}-".encode() * 20) - start) >> shift
        at = bits + cluster // 8
        patch(path, at, bytes([got(path, at, 1)[0] & ~(1 << cluster % 8)]))


def cut_off(path: Path, place: Path) -> None:
    """Pulled out while it was written (the file system's GOINGDOWN)."""
    place.mkdir()
    subprocess.run(["mount", "-o", "loop", str(path), str(place)], check=True)
    try:
        for number in range(200):
            (place / f"f{number}").write_bytes(b"x" * 5000)
        descriptor = os.open(place / "f0", os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
        descriptor = os.open(place, os.O_RDONLY)
        fcntl.ioctl(descriptor, 0x8004587D, struct.pack("I", 2))
        os.close(descriptor)
    finally:
        subprocess.run(["umount", str(place)], check=True)


@pytest.mark.root
@pytest.mark.parametrize("kind", ["ext4", "xfs"])
async def test_an_open_journal_is_no_error(tmp_path: Path, look: Look, kind: str) -> None:
    """Mounting replays it."""
    if os.geteuid() != 0:
        pytest.skip("needs root: mounts")
    path = image(tmp_path, kind)
    cut_off(path, tmp_path / "at")
    assert (await look.at(path, kind), look.said) == ("", [])


@pytest.mark.parametrize(("kind", "breaks", "reason"), [
    ("ext4", ext4_errors, "its file system has errors; set drives.check to repair, or mend it on a "
                          "computer (`e2fsck {device}`), then put it in again"),
    ("exfat", exfat_errors, "its file system has errors; set drives.check to repair, or mend it on "
                            "a computer (`fsck.exfat {device}`, or chkdsk on Windows), then put it "
                            "in again"),
    ("fat32", fat32_errors, "its file system has errors; set drives.check to repair, or mend it on "
                            "a computer (`fsck.vfat {device}`, or chkdsk on Windows), then put it "
                            "in again"),
    ("ntfs", ntfs_errors, "its file system has errors; check it on Windows (chkdsk), then put it "
                          "in again"),
    ("xfs", xfs_errors, "its file system has errors; mend it on a computer (`xfs_repair {device}`)"
                        ", then put it in again"),
    ("btrfs", btrfs_errors, "its file system has errors; save what is on it, and format it, then "
                            "put it in again"),
])
async def test_errors_are_found_and_left_alone(
        tmp_path: Path, look: Look, kind: str, breaks: Callable[[Path], None], reason: str
        ) -> None:
    path = image(tmp_path, kind)
    breaks(path)
    before = written(path)
    assert await look.at(path, fs(kind)) == reason.format(device=path)
    assert written(path) == before
    assert (await look.at(path, fs(kind), check="never"), look.said) == ("", [])
    if not CHECKERS[fs(kind)].mend:
        assert await look.at(path, fs(kind), check="repair") == reason.format(device=path)
        assert written(path) == before


@pytest.mark.parametrize(("kind", "breaks", "by"), [
    ("ext4", ext4_errors, "e2fsck -p"), ("exfat", exfat_errors, "fsck.exfat -p"),
    ("fat32", fat32_errors, "fsck.vfat -a")])
async def test_errors_are_mended_where_that_is_wished(
        tmp_path: Path, look: Look, kind: str, breaks: Callable[[Path], None], by: str) -> None:
    path = image(tmp_path, kind)
    breaks(path)
    assert await look.at(path, fs(kind), check="repair") == ""
    assert look.said == ["warning: drive BEES: its file system had errors; they were mended by "
                         + by]
    assert await look.at(path, fs(kind)) == ""


@pytest.mark.root
async def test_an_unfinished_copy_on_exfat_is_mended_and_nothing_else(
        tmp_path: Path, look: Look) -> None:
    """Else the drive that was pulled out would not be let in again, or be written over itself."""
    if os.geteuid() != 0 or which("mount.exfat-fuse") is None:
        pytest.skip("needs root and exfat-fuse")
    ours = [f"fieldrec/.part-a/f{number}" for number in range(3)]
    path = image(tmp_path, "exfat")
    exfat_torn(path, tmp_path / "at", ours)
    assert await look.at(path, "exfat") == ""
    assert look.said == ["warning: drive BEES: its file system had errors in copies that were not "
                         "finished; they were mended by fsck.exfat -p"]
    assert (await look.at(path, "exfat"), len(look.said)) == ("", 1)
    for theirs in ("fieldrec/done/f", "fieldrec/x.part-a", ".part-a/f", "fieldrec2/.part-a/f"):
        path = image(tmp_path, "exfat")
        (tmp_path / "at").rmdir()
        exfat_torn(path, tmp_path / "at", [*ours, theirs])
        before = written(path)
        assert "its file system has errors" in await look.at(path, "exfat")
        assert written(path) == before


async def test_what_needs_a_question_is_not_answered(tmp_path: Path, look: Look) -> None:
    path = image(tmp_path, "ext4")
    ext4_beyond_preening(path)
    assert await look.at(path, "ext4", check="repair") == (
        "its file system has errors that cannot be mended without questions; mend it on a computer "
        f"(`e2fsck {path}`), then put it in again")


def script(folder: Path, text: str) -> Callable[[str], str | None]:
    """A stand-in for every checker: what no real one does on demand."""
    path = folder / "checker"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return lambda _program: str(path)


async def test_a_look_that_takes_too_long_is_ended_and_the_drive_used(
        tmp_path: Path, look: Look) -> None:
    path = image(tmp_path, "ext4")
    find = script(tmp_path, "exec sleep 1000")
    assert await look.at(path, "ext4", find=find, check_s=0.1) == ""
    assert look.said == ["warning: drive BEES: the look for errors of its file system did not end "
                         "in 0.1 s; it is used all the same"]


async def test_a_repair_that_takes_too_long_keeps_it_out(tmp_path: Path, look: Look) -> None:
    path = image(tmp_path, "ext4")
    find = script(tmp_path, "[ $1 = -n ] && exit 4; exec sleep 1000")
    assert (await look.at(path, "ext4", find=find, check_s=1, check="repair")).startswith(
        "its file system has errors, whose repair did not end in 1 s (drives.check_s); mend it")


async def test_a_checker_that_breaks_on_it_keeps_it_out(tmp_path: Path, look: Look) -> None:
    path = image(tmp_path, "ext4")
    assert "has errors" in await look.at(path, "ext4", find=script(tmp_path, "kill -SEGV $$"))


async def test_a_checker_that_cannot_say_is_named(tmp_path: Path, look: Look) -> None:
    path = image(tmp_path, "ext4")
    assert await look.at(path, "ext4", find=script(tmp_path, "exit 8")) == ""
    assert look.said == ["warning: drive BEES: not looked at for errors of its file system (e2fsck "
                         "ended with 8); it is used all the same"]


async def test_a_windows_that_sleeps(tmp_path: Path, look: Look) -> None:
    path = image(tmp_path, "ntfs")
    reason = await look.at(path, "ntfs", find=script(tmp_path, "exit 14"), check="repair")
    assert reason == ("a Windows that only sleeps has it open; shut Windows down wholly (Shift and "
                      "Shut down), then put it in again")


async def test_a_missing_checker_is_said_once(tmp_path: Path, look: Look) -> None:
    path = image(tmp_path, "ext4")
    config = DrivesConfig()
    check = FileSystemCheck(config, look.work, lambda text, how: look.said.append(f"{how}: {text}"),
                            find=lambda _program: None)
    block = BlockDevice(str(path), "-", "AB", "BEES", "ext4", 1, None, None)
    for _ in range(2):
        await check.make_sure(("AB", str(path)), block, "BEES")
    assert look.said == ["warning: ext4 drives are used without a look for errors: e2fsck is not "
                         "installed (package e2fsprogs)"]


async def test_a_device_that_only_root_may_read(
        tmp_path: Path, look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    path = image(tmp_path, "ext4")

    def refused(_device: str) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(check_module, "_first_sector", refused)
    assert await look.at(path, "ext4") == ""
    assert look.said == ["warning: drives are used without a look for errors of their file "
                         "systems: only root may read the devices"]


async def test_a_drive_that_was_put_away_is_not_walked(tmp_path: Path, look: Look) -> None:
    for kind in ("exfat", "vfat", "fat32"):
        path = image(tmp_path, kind)
        assert await look.at(path, fs(kind), find=script(tmp_path, "exit 4")) == ""


async def test_a_cancelled_look_leaves_no_process(tmp_path: Path, look: Look) -> None:
    path = image(tmp_path, "ext4")
    begun = tmp_path / "begun"
    os.mkfifo(begun)
    find = script(tmp_path, f"echo $$ > {begun}; exec sleep 1000")
    task = asyncio.create_task(look.at(path, "ext4", find=find))
    descriptor = os.open(begun, os.O_RDONLY | os.O_NONBLOCK)
    loop, came = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(descriptor, came.set)
    await came.wait()
    loop.remove_reader(descriptor)
    number = int(os.read(descriptor, 100) or b"0")
    os.close(descriptor)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert number and not Path(f"/proc/{number}").exists()  # noqa: ASYNC240
