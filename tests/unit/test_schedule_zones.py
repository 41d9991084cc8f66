"""Instants and readings of clocks, against datetime alone, in every kind of zone."""

from __future__ import annotations

import datetime as dt
from itertools import pairwise
from random import Random
from zoneinfo import ZoneInfo, available_timezones

import pytest

from fieldrec.schedule.zones import (
    DAY_S,
    date_of,
    day_of,
    instant_of,
    moment_of,
    offset_at,
    reading_of,
    seconds_of,
    stretches,
)

ZONES = ["UTC", "Europe/Vienna", "America/St_Johns", "Australia/Lord_Howe", "Pacific/Apia",
         "America/Noronha", "Africa/Casablanca", "Asia/Kathmandu", "America/Sao_Paulo",
         "Africa/Monrovia", "Europe/Dublin"]


def year(number: int) -> int:
    return int(dt.datetime(number, 1, 1, tzinfo=dt.UTC).timestamp())


@pytest.mark.parametrize("name", ZONES)
def test_stretches_have_one_offset_each_and_leave_no_hole(name: str) -> None:
    zone, begins, ends = ZoneInfo(name), year(1998) + 12_345, year(2030) + 7
    parts = list(stretches(begins, ends, zone))
    assert (parts[0].begins, parts[-1].ends) == (begins, ends)
    for before, part in pairwise(parts):
        assert before.ends == part.begins
        assert before.offset != part.offset
    for part in parts:
        inside = [*range(part.begins, part.ends, DAY_S // 2), part.ends - 1]
        assert {offset_at(instant, zone) for instant in inside} == {part.offset}


@pytest.mark.parametrize("name", ZONES)
def test_a_reading_is_its_first_instant_or_the_first_after_the_gap(name: str) -> None:
    zone, random = ZoneInfo(name), Random(name)
    changes = [part.begins for part in stretches(year(1998), year(2030), zone)][1:]
    near = [random.choice(changes) + random.randint(-5000, 5000) for _ in range(60)] \
        if changes else []
    for at in [*near, *(random.randint(year(1998), year(2030)) for _ in range(60))]:
        reading = at + random.choice((offset_at(at - 9000, zone), offset_at(at + 9000, zone)))
        found = instant_of(reading, zone)
        assert reading_of(found, zone) >= reading
        assert reading_of(found - 1, zone) < reading
        if reading_of(found, zone) == reading:
            wall = moment_of(reading).replace(tzinfo=zone, fold=0)
            assert found == seconds_of(wall.astimezone(dt.UTC))


def test_no_zone_changes_twice_between_two_looks() -> None:
    """Of all zones that there are, one year each: as many changes as a look at each day finds."""
    random = Random("all")
    for name in random.sample(sorted(available_timezones()), 40):
        zone, begins = ZoneInfo(name), year(random.randint(1971, 2037))
        ends = begins + 366 * DAY_S
        daily = [offset_at(instant, zone) for instant in range(begins, ends + 1, DAY_S)]
        assert len(list(stretches(begins, ends, zone))) - 1 \
            == sum(one != other for one, other in pairwise(daily)), name


def test_days_are_counted_from_1970() -> None:
    assert day_of(dt.date(1970, 1, 1)) == 0
    assert day_of(dt.date(2000, 3, 1)) == 11_017
    assert date_of(11_016) == dt.date(2000, 2, 29)
    assert seconds_of(dt.datetime(1970, 1, 2, 0, 0, 0, 999_999, tzinfo=dt.UTC)) == DAY_S
    assert seconds_of(dt.datetime.min.replace(tzinfo=dt.UTC)) == -DAY_S
    assert moment_of(seconds_of(dt.datetime.max.replace(tzinfo=dt.UTC))).year == 9892
    assert moment_of(-1) == dt.datetime(1969, 12, 31, 23, 59, 59, tzinfo=dt.UTC)
