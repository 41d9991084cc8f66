"""I1, I2, I7 and I8 hold for stores of every kind, whatever step of writing one is the last, or
fails: promised frames and promised extra data are there, and until the recovery the real imgstore
reads as far as was promised.

The sweeps cut at every durable step there is, of one format or another, and by one error or the
other (all of them with FIELDREC_EVERY_STEP=1; power cuts: every second); see store_life.py.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash.running import assert_nothing_broke, quick_folder, steps, sweep
from tests.crash.store_life import FRAMES

LIVES = {"npy": 70, "png": 70, "avc1/mp4": 60}
"""Formats, and steps that their lives have at the least."""


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "form", "first", "stride"), [
    ("kill", "npy", 1, 2), ("kill", "png", 2, 2), ("kill", "avc1/mp4", 2, 2),
    ("ENOSPC", "npy", 2, 2), ("EIO", "png", 1, 2),
    ("ENOSPC", "avc1/mp4", 1, 2), ("EIO", "avc1/mp4", 2, 2)])
def test_every_step_may_be_the_last_or_fail(mode: str, form: str, first: int, stride: int,
                                            tmp_path: Path) -> None:
    span = steps(first, stride)
    with quick_folder(tmp_path) as folder:
        lines = sweep(mode, folder, *span, life=form)
    assert_nothing_broke(lines, LIVES[form], FRAMES - 1, span)
    assert max(point["extra"] for point in lines[:-1]) >= FRAMES - 1


@pytest.mark.root
@pytest.mark.slow
@pytest.mark.parametrize("form", ["npy", "avc1/mp4"])
def test_power_cuts(own_ext4: tuple[str, Path], form: str) -> None:
    """The file system's log is not flushed: what was not synced is gone."""
    device, mount_point = own_ext4
    points = sweep("power", mount_point, 1, 1000, 2, life=form, DEVICE=device,
                   MOUNT_POINT=str(mount_point))[:-1]
    assert len(points) > LIVES[form] // 2
    assert [point for point in points if point["wrong"]] == []
    assert any(0 < point["extra"] < FRAMES for point in points)
    assert any(point["kept"] < point["appended"] for point in points), "the cuts cut nothing"
