"""Stores on real file systems: past the page cache where that can be done, whole on all of them."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from imgstore import new_for_filename

from fieldrec.core import durable
from fieldrec.core.model import FrameSpec
from fieldrec.store.writer import StoreWriter
from tests.fakes.loop_devices import attach, detach

MAKE = {"ext4": ["mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0"],
        "xfs": ["mkfs.xfs", "-q"], "exfat": ["mkfs.exfat"], "ntfs": ["mkfs.ntfs", "-q", "-F"]}
MOUNT = {"ext4": ["mount", "-o", "loop"], "xfs": ["mount", "-o", "loop"],
         "exfat": ["mount.exfat-fuse"], "ntfs": ["ntfs-3g"]}
SIZE_BYTES = {"xfs": 320 << 20}
SPECS = {"whole pages": FrameSpec((480, 640), "uint8", "MONO8", 25.0),
         "with a tail": FrameSpec((433, 577, 3), "uint8", "BGR8", 25.0),
         "small": FrameSpec((48, 64), "uint8", "MONO8", 25.0)}


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder in memory."""
    if not os.access("/dev/shm", os.W_OK):
        pytest.skip("there is no /dev/shm")
    with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="fieldrec-") as folder:
        yield Path(folder)


@pytest.fixture(params=["ext4", "xfs", "exfat", "ntfs"])
def disk(request: pytest.FixtureRequest, tmp_path: Path, memory: Path
         ) -> Iterator[tuple[str, Path]]:
    """A file system of its own, in memory: its name and where it is mounted."""
    kind: str = request.param
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    for tool in (MAKE[kind][0], MOUNT[kind][0]):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    image, place = memory / f"{kind}.img", tmp_path / "disk"
    with image.open("wb") as file:
        file.truncate(SIZE_BYTES.get(kind, 64 << 20))
    place.mkdir()
    subprocess.run([*MAKE[kind], str(image)], check=True, capture_output=True)
    found = _mount(kind, image, place)
    try:
        yield kind, place
    finally:
        subprocess.run(["umount", str(place)], check=True)
        for device in found:
            detach(device)


def _mount(kind: str, image: Path, place: Path) -> list[str]:
    """Mount it; the loop devices that have to be taken away again."""
    if MOUNT[kind][0] == "mount":
        subprocess.run([*MOUNT[kind], str(image), str(place)], check=True)
        return []
    device = attach(image)
    done = subprocess.run([*MOUNT[kind], device, str(place)], capture_output=True, text=True,
                          check=False)
    if done.returncode != 0:
        detach(device)
        pytest.skip(f"{kind} cannot be mounted: {done.stderr.strip()}")
    return [device]


def write(path: Path, spec: FrameSpec) -> list[Any]:
    """A store of six frames in page-aligned memory, its chunks of four."""
    random = np.random.default_rng(7)
    memory = np.empty(spec.frame_bytes + 4096, np.uint8)
    start = -memory.ctypes.data % 4096
    pixels = memory[start:start + spec.frame_bytes].reshape(spec.shape)
    writer = StoreWriter(path, spec, chunksize=4, user_metadata={}, timezone="UTC",
                         created_epoch_ns=0)
    images = []
    for number in range(6):
        pixels[...] = random.integers(0, 256, spec.shape, np.uint8)
        writer.append(pixels, number, number * 40_000_000, None)
        images.append(pixels.copy())
    writer.sync()
    writer.close()
    return images


def assert_imgstore_reads(path: Path, images: list[Any]) -> None:
    store = new_for_filename(str(path))
    try:
        assert all(np.array_equal(store.get_image(i)[0], image) for i, image in enumerate(images))
    finally:
        store.close()


def write_all_kinds(folder: Path) -> None:
    for name, spec in SPECS.items():
        assert_imgstore_reads(folder / name, write(folder / name, spec))


def test_frames_of_all_sizes_are_whole_on_every_file_system(
        disk: tuple[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    kind, place = disk
    direct: list[bool] = []
    real = durable.write

    def watched(descriptor: int, buffers: Any, path: Path | str, total_bytes: int) -> None:
        real(descriptor, buffers, path, total_bytes)
        if str(path).endswith(".npy"):
            direct.append(bool(fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_DIRECT))

    monkeypatch.setattr(durable, "write", watched)
    write_all_kinds(place)
    if kind in ("ext4", "xfs"):
        assert direct[:6] == [True] * 6
    assert_flag(kind, place)


def assert_flag(kind: str, place: Path) -> None:
    """The top-directory flag is set where there is one; elsewhere nothing happens."""
    set_now = [durable.spread_directories(place / "whole pages") for _ in range(2)]
    assert set_now == [kind == "ext4"] * 2
    if kind == "ext4":
        listed = subprocess.run(["lsattr", "-d", str(place / "whole pages")], check=True,
                                capture_output=True, text=True).stdout.split()[0]
        assert "T" in listed


def test_in_memory(memory: Path) -> None:
    write_all_kinds(memory)
    assert not durable.spread_directories(memory)


def test_no_flag_where_there_is_no_folder(tmp_path: Path) -> None:
    assert not durable.spread_directories(tmp_path / "gone")
