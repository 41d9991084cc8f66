"""I4 and I5 whatever step of a move is the last: power is cut at every folder, file, sync, rename
and removal in turn. See offload_life.py and sweep.py. (That each step may fail: test_errors.py.)
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash.running import sweep


@pytest.mark.root
@pytest.mark.slow
def test_the_power_is_cut_at_every_step(own_ext4: tuple[str, Path]) -> None:
    """The file system's log is not flushed: what was not synced is gone."""
    device, mount_point = own_ext4
    points = sweep("power", mount_point, life="offload", DEVICE=device,
                   MOUNT_POINT=str(mount_point))
    assert len(points) > 40
