"""Sun times against published tables, and against another implementation everywhere on earth."""

from __future__ import annotations

import datetime as dt
from itertools import pairwise
from random import Random
from zoneinfo import ZoneInfo

import astral.sun
import pytest

from fieldrec.core.errors import ScheduleError
from fieldrec.schedule.place import Place
from fieldrec.schedule.sun import EVENTS, Event, Half, Never, instant_of_event
from fieldrec.schedule.window import Window
from fieldrec.schedule.zones import DAY_S, day_of

UTC = ZoneInfo("UTC")
TOLERANCE_S = 120
FREDONIA, SOUTH, NORTH = Place(36.95, -112.52), Place(-60.0, -150.0), Place(80.0, 0.0)
MST = ZoneInfo("America/Phoenix")  # the table's "7h West of Greenwich", all year
WASHINGTON, SEATTLE = Place(38.889444, -77.035278), Place(47.6687, -122.3847)
DEFIANCE = Place(41.281944, -84.362778)


def when(name: str, date: str, place: Place, zone: ZoneInfo) -> int | Never:
    return instant_of_event(EVENTS[name], day_of(dt.date.fromisoformat(date)), place, zone)


def clock(text: str, zone: ZoneInfo) -> int:
    return int(dt.datetime.fromisoformat(text).replace(tzinfo=zone).timestamp())


# --- published tables -----------------------------------------------------------------------------


@pytest.mark.parametrize(("place", "zone", "date", "rise", "set_"), [
    # U.S. Naval Observatory, "Rise and Set for the Sun for 2023", Fredonia AZ, W112 31, N36 57
    (FREDONIA, MST, "2023-01-01", "07:43", "17:24"),
    (FREDONIA, MST, "2023-02-15", "07:19", "18:10"),
    (FREDONIA, MST, "2023-03-21", "06:32", "18:43"),
    (FREDONIA, MST, "2023-04-30", "05:37", "19:18"),
    (FREDONIA, MST, "2023-06-21", "05:11", "19:53"),
    (FREDONIA, MST, "2023-08-10", "05:43", "19:28"),
    (FREDONIA, MST, "2023-09-23", "06:19", "18:26"),
    (FREDONIA, MST, "2023-11-03", "06:56", "17:31"),
    (FREDONIA, MST, "2023-12-31", "07:43", "17:23"),
    # the same for 2019, N80 00, 000 00, Universal Time: the ends of polar night and day
    (NORTH, UTC, "2019-02-21", "11:20", "13:10"), (NORTH, UTC, "2019-02-22", "10:52", "13:38"),
    (NORTH, UTC, "2019-03-20", "05:55", "18:25"), (NORTH, UTC, "2019-04-12", "01:25", "23:02"),
    (NORTH, UTC, "2019-08-31", "01:03", "22:34"), (NORTH, UTC, "2019-09-23", "05:33", "18:08"),
    (NORTH, UTC, "2019-10-20", "10:29", "12:58"), (NORTH, UTC, "2019-10-21", "11:03", "12:23"),
    # U.S. Naval Observatory, data for one day: the National Mall, Ballard
    (WASHINGTON, ZoneInfo("America/New_York"), "2024-03-05", "06:34", "18:06"),
    (SEATTLE, ZoneInfo("America/Los_Angeles"), "2026-09-24", "06:59", "19:03"),
])
def test_sunrise_and_sunset_as_the_naval_observatory_publishes(
        place: Place, zone: ZoneInfo, date: str, rise: str, set_: str) -> None:
    for name, shown in (("sunrise", rise), ("sunset", set_)):
        found = when(name, date, place, zone)
        assert isinstance(found, int)
        assert abs(found - clock(f"{date}T{shown}", zone)) <= TOLERANCE_S


@pytest.mark.parametrize(("date", "rise", "set_"), [
    # the same for 2019, W150 00, S60 00: in Universal Time the sun sets before it rises
    ("2019-01-01", "2019-01-01T12:43", "2019-01-02T07:23"),
    ("2019-03-20", "2019-03-20T16:00", "2019-03-21T04:13"),
    ("2019-06-21", "2019-06-21T19:06", "2019-06-22T00:58"),
    ("2019-12-21", "2019-12-21T12:32", "2019-12-22T07:24"),
])
def test_far_from_the_zone_the_solar_day_stays_whole(date: str, rise: str, set_: str) -> None:
    zone = ZoneInfo("Pacific/Honolulu")  # a zone of the longitude: both on the date itself
    assert [abs(instant - clock(text, UTC)) <= TOLERANCE_S for name, text in
            (("sunrise", rise), ("sunset", set_))
            if isinstance(instant := when(name, date, SOUTH, zone), int)] == [True, True]


@pytest.mark.parametrize(("date", "side"), [
    ("2019-02-20", Never.BELOW), ("2019-01-01", Never.BELOW), ("2019-10-22", Never.BELOW),
    ("2019-12-31", Never.BELOW), ("2019-04-14", Never.ABOVE), ("2019-06-21", Never.ABOVE),
    ("2019-08-29", Never.ABOVE),
])
def test_polar_night_and_day_as_the_table_of_80_degrees_north_has_them(date: str,
                                                                       side: Never) -> None:
    assert when("sunrise", date, NORTH, UTC) is side
    assert when("sunset", date, NORTH, UTC) is side


@pytest.mark.parametrize(("place", "date", "times"), [
    # U.S. Naval Observatory, data for one day (civil twilight, transit)
    (WASHINGTON, "2024-03-05", {"dawn": "11:07", "noon": "17:19", "dusk": "23:32"}),
    (SEATTLE, "2026-09-24", {"civil_dawn": "13:29", "noon": "20:01", "civil_dusk": "02:33+1"}),
    # Skyfield with JPL's ephemeris DE421, Defiance OH
    (DEFIANCE, "2019-11-08", {
        "astronomical_dawn": "10:42", "nautical_dawn": "11:15", "dawn": "11:48",
        "sunrise": "12:17", "sunset": "22:25", "dusk": "22:54", "nautical_dusk": "23:27",
        "astronomical_dusk": "23:59"}),
])
def test_twilights_and_noon_as_published(place: Place, date: str, times: dict[str, str]) -> None:
    for name, text in times.items():
        hour, _, later = text.partition("+")
        found = when(name, date, place, ZoneInfo("America/Chicago"))
        assert isinstance(found, int)
        expected = clock(f"{date}T{hour}", UTC) + int(later or 0) * DAY_S
        assert abs(found - expected) <= TOLERANCE_S, name


# --- everywhere -----------------------------------------------------------------------------------


def height(instant: float, place: Place) -> float:
    """Degrees of the sun's centre above the horizon, by another implementation."""
    observer = astral.Observer(max(-89.99, min(89.99, place.latitude)), place.longitude)
    return astral.sun.elevation(observer, dt.datetime.fromtimestamp(instant, dt.UTC),
                                with_refraction=False)


def test_at_every_event_the_sun_stands_where_another_implementation_says() -> None:
    random, seen = Random("sun"), set()
    for _ in range(1500):
        place = Place(random.uniform(-90, 90), random.uniform(-180, 180))
        event = random.choice(list(EVENTS.values()))
        day = random.randint(day_of(dt.date(2000, 1, 1)), day_of(dt.date(2060, 1, 1)))
        noon = instant_of_event(EVENTS["noon"], day, place, UTC)
        found = instant_of_event(event, day, place, UTC)
        assert isinstance(noon, int)
        seen.add((event.half, found if isinstance(found, Never) else None))
        _check(event, found, noon, place)
    assert {(half, side) for half in (Half.RISING, Half.SETTING)
            for side in (None, Never.ABOVE, Never.BELOW)} <= seen


def _check(event: Event, found: int | Never, noon: int, place: Place) -> None:
    if event.half is Half.NOON:
        around = [height(noon + away, place) for away in (-600, 600)]
        assert height(noon, place) >= max(around) - 0.01
    elif found is Never.BELOW:
        assert height(noon, place) < -event.depth + 0.2
    elif found is Never.ABOVE:
        midnight = noon + (-1 if event.half is Half.RISING else 1) * DAY_S / 2
        assert height(midnight, place) > -event.depth - 0.2
    else:
        assert height(found, place) == pytest.approx(-event.depth, abs=0.03)
        away = (found - noon) / DAY_S
        assert -0.51 < away < 0 if event.half is Half.RISING else 0 < away < 0.51


@pytest.mark.parametrize(("zone", "place"), [
    ("Pacific/Kiritimati", Place(1.87, -157.4)),  # 14 h ahead, 157 degrees west
    ("Pacific/Apia", Place(-13.8, -171.8)), ("Pacific/Fiji", Place(-17.0, 180.0)),
    ("Pacific/Fiji", Place(-17.0, -180.0)), ("Pacific/Midway", Place(28.2, -177.4)),
    ("Asia/Shanghai", Place(39.5, 76.0)),  # two hours behind the clocks
    ("UTC", Place(-43.5, 172.6)), ("UTC", Place(0.0, -179.9)), ("UTC", Place(0.0, 179.9)),
    ("Europe/Vienna", Place(48.2, 16.4)), ("Antarctica/Troll", Place(-90.0, 2.5)),
    ("America/Adak", Place(90.0, -176.6)),
])
def test_every_date_has_one_noon_a_day_after_the_last(zone: str, place: Place) -> None:
    first = day_of(dt.date(2025, 12, 1))
    noons = [instant_of_event(EVENTS["noon"], day, place, ZoneInfo(zone))
             for day in range(first, first + 400)]
    for day, (before, noon) in enumerate(pairwise(noons), start=first + 1):
        assert isinstance(before, int)
        assert isinstance(noon, int)
        assert abs(noon - before - DAY_S) < 40
        midday = dt.datetime.fromtimestamp(noon, ZoneInfo(zone)).replace(tzinfo=None) \
            - dt.datetime.combine(dt.date.fromordinal(719_163 + day), dt.time(12))
        assert abs(midday) < dt.timedelta(hours=12.3)
        for name in list(EVENTS)[day % 4::4]:
            instant_of_event(EVENTS[name], day, place, ZoneInfo(zone))  # raises nowhere


# --- places ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("latitude", "longitude", "reason"), [
    (91, 0, "latitude: 91 is not in degrees from -90 to 90"),
    (-90.01, 0, "latitude: -90.01 is not"), (0, 180.5, "longitude: 180.5 is not in degrees from "
                                                       "-180 to 180"),
    (float("nan"), 0, "latitude: nan is not"), (0, float("inf"), "longitude: inf is not"),
    (True, 0, "latitude: True is not"), ("48", 0, "latitude: '48' is not"),
    (None, 0, "latitude: None is not"),
])
def test_a_place_that_is_none(latitude: float, longitude: float, reason: str) -> None:
    with pytest.raises(ScheduleError) as caught:
        Place(latitude, longitude)
    assert str(caught.value).startswith(reason)


def test_the_events_of_a_day_are_worked_out_once() -> None:
    """An idle box asks for them at each look at its schedule."""
    window = Window.parse("from dusk-30m to dawn+30m")
    after = dt.datetime(2027, 3, 10, 12, tzinfo=dt.UTC)
    asked = (after, after + dt.timedelta(days=2), ZoneInfo("Europe/Vienna"), Place(47.76, 16.8))
    before = list(window.spans(*asked))
    worked_out = instant_of_event.cache_info().misses
    assert list(window.spans(*asked)) == before
    assert instant_of_event.cache_info().misses == worked_out


def test_places_are_shown_as_people_say_them() -> None:
    assert str(Place(69.65, -18.96)) == "69.6500 N 18.9600 W"
    assert str(Place(-33, 151)) == "33.0000 S 151.0000 E"
    assert Place(90, 180) == Place(90.0, 180.0)
