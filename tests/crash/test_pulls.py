"""I4 and I5 when a drive is pulled out, or the recorder loses its power, at random moments of jobs
onto a drive: no source is lost, nothing that is not whole has a final name, and the job goes on
when the drive is back.

A few here; `python -m tests.crash.pulls --pulls 200 --cuts 100` does as many as one likes and
counts them by phase. See pulls.py for how. Pulls that nobody noticed would prove nothing: that is
asserted.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.crash.pulls import SYSTEMS
from tests.crash.running import ROOT
from tests.fakes.stick import missing

WHY_NOT = next(filter(None, (missing(system) for system in SYSTEMS)), "")
pytestmark = [pytest.mark.root, pytest.mark.slow,
              pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)]


def lives(*words: str) -> list[dict[str, Any]]:
    """What became of each."""
    done = subprocess.run([sys.executable, "-m", "tests.crash.pulls", "--json", "--even", *words],
                          cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize(("words", "count", "ways"), [
    (("--pulls", "8", "--seed", "11"), 8, {"device", "shrink", "down"}),
    (("--pulls", "0", "--cuts", "4", "--seed", "5"), 4, {"power"})])
def test_nothing_is_lost(words: tuple[str, ...], count: int, ways: set[str]) -> None:
    found = lives(*words)
    assert [life for life in found if life["wrong"]] == []
    assert len(found) == count
    assert {life["state"] for life in found} == {"done"}
    assert {life["way"] for life in found} == ways
    assert len({life["phase"] for life in found} - {""}) >= 3
    assert sum(life["waited"] for life in found) >= count // 2, "the drives were hardly missed"
    assert {life["kind"] for life in found} == {"copy", "move", "export"}
