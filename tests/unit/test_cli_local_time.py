"""Moments in the recording's own zone."""

from __future__ import annotations

import pytest

from fieldrec.cli.local_time import local_time, time_of_day, zone_label

MOMENT_NS = 1_795_240_812_345_678_901


@pytest.mark.parametrize(("zone", "text", "label"), [
    ("UTC", "2026-11-21 06:00:12.345", "UTC"),
    ("Europe/Berlin", "2026-11-21 07:00:12.345", "CET"),
    ("America/Sao_Paulo", "2026-11-21 03:00:12.345", "-03"),
    ("Nowhere/Atall", "2026-11-21 06:00:12.345", "UTC"),
    ("../../etc/passwd", "2026-11-21 06:00:12.345", "UTC"),
    ("", "2026-11-21 06:00:12.345", "UTC"),
])
def test_local_time(zone: str, text: str, label: str) -> None:
    assert local_time(MOMENT_NS, zone) == text
    assert time_of_day(MOMENT_NS, zone, 0) == text[11:19]
    assert zone_label(MOMENT_NS, zone) == label


def test_before_1970_and_outside_of_any_calendar() -> None:
    assert local_time(-1, "UTC") == "1969-12-31 23:59:59.999"
    assert local_time(2**63 - 1, "UTC", 0).startswith("2262-04-11")
    assert local_time(10**21, "UTC") == "?"
    assert zone_label(10**21, "Europe/Berlin") == "Europe/Berlin"
