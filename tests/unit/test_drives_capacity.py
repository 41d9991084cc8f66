"""Drives that are smaller than they say are found out: on the whole device, and through ext4."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fieldrec.drives import capacity
from fieldrec.drives.capacity import Measured, NotTold, prove_device, prove_file_system
from tests.crash.running import quick_folder
from tests.fakes.faulty_disk import FaultyDisk, faulty_disk, missing

MB = 1 << 20
TOLD = 64 * MB
pytestmark = [pytest.mark.root, pytest.mark.skipif(bool(missing()), reason=missing())]


def names(root: int) -> list[str]:
    return [entry.name for entry in os.scandir(root)]


def go_on() -> None:
    """Nobody stops it."""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[FaultyDisk]:
    with quick_folder(tmp_path) as folder:
        cells = folder / "cells"
        with cells.open("wb") as file:
            file.truncate(TOLD)
        with faulty_disk(folder, cells) as found:
            yield found


@contextmanager
def ext4(disk: FaultyDisk, point: Path) -> Iterator[int]:
    """The open root of a new file system, mounted."""
    subprocess.run(["mkfs.ext4", "-q", "-F", "-m", "0", "-i", "65536", "-J", "size=1",
                    "-E", "nodiscard,lazy_itable_init=0", disk.device], check=True)
    point.mkdir()
    subprocess.run(["mount", disk.device, str(point)], check=True)
    try:
        root = os.open(point, os.O_RDONLY | os.O_DIRECTORY)
        try:
            yield root
        finally:
            os.close(root)
    finally:
        disk.heal()
        subprocess.run(["umount", str(point)], check=True)


def test_an_honest_device_is_as_large_as_it_says(disk: FaultyDisk) -> None:
    assert prove_device(disk.device, go_on) == Measured(TOLD, TOLD)


@pytest.mark.parametrize("real", [8 * MB, 37 * MB + 5 * 4096, TOLD - MB],
                         ids=["an eighth", "no power of two", "just below"])
@pytest.mark.parametrize("how", ["wraps", "drops", "wraps the end"])
def test_a_smaller_device_is_found_out(disk: FaultyDisk, real: int, how: str) -> None:
    if how == "drops":
        disk.drop_writes(real)
    else:  # all of it again, or its last 3 MB over and over
        disk.wrap(real, 0 if how == "wraps" else 3 * MB)
    found = prove_device(disk.device, go_on)
    assert not found.is_true
    if how == "wraps":
        assert found.kept_bytes == real
    elif how == "drops":
        assert real <= found.kept_bytes < real + capacity.SMALLEST_STEP


def test_a_device_that_lacks_one_block_is_found_out(disk: FaultyDisk) -> None:
    disk.wrap(TOLD - 4096)
    assert prove_device(disk.device, go_on) == Measured(TOLD, TOLD - 4096)


def test_no_step_is_longer_than_what_is_marked_densely() -> None:
    for size in (10 * MB + 4096, 64 * MB, 8 << 30, 64 << 30, 1 << 40, 4 << 40):
        blocks, at, counts = size // 4096, 0, []
        for first, count in capacity.stretches(blocks):
            counts.append(count)
            assert first >= at and first + count <= blocks
            assert first - at <= capacity._step(size) // 4096
            at = first + count
        assert at == blocks and counts[0] == min(256, blocks)
        assert sum(counts) * 4096 <= max(size // 4, 600 * MB)


def test_an_honest_file_system_is_found_so_and_nothing_is_left(disk: FaultyDisk, tmp_path: Path
                                                               ) -> None:
    with ext4(disk, tmp_path / "drive") as root:
        found = prove_file_system(root, tmp_path / "drive", "ext4", disk.device, go_on)
        assert found.is_true and found.told_bytes == capacity.size_of(root)
        assert names(root) == ["lost+found"]
        with pytest.raises(NotTold, match="so much is on it"):
            subprocess.run(["fallocate", "-l", str(16 * MB), str(tmp_path / "drive" / "full")],
                           check=True)
            prove_file_system(root, tmp_path / "drive", "ext4", disk.device, go_on)


@pytest.mark.parametrize("how", ["wraps", "drops"])
def test_through_a_file_system_a_smaller_drive_is_found_out(disk: FaultyDisk, tmp_path: Path,
                                                            how: str) -> None:
    with ext4(disk, tmp_path / "drive") as root:
        os.sync()
        (disk.wrap if how == "wraps" else disk.drop_writes)(27 * MB)
        found = prove_file_system(root, tmp_path / "drive", "ext4", disk.device, go_on)
        assert not found.is_true and found.kept_bytes < 40 * MB
        assert "counterfeit" in capacity.verdict(found)


def test_a_stop_ends_it_and_nothing_is_left(disk: FaultyDisk, tmp_path: Path) -> None:
    class Stop(Exception):
        pass

    left = 5

    def check() -> None:
        nonlocal left
        left -= 1
        if not left:
            raise Stop

    with ext4(disk, tmp_path / "drive") as root:
        with pytest.raises(Stop):
            prove_file_system(root, tmp_path / "drive", "ext4", disk.device, check)
        assert names(root) == ["lost+found"]


def test_file_systems_that_would_be_filled_are_not_told(tmp_path: Path) -> None:
    root = os.open(tmp_path, os.O_RDONLY)
    try:
        for fs_type in ("exfat", "vfat", "ntfs3"):
            with pytest.raises(NotTold, match=f"cannot be told on {fs_type} without filling it"):
                prove_file_system(root, tmp_path, fs_type, "", go_on)
        assert not names(root)
    finally:
        os.close(root)
