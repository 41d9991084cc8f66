"""Windows, looked at step by step by oracles of their own that share no code with them.

By the sun, a window holds where another implementation says that the sun stands so high; with the
clock, the rules are written out for a table of the sun's heights, or of what clocks show.
FIELDREC_WINDOW_DAYS=N looks at N days in each place and season instead of 4, and at N / 4 times as
many random windows.
"""

from __future__ import annotations

import datetime as dt
import os
from functools import cache
from random import Random
from zoneinfo import ZoneInfo

import astral.sun
import pytest

from fieldrec.schedule.place import Place
from fieldrec.schedule.window import Window

DAYS = int(os.environ.get("FIELDREC_WINDOW_DAYS", "4"))
UTC = dt.UTC
VIENNA, TROMSO, QUITO = Place(48.21, 16.37), Place(69.65, 18.96), Place(-0.2, -78.5)
MINUTE, DAY = dt.timedelta(minutes=1), dt.timedelta(days=1)


def at(text: str, zone: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))


# --- the sun: inside or outside by how high it stands ---------------------------------------------


@cache
def heights(place: Place, begin: dt.datetime, count: int, step: dt.timedelta) -> list[float]:
    """Degrees of the sun's centre above the horizon, by another implementation."""
    observer = astral.Observer(place.latitude, place.longitude)
    return [astral.sun.elevation(observer, begin + number * step, with_refraction=False)
            for number in range(count)]


def inside(text: str, place: Place | None, zone: str, begin: dt.datetime, count: int,
           step: dt.timedelta) -> list[bool]:
    """What the window says at each step."""
    left = Window.parse(text).spans(begin - step, begin + count * step, ZoneInfo(zone), place)
    found = []
    span = next(left, None)
    for number in range(count):
        moment = begin + number * step
        while span is not None and span.ends <= moment:
            span = next(left, None)
        found.append(span is not None and span.begins <= moment)
    return found


SEASONS = ["2026-01-13", "2026-03-20", "2026-05-16", "2026-06-20", "2026-07-24", "2026-08-14",
           "2026-11-25", "2026-12-20"]
"""With the ends of polar night and day, and of its twilights, at 69.65 degrees north."""


@pytest.mark.parametrize(("text", "degrees", "below"), [
    ("from sunset to sunrise", -5 / 6, True), ("from sunrise to sunset", -5 / 6, False),
    ("from civil_dusk to civil_dawn", -6, True), ("from dawn to dusk", -6, False),
    ("from nautical_dusk to nautical_dawn", -12, True),
    ("from astronomical_dawn to astronomical_dusk", -18, False),
])
@pytest.mark.parametrize(("place", "zone"), [
    (TROMSO, "Europe/Oslo"), (VIENNA, "Europe/Vienna"), (QUITO, "America/Guayaquil"),
])
def test_a_window_by_the_sun_holds_when_the_sun_stands_so_high(
        place: Place, zone: str, text: str, degrees: float, below: bool) -> None:
    step = 10 * MINUTE
    for season in SEASONS:
        count = DAYS * 144
        begin = at(season, zone).astimezone(UTC)
        told = inside(text, place, zone, begin, count, step)
        for number, height in enumerate(heights(place, begin, count, step)):
            if abs(height - degrees) > 0.15:  # not within a minute of the edge
                assert told[number] is ((height < degrees) is below), begin + number * step


# --- the sun and the clock: the rules, written out for a table of heights -------------------------

STEP_S = 120
Rise, Set = "rise", "set"


class Naive:
    """Where the sun is each two minutes around some days at a place, and when it passes what."""

    def __init__(self, place: Place, zone: str, first: dt.date, days: int) -> None:
        self.zone = ZoneInfo(zone)
        self.begin = int(dt.datetime.combine(first - 3 * DAY, dt.time(), self.zone).timestamp())
        count = (days + 7) * 86_400 // STEP_S
        self.height = heights(place, dt.datetime.fromtimestamp(self.begin, UTC), count,
                              dt.timedelta(seconds=STEP_S))

    def clock(self, date: dt.date, hour: int, minute: int = 0) -> float:
        day = dt.datetime.combine(date + dt.timedelta(days=hour // 24), dt.time(hour % 24, minute))
        return day.replace(tzinfo=self.zone).timestamp()

    def passes(self, date: dt.date, degrees: float, way: str) -> float | str:
        """When, in the half day before or after the date's highest sun; or on which side it
        stays: above or below."""
        first = int(self.clock(date, 0) - self.begin) // STEP_S
        top = max(range(first, first + 86_400 // STEP_S), key=self.height.__getitem__)
        half = 43_200 // STEP_S
        steps = range(top - half, top) if way == Rise else range(top, top + half)
        for number in steps:
            now, then = self.height[number], self.height[number + 1]
            if (now < degrees <= then) if way == Rise else (now >= degrees > then):
                return self.begin + number * STEP_S + (degrees - now) / (then - now) * STEP_S
        midnight = self.height[top - half if way == Rise else top + half]
        return "above" if midnight > degrees else "below"


def begins_naive(naive: Naive, date: dt.date, degrees: float, way: str, offset_s: int
                 ) -> float | None:
    """Past: at midnight; not come: not at all."""
    found = naive.passes(date, degrees, way)
    if not isinstance(found, str):
        return found + offset_s
    past = found == ("above" if way == Rise else "below")
    return naive.clock(date, 0) if past else None


def test_dawn_to_ten_in_every_season_of_the_north() -> None:
    """Before ten and after dawn, less half an hour; all morning where dawn is always."""
    for season in SEASONS:
        first = dt.date.fromisoformat(season)
        naive = Naive(TROMSO, "Europe/Oslo", first, DAYS)
        for number in range(DAYS):
            date = first + number * DAY
            begin = begins_naive(naive, date, -6, Rise, -1800)
            end = naive.clock(date, 10)
            expected = [] if begin is None or begin >= end else [(begin, end)]
            assert_spans("from dawn-30m to 10:00", date, expected)


def test_dusk_to_an_hour_after_sunrise_in_every_season_of_the_north() -> None:
    """Until sunrise and an hour; where the sun does not rise, until the next dusk; where it does
    not set, never; where dusk does not come, not at all."""
    for season in SEASONS:
        first = dt.date.fromisoformat(season)
        naive = Naive(TROMSO, "Europe/Oslo", first, DAYS + 1)
        for number in range(DAYS):
            date = first + number * DAY
            begin = begins_naive(naive, date, -6, Set, 0)
            following = begins_naive(naive, date + DAY, -6, Set, 0)
            rises = naive.passes(date + DAY, -5 / 6, Rise)
            expected = []
            if begin is not None and rises != "above":
                if isinstance(rises, str):
                    end = following if following is not None else naive.clock(date, 48)
                else:
                    end = min(rises + 3600, following or rises + 3600)
                expected = [(begin, end)]
            assert_spans("from civil_dusk to sunrise+1h", date, expected)


def assert_spans(text: str, date: dt.date, expected: list[tuple[float, float]]) -> None:
    """The spans that begin nearest to a date's noon in Norway, within a minute."""
    midnight = dt.datetime.combine(date, dt.time(), ZoneInfo("Europe/Oslo"))
    reach = midnight + dt.timedelta(hours=30)
    half_past = dt.timedelta(hours=2)  # a beginning past midnight is the next date's or this one's
    spans = [(span.begins.timestamp(), span.ends.timestamp())
             for span in Window.parse(text).spans(midnight - DAY, reach, ZoneInfo("Europe/Oslo"),
                                                  TROMSO)]
    for begin, end in expected:
        assert any(abs(begin - b) < 90 and abs(end - e) < 90 for b, e in spans), (date, spans)
    if not expected:
        low, high = (midnight + half_past).timestamp(), (midnight + DAY).timestamp()
        assert not [begin for begin, _end in spans if low < begin < high], date


# --- the clock: random windows, looked at each minute ---------------------------------------------


class Minutes:
    """Every minute of some days, and what the zone's clocks show."""

    def __init__(self, zone: str, first: dt.date, days: int) -> None:
        self.zone, self.first, self.days = zone, first, days
        begin = dt.datetime.combine(first, dt.time(), ZoneInfo(zone)).astimezone(UTC)
        self.moments = [begin + number * MINUTE for number in range(days * 1440)]
        self.readings = [moment.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
                         for moment in self.moments]

    def first_at(self, reading: dt.datetime) -> int:
        """The first minute at which the clocks show this or a later time."""
        return next((number for number, shown in enumerate(self.readings) if shown >= reading),
                    len(self.readings))


def random_window(random: Random, first: dt.date) -> tuple[str, int, int, int, int, set[int],
                                                           tuple[dt.date, dt.date]]:
    """(text, begin and end in minutes of the day, every, for, weekdays, dates)."""
    begin, end = random.sample(range(0, 1440, 10), 2)
    every = random.choice((0, 0, 7, 30, 60, 95))
    length = random.randint(1, every) if every else 0
    words = [f"from {begin // 60:02}:{begin % 60:02} to {end // 60:02}:{end % 60:02}"]
    if every:
        words.append(f"every {every}m for {length}m")
    names = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
    weekdays = set(random.sample(range(7), 5)) if random.random() < 0.4 else set(range(7))
    if len(weekdays) < 7:
        words.append("on " + ",".join(names[day] for day in sorted(weekdays)))
    dates = (dt.date.min, dt.date.max)
    if random.random() < 0.4:
        dates = (first + random.randint(0, 1) * DAY, first + random.randint(2, 4) * DAY)
        words.append(f"{dates[0]}..{dates[1]}" if len(weekdays) == 7 else f"{dates[0]}..")
        dates = dates if len(weekdays) == 7 else (dates[0], dt.date.max)
    random.shuffle(words)
    return " ".join(words), begin, end, every, length, weekdays, dates


@pytest.mark.parametrize(("zone", "first"), [
    ("Europe/Vienna", "2026-03-28"), ("Europe/Vienna", "2026-10-24"),
    ("Australia/Lord_Howe", "2026-10-03"), ("Australia/Lord_Howe", "2026-04-04"),
    ("America/New_York", "2026-12-30"), ("Pacific/Apia", "2011-12-28"), ("UTC", "2028-02-27"),
])
def test_windows_by_the_clock_hold_as_an_oracle_says_that_looks_at_each_minute(
        zone: str, first: str) -> None:
    begin = dt.date.fromisoformat(first)
    minutes, random = Minutes(zone, begin, 4), Random(f"{zone} {first}")
    for _ in range(10 * DAYS // 4):
        text, start, stop, every, length, weekdays, dates = random_window(random, begin)
        expected = [False] * len(minutes.moments)
        for number in range(-2, 5):
            date = begin + number * DAY
            if date.weekday() not in weekdays or not dates[0] <= date <= dates[1]:
                continue
            midnight = dt.datetime.combine(date, dt.time())
            opens = minutes.first_at(midnight + start * MINUTE)
            closes = minutes.first_at(midnight + (stop + 1440 * (stop < start)) * MINUTE)
            if number < 0:  # it began before what is looked at
                opens = _before(zone, midnight + start * MINUTE, minutes)
            for minute in range(max(opens, 0), closes):
                if every == 0 or (minute - opens) % every < length:
                    expected[minute] = True
        assert inside(text, None, zone, minutes.moments[0], len(expected), MINUTE) == expected, text


def _before(zone: str, reading: dt.datetime, minutes: Minutes) -> int:
    """The (negative) number of a minute before those that are looked at."""
    return int((reading.replace(tzinfo=ZoneInfo(zone)) - minutes.moments[0]) / MINUTE)
