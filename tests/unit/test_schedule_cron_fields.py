"""What a text in one field of a cron line asks for, form by form."""

from __future__ import annotations

import pytest

from fieldrec.schedule.cron_fields import (
    DAY,
    HOUR,
    MINUTE,
    MONTH,
    SECOND,
    WEEKDAY,
    YEAR,
    Every,
    Kind,
    parse_field,
)


@pytest.mark.parametrize(("kind", "text", "values"), [
    (MINUTE, "09", [9]), (MINUTE, "0", [0]), (HOUR, "06-09", [6, 7, 8, 9]),
    (MINUTE, "15,45", [15, 45]), (MINUTE, "1-3,2-5,59", [1, 2, 3, 4, 5, 59]),
    (DAY, "1-10/2", [1, 3, 5, 7, 9]), (MONTH, "*/2", [1, 3, 5, 7, 9, 11]),
    (SECOND, "*/20", [0, 20, 40]), (MINUTE, "5/15", [5, 20, 35, 50]), (MINUTE, "*/60", [0]),
    # over the end
    (HOUR, "22-4", [0, 1, 2, 3, 4, 22, 23]), (HOUR, "18-6/4", [2, 6, 18, 22]),
    (MONTH, "Nov-feb", [1, 2, 11, 12]), (DAY, "30-2", [1, 2, 30, 31]),
    # weekdays: Sunday is 0 and 7
    (WEEKDAY, "7", [0]), (WEEKDAY, "0", [0]), (WEEKDAY, "SUN", [0]), (WEEKDAY, "5-7", [0, 5, 6]),
    (WEEKDAY, "7-2", [0, 1, 2]), (WEEKDAY, "Fri-Mon", [0, 1, 5, 6]), (WEEKDAY, "0-7", range(7)),
    (WEEKDAY, "Sun-Sat", range(7)), (WEEKDAY, "6-0", [0, 6]), (WEEKDAY, "*/3", [0, 3, 6]),
    (WEEKDAY, "5/2", [5]), (WEEKDAY, "mon,Wed", [1, 3]),
    (YEAR, "2026-2028,2099", [2026, 2027, 2028, 2099]),
])
def test_numbers_names_ranges_and_steps(kind: Kind, text: str, values: list[int]) -> None:
    found = parse_field(text, kind)
    assert sorted(found.chosen) == list(values)
    assert not found.free


def test_nothing_asked_for() -> None:
    for kind in (SECOND, MINUTE, HOUR, DAY, MONTH, WEEKDAY, YEAR):
        assert parse_field("*", kind).free
        assert len(parse_field("*", kind).chosen) == kind.last - kind.low + 1
    assert parse_field("?", DAY) == parse_field("?", DAY)
    assert parse_field("?", WEEKDAY).free
    assert not parse_field("0-59", MINUTE).free


@pytest.mark.parametrize(("text", "every"), [
    ("%7", [Every(0, 7)]), ("7%7", [Every(7, 7)]), ("3%7,%100", [Every(3, 7), Every(0, 100)]),
    ("%1", [Every(0, 1)]), ("5,%9", [Every(0, 9)]),
])
def test_what_is_monotonic(text: str, every: list[Every]) -> None:
    assert list(parse_field(text, MINUTE).every) == every


def test_monotonic_units_are_counted_on_from_their_first() -> None:
    assert [Every(7, 7).next(count) for count in (0, 7, 8, 14, 15)] == [7, 7, 14, 14, 21]
    assert [Every(3, 5).next(count) for count in (0, 3, 4, 8)] == [3, 3, 8, 8]
    assert parse_field("5,%9", MINUTE).holds(5, 100)
    assert parse_field("5,%9", MINUTE).holds(40, 99)
    assert not parse_field("5,%9", MINUTE).holds(40, 100)


def test_an_interval_is_told_from_chosen_moments() -> None:
    assert [parse_field(text, MINUTE).stepped for text in ("*", "*/5", "0-59/5", "%5", "5")] \
        == [True, True, False, False, False]
