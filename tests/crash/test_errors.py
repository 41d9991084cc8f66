"""I1-I5 and I7 hold when any durable step of a life fails: record, export, copy, move.

Every second step fails, for want of room and as a bad disk in turn (the others are those at which
test_cuts.py kills); with FIELDREC_EVERY_STEP=1 each of them both ways. A sweep that failed nowhere
would prove nothing: that is asserted. See sweep.py.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash.running import quick_folder, steps, sweep


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize(("mode", "first"), [("ENOSPC", 1), ("EIO", 3)])
def test_every_step_may_fail(mode: str, first: int, tmp_path: Path) -> None:
    span = first, _, stride = steps(first, 4)
    with quick_folder(tmp_path) as folder:
        *points, end = sweep(mode, folder, *span)
    assert [point for point in points if point["wrong"]] == []
    assert end["steps"] > 200, "the life has fewer durable steps than a life can have"
    assert len(points) == (end["steps"] - first) // stride + 1, "a point was left out"
    assert max(point["promised"] for point in points) >= 11
