"""Whatever ends an export early, and however often: it is there once in the end, whole, and what
was committed of it was not encoded again. See export_kills.py."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.crash.running import ROOT, quick_folder

LIVES = int(os.environ.get("FIELDREC_EXPORT_KILLS", "10"))


@pytest.mark.slow
@pytest.mark.timeout(60 + 10 * LIVES)
def test_exports_outlive_kills_stops_and_full_disks(tmp_path: Path) -> None:
    with quick_folder(tmp_path) as folder:
        done = subprocess.run(
            [sys.executable, "-m", "tests.crash.export_kills", str(folder), str(LIVES),
             os.environ.get("FIELDREC_EXPORT_SEED", "1")], cwd=ROOT, capture_output=True, text=True,
            check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    *lives, end = [json.loads(line) for line in done.stdout.splitlines()]
    assert [life for life in lives if life["wrong"]] == []
    assert end["sums"]["lives"] == LIVES
    assert end["sums"]["faults"] >= LIVES
    assert end["sums"]["kept"] > 0, "no end came while there was something to keep"
