"""The fields of a cron line: what each may hold, and what a text in it means.

Pure, any thread. A field is a list of parts separated by commas. Each part is a number, a name, a
range ``a-b`` (which may run over the end: ``22-4``, ``Fri-Mon``), either with a step ``/n``, or a
monotonic part ``%n`` or ``m%n``: every `n` units since 1970 began, counted on without regard to the
fields above, from the m-th on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

LAST_YEAR = 2099
MOST_DIGITS = 9
_WHOLE = re.compile(r"(\*|[0-9A-Za-z]+)(?:-([0-9A-Za-z]+))?(?:/([0-9]+))?")
_MONOTONIC = re.compile(r"([0-9]*)%([0-9]+)")
_QUARTZ = re.compile(r"(?i)l?w?|[0-9]+[lw]|[0-9a-z]+#[0-9]+")
_NO_NAMES: Mapping[str, int] = {}


class FieldError(ValueError):
    """What is wrong in one field, in words; :mod:`~fieldrec.schedule.cron` says where it is."""


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """One of the seven fields: its name and what it may hold."""

    name: str
    low: int
    high: int
    names: Mapping[str, int]
    unit: str
    """What a monotonic part counts; empty where there is none."""
    open: bool = False
    """Whether ``?`` (no value) may stand in it."""

    @property
    def last(self) -> int:
        """The highest value of which none is a second name."""
        return 6 if self.high == 7 else self.high

    @property
    def allowed(self) -> str:
        """What may stand in the field, for messages."""
        names = f" or {_shown_names(self.names)}" if self.names else ""
        question = ", '?'" if self.open else ""
        monotonic = f", %n or m%n (every n {self.unit})" if self.unit else ""
        return (f"{self.low} to {self.high}{names}, lists a,b, ranges a-b, steps */n or a-b/n, "
                f"'*'{question}{monotonic}")


@dataclass(frozen=True, slots=True)
class Every:
    """Every `step` units, from unit number `first` on."""

    first: int
    step: int

    def next(self, count: int) -> int:
        """The first such unit at or after number `count`."""
        return max(self.first, count + (self.first - count) % self.step)


@dataclass(frozen=True, slots=True)
class Values:
    """What a field asks for."""

    chosen: frozenset[int]
    every: tuple[Every, ...]
    free: bool
    """It is ``*`` or ``?``: it asks for nothing."""
    stepped: bool
    """It is ``*`` or ``*/n``: an interval, not chosen moments."""

    def holds(self, value: int, count: int) -> bool:
        """Whether `value`, the `count`-th unit since 1970 began, is asked for."""
        return value in self.chosen or any(part.next(count) == count for part in self.every)


SECOND = Kind("second", 0, 59, _NO_NAMES, "seconds")
MINUTE = Kind("minute", 0, 59, _NO_NAMES, "minutes")
HOUR = Kind("hour", 0, 23, _NO_NAMES, "hours")
DAY = Kind("day of month", 1, 31, _NO_NAMES, "days", open=True)
MONTH = Kind("month", 1, 12, {
    "jan": 1, "feb": 2, "mar": 3, "apr": 4, "may": 5, "jun": 6, "jul": 7, "aug": 8, "sep": 9,
    "oct": 10, "nov": 11, "dec": 12}, "months")
WEEKDAY = Kind("day of week", 0, 7, {
    "sun": 0, "mon": 1, "tue": 2, "wed": 3, "thu": 4, "fri": 5, "sat": 6}, "", open=True)
YEAR = Kind("year", 1970, LAST_YEAR, _NO_NAMES, "years")


def parse_field(text: str, kind: Kind) -> Values:
    """What `text` asks for; FieldError says what is wrong with it."""
    if text == "?":
        if not kind.open:
            raise FieldError("'?' (no value) can only stand for the day of month or of week")
        return Values(_all(kind), (), free=True, stepped=False)
    values: set[int] = set()
    every: list[Every] = []
    parts = text.split(",")
    for part in parts:
        if not part:
            raise FieldError("a comma with nothing before or after it")
        if part[0] in "*?" and len(parts) > 1:
            raise FieldError(f"'{part}' must stand alone, not in a list")
        if "%" in part:
            every.append(_monotonic(part, kind))
        else:
            values |= _plain(part, kind)
    if kind is WEEKDAY:
        values = {value % 7 for value in values}
    return Values(frozenset(values), tuple(every), free=text == "*", stepped=text[0] == "*")


def _monotonic(part: str, kind: Kind) -> Every:
    if not kind.unit:
        raise FieldError("monotonic %n counts no days of the week; in the day of month %7 is "
                         "every seventh day")
    found = _MONOTONIC.fullmatch(part)
    if found is None:
        raise FieldError(f"'{part}' is not %n or m%n with whole numbers, such as %10 or 5%10")
    first, step = _number(found[1] or "0"), _number(found[2])
    if step == 0:
        raise FieldError(f"'{part}': every 0 {kind.unit} is never; n must be 1 or more")
    return Every(first, step)


def _plain(part: str, kind: Kind) -> set[int]:
    if _QUARTZ.fullmatch(part):
        raise FieldError(f"'{part}': L, W and # (last, nearest working day, n-th weekday) are not "
                         "known here")
    found = _WHOLE.fullmatch(part)
    if found is None or (found[1] == "*" and found[2]):
        raise FieldError(f"'{part}' cannot be read")
    step = _step(part, found[3], kind)
    if found[1] == "*":
        return set(range(kind.low, kind.last + 1, step))
    first = _value(found[1], kind)
    if found[2] is None:
        return set(range(first, kind.last + 1, step)) if found[3] else {first}
    last = _value(found[2], kind)
    if first <= last:
        return set(range(first, last + 1, step))
    if kind is YEAR:
        raise FieldError(f"'{part}' ends before it begins")
    around = [*range(first, kind.last + 1), *range(kind.low, last + 1)]
    return set(around[::step])


def _step(part: str, text: str | None, kind: Kind) -> int:
    if text is None:
        return 1
    step, span = _number(text), kind.last - kind.low + 1
    if step == 0:
        raise FieldError(f"'{part}': a step of 0 is never; it must be 1 or more")
    if step > span:
        instead = f"; every {step} {kind.unit} on end is %{step}" if kind.unit else ""
        raise FieldError(f"'{part}': a step of {step} is longer than the field ({span}){instead}")
    return step


def _value(text: str, kind: Kind) -> int:
    if not text.isdigit():
        if text.lower() in kind.names:
            return kind.names[text.lower()]
        names = f", one of {_shown_names(kind.names)}," if kind.names else ""
        raise FieldError(f"'{text}' is not a number{names} from {kind.low} to {kind.high}")
    number = _number(text)
    if not kind.low <= number <= kind.high:
        raise FieldError(f"{number} is not within {kind.low} to {kind.high}")
    return number


def _number(text: str) -> int:
    if len(text) > MOST_DIGITS:
        raise FieldError(f"a number of {len(text)} digits is too large")
    return int(text)


def _all(kind: Kind) -> frozenset[int]:
    return frozenset(range(kind.low, kind.last + 1))


def _shown_names(names: Mapping[str, int]) -> str:
    known = [name.capitalize() for name in names]
    return f"{known[0]}…{known[-1]}"
