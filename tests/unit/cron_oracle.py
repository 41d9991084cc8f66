"""Cron lines by their definition, slowly: looks at each second or minute, one after the other.

Shares no code with fieldrec.schedule. A line's field is taken apart anew for each value; time zones
are asked through datetime alone. :func:`walk` is the definition; :func:`random_line` makes lines of
every form of the dialect.
"""

from __future__ import annotations

import datetime as dt
from functools import lru_cache
from random import Random
from typing import NamedTuple
from zoneinfo import ZoneInfo

MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
WEEKDAYS = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]
RANGES = {"second": (0, 59), "minute": (0, 59), "hour": (0, 23), "day": (1, 31), "month": (1, 12),
          "weekday": (0, 6), "year": (1970, 2099)}


class Moment(NamedTuple):
    """One look at the clock on the wall."""

    instant: int
    reading: dt.datetime
    second_pass: bool
    left_out: tuple[dt.datetime, ...]
    """Readings that the clock has just jumped over."""


def moments(begins: int, ends: int, zone: ZoneInfo, step: int) -> list[Moment]:
    """Every `step` seconds of [begins, ends)."""
    found = []
    before: dt.datetime | None = None
    for instant in range(begins, ends, step):
        local = dt.datetime.fromtimestamp(instant, zone)
        reading = local.replace(tzinfo=None, fold=0)
        left_out = []
        if before is not None:
            jumped = before + dt.timedelta(seconds=step)
            while jumped < reading:
                left_out.append(jumped)
                jumped += dt.timedelta(seconds=step)
        found.append(Moment(instant, reading, local.fold == 1, tuple(left_out)))
        before = reading
    return found


def walk(line: str, looks: list[Moment]) -> list[int]:
    """The instants at which the line fires, by the words of its rules."""
    fields = fields_of(line)
    follows = all(suits("hour", fields["hour"], hour, -1) for hour in range(24)) or any(
        "%" in fields[name] for name in ("second", "minute", "hour"))
    return [look.instant for look in looks if _fires(fields, look, follows)]


def _fires(fields: dict[str, str], look: Moment, follows: bool) -> bool:
    if fires_at(fields, look.reading, look.instant) and (
            follows or not look.second_pass or fields["minute"].startswith("*")):
        return True
    return not follows and any(fires_at(fields, reading, 0) for reading in look.left_out)


def fields_of(line: str) -> dict[str, str]:
    """The seven fields by name."""
    given = line.upper().split()
    if len(given) == 5:
        given.insert(0, "0")
    if len(given) == 6:
        given.append("*")
    return dict(zip(("second", "minute", "hour", "day", "month", "weekday", "year"), given,
                    strict=True))


def fires_at(fields: dict[str, str], reading: dt.datetime, instant: int) -> bool:
    """Whether every field suits a reading of the clock; `instant` is for what is monotonic."""
    return (suits("minute", fields["minute"], reading.minute, instant // 60)
            and suits("hour", fields["hour"], reading.hour, instant // 3600)
            and suits("second", fields["second"], reading.second, instant)
            and day_suits(fields["day"], fields["month"], fields["weekday"], fields["year"],
                          reading.date()))


@lru_cache(maxsize=200_000)
def day_suits(day: str, month: str, weekday: str, year: str, date: dt.date) -> bool:
    """The dates' rule: month and year, and the day of month or of week."""
    if not suits("month", month, date.month, (date.year - 1970) * 12 + date.month - 1):
        return False
    if not suits("year", year, date.year, date.year - 1970):
        return False
    by_day = suits("day", day, date.day, (date - dt.date(1970, 1, 1)).days)
    by_week = suits("weekday", weekday, date.isoweekday() % 7, -1)
    if day in "*?" or weekday in "*?":
        return by_day and by_week
    return by_day or by_week


def suits(name: str, text: str, value: int, count: int) -> bool:
    """Whether one field asks for a value; `count` numbers it since 1970 began, if not negative."""
    return any(_suits_part(name, part, value, count) for part in text.split(","))


@lru_cache(maxsize=200_000)
def _number(name: str, text: str) -> int:
    if name == "month" and text in MONTHS:
        return MONTHS.index(text) + 1
    if name == "weekday" and text in WEEKDAYS:
        return WEEKDAYS.index(text)
    return int(text)


def _suits_part(name: str, part: str, value: int, count: int) -> bool:
    if part in ("*", "?"):
        return True
    if "%" in part:
        first, step = part.split("%")
        return count >= int(first or 0) and (count - int(first or 0)) % int(step) == 0
    return value in _listed(name, part)


@lru_cache(maxsize=200_000)
def _listed(name: str, part: str) -> tuple[int, ...]:
    """The values of a number, a range or a step, written out."""
    low, high = RANGES[name]
    span, _, step = part.partition("/")
    if span == "*":
        values = list(range(low, high + 1))
    elif "-" in span:
        first, last = (_number(name, text) for text in span.split("-"))
        values = [first]
        while values[-1] != last:
            following = values[-1] + 1
            values.append(low if following > high and last <= high else following)
    else:
        values = [_number(name, span)]
        while step and values[-1] < high:
            values.append(values[-1] + 1)
    values = values[::int(step or 1)]
    return tuple(value % 7 if name == "weekday" else value for value in values)


# --- lines of every form --------------------------------------------------------------------------


def random_line(random: Random, *, fields: int, seconds: bool = True, free: float = 0.4) -> str:
    """A line of 5, 6 or 7 fields; without `seconds` its seconds are 0. `free`: the share of hours
    and dates that are left open."""
    parts = [_random_field(random, "minute", 0.2), _random_field(random, "hour", free)]
    parts += [_random_field(random, name, free) for name in ("day", "month", "weekday")]
    if fields > 5:
        parts.insert(0, _random_field(random, "second", 0.2) if seconds else "0")
    if fields > 6:
        parts.append(_random_field(random, "year", free))
    return " ".join(parts)


def _random_field(random: Random, name: str, free: float) -> str:
    if random.random() < free:
        return random.choice("*?") if name in ("day", "weekday") else "*"
    return ",".join(_random_part(random, name) for _ in range(random.choice((1, 1, 1, 2, 3)))) \
        if random.random() < 0.8 else f"*/{random.randint(1, 7 if name == 'weekday' else 12)}"


def _random_part(random: Random, name: str) -> str:
    low, high = (2019, 2031) if name == "year" else RANGES[name]
    value = random.randint(low, high)
    form = random.choice(("number", "range", "range/", "from/", "monotonic", "name"))
    if form == "monotonic" and name != "weekday":
        most = {"second": 400, "minute": 400, "hour": 60, "day": 40, "month": 20, "year": 3}[name]
        return f"{random.choice(('', random.randint(0, 50)))}%{random.randint(1, most)}"
    if form == "name" and name == "weekday":
        return random.choice(("Sun", "mon", "Fri-Mon", "TUE-thu", "Wed/2", "7", "5-7", "0-7"))
    if form == "name" and name == "month":
        return random.choice(("Jan", "feb", "Mar-May", "Nov-Feb", "SEP", "Oct/1"))
    if form.startswith("range"):
        other = random.randint(value if name == "year" else low, high)
        return f"{value}-{other}" + (f"/{random.randint(1, 5)}" if form == "range/" else "")
    if form == "from/":
        return f"{value}/{random.randint(1, 6)}"
    return f"{value:02d}" if random.random() < 0.3 else str(value)


def random_lines(random: Random, count: int, *, fields: int, seconds: bool = True,
                 free: float = 0.4) -> list[str]:
    """So many of them."""
    return [random_line(random, fields=fields, seconds=seconds, free=free) for _ in range(count)]
