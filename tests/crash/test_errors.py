"""I1-I5 and I7 hold when any kind of durable step of a life fails: record, export, copy, move.

One step of each kind fails, for want of room and as a bad disk in turn (others of their kinds than
those at which test_cuts.py kills); with FIELDREC_EVERY_STEP=1 every step both ways. A sweep that
failed nowhere would prove nothing: that is asserted. See sweep.py.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash.life import FRAMES
from tests.crash.running import quick_folder, sweep
from tests.crash.test_cuts import KINDS


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize(("mode", "first"), [("ENOSPC", 0), ("EIO", 1)])
def test_every_kind_of_step_may_fail(mode: str, first: int, tmp_path: Path) -> None:
    with quick_folder(tmp_path) as folder:
        points = sweep(mode, folder, 2, first, 2)
    assert len(points) >= KINDS // 2
    assert max(point["promised"] for point in points) == FRAMES
