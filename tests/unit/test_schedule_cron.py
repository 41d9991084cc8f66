"""Cron lines against a slow oracle, Motif's documents, changes of clocks, and wrong lines.

FIELDREC_CRON_LINES=N walks N random lines per zone through whole years; without it a few hundred
lines go through the days on which calendars and clocks are odd.
"""

from __future__ import annotations

import datetime as dt
import os
from functools import cache
from itertools import islice
from random import Random
from zoneinfo import ZoneInfo

import pytest
from motifapi import datetime_to_cron

from fieldrec.core.errors import ConfigError, ScheduleError
from fieldrec.schedule.cron import Cron
from fieldrec.schedule.cron_moments import Days
from tests.unit.cron_oracle import Moment, day_suits, fields_of, moments, random_lines, walk

UTC = dt.UTC
ZONES = ["UTC", "Europe/Vienna", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia",
         "Asia/Kathmandu"]
MORE_ZONES = ["America/St_Johns", "Africa/Casablanca", "America/Santiago", "Asia/Beirut"]
DAY_S = 86_400
EPOCH = dt.datetime(1970, 1, 1, tzinfo=UTC)
MANY = int(os.environ.get("FIELDREC_CRON_LINES", "0"))


def at(text: str, zone: str = "UTC") -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))


def instants(line: str, begins: int, ends: int, zone: ZoneInfo) -> list[int]:
    """What fieldrec says for [begins, ends)."""
    fires = Cron.parse(line).fires(EPOCH + dt.timedelta(seconds=begins - 1),
                                   EPOCH + dt.timedelta(seconds=ends - 1), zone)
    return [int((fire - EPOCH).total_seconds()) for fire in fires]


def local(line: str, after: str, zone: str, count: int) -> list[str]:
    """The first fires as the clocks of the zone show them, with their offset."""
    found = Cron.parse(line).fires(at(after, zone), at(after, zone) + dt.timedelta(days=3000),
                                   ZoneInfo(zone))
    return [f"{fire.astimezone(ZoneInfo(zone)):%m-%d %H:%M:%S%z}" for fire in islice(found, count)]


# --- against the oracle ---------------------------------------------------------------------------


@cache
def odd_days(zone: ZoneInfo) -> list[tuple[int, int]]:
    """Two days each around changes of clocks, leap days and ends of years, 2019 to 2028; what is
    looked at begins and ends at odd times of day."""
    begins = int(dt.datetime(2019, 1, 1, tzinfo=UTC).timestamp())
    odd = []
    for day in range(begins, begins + 10 * 366 * DAY_S, DAY_S):
        before, after = (dt.datetime.fromtimestamp(at_s, zone) for at_s in (day, day + DAY_S))
        ends = (before.month, before.day) in ((2, 28), (12, 31)) and before.year % 2 == 0
        if ends or before.utcoffset() != after.utcoffset():
            odd.append(day)
    return [(day - DAY_S // 2 + 420, day + DAY_S + 1260) for day in odd]


def looks_of(zone: ZoneInfo, spans: list[tuple[int, int]], step: int
             ) -> list[tuple[int, int, list[Moment]]]:
    return [(begins, ends, moments(begins, ends, zone, step)) for begins, ends in spans]


def compare(lines: list[str], zone: ZoneInfo, looks: list[tuple[int, int, list[Moment]]]
            ) -> tuple[int, int]:
    """(comparisons, fires): every line over every span; fails with the line that differs."""
    looked = fired = 0
    for line in lines:
        try:
            Cron.parse(line)
        except ScheduleError as error:
            assert "never occurs" in str(error), (line, str(error))
            assert not any(walk(line, span) for _begins, _ends, span in looks), line
            continue
        for begins, ends, span in looks:
            expected = walk(line, span)
            assert instants(line, begins, ends, zone) == expected, (line, zone.key, begins)
            looked += len(span)
            fired += len(expected)
    return looked, fired


@pytest.mark.parametrize("name", ZONES)
def test_lines_fire_as_an_oracle_says_that_looks_at_each_minute(name: str) -> None:
    zone, random = ZoneInfo(name), Random(f"minutes {name}")
    looks = looks_of(zone, random.sample(odd_days(zone), 4), 60)
    lines = [*random_lines(random, 6, fields=5),
             *random_lines(random, 6, fields=7, seconds=False)]
    looked, fired = compare(lines, zone, looks)
    assert looked > 80_000
    assert fired > 300


@pytest.mark.parametrize("name", ZONES)
def test_lines_fire_as_an_oracle_says_that_looks_at_each_second(name: str) -> None:
    zone, random = ZoneInfo(name), Random(f"seconds {name}")
    spans = []
    for begins, _ends in random.sample(odd_days(zone), 2):
        changed = next((look.instant for look in moments(begins, begins + 2 * DAY_S, zone, 60)
                        if look.left_out or look.second_pass), begins + DAY_S // 2 - 420)
        spans.append((changed - 1777, changed + 4242))
    _looked, fired = compare(random_lines(random, 6, fields=6, free=0.8), zone,
                             looks_of(zone, spans, 1))
    assert fired > 20


@pytest.mark.parametrize("name", ZONES)
def test_dates_are_right_over_twenty_years(name: str) -> None:
    """Lines with one time of day: the oracle looks at each date, and where no such time is, at the
    first moment after it."""
    zone, random = ZoneInfo(name), Random(f"years {name}")
    days = [dt.date(2012, 1, 1) + dt.timedelta(days=day) for day in range(20 * 366)]
    for line in random_lines(random, 3, fields=7):
        dates = line.split()[3:]
        hour, minute = random.choice(((0, 0), (2, 15), (12, 0), (23, 59)))
        whole = f"30 {minute} {hour} {' '.join(dates)}"
        fields = fields_of(whole)
        expected = sorted({first_instant(day, hour, minute, zone) for day in days
                           if day_suits(fields["day"], fields["month"], fields["weekday"],
                                        fields["year"], day)})
        try:
            found = instants(whole, first_instant(days[0], 0, 0, zone),
                             first_instant(days[-1], 23, 59, zone) + 1, zone)
        except ScheduleError:
            found = []
        assert found == expected, (whole, name)


def first_instant(day: dt.date, hour: int, minute: int, zone: ZoneInfo) -> int:
    """When the zone's clocks show that time at second 30, or first show a later one."""
    asked = dt.datetime.combine(day, dt.time(hour, minute, 30))
    guess = int(asked.replace(tzinfo=zone).timestamp())
    if dt.datetime.fromtimestamp(guess, zone).replace(tzinfo=None) == asked:
        return guess
    low, high = guess - 2 * DAY_S, guess + 2 * DAY_S  # the clocks go forward between these
    while high - low > 1:
        middle = (low + high) // 2
        shown = dt.datetime.fromtimestamp(middle, zone).replace(tzinfo=None)
        low, high = (middle, high) if shown < asked else (low, middle)
    return high


@pytest.mark.skipif(not MANY, reason="takes minutes; FIELDREC_CRON_LINES=20 walks whole years")
@pytest.mark.timeout(3600)
def test_whole_years_minute_by_minute() -> None:
    for name in ZONES + MORE_ZONES:
        whole_years(name)


def whole_years(name: str) -> None:
    zone, random = ZoneInfo(name), Random(f"large {name}")
    looked = fired = 0
    for year in (2011, 2023, 2024, 2096):
        begins = int(dt.datetime(year, 1, 1, tzinfo=UTC).timestamp())
        looks = looks_of(zone, [(begins, begins + 366 * DAY_S)], 60)
        lines = [line for fields in (5, 7)
                 for line in random_lines(random, MANY // 2, fields=fields, seconds=False)]
        more, fires = compare(lines, zone, looks)
        looked, fired = looked + more, fired + fires
    spans = [(begins + 40_000, begins + 100_000)
             for begins, _ends in random.sample(odd_days(zone), 6)]
    more, fires = compare(random_lines(random, MANY, fields=6, free=0.7), zone,
                          looks_of(zone, spans, 1))
    print(f"{name}: {looked + more} comparisons, {fired + fires} fires")


# --- Motif's documents ----------------------------------------------------------------------------


BEGUN = at("2019-05-17T13:14:00")


@pytest.mark.parametrize(("line", "relative", "times"), [
    ("0 5 * ? * *", False, ["16:05:00", "17:05:00"]),
    ("0 5 * ? * *", True, ["13:19:00", "14:19:00"]),
    ("0 0 %2 ? * *", False, ["00:00:00", "02:00:00"]),
    ("0 0 %2 ? * *", True, ["15:14:00", "17:14:00"]),
    ("%7 * * ? * *", True, ["13:14:00", "13:14:07", "13:14:14"]),
    ("7%7 * * ? * *", True, ["13:14:07", "13:14:14", "13:14:21"]),
    # From the same documents, further on: recording 9 to 16 h, an LED, and the shipped example.
    ("0 0 9-16 * * *", False, ["09:00:00", "10:00:00", "11:00:00"]),
    ("%2 * * ? * *", True, ["13:14:02", "13:14:04"]),
    ("0 15,45 * ? * *", True, ["13:29:00", "13:59:00", "14:29:00"]),
    ("0 0,30 * ? * *", True, ["13:44:00", "14:14:00"]),
    ("0 15%15 * ? * *", True, ["13:29:00", "13:44:00", "13:59:00"]),
    ("09 16-17 * * *", False, ["16:09:00", "17:09:00"]),
    ("11 17 * * *", False, ["17:11:00"]),
])
def test_the_examples_of_the_documents_fire_when_they_say(line: str, relative: bool,
                                                          times: list[str]) -> None:
    first = at(f"2019-05-17T{times[0]}")
    found = Cron.parse(line).fires(first - dt.timedelta(seconds=1),
                                   at("2019-05-18T00:00:00"), ZoneInfo("UTC"),
                                   zero=BEGUN if relative else None)
    assert [f"{fire:%H:%M:%S}" for fire in islice(found, len(times))] == times


def test_every_fifteenth_day_is_counted_by_the_calendar() -> None:
    """Their example: %15 with an epoch on the 1st fires on the 1st, the 16th and the 31st,
    whatever the zone."""
    for name in ZONES:
        line = f"0 0 0 {(dt.date(2017, 1, 1) - dt.date(1970, 1, 1)).days}%15 * ?"
        begin = at("2016-06-01", name)
        found = Cron.parse(line).fires(begin, at("2017-02-01", name), ZoneInfo(name))
        assert [fire.astimezone(ZoneInfo(name)).day for fire in found] == [1, 16, 31]


def test_a_moment_by_the_client_counts_from_the_start_of_the_recording() -> None:
    made = datetime_to_cron(dt.datetime.fromtimestamp(0, UTC) + dt.timedelta(seconds=17))
    assert Cron.parse(made).first(BEGUN, BEGUN + dt.timedelta(days=1), ZoneInfo("UTC"),
                                  zero=BEGUN) == BEGUN + dt.timedelta(seconds=17)


def test_relative_moments_keep_the_fraction_of_the_start_and_the_order() -> None:
    zero = BEGUN + dt.timedelta(microseconds=250_000)
    every = Cron.parse("*/10 * * * * *")
    found = list(every.fires(zero - dt.timedelta(days=1), zero + dt.timedelta(seconds=20),
                             ZoneInfo("Europe/Vienna"), zero=zero))
    assert found == [zero, zero + dt.timedelta(seconds=10), zero + dt.timedelta(seconds=20)]
    assert list(every.fires(zero, zero + dt.timedelta(seconds=19), ZoneInfo("UTC"), zero=zero)) \
        == [zero + dt.timedelta(seconds=10)]
    assert list(every.fires(zero, zero - dt.timedelta(seconds=30), ZoneInfo("UTC"), zero=zero)) \
        == []


def test_relative_to_a_recording_no_clocks_are_changed() -> None:
    zero = at("2026-03-28T12:00:00")
    found = Cron.parse("0 0 0,12 ? * *").fires(zero, zero + dt.timedelta(days=1),
                                               ZoneInfo("Europe/Vienna"), zero=zero)
    assert list(found) == [zero + dt.timedelta(hours=12), zero + dt.timedelta(hours=24)]


# --- clocks that are changed ----------------------------------------------------------------------


@pytest.mark.parametrize(("line", "after", "zone", "expected"), [
    # put forward: a time that is left out fires once, at the first moment after it
    ("30 2 * * *", "2026-03-28T12:00", "Europe/Vienna", ["03-29 03:00:00+0200",
                                                         "03-30 02:30:00+0200"]),
    ("*/20 2 * * *", "2026-03-29T00:00", "Europe/Vienna", ["03-29 03:00:00+0200",
                                                           "03-30 02:00:00+0200"]),
    ("0 2,3 * * *", "2026-03-29T00:00", "Europe/Vienna", ["03-29 03:00:00+0200",
                                                          "03-30 02:00:00+0200"]),
    # lines of every hour go on by the clock
    ("*/30 * * * *", "2026-03-29T01:00", "Europe/Vienna", ["03-29 01:30:00+0100",
                                                           "03-29 03:00:00+0200",
                                                           "03-29 03:30:00+0200"]),
    ("30 * * * *", "2026-03-29T01:00", "Europe/Vienna", ["03-29 01:30:00+0100",
                                                         "03-29 03:30:00+0200"]),
    # put back: the first pass alone
    ("30 2 * * *", "2026-10-25T00:00", "Europe/Vienna", ["10-25 02:30:00+0200",
                                                         "10-26 02:30:00+0100"]),
    ("30 1-3 * * *", "2026-10-25T00:00", "Europe/Vienna", ["10-25 01:30:00+0200",
                                                           "10-25 02:30:00+0200",
                                                           "10-25 03:30:00+0100"]),
    # but an interval goes on in the second
    ("*/30 2 * * *", "2026-10-25T00:00", "Europe/Vienna", ["10-25 02:00:00+0200",
                                                           "10-25 02:30:00+0200",
                                                           "10-25 02:00:00+0100",
                                                           "10-25 02:30:00+0100"]),
    ("30 * * * *", "2026-10-25T01:45", "Europe/Vienna", ["10-25 02:30:00+0200",
                                                         "10-25 02:30:00+0100",
                                                         "10-25 03:30:00+0100"]),
    # half an hour on Lord Howe Island
    ("15 2 * * *", "2026-10-03T12:00", "Australia/Lord_Howe", ["10-04 02:30:00+1100",
                                                               "10-05 02:15:00+1100"]),
    ("45 1 * * *", "2026-04-04T12:00", "Australia/Lord_Howe", ["04-05 01:45:00+1100",
                                                               "04-06 01:45:00+1030"]),
    # every two hours of time, whatever the clocks show
    ("0 %2 * * *", "2026-10-25T00:00", "Europe/Vienna", ["10-25 02:00:00+0200",
                                                         "10-25 03:00:00+0100",
                                                         "10-25 05:00:00+0100"]),
    # a day that Samoa left out, at the date line
    ("0 12 30 12 *", "2011-12-01T00:00", "Pacific/Apia", ["12-31 00:00:00+1400",
                                                          "12-30 12:00:00+1400"]),
    # clocks of Newfoundland once went back over midnight, at one minute past
    ("30 23 * * *", "2010-11-06T12:00", "America/St_Johns", ["11-06 23:30:00-0230",
                                                             "11-07 23:30:00-0330"]),
])
def test_changes_of_clocks(line: str, after: str, zone: str, expected: list[str]) -> None:
    assert local(line, after, zone, len(expected)) == expected


def test_asked_from_anywhere_the_same_moments_come() -> None:
    """Each moment is the first after the one before it: no look back or ahead changes it."""
    zone = ZoneInfo("Europe/Vienna")
    for line in ("*/20 2 * * *", "30 2 * * *", "30 * * * *", "0 %5 * * *"):
        cron = Cron.parse(line)
        for begin in (at("2026-03-28", zone.key), at("2026-10-24", zone.key)):
            end = begin + dt.timedelta(days=3)
            fires = list(cron.fires(begin, end, zone))
            one_by_one = [begin]
            while (found := cron.first(one_by_one[-1], end, zone)) is not None:
                one_by_one.append(found)
            assert one_by_one[1:] == fires


# --- ends -----------------------------------------------------------------------------------------


def test_after_is_left_out_and_until_is_taken_in() -> None:
    cron, noon = Cron.parse("0 12 * * *"), at("2026-05-01T12:00")
    day = dt.timedelta(days=1)
    assert list(cron.fires(noon, noon + day, ZoneInfo("UTC"))) == [noon + day]
    assert list(cron.fires(noon - dt.timedelta(microseconds=1), noon, ZoneInfo("UTC"))) == [noon]
    assert list(cron.fires(noon, noon + day - dt.timedelta(microseconds=1), ZoneInfo("UTC"))) == []
    assert list(cron.fires(noon, noon - day, ZoneInfo("UTC"))) == []


@pytest.mark.parametrize(("line", "after", "expected"), [
    ("0 0 29 2 *", "2096-03-01T00:00", "2104-02-29T00:00"),  # 2100 has no leap day
    ("59 59 23 31 12 ?", "2026-12-31T23:59:59", "2027-12-31T23:59:59"),
    ("0 0 0 1 1 ? 2099", "2026-01-01T00:00", "2099-01-01T00:00"),
    ("0 0 1 1%12 ?", "2026-01-01T00:00", "2026-02-01T00:00"),
    ("0 0 0 29 2 ? %8", "2026-01-01T00:00", None),  # 1970, 1978, 1986…: none is a leap year
    ("0 0 0 ? * * 2020", "2026-01-01T00:00", None),
    ("%1000000 * * * *", "2026-01-01T00:00", "2027-01-15T08:00"),
])
def test_far_moments_are_found(line: str, after: str, expected: str | None) -> None:
    if expected is None and "%8" in line:
        with pytest.raises(ScheduleError, match="never occurs"):
            Cron.parse(line)
        return
    found = Cron.parse(line).first(at(after), at("2199-01-01T00:00"), ZoneInfo("UTC"))
    assert found == (None if expected is None else at(expected))


def test_a_far_moment_is_found_by_leaps(monkeypatch: pytest.MonkeyPatch) -> None:
    """From 1 March 2096 to the next leap day are 252 million seconds: a few hundred days are
    looked at."""
    looked = []
    suits = Days._day_suits

    def counted(self: Days, day: int, of_month: int) -> bool:
        looked.append(day)
        return suits(self, day, of_month)

    monkeypatch.setattr(Days, "_day_suits", counted)
    cron = Cron.parse("30 59 23 29 2 ?")
    looked.clear()
    assert cron.first(at("2096-03-01"), at("2110-01-01"), ZoneInfo("Europe/Vienna")) is not None
    assert len(looked) < 1000


# --- wrong lines ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("line", "field", "reason"), [
    ("61 * * * *", "field 1 of 5 (minute)", "61 is not within 0 to 59"),
    ("0 24 * * *", "field 2 of 5 (hour)", "24 is not within 0 to 23"),
    ("0 0 0 * *", "field 3 of 5 (day of month)", "0 is not within 1 to 31"),
    ("0 0 32 * *", "field 3 of 5 (day of month)", "32 is not within 1 to 31"),
    ("0 0 * 13 *", "field 4 of 5 (month)", "13 is not within 1 to 12"),
    ("0 0 * Foo *", "field 4 of 5 (month)", "'Foo' is not a number, one of Jan…Dec,"),
    ("0 0 * * 8", "field 5 of 5 (day of week)", "8 is not within 0 to 7"),
    ("0 0 * * Montag", "field 5 of 5 (day of week)", "'Montag' is not a number, one of Sun…Sat,"),
    ("60 0 0 * * *", "field 1 of 6 (second)", "60 is not within 0 to 59"),
    ("* * * * * * 1969", "field 7 of 7 (year)", "1969 is not within 1970 to 2099"),
    ("* * * * * * 2030-2020", "field 7 of 7 (year)", "ends before it begins"),
    ("a * * * *", "field 1 of 5 (minute)", "'a' is not a number"),
    ("-1 * * * *", "field 1 of 5 (minute)", "'-1' cannot be read"),
    ("1-2-3 * * * *", "field 1 of 5 (minute)", "'1-2-3' cannot be read"),
    ("*-5 * * * *", "field 1 of 5 (minute)", "'*-5' cannot be read"),
    ("5- * * * *", "field 1 of 5 (minute)", "'5-' cannot be read"),
    ("1.5 * * * *", "field 1 of 5 (minute)", "'1.5' cannot be read"),
    ("\u0663 * * * *", "field 1 of 5 (minute)", "cannot be read"),
    ("5,,6 * * * *", "field 1 of 5 (minute)", "a comma with nothing before or after it"),
    (", * * * *", "field 1 of 5 (minute)", "a comma with nothing before or after it"),
    ("1,* * * * *", "field 1 of 5 (minute)", "'*' must stand alone"),
    ("* * 1,? * *", "field 3 of 5 (day of month)", "'?' must stand alone"),
    ("? * * * *", "field 1 of 5 (minute)", "'?' (no value) can only stand for the day of month"),
    ("*/0 * * * *", "field 1 of 5 (minute)", "a step of 0 is never"),
    ("*/90 * * * *", "field 1 of 5 (minute)", "every 90 minutes on end is %90"),
    ("* * * * */8", "field 5 of 5 (day of week)", "a step of 8 is longer than the field (7)"),
    ("*/ * * * *", "field 1 of 5 (minute)", "'*/' cannot be read"),
    ("%0 * * * *", "field 1 of 5 (minute)", "every 0 minutes is never"),
    ("% * * * *", "field 1 of 5 (minute)", "'%' is not %n or m%n"),
    ("*%5 * * * *", "field 1 of 5 (minute)", "'*%5' is not %n or m%n"),
    ("5%-5 * * * *", "field 1 of 5 (minute)", "'5%-5' is not %n or m%n"),
    ("* * * * %2", "field 5 of 5 (day of week)", "counts no days of the week"),
    ("* * L * *", "field 3 of 5 (day of month)", "L, W and #"),
    ("* * 15W * *", "field 3 of 5 (day of month)", "L, W and #"),
    ("* * * * Fri#2", "field 5 of 5 (day of week)", "L, W and #"),
    ("99999999999 * * * *", "field 1 of 5 (minute)", "a number of 11 digits is too large"),
    ("0 0 30 2 *", "field 3 of 5 (day of month)", "never occurs"),
    ("0 0 31 4,6,9,11 ?", "field 3 of 5 (day of month)", "never occurs"),
    ("0 0 0 29 2 ? 2027", "field 4 of 7 (day of month)", "never occurs"),
    ("0 0 0 29 feb ? 2100", "field 7 of 7 (year)", "2100 is not within 1970 to 2099"),
])
def test_a_wrong_line_is_shown_with_its_field(line: str, field: str, reason: str) -> None:
    with pytest.raises(ScheduleError) as caught:
        Cron.parse(line)
    message = str(caught.value)
    assert field in message
    assert reason in message
    assert "\n" not in message
    wrong = int(field.split()[1]) - 1
    marked = " ".join(f">{text}<" if at == wrong else text for at, text in enumerate(line.split()))
    assert message.endswith(f"; in: {marked}")
    low_high = {"minute": "0 to 59", "month": "1 to 12 or Jan…Dec"}
    assert "allowed: " + low_high.get(field.partition("(")[2].rstrip(")"), "") in message


@pytest.mark.parametrize(("line", "count"), [("", 0), ("  ", 0), ("@daily", 1), ("* * *", 3),
                                             ("* * * * * * * *", 8)])
def test_a_line_of_too_few_or_too_many_fields(line: str, count: int) -> None:
    with pytest.raises(ScheduleError, match=f"found {count} field") as caught:
        Cron.parse(line)
    assert "5 (minute hour day month weekday), 6 (second first) or 7 (year last)" \
        in str(caught.value)


def test_nonsense_is_an_error_of_one_line_and_nothing_else() -> None:
    random = Random("nonsense")
    letters = "0123456789*,-/%?# aLWJansun\u00e9\x00"
    for _ in range(1500):
        line = "".join(random.choices(letters, k=random.randint(0, 24)))
        try:
            Cron.parse(line)
        except ScheduleError as error:
            assert "\n" not in str(error)
    with pytest.raises(ScheduleError, match="at most 500"):
        Cron.parse("1," * 400 + "1 * * * *")


def test_an_error_of_the_schedule_is_one_of_the_configuration() -> None:
    assert issubclass(ScheduleError, ConfigError)
    assert ScheduleError.exit_code == ConfigError.exit_code


def test_clocks_may_claim_anything() -> None:
    first, last = (moment.replace(tzinfo=UTC) for moment in (dt.datetime.min, dt.datetime.max))
    zone = ZoneInfo("Europe/Vienna")
    assert Cron.parse("0 0 * * *").first(first, last, zone) == at("1970-01-01T00:00", zone.key)
    assert Cron.parse("0 0 * * *").first(last, last, zone) is None
    assert Cron.parse("0 0 * * *").first(last, first, zone) is None


def test_a_line_is_shown_as_it_was_given() -> None:
    assert Cron.parse("0 6 * * *") == Cron.parse("0  6 * * * ") != Cron.parse("0 7 * * *")
    assert len({Cron.parse("0 6 * * *"), Cron.parse("0 6 * * *")}) == 1
    assert str(Cron.parse("  0  5 *   ? * Fri-Mon ")) == "0 5 * ? * Fri-Mon"
    assert Cron.parse("0 6 * * *").text == "0 6 * * *"
