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


@contextmanager
def quick_folder(fallback: Path) -> Iterator[Path]:
    """A folder in memory, gone afterwards; `fallback` where there is none."""
    if not os.access(MEMORY, os.W_OK):
        yield fallback
        return
    with tempfile.TemporaryDirectory(prefix="fieldrec-sweep-", dir=MEMORY) as folder:
        yield Path(folder)


def sweep(mode: str, folder: Path, *span: int, life: str = "recording", **environment: str
          ) -> list[dict[str, Any]]:
    words = [str(number) for number in span]
    result = subprocess.run(
        [sys.executable, "-m", "tests.crash.sweep", life, mode, str(folder), *words], cwd=ROOT,
        env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-3000:]
    return [json.loads(line) for line in result.stdout.splitlines()]


def steps(first: int, stride: int) -> tuple[int, int, int]:
    """A sweep's span: each step with FIELDREC_EVERY_STEP=1, else each `stride`-th from `first`."""
    if os.environ.get("FIELDREC_EVERY_STEP"):
        first, stride = 1, 1
    return first, 100_000, stride


def assert_nothing_broke(lines: list[dict[str, Any]], least_steps: int = 200,
                         least_promised: int = 11, span: tuple[int, int, int] = (1, 0, 1)) -> None:
    *points, end = lines
    assert end["steps"] > least_steps, "the life has fewer durable steps than a life can have"
    assert len(points) == (end["steps"] - span[0]) // span[2] + 1, "a point was not cut"
    broken = [point for point in points if point["wrong"]]
    assert broken == []
    assert max(point["promised"] for point in points) >= least_promised
