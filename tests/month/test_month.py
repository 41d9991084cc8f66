"""Some days of the simulated month: a cut at night, a storm that empties the battery, two visits of
a drive, the noon recording, a clock that comes up wrong. The whole month: run_month.py."""

from __future__ import annotations

from pathlib import Path

import pytest

import fieldrec.camera
from tests.crash.running import quick_folder
from tests.month.field import missing
from tests.month.run_month import run
from tests.month.scenario import short

pytestmark = [pytest.mark.root, pytest.mark.slow]


def test_a_few_days_of_the_month(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if why := missing():
        pytest.skip(f"a simulated month: {why}")
    # The month adds cameras of its own; tests after this one in this process know none of them.
    monkeypatch.setattr(fieldrec.camera, "__path__", list(fieldrec.camera.__path__))
    with quick_folder(tmp_path) as folder:
        outcome = run(short(), folder)
    figures = outcome.figures
    assert outcome.wrong == []
    assert figures["boots ended"]["cut"] == 3
    assert figures["boots ended"]["power off"] >= 1
    assert figures["recordings"] >= 5
    assert figures["frames found"] >= 150
    assert figures["jobs"]["export done"] >= 4
    assert figures["jobs"]["copy done"] >= 5
    assert figures["gaps by cause"]["power"] >= 3
