"""The drive: errors of one that was pulled out, its folder, its buffers."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from fieldrec.core.errors import (
    DestinationError,
    DestinationFull,
    DriveGone,
    FieldrecError,
    JobRefused,
    SyncFailed,
)
from fieldrec.destinations.drive import DriveDestination, drive_failure
from tests.fakes.sources import Given
from tests.unit.test_destinations_folder import loop_mounted


@pytest.mark.parametrize(("number", "gone", "expected"), [
    (errno.ENODEV, False, DriveGone), (errno.ENXIO, False, DriveGone),
    (errno.ENOTCONN, False, DriveGone),
    (errno.EIO, True, DriveGone), (errno.EROFS, True, DriveGone), (errno.ENOENT, True, DriveGone),
    (errno.EIO, False, DestinationError), (errno.EROFS, False, DestinationError),
    (errno.ENOSPC, True, DestinationFull), (errno.ENOSPC, False, DestinationFull),
])
def test_what_an_error_means(number: int, gone: bool, expected: type[FieldrecError]) -> None:
    plain = OSError(number, os.strerror(number))
    wrapped = SyncFailed("sync failed")
    wrapped.__cause__ = plain
    assert type(drive_failure("FIELD-01", plain, lambda: gone)) is expected
    assert type(drive_failure("FIELD-01", wrapped, lambda: gone)) is expected


def test_a_planted_link_at_our_folder_is_refused(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    mount = tmp_path / "mount"
    mount.mkdir()
    (mount / "fieldrec").symlink_to(target)
    with closing(DriveDestination("d", mount, "fieldrec", device=None, gone=lambda: False,
                                  must_be_mounted=False)) as place, \
            pytest.raises(JobRefused, match="in the way"):
        place.begin("bees")
    assert list(target.iterdir()) == []


@pytest.mark.parametrize(("gone", "must_be_mounted"), [(True, False), (False, True)])
def test_the_folder_below_a_drive_that_left_is_not_written_to(tmp_path: Path, gone: bool,
                                                              must_be_mounted: bool) -> None:
    """Pulled out and let go of just before the copy begins, or unmounted by somebody."""
    with closing(DriveDestination("d", tmp_path, "fieldrec", device=None, gone=lambda: gone,
                                  must_be_mounted=must_be_mounted)) as place, \
            pytest.raises(DriveGone, match="d was pulled out"):
        place.begin("bees")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def loop_ext4(tmp_path: Path) -> Iterator[tuple[Path, Path, Path]]:
    yield from loop_mounted(tmp_path, 16)


@pytest.mark.root
def test_a_drive_pulled_out_in_the_middle_is_gone(loop_ext4: tuple[Path, Path, Path],
                                                  tmp_path: Path) -> None:
    mount, image, device = loop_ext4
    pulled: list[bool] = []
    with closing(DriveDestination("d", mount, "fieldrec", device=device,
                                  gone=lambda: bool(pulled))) as place:
        place.begin("bees")
        place.write("bees", Given(tmp_path / "a", {"a": b"x" * 100_000}), lambda _count: None)
        os.truncate(image, 0)
        subprocess.run(["losetup", "-c", device], check=True)
        pulled.append(True)
        with pytest.raises(DriveGone, match="pulled out"):
            place.write("bees", Given(tmp_path / "b", {"b": b"x" * 100_000}), lambda _count: None)
        place.abort("bees")
