"""How far the wall clock can be trusted."""

from __future__ import annotations

from pathlib import Path

import pytest

from fieldrec.core.model import ClockQuality
from fieldrec.record.clock_quality import clock_quality


def test_without_synchronisation_it_depends_on_the_rtc(tmp_path: Path) -> None:
    if clock_quality(tmp_path) is ClockQuality.NTP:
        pytest.skip("this machine's clock is disciplined by NTP")
    assert clock_quality(tmp_path) is ClockQuality.RTC
    assert clock_quality(tmp_path / "none") is ClockQuality.NONE


def test_synchronised_needs_no_rtc(tmp_path: Path) -> None:
    if clock_quality(tmp_path / "none") is not ClockQuality.NTP:
        pytest.skip("this machine's clock is not disciplined by NTP")
    assert clock_quality(tmp_path) is ClockQuality.NTP
