"""Windows, rule by rule: days, changes of clocks, polar day and night, far longitudes."""

from __future__ import annotations

import datetime as dt
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from fieldrec.core.errors import ScheduleError
from fieldrec.schedule.place import Place
from fieldrec.schedule.window import Span, Window

UTC = dt.UTC
VIENNA, TROMSO = Place(48.21, 16.37), Place(69.65, 18.96)
MINUTE, DAY = dt.timedelta(minutes=1), dt.timedelta(days=1)


def at(text: str, zone: str = "UTC") -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))


def shown(text: str, day: str, days: int = 1, zone: str = "Europe/Vienna",
          place: Place | None = VIENNA) -> list[str]:
    """The spans that begin on these local days, as the clocks show them, to the minute below."""
    begin = at(day, zone)
    spans = Window.parse(text).spans(begin - DAY, begin + dt.timedelta(days=days),
                                     ZoneInfo(zone), place)
    local = [(span.begins.astimezone(ZoneInfo(zone)), span.ends.astimezone(ZoneInfo(zone)))
             for span in spans]
    last = begin.date() + dt.timedelta(days=days)
    return [f"{begins:%d. %H:%M}-{ends:%d. %H:%M}" for begins, ends in local
            if begin.date() <= begins.date() < last]


# --- the rules, one by one ------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "day", "expected"), [
    ("from 22:00 to 04:00", "2026-05-01", ["01. 22:00-02. 04:00"]),
    ("from 22:00 to 24:00", "2026-05-01", ["01. 22:00-02. 00:00"]),
    ("always", "2026-05-01", ["01. 00:00-02. 00:00"]),
    ("from dawn-30m to 10:00", "2026-05-01", ["01. 04:31-01. 10:00"]),
    ("from civil_dusk to sunrise+1h", "2026-05-01", ["01. 20:43-02. 06:34"]),
    ("from 10:00 to noon", "2026-05-01", ["01. 10:00-01. 12:51"]),
    ("every 8h for 60s", "2026-05-01", ["01. 00:00-01. 00:01", "01. 08:00-01. 08:01",
                                        "01. 16:00-01. 16:01"]),
    ("from sunrise to sunset every 6h for 1m30s", "2026-05-01", [
        "01. 05:36-01. 05:37", "01. 11:36-01. 11:37", "01. 17:36-01. 17:37"]),
    ("from 10:00 to 10:45 every 30m for 20m", "2026-05-01", ["01. 10:00-01. 10:20",
                                                             "01. 10:30-01. 10:45"]),
    ("on fri from 22:00 to 04:00", "2026-05-01", ["01. 22:00-02. 04:00"]),  # it was a Friday
    ("on sat..thu from 22:00 to 04:00", "2026-05-01", []),
    ("on Friday, Mon from 1:00 to 2:00", "2026-05-01", ["01. 01:00-01. 02:00"]),
    ("2026-05-01..2026-08-31 from 1:00 to 2:00", "2026-05-01", ["01. 01:00-01. 02:00"]),
    ("2026-05-02 .. from 1:00 to 2:00", "2026-05-01", []),
    ("..2026-04-30 from 1:00 to 2:00", "2026-05-01", []),
    ("from 1:00 to 2:00 ..2026-05-01", "2026-05-01", ["01. 01:00-01. 02:00"]),
    ("2026-04-01 .. 2026-05-01 from 1:00 to 2:00", "2026-05-01", ["01. 01:00-01. 02:00"]),
    ("2026-04-01,2026-05-01 from 1:00 to 2:00", "2026-05-01", ["01. 01:00-01. 02:00"]),
    ("11-01..05-01 from 1:00 to 2:00", "2026-05-01", ["01. 01:00-01. 02:00"]),
    ("11-01..04-30 from 1:00 to 2:00", "2026-05-01", []),
    ("02-29..02-29 from 1:00 to 2:00", "2028-02-29", ["29. 01:00-29. 02:00"]),
    # clocks that are changed in Vienna
    ("from 02:30 to 04:00", "2026-03-29", ["29. 03:00-29. 04:00"]),
    ("from 02:10 to 02:50", "2026-03-29", []),
    ("from 01:00 to 02:30", "2026-10-25", ["25. 01:00-25. 02:30"]),
    ("from 02:30 to 04:00", "2026-10-25", ["25. 02:30-25. 04:00"]),
    ("every 2h for 1m", "2026-03-29", [
        f"29. {hour:02}:00-29. {hour:02}:01" for hour in (0, *range(3, 24, 2))]),
    # what is not reached that day is no window, rather than one of nearly a day
    ("from 04:00 to dawn", "2026-06-21", ["21. 04:00-21. 04:12"]),
    ("from 04:30 to dawn", "2026-06-21", []),
    ("from 20:00 to dusk", "2026-12-21", []),
    ("from sunset to 20:00", "2026-06-21", []),
    ("from sunset to 01:00", "2026-06-21", ["21. 20:58-22. 01:00"]),
    ("from sunset+4h to 02:00", "2026-06-21", ["22. 00:58-22. 02:00"]),
    ("from dawn to 23:59", "2026-06-21", ["21. 04:12-21. 23:59"]),
    ("from dawn-30m to 23:45", "2026-06-21", ["21. 03:42-21. 23:45"]),
    ("from 13:00 to sunrise", "2026-06-21", ["21. 13:00-22. 04:54"]),
    ("from dawn to sunrise", "2026-06-21", ["21. 04:12-21. 04:53"]),
    ("from sunset to dusk+10m", "2026-06-21", ["21. 20:58-21. 21:50"]),
    ("from sunrise-1h to sunrise+1h", "2026-06-21", ["21. 03:53-21. 05:53"]),
    ("from dusk to sunset", "2026-12-20", ["20. 16:38-21. 16:02"]),
    ("from 13:30 to noon", "2026-06-21", []),
    ("from noon to sunset", "2026-06-21", ["21. 12:56-21. 20:58"]),
])
def test_rules(text: str, day: str, expected: list[str]) -> None:
    zone = ZoneInfo("Europe/Vienna")
    begin = at(day, zone.key)
    after, until = begin, begin + dt.timedelta(hours=26)
    found = [f"{span.begins.astimezone(zone):%d. %H:%M}-{span.ends.astimezone(zone):%d. %H:%M}"
             for span in Window.parse(text).spans(after, until, zone, VIENNA)
             if belongs(span, begin, text)]
    assert found == expected


def belongs(span: Span, day: dt.datetime, text: str) -> bool:
    """Whether a span is the day's, not its neighbours'."""
    late = dt.timedelta(hours=2) if "sunset+4h" in text else dt.timedelta()
    return day + late <= span.begins < (day + DAY + late).astimezone(UTC)


@pytest.mark.parametrize(("text", "summer", "winter"), [
    ("from sunset to sunrise", [], ["20. 00:00-21. 00:00", "21. 00:00-22. 00:00"]),
    ("from sunrise to sunset", ["20. 00:00-21. 00:00", "21. 00:00-22. 00:00"], []),
    ("from dawn to 10:00", ["20. 00:00-20. 10:00", "21. 00:00-21. 10:00"],
     ["20. 09:30-20. 10:00", "21. 09:31-21. 10:00"]),  # there is a dawn in Tromsø's winter
    ("from sunrise to 10:00", ["20. 00:00-20. 10:00", "21. 00:00-21. 10:00"], []),
    ("from sunrise-3h to 10:00", ["20. 00:00-20. 10:00", "21. 00:00-21. 10:00"], []),
    ("from 22:00 to sunrise", [], ["20. 22:00-21. 22:00", "21. 22:00-22. 22:00"]),
    ("from 08:00 to sunset", ["20. 08:00-21. 00:00", "21. 08:00-22. 00:00"], []),
    ("from civil_dusk to sunrise+1h", [], ["20. 13:52-21. 13:53", "21. 13:53-22. 13:53"]),
    ("from sunset to 02:00", [], ["20. 00:00-21. 00:00", "21. 00:00-22. 00:00"]),
    ("from sunrise to sunset every 12h for 1h", [
        "20. 00:00-20. 01:00", "20. 12:00-20. 13:00", "21. 00:00-21. 01:00",
        "21. 12:00-21. 13:00"], []),
    ("from nautical_dawn to nautical_dusk", ["20. 00:00-21. 00:00", "21. 00:00-22. 00:00"],
     ["20. 07:46-20. 15:37", "21. 07:46-21. 15:37"]),
    ("from 11:00 to noon", ["20. 11:00-20. 12:45", "21. 11:00-21. 12:45"],
     ["20. 11:00-20. 11:41", "21. 11:00-21. 11:42"]),
])
def test_polar_day_and_night_in_tromso(text: str, summer: list[str], winter: list[str]) -> None:
    assert shown(text, "2026-06-20", 2, "Europe/Oslo", TROMSO) == summer
    assert shown(text, "2026-12-20", 2, "Europe/Oslo", TROMSO) == winter


@pytest.mark.parametrize("latitude", [-90, -69.65, 80])
def test_no_window_by_the_sun_ever_raises_or_overlaps(latitude: float) -> None:
    names = ("dawn-24h", "nautical_dawn", "sunrise+1h", "noon", "sunset", "dusk-30m",
             "astronomical_dusk+24h", "06:00", "18:00")
    begin = at("2026-01-01")
    for first in names:
        for last in names:
            if first == last:
                continue
            before: Span | None = None
            for span in Window.parse(f"from {first} to {last}").spans(
                    begin, begin + 30 * DAY, ZoneInfo("UTC"), Place(latitude, 100)):
                assert span.begins < span.ends
                assert before is None or before.ends <= span.begins
                before = span


@pytest.mark.parametrize(("zone", "place"), [
    ("Pacific/Kiritimati", Place(1.87, -157.4)), ("Pacific/Apia", Place(-13.8, -171.8)),
    ("Pacific/Fiji", Place(-17, 180)), ("Pacific/Fiji", Place(-17, -180)),
    ("UTC", Place(-17, 179.9)), ("UTC", Place(-17, -179.9)),
])
def test_far_from_greenwich_there_is_one_night_a_day(zone: str, place: Place) -> None:
    begin = at("2026-01-01", zone)
    nights = list(Window.parse("from sunset to sunrise").spans(begin, begin + 30 * DAY,
                                                               ZoneInfo(zone), place))
    assert 30 <= len(nights) <= 31
    for before, night in pairwise(nights):
        assert abs(night.begins - before.begins - DAY) < 2 * MINUTE
        assert dt.timedelta(hours=10.5) < night.ends - night.begins < dt.timedelta(hours=13.5)


def test_in_kiribati_the_sun_rises_on_the_date_that_clocks_show() -> None:
    assert shown("from sunrise to 08:00", "2026-05-01", 2, "Pacific/Kiritimati",
                 Place(1.87, -157.4)) == ["01. 06:21-01. 08:00", "02. 06:21-02. 08:00"]


# --- asking ---------------------------------------------------------------------------------------


def test_spans_that_overlap_are_given_whole_and_from_anywhere_the_same() -> None:
    window, zone = Window.parse("from 22:00 to 04:00 every 1h for 10m"), ZoneInfo("UTC")
    begin = at("2026-05-01T22:00")
    whole = list(window.spans(begin - MINUTE, begin + DAY - MINUTE, zone, None))
    assert [span.begins for span in whole] == [begin + dt.timedelta(hours=n) for n in range(6)]
    for span in whole:
        ten = 10 * MINUTE
        assert list(window.spans(span.begins, span.begins, zone, None)) == [span]
        assert list(window.spans(span.ends - MINUTE, span.ends, zone, None)) == [span]
        assert list(window.spans(span.begins - ten, span.begins, zone, None)) == [span]
        assert list(window.spans(span.ends, span.ends + ten, zone, None)) == []
        assert list(window.spans(span.begins - ten, span.begins - MINUTE, zone, None)) == []


def test_without_a_place_only_the_sun_is_missing() -> None:
    begin = at("2026-05-01")
    assert not Window.parse("from 10:00 to 11:00").needs_place
    window = Window.parse("from 10:00 to dusk")
    assert window.needs_place
    with pytest.raises(ScheduleError, match="need a place"):
        next(window.spans(begin, begin + DAY, ZoneInfo("UTC"), None))


def test_never_within_a_time() -> None:
    zone, begin = ZoneInfo("Europe/Oslo"), at("2026-06-01")
    june = Span(begin, begin + 29 * DAY)
    assert Window.parse("from dusk to dawn").never_within(june, zone, TROMSO)
    assert not Window.parse("from dusk to dawn").never_within(june, zone, VIENNA)
    assert Window.parse("2027-01-01..").never_within(june, zone, None)
    tonight = Window.parse("from 22:00 to 23:00")
    assert tonight.never_within(Span(at("2026-06-01T12:00"), at("2026-06-01T20:00")), zone, None)
    assert not tonight.never_within(Span(at("2026-06-01T12:00"), at("2026-06-01T20:01")), zone,
                                    None)


def test_a_date_far_away_is_found_without_a_look_at_each_day() -> None:
    """And dates that are over end the search."""
    far = at("2500-01-01")
    assert list(Window.parse("2026-05-01 from dawn to dusk").spans(
        at("2026-05-02"), far, ZoneInfo("UTC"), VIENNA)) == []
    found = Window.parse("2400-02-29 from 10:00 to 11:00").spans(at("2026-05-02"), far,
                                                                ZoneInfo("UTC"), None)
    assert [span.begins for span in found] == [at("2400-02-29T10:00")]


def test_clocks_may_claim_anything() -> None:
    first, last = (moment.replace(tzinfo=UTC) for moment in (dt.datetime.min, dt.datetime.max))
    window, zone = Window.parse("from dusk to dawn"), ZoneInfo("Pacific/Kiritimati")
    assert next(window.spans(first, last, zone, VIENNA)).begins.year in (1969, 1970)
    assert len(list(window.spans(last - DAY, last, zone, VIENNA))) <= 1
    assert list(window.spans(last, first, zone, VIENNA)) == []


def test_the_text_is_kept_in_one_form() -> None:
    assert Window.parse("on mon") == Window.parse(" ON Mon") != Window.parse("on tue")
    assert len({Window.parse("on mon"), Window.parse("on mon")}) == 1
    window = Window.parse("  On MON , Wed .. Fri   from  Dawn - 30m to 10:00 ")
    assert str(window) == window.text == "on mon,wed..fri from dawn-30m to 10:00"
