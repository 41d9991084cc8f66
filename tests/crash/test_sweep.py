"""I1-I5, I7 and I8 hold whatever step of a life is cut: record, export, copy, move.

The sweeps cut at every durable step there is; see sweep.py for the modes. A sweep that cut nowhere,
or that lost nothing in a power cut, would prove nothing: both are asserted.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
MEMORY = Path("/dev/shm")
"""A kill or an error does not depend on the medium: memory makes the sweep quick."""


@pytest.fixture
def quick_folder(tmp_path: Path) -> Iterator[Path]:
    if not os.access(MEMORY, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(prefix="fieldrec-sweep-", dir=MEMORY) as folder:
        yield Path(folder)


def sweep(mode: str, folder: Path, *span: int, **environment: str) -> list[dict[str, Any]]:
    words = [str(number) for number in span]
    result = subprocess.run(
        [sys.executable, "-m", "tests.crash.sweep", mode, str(folder), *words], cwd=ROOT,
        env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-3000:]
    return [json.loads(line) for line in result.stdout.splitlines()]


def assert_nothing_broke(lines: list[dict[str, Any]]) -> None:
    *points, end = lines
    assert end["steps"] > 200, "the life has fewer durable steps than a life can have"
    assert len(points) == end["steps"], "a point was not cut"
    broken = [point for point in points if point["wrong"]]
    assert broken == []
    assert max(point["promised"] for point in points) > 10


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("mode", ["kill", "ENOSPC", "EIO"])
def test_every_step_may_be_the_last(mode: str, quick_folder: Path) -> None:
    assert_nothing_broke(sweep(mode, quick_folder))


@pytest.fixture
def own_ext4(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A loop device with ext4, mounted: (device, mount point)."""
    if os.geteuid() != 0:
        pytest.skip("power cuts need root: a loop device is mounted")
    if shutil.which("mkfs.ext4") is None:
        pytest.skip("power cuts need mkfs.ext4 (e2fsprogs)")
    image, mount_point = tmp_path / "disk.img", tmp_path / "disk"
    with image.open("wb") as file:
        file.truncate(128 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-E", "lazy_itable_init=0", str(image)], check=True)
    found = subprocess.run(["losetup", "-f", "--show", str(image)], check=True,
                           capture_output=True, text=True)
    device = found.stdout.strip()
    mount_point.mkdir()
    try:
        subprocess.run(["mount", device, str(mount_point)], check=True)
        try:
            yield device, mount_point
        finally:
            subprocess.run(["umount", str(mount_point)], check=True)
    finally:
        subprocess.run(["losetup", "-d", device], check=True)


@pytest.mark.root
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_power_cuts(own_ext4: tuple[str, Path]) -> None:
    """The log is not flushed: what was not synced is gone, what was promised is there."""
    device, mount_point = own_ext4
    points = sweep("power", mount_point, 1, 1000, 3, DEVICE=device,
                   MOUNT_POINT=str(mount_point))[:-1]
    assert len(points) > 70
    assert [point for point in points if point["wrong"]] == []
    assert any(0 < point["promised"] < 14 for point in points)
    assert any(point["kept"] < point["appended"] for point in points), "the cuts cut nothing"
