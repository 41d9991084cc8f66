"""I1-I5 and I7 hold when any durable step of a life fails: record, export, copy, move.

The sweeps fail every step there is, once; see sweep.py. A sweep that failed nowhere would prove
nothing: that is asserted.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash.running import assert_nothing_broke, quick_folder, sweep


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("mode", ["ENOSPC", "EIO"])
def test_every_step_may_fail(mode: str, tmp_path: Path) -> None:
    with quick_folder(tmp_path) as folder:
        assert_nothing_broke(sweep(mode, folder))
