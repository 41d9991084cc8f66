"""Waiting for frames that are due."""

from __future__ import annotations

import pytest

from fieldrec.camera.pace import Pace
from fieldrec.core.clock import SystemClock
from fieldrec.core.errors import CameraTimeout


def test_virtual_time_moves_only_by_waiting() -> None:
    pace = Pace(paced=False)
    start_ns = pace.now_ns()
    assert pace.now_ns() == start_ns
    pace.wait(start_ns + 3_600_000_000_000, 4000.0, "camera")
    assert pace.now_ns() == start_ns + 3_600_000_000_000


def test_a_deadline_beyond_the_timeout_is_a_timeout_that_took_its_time() -> None:
    pace = Pace(paced=False)
    start_ns = pace.now_ns()
    with pytest.raises(CameraTimeout, match=r"camera left: no frame within 0\.5 s"):
        pace.wait(start_ns + 2_000_000_000, 0.5, "camera left")
    assert pace.now_ns() == start_ns + 500_000_000


def test_a_past_deadline_does_not_wait() -> None:
    pace = Pace(paced=False)
    start_ns = pace.now_ns()
    pace.wait(start_ns - 1, 0.0, "camera")
    assert pace.now_ns() == start_ns


def test_real_time_is_never_early() -> None:
    pace = Pace(paced=True)
    due_ns = SystemClock().monotonic_ns() + 2_000_000
    pace.wait(due_ns, 1.0, "camera")
    assert SystemClock().monotonic_ns() >= due_ns
