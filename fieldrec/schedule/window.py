"""Windows: times of day, by the clock or the sun, in which something goes on.

Pure, any thread; no clock is read. A window is written in words, each part at most once, in any
order; what is left out does not restrict:

    =============================  ============================================================
    ``from T to T``                each day from one time to another (without it: all day)
    ``every D for D``              within that, so often for so long, counted from its beginning
    ``on mon,wed..fri``            only on these weekdays
    ``2026-05-01..2026-08-31``     only on these dates; one date, a list with commas, open on one
                                   side (``2026-05-01..``), or without year, each year
                                   (``11-01..02-28``)
    ``always``                     nothing else: all the time
    =============================  ============================================================

    =============================  ============================================================
    time T                         ``06:30``, ``22:15:30``, ``24:00`` (as an end), or one of the
                                   sun's, with or without an offset of at most 24 h
                                   (``dawn-30m``, ``sunset+1h30m``)
    ``sunrise`` ``sunset``         the sun's upper edge on the horizon
    ``dawn`` ``dusk``              civil ones, the sun 6 degrees below; also ``civil_dawn``,
                                   ``nautical_dawn`` (12), ``astronomical_dawn`` (18), and _dusk
    ``noon``                       the sun at its highest (12:00 on the clock is ``12:00``)
    duration D                     ``90s``, ``30m``, ``1h30m``; a unit is always written
    =============================  ============================================================

Rules:

- Dates and weekdays are those of the day on which the window begins: ``from 22:00 to 04:00 on fri``
  ends on Saturday.
- Which end belongs to which beginning is settled by the words, not anew each day: dusk to dawn ends
  the next morning, dawn to 10:00 the same morning. On a day when dawn is after 10:00 there is no
  window, rather than one of 23 hours.
- Clock times that a change of clocks leaves out are the first moment after it, those that come
  twice the first of the two. Offsets and ``every`` are lengths of time, whatever the clocks do;
  without ``from``, ``every`` counts from midnight, anew each day.
- Where the sun does not reach a time in that solar day (polar day and night), it counts as *past*
  if the sun stays on its far side (above, for dawn and sunrise; below, for sunset and dusk), and as
  *not come* if it does not. Its offset is left out then.
  A beginning that is past begins the window at 00:00, one that has not come leaves it out.
  An end that is past leaves the window out, one that has not come ends it at 24:00 of that day, or
  where the next day's would begin if that is sooner. So ``from sunset to sunrise`` is the whole
  day in polar night and nothing in polar day; ``from dawn to 10:00`` is nothing, and 00:00 to
  10:00.
- Windows of one text never overlap: the next one's beginning ends the one before. They may touch;
  then the window goes on.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple
from zoneinfo import ZoneInfo

from fieldrec.core.errors import ScheduleError
from fieldrec.schedule.place import Place
from fieldrec.schedule.sun import Half, Never, instant_of_event
from fieldrec.schedule.window_words import Anchor, Dates, SunTime, Words, read_words
from fieldrec.schedule.zones import DAY_S, date_of, instant_of, moment_of, reading_of, seconds_of

HOUR_S = 3600
_BEFORE_DAYS = 4
_AFTER_DAYS = 2
"""A window of a day may reach so far: an offset of 24 h either way, a night, and a day's end."""
_ORDER_S = {"sunrise": 0, "sunset": 0, "noon": 0, "civil_dawn": -1800, "civil_dusk": 1800,
            "nautical_dawn": -4000, "nautical_dusk": 4000, "astronomical_dawn": -6400,
            "astronomical_dusk": 6400}
"""About how long after sunrise or sunset an event is."""


class Span(NamedTuple):
    """A time, aware UTC: from `begins` up to, not including, `ends`."""

    begins: dt.datetime
    ends: dt.datetime


@dataclass(frozen=True, slots=True)
class Window:
    """A window's text, ready to be asked; equal where the texts are."""

    text: str
    """As given, in lower case, with single spaces."""
    _words: Words = field(compare=False, repr=False)
    _shift: int = field(compare=False, repr=False)
    """The window of a day ends with the end's time of the day so many days later."""

    @classmethod
    def parse(cls, text: str) -> Window:
        """Read a window; ScheduleError shows the part that is wrong, and what may stand there."""
        words = read_words(text)
        return cls(words.text, words, _shift(words.begins, words.ends))

    def __str__(self) -> str:
        return self.text

    @property
    def needs_place(self) -> bool:
        """Whether it asks for the sun, so that spans need a place."""
        return any(isinstance(anchor, SunTime)
                   for anchor in (self._words.begins, self._words.ends))

    def spans(self, after: dt.datetime, until: dt.datetime, zone: ZoneInfo, place: Place | None
              ) -> Iterator[Span]:
        """Every span that overlaps (after, until], whole, in order; they may touch, never overlap.

        ScheduleError where the window needs a place and has none.
        """
        if self.needs_place and place is None:
            raise ScheduleError(f"window '{self.text}': the sun's times need a place; say its "
                                "latitude and longitude")
        low, high = seconds_of(after), seconds_of(until)
        for begins, ends in self._uncut(low, high, zone, place):
            for first, last in self._pulses(begins, ends, low):
                if first > high:
                    break
                if last > low:
                    yield Span(moment_of(first), moment_of(last))

    def never_within(self, span: Span, zone: ZoneInfo, place: Place | None) -> bool:
        """Whether no part of the window lies within a span of time."""
        return next((False for found in self.spans(*span, zone, place)
                     if found.begins < span.ends), True)

    def _uncut(self, low: int, high: int, zone: ZoneInfo, place: Place | None
               ) -> Iterator[tuple[int, int]]:
        """The days' windows around [low, high], each ended by the next one's beginning."""
        held: tuple[int, int] | None = None
        first = reading_of(low, zone) // DAY_S - _BEFORE_DAYS
        last = reading_of(high, zone) // DAY_S + _AFTER_DAYS
        for day in self._days(first, last):
            found = self._of_day(day, zone, place)
            if found is None:
                continue
            if held is not None and held[0] < found[0]:
                yield held[0], min(held[1], found[0])
            held = found
        if held is not None:
            yield held

    def _pulses(self, begins: int, ends: int, low: int) -> Iterator[tuple[int, int]]:
        """The window itself, or the short times in it; those before `low` may be left out."""
        every_s = self._words.every_s
        if every_s == 0:
            yield begins, ends
            return
        at = begins + max(0, (low - begins) // every_s) * every_s
        while at < ends:
            yield at, min(at + self._words.for_s, ends)
            at += every_s

    def _days(self, first: int, last: int) -> Iterator[int]:
        """The days in [first, last] on which a window may begin."""
        dates, weekdays = self._words.dates, self._words.weekdays
        for day in range(*_bounds(dates, first, last)):
            if (day + 3) % 7 not in weekdays:  # 1970 began on a Thursday, Monday is 0
                continue
            if not dates or any(part.holds(date_of(day)) for part in dates):
                yield day

    def _of_day(self, day: int, zone: ZoneInfo, place: Place | None) -> tuple[int, int] | None:
        begins = self._beginning(day, zone, place)
        if isinstance(begins, Never):
            return None
        end_day = day + self._shift
        ends = _instant(self._words.ends, end_day, zone, place)
        if isinstance(ends, Never):
            if ends is _past(self._words.ends):
                return None
            following = self._beginning(day + 1, zone, place)
            if isinstance(following, Never):
                following = instant_of(reading_of(begins, zone) + DAY_S, zone)
            ends = min(instant_of((end_day + 1) * DAY_S, zone), following)
        return (begins, ends) if begins < ends else None

    def _beginning(self, day: int, zone: ZoneInfo, place: Place | None) -> int | Never:
        begins = _instant(self._words.begins, day, zone, place)
        if begins is _past(self._words.begins):
            return instant_of(day * DAY_S, zone)
        return begins


def _instant(anchor: Anchor, day: int, zone: ZoneInfo, place: Place | None) -> int | Never:
    if not isinstance(anchor, SunTime):
        return instant_of(day * DAY_S + anchor, zone)
    if place is None:
        raise AssertionError("spans has asked for a place")
    found = instant_of_event(anchor.event, day, place, zone)
    return found if isinstance(found, Never) else found + anchor.offset_s


def _past(anchor: Anchor) -> Never:
    """The side on which the sun stays where this time counts as past."""
    rising = isinstance(anchor, SunTime) and anchor.event.half is Half.RISING
    return Never.ABOVE if rising else Never.BELOW


def _bounds(dates: tuple[Dates, ...], first: int, last: int) -> tuple[int, int]:
    """[first, last + 1), no wider than dates with years allow."""
    if not dates:
        return first, last + 1
    return (max(first, min(part.first_day for part in dates)),
            min(last, max(part.last_day for part in dates)) + 1)


def _shift(begins: Anchor, ends: Anchor) -> int:
    """How many days after the beginning's day the end's time belongs to it, by the words alone.

    The sun's times stray by up to six hours from the usual, noon by up to four: an end that is
    usually up to so much before the beginning is meant for the same time of day.
    """
    if not isinstance(begins, SunTime) and not isinstance(ends, SunTime):
        return 0 if ends > begins else 1
    halves = {anchor.event.half for anchor in (begins, ends) if isinstance(anchor, SunTime)}
    if isinstance(begins, SunTime) and isinstance(ends, SunTime) and len(halves) == 1:
        return _shift_within_half(begins, ends)
    earliest = _usual(begins) - (4 if Half.NOON in halves else 6) * HOUR_S
    return (earliest - _usual(ends)) // DAY_S + 1


def _shift_within_half(begins: SunTime, ends: SunTime) -> int:
    """Dawn to sunrise is one morning, sunrise to dawn nearly a day."""
    order = _ORDER_S[ends.event.name] - _ORDER_S[begins.event.name]
    return 0 if order > 0 or order + ends.offset_s - begins.offset_s > 0 else 1


def _usual(anchor: Anchor) -> int:
    """About which second of its day, in an average place and season: to six hours only, so that
    a small offset does not turn a window round."""
    if not isinstance(anchor, SunTime):
        return anchor
    return (anchor.event.half.value + int(anchor.offset_s / (6 * HOUR_S)) * 6) * HOUR_S
