"""Room on the disk: limits with their numbers, and a folder that cannot be used."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from fieldrec.config import StorageConfig
from fieldrec.core import durable
from fieldrec.core.errors import StoreError, StoreFull
from fieldrec.record.storage import StorageGuard
from tests.fakes.disks import FakeDisk

GB = 10**9


def guard(directory: Path, disk: FakeDisk, *, stop_percent: float = 94, reserve: int = GB // 2
          ) -> StorageGuard:
    config = StorageConfig(directory=directory, stop_percent=stop_percent, reserve_bytes=reserve)
    return StorageGuard(directory, config, statvfs=disk)


def test_room(tmp_path: Path) -> None:
    assert guard(tmp_path, FakeDisk(100 * GB, 50 * GB)).refusal() is None


def test_percent_refuses_with_the_numbers(tmp_path: Path) -> None:
    disk = FakeDisk(200 * GB, 12 * GB)
    assert guard(tmp_path, disk).refusal() == "disk 94.0 % used (stop at 94 %), 12.0 GB free"
    disk.free_bytes = 12 * GB + 4096 * 1000
    assert guard(tmp_path, disk).refusal() is None


def test_reserve_refuses_whichever_comes_first(tmp_path: Path) -> None:
    refusal = guard(tmp_path, FakeDisk(4 * GB, 400_000_000)).refusal()
    assert refusal == "disk 90.0 % used, 400.0 MB free (stop below 500.0 MB)"


def test_minutes_left_until_the_nearer_limit(tmp_path: Path) -> None:
    disk = FakeDisk(100 * GB, 16 * GB)
    status = guard(tmp_path, disk).status(bytes_per_s=100e6)
    assert status.minutes_left == pytest.approx((16 - 6) * 1000 / 100 / 60, rel=1e-3)
    nearer = guard(tmp_path, disk, reserve=15 * GB).status(bytes_per_s=100e6)
    assert nearer.minutes_left == pytest.approx(1 * 1000 / 100 / 60, rel=1e-3)
    assert guard(tmp_path, disk).status().minutes_left is None


def test_the_real_disk_is_asked(tmp_path: Path) -> None:
    status = StorageGuard(tmp_path, StorageConfig()).status()
    figures = os.statvfs(tmp_path)
    assert 0 < status.total_bytes <= figures.f_blocks * figures.f_frsize
    assert 0 < status.used_percent < 100


def test_without_its_disk_a_folder_is_not_there(tmp_path: Path) -> None:
    """The folder under a mount point exists and can be written: it is on another disk."""
    point, folder = tmp_path / "ssd", tmp_path / "ssd" / "recordings"
    folder.mkdir(parents=True)
    config = StorageConfig(directory=folder, mount_points=(tmp_path / "other", point))
    without = StorageGuard(folder, config)
    says = f"is not there: nothing is mounted on {point}; put the disk in and mount it"
    assert without.fault() == says
    with pytest.raises(StoreError, match=r"recordings folder .*recordings is not there"):
        without.check_usable()
    assert list(folder.iterdir()) == []
    elsewhere = StorageGuard(tmp_path, config)
    elsewhere.check_usable()
    assert elsewhere.fault() is None


def test_usable_folder_is_left_as_it_was(tmp_path: Path) -> None:
    StorageGuard(tmp_path, StorageConfig()).check_usable()
    assert list(tmp_path.iterdir()) == []


def test_missing_folder(tmp_path: Path) -> None:
    missing = StorageGuard(tmp_path / "none", StorageConfig())
    with pytest.raises(StoreError, match="does not exist; create it"):
        missing.check_usable()
    assert missing.refusal() == f"{tmp_path / 'none'} cannot be read"


def test_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="is not a folder"):
        StorageGuard(tmp_path / "file", StorageConfig()).check_usable()


@pytest.mark.parametrize(("number", "advice"), [
    (errno.EROFS, "read-only"), (errno.EACCES, "give the user"), (errno.EIO, "check the disk")])
def test_folder_that_cannot_be_written(tmp_path: Path, number: int, advice: str) -> None:
    def refuse(step: str, path: Path) -> None:
        if step == "create":
            raise OSError(number, os.strerror(number))

    durable.set_hook(refuse)
    with pytest.raises(StoreError, match=advice) as caught:
        StorageGuard(tmp_path, StorageConfig()).check_usable()
    durable.set_hook(None)
    assert not isinstance(caught.value, StoreFull)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("step_that_fails", ["create", "write", "fsync"])
def test_full_disk(tmp_path: Path, step_that_fails: str) -> None:
    def refuse(step: str, path: Path) -> None:
        if step == step_that_fails:
            raise OSError(errno.ENOSPC, "No space left on device")

    durable.set_hook(refuse)
    with pytest.raises(StoreFull, match="no room in recordings folder"):
        StorageGuard(tmp_path, StorageConfig()).check_usable()
    durable.set_hook(None)
    assert list(tmp_path.iterdir()) == []
