"""Reading past the page cache: every size, every way of failing to, and what it leaves behind."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from fieldrec.core.past_cache import ALIGN_BYTES, PastCache, aligned_buffer, forget_device
from tests.unit.test_destinations_folder import loop_mounted

SIZES = [0, 1, ALIGN_BYTES - 1, ALIGN_BYTES, ALIGN_BYTES + 1, 5 * ALIGN_BYTES - 7, 100_000]


def content(size: int) -> bytes:
    return bytes(at * 31 % 251 for at in range(size))


def opened(path: Path) -> PastCache:
    return PastCache(lambda flags: os.open(path, os.O_RDONLY | os.O_CLOEXEC | flags))


def read(path: Path, slice_bytes: int = 4 * ALIGN_BYTES) -> bytes:
    view = aligned_buffer(slice_bytes)
    with closing(opened(path)) as file:
        return b"".join(bytes(data) for data in file.slices(lambda: view))


@pytest.mark.parametrize("size", SIZES)
def test_any_size_is_read_whole(tmp_path: Path, size: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(content(size))
    assert read(path) == content(size)


def test_no_more_is_asked_for_than_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch
                                            ) -> None:
    asked = []
    real = os.preadv

    def preadv(descriptor: int, buffers: Sequence[Any], at: int) -> int:
        asked.append(sum(map(len, buffers)))
        return real(descriptor, buffers, at)

    monkeypatch.setattr(os, "preadv", preadv)
    path = tmp_path / "file"
    path.write_bytes(content(ALIGN_BYTES + 5))
    assert read(path, 64 * ALIGN_BYTES) == content(ALIGN_BYTES + 5)
    assert asked == [2 * ALIGN_BYTES]


def no_direct_open(path: Path) -> Callable[[int], int]:
    def open_with(flags: int) -> int:
        if flags & os.O_DIRECT:
            raise OSError(errno.EINVAL, "no O_DIRECT here")
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC | flags)
    return open_with


def test_a_file_system_without_it_is_read_through_the_cache(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(content(50_000))
    view = aligned_buffer(ALIGN_BYTES)
    with closing(PastCache(no_direct_open(path))) as file:
        assert b"".join(bytes(data) for data in file.slices(lambda: view)) == content(50_000)


@pytest.fixture
def picky(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bool]]:
    """Reads come back short, and with O_DIRECT only whole blocks are read: for each, whether it was
    past the cache."""
    real, direct = os.preadv, []

    def preadv(descriptor: int, buffers: Sequence[Any], at: int) -> int:
        is_direct = bool(fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_DIRECT)
        direct.append(is_direct)
        if is_direct and (at % ALIGN_BYTES or len(direct) > 2):
            raise OSError(errno.EINVAL, "not aligned")
        return real(descriptor, [buffers[0][:ALIGN_BYTES]], at) if len(direct) > 1 else min(
            real(descriptor, [buffers[0][:ALIGN_BYTES]], at), 1000)

    monkeypatch.setattr(os, "preadv", preadv)
    yield direct


def test_short_reads_and_refusals_lose_nothing(tmp_path: Path, picky: list[bool]) -> None:
    path = tmp_path / "file"
    path.write_bytes(content(30_000))
    assert read(path) == content(30_000)
    assert True not in picky[1:]


def test_other_errors_are_not_taken_for_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch
                                             ) -> None:
    def preadv(_descriptor: int, _buffers: object, _at: int) -> int:
        raise OSError(errno.EIO, "input/output error")

    path = tmp_path / "file"
    path.write_bytes(content(10))
    monkeypatch.setattr(os, "preadv", preadv)
    with pytest.raises(OSError, match="input/output"):
        read(path)


def test_what_was_cached_is_dropped(tmp_path: Path) -> None:
    if shutil.which("fincore") is None:
        pytest.skip("fincore is not installed (package util-linux)")
    path = tmp_path / "file"
    path.write_bytes(content(200_000))
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)
    assert path.read_bytes() == content(200_000)

    def cached() -> int:
        done = subprocess.run(["fincore", "-nb", "-o", "RES", str(path)], capture_output=True,
                              text=True, check=True)
        return int(done.stdout)

    assert cached() >= 200_000
    read(path)
    assert cached() == 0


def test_only_a_block_device_of_ours_is_forgotten(tmp_path: Path) -> None:
    assert not forget_device(tmp_path / "no such device")
    (tmp_path / "file").write_text("x")
    assert not forget_device(tmp_path / "file")


@pytest.fixture
def loop_ext4(tmp_path: Path) -> Iterator[tuple[Path, Path, Path]]:
    yield from loop_mounted(tmp_path, 16)


@pytest.mark.root
def test_flushing_drops_what_the_block_device_has_cached(loop_ext4: tuple[Path, Path, Path]
                                                         ) -> None:
    _, image, device = loop_ext4
    at = 15 * 1024 * 1024  # a free block: those that ext4 holds cannot be dropped
    before = device.read_bytes()[at]
    with image.open("r+b") as file:
        file.seek(at)
        file.write(bytes([before ^ 0xA5]))
        file.flush()
        os.fsync(file.fileno())
    assert device.read_bytes()[at] == before, "control: the device's page cache is stale"
    assert forget_device(device)
    assert device.read_bytes()[at] == before ^ 0xA5
