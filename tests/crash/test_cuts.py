"""I1-I5, I7 and I8 hold whatever step of a life is the last: killed there, or the power cut.

The sweeps kill at every second durable step there is (at each with FIELDREC_EVERY_STEP=1) and cut
the power at every fourth; see sweep.py. A sweep that cut nowhere, or power cuts that lost nothing,
would prove nothing: both are asserted.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash.running import assert_nothing_broke, quick_folder, steps, sweep


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_killed_at_every_step(tmp_path: Path) -> None:
    span = steps(2, 2)
    with quick_folder(tmp_path) as folder:
        assert_nothing_broke(sweep("kill", folder, *span), span=span)


@pytest.mark.root
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_power_cuts(own_ext4: tuple[str, Path]) -> None:
    """The log is not flushed: what was not synced is gone, what was promised is there."""
    device, mount_point = own_ext4
    points = sweep("power", mount_point, *steps(1, 4), DEVICE=device,
                   MOUNT_POINT=str(mount_point))[:-1]
    assert len(points) > 70
    assert [point for point in points if point["wrong"]] == []
    assert any(0 < point["promised"] < 14 for point in points)
    assert any(point["kept"] < point["appended"] for point in points), "the cuts cut nothing"
