"""Running a sweep (sweep.py) and reading what it says; shared by the tests of its modes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
MEMORY = Path("/dev/shm")
"""A kill or an error does not depend on the medium: memory makes the sweep quick."""
LEAST_STEPS = {"recording": 200, "offload": 40, "npy": 70, "png": 70, "avc1/mp4": 60}
"""Of each life."""


@contextmanager
def quick_folder(fallback: Path) -> Iterator[Path]:
    """A folder in memory, gone afterwards; `fallback` where there is none."""
    if not os.access(MEMORY, os.W_OK):
        yield fallback
        return
    with tempfile.TemporaryDirectory(prefix="fieldrec-sweep-", dir=MEMORY) as folder:
        yield Path(folder)


def sweep(mode: str, folder: Path, *turn: int, life: str = "recording", **environment: str
          ) -> list[dict[str, Any]]:
    """What each cut left; at every step with FIELDREC_EVERY_STEP=1 or without `turn`: sweep.py's
    TURN FIRST STRIDE. Asserted: that the life has steps, and that nothing is wrong."""
    words = [] if os.environ.get("FIELDREC_EVERY_STEP") else [str(number) for number in turn]
    result = subprocess.run(
        [sys.executable, "-m", "tests.crash.sweep", life, mode, str(folder), *words], cwd=ROOT,
        env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-3000:]
    *points, end = (json.loads(line) for line in result.stdout.splitlines())
    assert end["steps"] > LEAST_STEPS[life], "the life has fewer durable steps than a life can have"
    broken = [point for point in points if point["wrong"]]
    assert not broken, broken
    return points
