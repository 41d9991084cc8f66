"""What file systems cannot hold, as a table; exFAT, NTFS and ext4 also for real."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from fieldrec.catalogue.scan import scan
from fieldrec.core import durable
from fieldrec.core.errors import JobRefused
from fieldrec.destinations import limits
from fieldrec.destinations.folder import FolderDestination
from fieldrec.destinations.limits import Limits, limits_of, refusal
from fieldrec.jobs import transfer
from tests.crash.running import quick_folder
from tests.fakes.loop_devices import attach, detach
from tests.fakes.small_stores import make_export, make_store

GIB = 1 << 30
FAT, EXFAT, NTFS, EXT4 = (limits_of(name) for name in ("vfat", "exfat", "ntfs3", "ext4"))
STORE = {"metadata.yaml": 700, "000000/index.npz": 4000, "000000/000000.npy": 1_300_000}
NAME = "bees_20261121_060000_40123456"


@pytest.mark.parametrize("where", [FAT, EXFAT, NTFS, EXT4, limits.NONE])
def test_what_fieldrec_makes_itself_fits_everywhere(where: Limits) -> None:
    longest = "b" * 100 + "_20261121_060000_" + "S" * 100
    for name in (NAME, longest):
        assert refusal(where, name, STORE) == ""
        assert refusal(where, f"{name}.high.001.mp4", {"": 2 * GIB}) == ""


@pytest.mark.parametrize(("where", "size", "told"), [
    (FAT, 4 * GIB - 1, ""), (FAT, 4 * GIB, "has 4.0 GiB, and FAT32 holds no file of 4 GiB"),
    (FAT, 53 * GIB, "slice_s in the preset, or use a drive formatted as exFAT"),
    (EXFAT, 5000 * GIB, ""), (NTFS, 5000 * GIB, ""), (EXT4, 5000 * GIB, ""),
    (EXT4, (16 << 40) + 1, "ext4 holds no file of 16384 GiB"),
])
def test_sizes_of_files(where: Limits, size: int, told: str) -> None:
    for relative, named in (("", f"{NAME} has"), ("000000.mp4", f"{NAME}/000000.mp4 has")):
        why = refusal(where, NAME, {relative: size})
        assert told in why
        assert bool(told) == why.startswith(named)


def test_a_tar_that_is_too_large_had_better_be_files() -> None:
    why = refusal(FAT, NAME, {f"{NAME}/000000.tar": 5 * GIB})
    assert "raw_as: files" in why
    assert "slice_s" not in why


@pytest.mark.parametrize("name", ["a:b", "a?b", 'a"b', "a*b", "a<b", "a>b", "a|b", "a\\b", "a\nb",
                                  "a\x1bb", "a.", "a ", "a" * 245])
@pytest.mark.parametrize("inside", [False, True])
def test_names_that_some_forbid(name: str, inside: bool) -> None:
    def why(where: Limits) -> str:
        return refusal(where, "bees", {f"{name}/{name}": 1}) if inside else \
            refusal(where, name, STORE)

    too_long = len(name) > 200
    for where in (FAT, EXFAT, NTFS):
        assert bool(why(where)) == (not (inside and too_long)), "inside, names get no suffix"
        assert why(where).isascii() and "\n" not in why(where)
    assert bool(why(EXT4)) == (too_long and not inside)
    assert bool(why(limits.NONE)) == (too_long and not inside)


@pytest.mark.parametrize(("name", "fits", "fits_ext4"), [
    ("ü" * 200, True, False), ("\U0001f41d" * 110, True, False), ("\U0001f41d" * 120, False, False),
])
def test_lengths_are_counted_as_the_file_system_does(name: str, fits: bool, fits_ext4: bool
                                                     ) -> None:
    assert (refusal(EXFAT, name, STORE) == "") is fits
    assert (refusal(EXT4, name, STORE) == "") is fits_ext4


def test_names_that_differ_in_case_alone() -> None:
    twins = {"Bees.npy": 1, "bees.npy": 1}
    for where in (FAT, EXFAT, NTFS):
        assert "one name on" in refusal(where, NAME, twins)
        assert refusal(where, NAME, {"a/Bees.npy": 1, "b/bees.npy": 1}) == ""
        assert "one name on" in refusal(where, NAME, {"a/x.npy": 1, "A/y.npy": 1})
    assert refusal(EXT4, NAME, twins) == ""


@pytest.mark.parametrize(("where", "most"), [(FAT, 32_767), (EXFAT, 2_796_202)])
def test_files_in_one_folder(where: Limits, most: int) -> None:
    """The numbers of the formats: 65,536 entries of which "." and ".." are two; 8,388,608."""
    assert where.folder_entries // where.entries("000000.npy") == most
    if where is FAT:
        files = {f"000000/{number:06d}.npy": 1 for number in range(most)}
        assert refusal(where, NAME, files) == ""
        assert "32768 files are more than one folder holds on FAT32" in refusal(
            where, NAME, files | {"000000/032767.npy": 1})
        assert refusal(where, NAME, files | {"000001/032767.npy": 1}) == ""


def test_a_copy_that_cannot_be_held_is_refused_where_there_are_limits_only() -> None:
    class Stick:
        def limits(self) -> Limits:
            return FAT

    limits.check(object(), NAME, {"": 5 * GIB})
    limits.check(Stick(), NAME, {"": GIB})
    with pytest.raises(JobRefused, match=r"FAT32 holds no file .* nothing was copied"):
        limits.check(Stick(), NAME, {"": 5 * GIB})


def test_a_copy_is_refused_before_its_first_byte(tmp_path: Path) -> None:
    class Stick(FolderDestination):
        def limits(self) -> Limits:
            return dataclasses.replace(FAT, file_bytes=4990)

    recordings, folder = tmp_path / "recordings", tmp_path / "stick"
    recordings.mkdir()
    folder.mkdir()
    make_export(recordings, "bees", make_store(recordings, "bees"), size_bytes=5000)
    bees, = scan(recordings)
    written: list[str] = []
    durable.set_hook(lambda step, path: written.append(f"{step} {path.name}"))
    for work in (transfer.transfer, transfer.move):
        with closing(Stick("FIELD", folder)) as place, \
                pytest.raises(JobRefused, match=r"^bees\.high\.mp4 has .* nothing was copied$"):
            work(bees, place, stop=threading.Event())
    durable.set_hook(None)
    assert (written, list(folder.iterdir())) == ([], [])
    assert scan(recordings) == [bees]


# -- for real --------------------------------------------------------------------------------------

MAKE = {"ext4": ("mkfs.ext4", "-q"), "exfat": ("mkfs.exfat",), "ntfs": ("mkfs.ntfs", "-F", "-Q")}
MOUNT = {"ext4": ("mount",), "exfat": ("mount.exfat-fuse",), "ntfs": ("ntfs-3g",)}


@contextmanager
def mounted(file_system: str, fallback: Path) -> Iterator[Path]:
    """A fresh file system on a loop device, mounted."""
    if os.geteuid() != 0:
        pytest.skip("needs root for a loop device")
    for program in (MAKE[file_system][0], MOUNT[file_system][0]):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    with quick_folder(fallback) as folder:
        image, point = folder / "image", folder / "mount"
        point.mkdir()
        with image.open("wb") as file:
            file.truncate(16 << 20)
        subprocess.run([*MAKE[file_system], image], check=True, capture_output=True)
        device = attach(image)
        try:
            subprocess.run([*MOUNT[file_system], device, point], check=True, capture_output=True)
            try:
                yield point
            finally:
                subprocess.run(["umount", point], check=True)
        finally:
            detach(device)


@pytest.mark.root
@pytest.mark.parametrize(("file_system", "name"), [("ext4", "ext4"), ("exfat", "exFAT"),
                                                   ("ntfs", "NTFS")])
def test_the_file_system_is_known_by_its_mount(file_system: str, name: str, tmp_path: Path
                                               ) -> None:
    """exFAT and NTFS are both "fuseblk" there; what each takes and forbids is as the table says."""
    with mounted(file_system, tmp_path) as point, closing(FolderDestination("d", point)) as place:
        where = place.limits()
        assert where.name == name
        (point / "bees").mkdir()
        assert place.taken("bees")
        assert place.taken("Bees") == where.folds_case
        assert not place.taken("wasps")
        if file_system != "ntfs":  # whose driver takes anything: it is Windows that cannot read it
            for wrong in ':*?"<>|':
                refused = bool(refusal(where, f"a{wrong}b", STORE))
                assert refused == (not made(point / f"a{wrong}b")), wrong


def made(path: Path) -> bool:
    try:
        path.mkdir()
    except OSError:
        return False
    return True


def test_a_boot_sector_tells_what_a_driver_in_user_space_has_mounted(tmp_path: Path) -> None:
    sector = tmp_path / "sector"
    for at, mark, name in ((3, b"EXFAT   ", "exfat"), (3, b"NTFS    ", "ntfs"),
                           (82, b"FAT32   ", "vfat"), (54, b"FAT16   ", "vfat"), (0, b"", "")):
        sector.write_bytes(bytes(at) + mark + bytes(512 - at - len(mark)))
        assert limits._signature(str(sector)) == name
    assert limits._signature(str(tmp_path / "none")) == ""
