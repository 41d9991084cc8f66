"""Moments and spans in the words of a reason."""

from __future__ import annotations

import math
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from fieldrec.jobs.moments import clock_time, span


def ns(text: str, zone: str = "Europe/Vienna") -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()) * 10**9


@pytest.mark.parametrize(("at", "said"), [
    ("2026-11-21 06:00:59", "06:00"), ("2026-11-21 00:00", "00:00"),
    ("2026-11-20 23:59", "Fri 23:59"), ("2026-11-27 06:00", "Fri 06:00"),
    ("2026-11-28 06:00", "2026-11-28 06:00"), ("2026-11-14 06:00", "2026-11-14 06:00")])
def test_a_moment_is_as_short_as_it_is_clear(at: str, said: str) -> None:
    assert clock_time(ns(at), ns("2026-11-21 12:00"), "Europe/Vienna") == said


def test_a_moment_is_one_of_the_zone() -> None:
    assert clock_time(ns("2026-11-21 00:30"), ns("2026-11-21 12:00"), "UTC") == "Fri 23:30"
    assert clock_time(10**30, 0, "UTC") == "?"


@pytest.mark.parametrize(("seconds", "said"), [
    (0, "0 s"), (-3, "0 s"), (59.4, "59 s"), (59.6, "1 min"), (90.1, "2 min"), (720, "12 min"),
    (3599, "1 h"), (7500, "2 h 5 min"), (86_400, "1 d"), (100_000, "1 d 3 h"), (math.inf, "?")])
def test_spans(seconds: float, said: str) -> None:
    assert span(seconds) == said
