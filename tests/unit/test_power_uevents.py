"""Real uevents: the watcher hears of what changes at once, with no poll for ten minutes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes import supplies_testbed
from tests.fakes.waiting import PATIENCE_S


@pytest.mark.skipif(shutil.which("umockdev-wrapper") is None,
                    reason="umockdev-wrapper is not installed: sudo apt install umockdev")
def test_every_change_is_seen_by_its_event() -> None:
    ran = subprocess.run(
        ["umockdev-wrapper", sys.executable, "-m", supplies_testbed.__name__],
        capture_output=True, text=True, timeout=PATIENCE_S, cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONASYNCIODEBUG": "0"})
    assert ran.returncode == 0, ran.stderr
    assert [json.loads(line) for line in ran.stdout.splitlines()] == [
        ["mains", 90.0], ["battery", 90.0], ["low", 20.0], ["critical", 5.0], ["mains", 5.0]]
