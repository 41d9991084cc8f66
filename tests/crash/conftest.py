"""A file system of one's own, which can be cut off."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.loop_devices import attach, detach


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
    device = attach(image)
    mount_point.mkdir()
    try:
        subprocess.run(["mount", device, str(mount_point)], check=True)
        try:
            yield device, mount_point
        finally:
            subprocess.run(["umount", str(mount_point)], check=True)
    finally:
        detach(device)
