"""Cron lines, in the dialect of loopbio's Motif: which moments a line asks for.

Pure, any thread; no clock is read. A line has 5, 6 or 7 fields:

    =====================================  ==================================================
    ``minute hour day month weekday``      5: at second 0
    ``second minute hour day month         6
    weekday``
    ``… weekday year``                     7: 1970 to 2099
    =====================================  ==================================================

    =============  ==========================================================================
    ``*``          every value; ``?`` likewise, in the day of month and of week alone
    ``a,b``        a list of what follows here
    ``a-b``        from a to b, both included; over the end as well: ``22-4``, ``Fri-Mon``
    ``*/n``        every n-th value of the field, counted from its first; also ``a-b/n``, and
                   ``a/n`` for "from a to the end"
    ``%n m%n``     monotonic: every n seconds, minutes, hours, days, months or years since
                   1970-01-01 00:00 UTC (from the m-th on), unbroken by the fields above;
                   days, months and years are those of the local calendar. Not for weekdays
    names          ``Jan``…``Dec``, ``Sun``…``Sat``, in any case; Sunday is 0 and 7
    =============  ==========================================================================

A moment must suit every field, but for the two days: where both the day of month and the weekday
are given (neither is ``*`` or ``?``), one of them is enough.

Relative to a recording (`zero`), the recording's start is 1970-01-01 00:00:00, a Thursday, of a
calendar without time zone, for all fields and for what is monotonic.

When clocks are changed:

- A line with every hour in its hour field, or with anything monotonic in its second, minute or
  hour, follows the clock as it runs: it fires whenever the clock shows such a reading, in both
  passes of an hour that comes twice, and leaves out readings that do not come. So ``*/10 * * * *``
  is every ten minutes, always.
- Any other line is about certain hours. Readings that a change leaves out fire together, once, at
  the first moment after it (02:30 at 03:00). Of readings that come twice only the first fires;
  where the minutes are ``*`` or ``*/n`` the second pass fires as well, since the line is an
  interval within its hours.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

from fieldrec.core.errors import ScheduleError
from fieldrec.schedule.cron_fields import (
    DAY,
    HOUR,
    LAST_YEAR,
    MINUTE,
    MONTH,
    SECOND,
    WEEKDAY,
    YEAR,
    FieldError,
    Kind,
    Values,
    parse_field,
)
from fieldrec.schedule.cron_moments import Days, Moments, Unit
from fieldrec.schedule.zones import (
    DAY_S,
    Stretch,
    day_of,
    moment_of,
    reading_of,
    seconds_of,
    stretches,
)

MOST_CHARACTERS = 500
"""In a line; one with more was not written by hand."""
LEAP_DAYS = 400
"""Further ahead than this the stretches between are not walked through."""
_KINDS = (SECOND, MINUTE, HOUR, DAY, MONTH, WEEKDAY, YEAR)
_LAYOUT = {5: _KINDS[1:6], 6: _KINDS[:6], 7: _KINDS}
_LAST_CHECKED = dt.date(LAST_YEAR, 12, 31)


@dataclass(frozen=True, slots=True)
class Cron:
    """A line, ready to be asked; equal where the texts are."""

    text: str
    """As given, with single spaces."""
    _moments: Moments = field(compare=False, repr=False)
    _runs_on: bool = field(compare=False, repr=False)
    """It follows the clock as it runs; see the rules above."""
    _in_both: bool = field(compare=False, repr=False)
    """It fires in both passes of an hour that comes twice."""

    @classmethod
    def parse(cls, text: str) -> Cron:
        """Read a line; ScheduleError shows the field, what is wrong in it, and what may stand."""
        if len(text) > MOST_CHARACTERS:
            raise ScheduleError(f"cron: a line of {len(text)} characters; at most "
                                f"{MOST_CHARACTERS} are read")
        given = text.split()
        kinds = _LAYOUT.get(len(given))
        if kinds is None:
            raise ScheduleError(
                f"cron: found {len(given)} field{'s' * (len(given) != 1)} in {text.strip()!r}; "
                "expected 5 (minute hour day month weekday), 6 (second first) or 7 (year last)")
        parsed = {kind: _field(given, at, kind) for at, kind in enumerate(kinds)}
        seconds = parsed.get(SECOND) or parse_field("0", SECOND)
        years = parsed.get(YEAR) or parse_field("*", YEAR)
        days = Days(parsed[DAY], parsed[MONTH], parsed[WEEKDAY], years,
                    bounded=YEAR in parsed and not years.free)
        _check_occurs(given, kinds, days)
        minutes, hours = parsed[MINUTE], parsed[HOUR]
        runs_on = len(hours.chosen) == 24 or any(unit.every for unit in (seconds, minutes, hours))
        return cls(" ".join(given),
                   Moments(days, Unit(3600, 24, hours), Unit(60, 60, minutes),
                           Unit(1, 60, seconds)),
                   runs_on, runs_on or minutes.stepped)

    def __str__(self) -> str:
        return self.text

    def fires(self, after: dt.datetime, until: dt.datetime, zone: ZoneInfo, *,
              zero: dt.datetime | None = None) -> Iterator[dt.datetime]:
        """Moments (aware, UTC) strictly after `after`, up to and including `until`, in order.

        `zero`: the start of the recording that the line is relative to; no moment is before it,
        and one that is at the start itself needs an `after` before it.
        """
        if zero is None:
            first, last = seconds_of(after) + 1, seconds_of(until)
            return (moment_of(instant) for instant in self._instants(first, last, zone))
        first = max(0, (after - zero) // dt.timedelta(seconds=1) + 1)
        last = (until - zero) // dt.timedelta(seconds=1)
        return (zero.astimezone(dt.UTC) + dt.timedelta(seconds=passed)
                for passed in self._moments.between(first, last + 1, 0))

    def first(self, after: dt.datetime, until: dt.datetime, zone: ZoneInfo, *,
              zero: dt.datetime | None = None) -> dt.datetime | None:
        """The first of :meth:`fires`; None where there is none."""
        return next(self.fires(after, until, zone, zero=zero), None)

    def _instants(self, first: int, last: int, zone: ZoneInfo) -> Iterator[int]:
        """Instants in [first, last], once each; those of a gap that ends there included."""
        before: Stretch | None = None
        shown = 0  # up to here readings have been seen, in stretches before
        fired = first - 1
        for part in self._parts(first, last, zone):
            low, high = part.begins + part.offset, part.ends + part.offset
            if before is not None and not self._runs_on and part.begins >= first \
                    and self._moments.any_between(shown, low, before.offset):
                yield part.begins
                fired = part.begins
            if before is not None and not self._in_both:
                low = max(low, shown)
            low = max(low, fired + 1 + part.offset)
            yield from (reading - part.offset
                        for reading in self._moments.between(low, high, part.offset))
            before, shown = part, max(high, shown)

    def _parts(self, first: int, last: int, zone: ZoneInfo) -> Iterator[Stretch]:
        """The stretches of [first, last] that count, with two days before for what they showed;
        years in which no day suits are leapt over, and it ends when none can suit any more."""
        until_day = reading_of(last, zone) // DAY_S + 2
        begins: int | None = first - 2 * DAY_S
        while begins is not None:
            at, begins = begins, None
            for part in stretches(at, last + 1, zone):
                yield part
                ended = (part.ends + part.offset) // DAY_S
                coming = self._moments.days.next(ended - 2, until_day)
                if coming is None:
                    return
                if coming > ended + LEAP_DAYS:
                    begins = (coming - 3) * DAY_S
                    break


def _field(given: list[str], at: int, kind: Kind) -> Values:
    try:
        return parse_field(given[at], kind)
    except FieldError as error:
        raise ScheduleError(_marked(given, at, kind, str(error))) from error


def _marked(given: list[str], at: int, kind: Kind, message: str) -> str:
    shown = [f">{text}<" if number == at else text for number, text in enumerate(given)]
    return (f"cron: field {at + 1} of {len(given)} ({kind.name}): {message}; allowed: "
            f"{kind.allowed}; in: {' '.join(shown)}")


def _check_occurs(given: list[str], kinds: tuple[Kind, ...], days: Days) -> None:
    if days.next(0, day_of(_LAST_CHECKED)) is not None:
        return
    at = kinds.index(DAY)
    raise ScheduleError(_marked(given, at, DAY, "never occurs: no month and year that are asked "
                                "for has such a day"))


