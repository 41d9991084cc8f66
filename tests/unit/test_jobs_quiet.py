"""Quiet hours against a walk minute by minute, across changes of the clock and midnight."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from fieldrec.config.idle import Hours
from fieldrec.jobs.quiet import is_quiet, quiet_from_ns, quiet_until_ns

VIENNA = ZoneInfo("Europe/Vienna")
NIGHT = (Hours(22 * 60, 6 * 60),)


def ns(text: str, zone: ZoneInfo = VIENNA) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()) * 1_000_000_000


def local(at_ns: int | None, zone: ZoneInfo = VIENNA) -> str | None:
    return None if at_ns is None else f"{datetime.fromtimestamp(at_ns / 1e9, zone):%m-%d %H:%M %z}"


def test_a_night_that_spans_midnight() -> None:
    assert local(quiet_until_ns(ns("2026-11-21 23:10:30"), VIENNA, NIGHT)) == "11-22 06:00 +0100"
    assert local(quiet_until_ns(ns("2026-11-22 05:59:59"), VIENNA, NIGHT)) == "11-22 06:00 +0100"
    assert quiet_until_ns(ns("2026-11-22 06:00"), VIENNA, NIGHT) is None
    assert local(quiet_from_ns(ns("2026-11-22 06:00"), VIENNA, NIGHT)) == "11-22 22:00 +0100"
    assert local(quiet_from_ns(ns("2026-11-21 23:10"), VIENNA, NIGHT)) == "11-22 22:00 +0100"
    assert quiet_from_ns(ns("2026-11-22 06:00"), VIENNA, ()) is None
    assert quiet_until_ns(ns("2026-11-22 06:00"), VIENNA, ()) is None


def test_nights_in_which_clocks_are_changed() -> None:
    spring, autumn = ns("2026-03-28 23:00"), ns("2026-10-24 23:00")
    until = quiet_until_ns(spring, VIENNA, NIGHT)
    assert local(until) == "03-29 06:00 +0200"
    assert until is not None
    assert until - spring == 6 * 3600 * 10**9  # an hour shorter
    until = quiet_until_ns(autumn, VIENNA, NIGHT)
    assert until is not None
    assert until - autumn == 8 * 3600 * 10**9


def test_an_hour_that_is_missing_and_one_that_comes_twice() -> None:
    hours = (Hours(2 * 60, 2 * 60 + 30),)
    assert local(quiet_from_ns(ns("2026-03-29 01:00"), VIENNA, hours)) == "03-30 02:00 +0200"
    first = quiet_from_ns(ns("2026-10-25 01:00"), VIENNA, hours)
    assert local(first) == "10-25 02:00 +0200"
    assert first is not None
    assert local(quiet_until_ns(first, VIENNA, hours)) == "10-25 02:30 +0200"
    assert local(quiet_from_ns(first, VIENNA, hours)) == "10-25 02:00 +0100"


def test_spans_that_touch_or_overlap_are_one() -> None:
    hours = (Hours(8 * 60, 9 * 60), Hours(9 * 60, 10 * 60), Hours(9 * 60 + 30, 9 * 60 + 33))
    assert local(quiet_until_ns(ns("2026-06-01 08:10"), VIENNA, hours)) == "06-01 10:00 +0200"


@pytest.mark.parametrize("zone", ["Europe/Vienna", "Australia/Lord_Howe", "Pacific/Chatham",
                                  "America/St_Johns", "Asia/Kolkata", "UTC"])
def test_against_a_walk_by_the_minute(zone: str) -> None:
    chosen, where = random.Random(zone), ZoneInfo(zone)
    for around in (datetime(2026, 3, 28, tzinfo=UTC), datetime(2026, 4, 4, tzinfo=UTC),
                   datetime(2026, 9, 26, tzinfo=UTC), datetime(2026, 10, 3, tzinfo=UTC),
                   datetime(2026, 10, 24, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC)):
        hours = tuple(Hours(chosen.randrange(1440), chosen.randrange(1, 1441))
                      for _ in range(chosen.randrange(1, 3)))
        now = around + timedelta(minutes=chosen.randrange(1440), seconds=chosen.randrange(60))
        was, moment = is_quiet(now, where, hours), now.replace(second=0)
        while is_quiet(moment := moment + timedelta(minutes=1), where, hours) is was:
            if moment - now > timedelta(days=2):
                break
        else:
            now_ns = int(now.timestamp()) * 10**9
            answer = (quiet_until_ns if was else quiet_from_ns)(now_ns, where, hours)
            assert answer == int(moment.timestamp()) * 10**9, (zone, now, hours)
