"""What a time zone's clocks do, in whole seconds: instants, readings, and where the two part.

Pure, any thread. An instant is counted in seconds since 1970-01-01 UTC; a *reading* is what a clock
on the wall shows, counted the same way as if it were UTC. In a zone of constant offset the reading
is the instant plus the offset. When clocks are put forward some readings never occur, when they are
put back some occur twice; two rules hold everywhere in the schedule:

- a reading that does not occur stands for the first instant after the gap;
- a reading that occurs twice stands for the first time it does.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from zoneinfo import ZoneInfo

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
SECOND = dt.timedelta(seconds=1)
DAY_S = 86_400
FIRST_DAY = dt.date(1970, 1, 1).toordinal()
STEP_S = 3 * DAY_S
"""Between two looks for a change of offset. The shortest time between two changes, in any zone
since 1970, is seven days (Brazil's north-east, October 2000)."""
FIRST_S, LAST_S = -DAY_S, 250_000_000_000
"""Instants are looked at between these, 1969-12-31 and the year 9892: a wall clock may claim
anything, and at the ends of what a datetime can hold no time zone can be asked."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A time of constant offset: from `begins` up to, not including, `ends` (instants)."""

    begins: int
    ends: int
    offset: int
    """Reading minus instant, in seconds."""


def seconds_of(moment: dt.datetime) -> int:
    """The instant of an aware datetime, rounded down to a whole second, from FIRST_S to LAST_S."""
    return min(max((moment - EPOCH) // SECOND, FIRST_S), LAST_S)


def moment_of(instant: int) -> dt.datetime:
    """The aware UTC datetime of an instant."""
    return EPOCH + dt.timedelta(seconds=instant)


def day_of(date: dt.date) -> int:
    """Days since 1970-01-01."""
    return date.toordinal() - FIRST_DAY


def date_of(day: int) -> dt.date:
    """The date that is `day` days after 1970-01-01."""
    return dt.date.fromordinal(day + FIRST_DAY)


def offset_at(instant: int, zone: ZoneInfo) -> int:
    """Seconds by which the zone's clocks are ahead of UTC at an instant."""
    ahead = moment_of(instant).astimezone(zone).utcoffset()
    return 0 if ahead is None else ahead // SECOND


def stretches(begins: int, ends: int, zone: ZoneInfo) -> Iterator[Stretch]:
    """The times of constant offset that make up [begins, ends), in order, without a hole."""
    year = moment_of(begins).year
    at = begins
    while at < ends:
        for change in _changes(year, zone):
            if at < change < ends:
                yield Stretch(at, change, offset_at(at, zone))
                at = change
        year += 1
        if _year_begins(year) >= ends:
            yield Stretch(at, ends, offset_at(at, zone))
            return


def instant_of(reading: int, zone: ZoneInfo) -> int:
    """The instant at which the zone's clocks show `reading`, by the two rules above."""
    for part in stretches(reading - 2 * DAY_S, reading + 2 * DAY_S, zone):
        if reading < part.begins + part.offset:
            return part.begins  # in the gap before this stretch
        if reading < part.ends + part.offset:
            return reading - part.offset
    raise AssertionError("two days from a reading its instant must have come")


def reading_of(instant: int, zone: ZoneInfo) -> int:
    """What the zone's clocks show at an instant."""
    return instant + offset_at(instant, zone)


@lru_cache(maxsize=512)
def _changes(year: int, zone: ZoneInfo) -> tuple[int, ...]:
    """The instants in a year (UTC) from which on the zone's offset is another than before."""
    found = []
    at, last = _year_begins(year) - 1, _year_begins(year + 1) - 1
    before = offset_at(at, zone)
    while at < last:
        then = min(at + STEP_S, last)
        after = offset_at(then, zone)
        if after != before:
            found.append(_first_with(at, then, before, zone))
        at, before = then, after
    return tuple(found)


def _first_with(low: int, high: int, before: int, zone: ZoneInfo) -> int:
    """The first instant in (low, high] whose offset is not `before`."""
    while high - low > 1:
        middle = (low + high) // 2
        if offset_at(middle, zone) == before:
            low = middle
        else:
            high = middle
    return high


def _year_begins(year: int) -> int:
    return day_of(dt.date(year, 1, 1)) * DAY_S
