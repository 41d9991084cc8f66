"""I1, I2, I7 and I8 hold for stores of every kind, whatever step of writing one is the last, or
fails: promised frames and promised extra data are there, and until the recovery the real imgstore
reads as far as was promised.

The sweeps cut at a step of each kind that there is, at another one for each format, and by one
error or the other (at every step with FIELDREC_EVERY_STEP=1); see store_life.py and sweep.py.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash.running import quick_folder, sweep
from tests.crash.store_life import FRAMES

KINDS = 30
"""Of steps that such a life has at the least."""


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "form", "turn", "first", "stride"), [
    ("kill", "npy", 0, 0, 1), ("kill", "png", 1, 0, 1), ("kill", "avc1/mp4", 2, 0, 1),
    ("ENOSPC", "npy", 3, 0, 1), ("EIO", "png", 4, 0, 1),
    ("ENOSPC", "avc1/mp4", 0, 0, 2), ("EIO", "avc1/mp4", 0, 1, 2)])
def test_every_kind_of_step_may_be_the_last_or_fail(
        mode: str, form: str, turn: int, first: int, stride: int, tmp_path: Path) -> None:
    with quick_folder(tmp_path) as folder:
        points = sweep(mode, folder, turn, first, stride, life=form)
    assert len(points) >= KINDS // stride
    assert max(point["extra"] for point in points) >= FRAMES - 1


@pytest.mark.root
@pytest.mark.slow
@pytest.mark.parametrize(("form", "turn"), [("npy", 2), ("avc1/mp4", 0)])
def test_power_cuts(own_ext4: tuple[str, Path], form: str, turn: int) -> None:
    """The file system's log is not flushed: what was not synced is gone."""
    device, mount_point = own_ext4
    points = sweep("power", mount_point, turn, 0, 1, life=form, DEVICE=device,
                   MOUNT_POINT=str(mount_point))
    assert len(points) >= KINDS
    assert any(0 < point["extra"] < FRAMES for point in points)
    assert any(point["kept"] < point["appended"] for point in points), "the cuts cut nothing"
