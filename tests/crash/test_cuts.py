"""I1-I5, I7 and I8 hold whatever step of a life is the last: killed there, or the power cut.

The sweeps kill at a step of each kind that there is (at every step with FIELDREC_EVERY_STEP=1) and
cut the power at one of each second kind; see sweep.py. A sweep that cut nowhere, or power cuts that
lost nothing, would prove nothing: both are asserted.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash.life import FRAMES
from tests.crash.running import quick_folder, sweep

KINDS = 100
"""That the life has at the least."""


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_killed_at_every_kind_of_step(tmp_path: Path) -> None:
    with quick_folder(tmp_path) as folder:
        points = sweep("kill", folder, 0, 0, 1)
    assert len(points) > KINDS
    assert max(point["promised"] for point in points) == FRAMES


@pytest.mark.root
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_power_cuts(own_ext4: tuple[str, Path]) -> None:
    """The log is not flushed: what was not synced is gone, what was promised is there."""
    device, mount_point = own_ext4
    points = sweep("power", mount_point, 1, 0, 2, DEVICE=device, MOUNT_POINT=str(mount_point))
    assert len(points) > KINDS // 2
    assert any(0 < point["promised"] < FRAMES for point in points)
    assert any(point["kept"] < point["appended"] for point in points), "the cuts cut nothing"
