"""Drives by events alone, then looked at as a stranger would: raw as tars on exFAT; a drive on
which somebody keeps very many files. The real daemon, udevd, loop devices."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from fieldrec.catalogue.verify import verify
from fieldrec.store import new_for_filename
from tests.fakes import ascmhl_tool
from tests.fakes.commands import fieldrec
from tests.fakes.small_stores import make_export, make_store
from tests.system.box import Box, cameras
from tests.system.test_field_box import NO_EXPORT, state_of
from tests.system.test_visits import looked_into
from tests.system.udevd import Udevd, cannot_mount

pytestmark = pytest.mark.root
NAMES = [f"old_20261121_06{minute:02}00" for minute in range(2)]
MANY = int(os.environ.get("FIELDREC_MANY_ENTRIES", "1000"))
"""In each of two folders; 10^6 take two minutes, most of it to make them."""


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    folder = tmp_path / "recordings"
    folder.mkdir()
    for seed, name in enumerate(NAMES, 1):
        make_export(folder, name, make_store(folder, name, seed=seed))
    return folder


def safe(box: Box, label: str) -> None:
    box.until(lambda now: state_of(now, label) == "safe to remove", f"{label} is safe")


def test_raw_as_tars_on_exfat(udevd: Udevd, tmp_path: Path, recordings: Path) -> None:
    """Verified by our command and by the reference; read where it lies."""
    if reason := cannot_mount("exfat"):
        pytest.skip(reason)
    image = udevd.image("exfat", label="TARS")
    with Box(tmp_path, match=udevd.match, export=NO_EXPORT, drives={"raw_as": "tar"}) as box:
        device = udevd.insert(image)
        safe(box, "TARS")
        udevd.take_out(device)
    with looked_into(udevd, image, tmp_path / "elsewhere", "ro", "mount.exfat-fuse") as point:
        folder = point / "fieldrec"
        said = fieldrec("verify", folder)
        assert said.returncode == 0, said.stdout + said.stderr
        code, told = ascmhl_tool.verify(folder)  # and the histories of the recordings in it
        assert code == ascmhl_tool.OK, told
        for name in NAMES:
            there = folder / name / name
            assert sorted(path.name for path in there.iterdir() if path.suffix == ".tar") == [
                "000000.tar", "000001.tar", "000002.tar"]
            with new_for_filename(str(recordings / name)) as ours, \
                    new_for_filename(str(there)) as theirs:
                assert theirs.frame_count == ours.frame_count == 10
                for _ in range(10):
                    (picture, told_of), (copied, told_there) = (
                        store.get_next_image() for store in (ours, theirs))
                    assert (picture == copied).all() and told_of == told_there


def fill(folder: Path, start: str) -> None:
    at = os.open(folder, os.O_RDONLY)
    for number in range(MANY):
        os.mknod(f"{start}{number:07}.high.mp4", dir_fd=at)
    os.close(at)


def test_a_drive_with_very_many_files_of_somebody_else(udevd: Udevd, tmp_path: Path,
                                                       recordings: Path) -> None:
    """In its top folder and in ours, named like ours; a recording goes on meanwhile."""
    image = udevd.image(None, size_mb=64 + MANY // 400)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-L", "MANY", "-N", str(2 * MANY + 2000), str(image)],
                   check=True)
    point = tmp_path / "elsewhere"
    with looked_into(udevd, image, point, "rw"):
        (point / "fieldrec").mkdir()
        for folder in (point, point / "fieldrec"):
            fill(folder, NAMES[0])
    with Box(tmp_path, match=udevd.match, cameras=cameras("left"), export=NO_EXPORT) as box:
        box.ask("start", name="meanwhile")
        device = udevd.insert(image)
        safe(box, "MANY")
        (now,) = box.ask("snapshot")["recorders"]
        assert (now["dropped"], now["lost"]) == (0, 0)
        udevd.take_out(device)
    with looked_into(udevd, image, point):
        assert all(one.is_right for name in NAMES for one in verify(point / "fieldrec" / name))
        assert len(list((point / "fieldrec").iterdir())) == MANY + len(NAMES) * 3 + 2
        readme = (point / "README.txt").read_text()
        assert all(name in readme for name in NAMES)
