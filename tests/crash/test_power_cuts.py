"""I1, I2 and I8 at random moments of real recording: power cuts on ext4 and xfs, and kills.

A few of each here, by seeds whose first six lives have everything that a life can have (calm, cut
while it starts, recovered beside the next, stopped, split, paused, pre-roll, motion, packets);
`scripts/bench cuts` does hundreds. See power_cuts.py for how, and ledger.py for what "recorded"
means. Cuts that lost nothing would prove nothing: that is asserted.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.crash.running import ROOT, quick_folder
from tests.fakes.loop_devices import missing_for


def cuts(mode: str, folder: Path, count: int, seed: int) -> list[dict[str, Any]]:
    """What each cut left."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.crash.power_cuts", mode, str(folder), str(count), str(seed)],
        cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    print(done.stderr[-3000:])
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(found) == count
    return found


def assert_kept(found: list[dict[str, Any]]) -> None:
    assert [cut for cut in found if cut["wrong"]] == []
    assert sum(cut["frames"] for cut in found) > 200
    assert any(cut["stores"] > 2 for cut in found)


@pytest.mark.root
@pytest.mark.slow
@pytest.mark.parametrize("file_system", ["ext4", "xfs"])
def test_power_cuts_at_random(file_system: str, tmp_path: Path) -> None:
    """The log is not flushed: what was not synced is gone, what was promised is there."""
    missing = missing_for(file_system)
    if missing:
        pytest.skip(f"power cuts on {file_system}: {missing}")
    with quick_folder(tmp_path) as folder:
        found = cuts(file_system, folder, 6, seed=1572)
    assert_kept(found)
    assert any(cut["lost_frames"] for cut in found), "the cuts cut nothing"


@pytest.mark.slow
def test_kills_at_random(tmp_path: Path) -> None:
    """A killed process loses nothing of what it has appended."""
    with quick_folder(tmp_path) as folder:
        found = cuts("kill", folder, 6, seed=3449)
    assert_kept(found)
    assert not any(cut["lost_frames"] for cut in found)
