"""The next reading that suits a cron line, found by leaps over what cannot suit.

Pure, any thread. Readings are seconds as in :mod:`~fieldrec.schedule.zones`. Each field says from
which reading on it may suit; the furthest of them is asked again until all agree, so that finding a
29 February takes a few hundred steps, not a hundred million.
"""

from __future__ import annotations

import calendar
import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass

from fieldrec.schedule.cron_fields import LAST_YEAR, Values
from fieldrec.schedule.zones import DAY_S, date_of, day_of


class Unit:
    """Hours, minutes or seconds: `size_s` long, `period` of them until they begin again."""

    def __init__(self, size_s: int, period: int, values: Values) -> None:
        self._size_s = size_s
        self._period = period
        self._every = values.every
        self._wait = tuple(_wait(start, period, values.chosen) for start in range(period))
        """For each value, how many units until one that is asked for; -1 without any."""

    def next(self, reading: int, offset: int) -> int:
        """The first reading at or after this one at which the field suits."""
        size_s = self._size_s
        number = reading // size_s
        wait = self._wait[number % self._period]
        if wait == 0:
            return reading
        found = [] if wait < 0 else [(number + wait) * size_s]
        if self._every:
            count = (reading - offset) // size_s
            for part in self._every:
                then = part.next(count)
                if then == count:
                    return reading
                found.append(then * size_s + offset)
        return min(found)


@dataclass(frozen=True, slots=True)
class Days:
    """Which days suit: day of month or weekday, month, year."""

    day: Values
    month: Values
    weekday: Values
    year: Values
    bounded: bool
    """Whether the years are given, so that none after LAST_YEAR suits."""

    def next(self, day: int, last: int) -> int | None:
        """The first day from `day` on that suits (days since 1970); None up to `last`."""
        day = max(day, 0)
        while day <= last:
            date = date_of(day)
            if self.bounded and date.year > LAST_YEAR:
                return None
            if not self._year_suits(date.year):
                day = day_of(dt.date(date.year + 1, 1, 1))
                continue
            month_days = calendar.monthrange(date.year, date.month)[1]
            if self.month.holds(date.month, (date.year - 1970) * 12 + date.month - 1):
                for number in range(day, min(day + month_days - date.day, last) + 1):
                    if self._day_suits(number, date.day + number - day):
                        return number
            day += month_days - date.day + 1
        return None

    def _year_suits(self, year: int) -> bool:
        return not self.bounded or self.year.holds(year, year - 1970)

    def _day_suits(self, day: int, of_month: int) -> bool:
        if self.weekday.free:
            return self.day.free or self.day.holds(of_month, day)
        weekday = (day + 4) % 7  # 1970 began on a Thursday
        if self.day.free:
            return weekday in self.weekday.chosen
        return weekday in self.weekday.chosen or self.day.holds(of_month, day)


@dataclass(frozen=True, slots=True)
class Moments:
    """All fields of a line together."""

    days: Days
    hours: Unit
    minutes: Unit
    seconds: Unit

    def between(self, low: int, high: int, offset: int) -> Iterator[int]:
        """The readings in [low, high) that suit, under a constant offset, in order."""
        reading = self._next(low, high, offset)
        while reading < high:
            yield reading
            reading = self._next(reading + 1, high, offset)

    def any_between(self, low: int, high: int, offset: int) -> bool:
        """Whether any reading in [low, high) suits."""
        return next(self.between(low, high, offset), None) is not None

    def _next(self, reading: int, high: int, offset: int) -> int:
        """The first reading from this one on that suits; `high` where none is before it."""
        suited_day = -1
        while reading < high:
            day = reading // DAY_S
            if day != suited_day:
                found = self.days.next(day, high // DAY_S)
                if found is None:
                    return high
                if found != day:
                    reading = found * DAY_S
                suited_day = found
            then = self.hours.next(reading, offset)
            if then == reading:
                then = self.minutes.next(reading, offset)
                if then == reading:
                    then = self.seconds.next(reading, offset)
                    if then == reading:
                        return reading
            reading = then
        return high


def _wait(start: int, period: int, values: frozenset[int]) -> int:
    return min(((value - start) % period for value in values), default=-1)
