"""A window's words: from text to checked values. Pure, any thread.

The grammar stands in :mod:`~fieldrec.schedule.window`. Every fault is a ScheduleError of one line
that marks the part in the whole text and says what may stand there.
"""

from __future__ import annotations

import datetime as dt
import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass, field

from fieldrec.core.errors import ScheduleError
from fieldrec.schedule.sun import EVENTS, Event
from fieldrec.schedule.zones import DAY_S, day_of

MOST_CHARACTERS = 500
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_FULL_NAMES = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
KEYWORDS = frozenset({"from", "to", "every", "for", "on", "always"})
FAR_DAY = 10_000_000
TIMES = ("a time such as 06:30, sunrise, sunset, noon, dawn or dusk (also civil_, nautical_, "
         "astronomical_), the sun's with or without an offset (dawn-30m)")
DURATIONS = "a duration with its unit, such as 90s, 30m or 1h30m"
DATES = "dates such as 2026-05-01..2026-08-31, 2026-05-01.. or each year 11-01..02-28"
PARTS = "from T to T, every D for D, on WEEKDAYS, DATES, or always"
_CLOCK = re.compile(r"([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?")
_SUN = re.compile(r"([a-z_]+)(?:([+-])(.*))?")
_DURATION = re.compile(r"(?:([0-9]+)h)?(?:([0-9]+)m(?:in)?)?(?:([0-9]+)s)?")
_DATE = re.compile(r"(?:([0-9]{4})-)?([0-9]{1,2})-([0-9]{1,2})")
_FULL_DATE = re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]")
_LOOKS_LIKE_DATE = re.compile(r"\.\.|[0-9]+-[0-9]+")
_JOINED = tuple(re.compile(pattern) for pattern in (
    r"\s*(?=,)", r"(?<=,)\s*",
    r"(?<=-\d\d|mon|tue|wed|thu|fri|sat|sun|day)\s+(?=\.\.)",
    r"(?<=\.\.)\s+(?=[0-9]+-[0-9]|mon|tue|wed|thu|fri|sat|sun)",
    r"(?<=[a-z])\s*(?=[+-]\s*[0-9])", r"(?<=[a-z][+-])\s+(?=[0-9])"))
"""Blanks within lists, ranges and offsets, which stand for nothing."""
_LEAP_YEAR = 2000


@dataclass(frozen=True, slots=True)
class SunTime:
    """A time of the sun, and seconds from it."""

    event: Event
    offset_s: int


Anchor = int | SunTime
"""Seconds of the clock since midnight, or a time of the sun."""


@dataclass(frozen=True, slots=True)
class Dates:
    """Dates from `first` to `last`, both included; (month, day) where there is no year."""

    first: dt.date | None
    last: dt.date | None
    each_year: bool

    def holds(self, date: dt.date) -> bool:
        """Whether the date is one of them."""
        if self.each_year and self.first is not None and self.last is not None:
            here = date.replace(year=_LEAP_YEAR)
            if self.first <= self.last:
                return self.first <= here <= self.last
            return here >= self.first or here <= self.last
        return (self.first is None or self.first <= date) \
            and (self.last is None or date <= self.last)

    @property
    def first_day(self) -> int:
        """Days since 1970; far in the past if open."""
        return -FAR_DAY if self.each_year or self.first is None else day_of(self.first)

    @property
    def last_day(self) -> int:
        """Days since 1970; far in the future if open."""
        return FAR_DAY if self.each_year or self.last is None else day_of(self.last)


@dataclass(slots=True)
class Words:
    """What the words of one window say; not changed after :func:`read_words`."""

    text: str
    begins: Anchor = 0
    ends: Anchor = DAY_S
    every_s: int = 0
    """0: the window itself, not short times in it."""
    for_s: int = 0
    weekdays: frozenset[int] = frozenset(range(7))
    """Monday is 0."""
    dates: tuple[Dates, ...] = ()
    given: set[str] = field(default_factory=set)
    """Which parts have been read."""


def is_window(text: str) -> bool:
    """Whether a text is meant as a window rather than a cron line."""
    words = set(_joined(text).split())
    return bool(words & KEYWORDS or ".." in text or any(map(_FULL_DATE.match, words)))


def read_words(text: str) -> Words:
    """Read a window's text. ScheduleError."""
    if len(text) > MOST_CHARACTERS:
        raise ScheduleError(f"window: a text of {len(text)} characters; at most "
                            f"{MOST_CHARACTERS} are read")
    reader = _Reader(_joined(text).split())
    if not reader.given:
        raise ScheduleError(f"window: it is empty; write {PARTS}")
    words = Words(" ".join(reader.given))
    while not reader.at_end:
        _part(reader, words)
    _check_occurs(reader, words)
    return words


class _Reader:
    """The words of a text, one after the other, and where one is when something is wrong."""

    def __init__(self, given: list[str]) -> None:
        self.given = given
        self._at = 0

    @property
    def at_end(self) -> bool:
        return self._at >= len(self.given)

    @property
    def last(self) -> str:
        """The word that was read last."""
        return self.given[self._at - 1]

    def next(self, expected: str) -> str:
        if self.at_end:
            raise ScheduleError(f"window: after '{self.given[-1]}' is missing: {expected}; in: "
                                f"{' '.join(self.given)} ><")
        self._at += 1
        return self.last

    def keyword(self, word: str, expected: str) -> None:
        if self.next(f"'{word}' and {expected}") != word:
            raise self.wrong(f"expected '{word}' and {expected} here")

    def wrong(self, message: str) -> ScheduleError:
        """The error about the word that was read last."""
        shown = [f">{word}<" if at == self._at - 1 else word for at, word in enumerate(self.given)]
        return ScheduleError(f"window: {message}; in: {' '.join(shown)}")


def _part(reader: _Reader, words: Words) -> None:
    word = reader.next(PARTS)
    kind = "dates" if _LOOKS_LIKE_DATE.search(word) else word
    read = _READERS.get(kind)
    if read is None:
        near = difflib.get_close_matches(word, _READERS, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"expected {PARTS}"
        raise reader.wrong(f"'{word}' begins no part of a window; {hint}")
    if kind in words.given:
        raise reader.wrong(f"'{kind}' is there twice")
    words.given.add(kind)
    read(reader, words)


def _from(reader: _Reader, words: Words) -> None:
    words.begins = _anchor(reader, reader.next(TIMES))
    if words.begins == DAY_S:
        raise reader.wrong("24:00 can only be an end; the beginning of the day is 00:00")
    reader.keyword("to", TIMES)
    words.ends = _anchor(reader, reader.next(TIMES))
    if words.ends == words.begins:
        raise reader.wrong("never occurs: it ends when it begins; the whole day is 'from 00:00 to "
                           "24:00'")


def _every(reader: _Reader, words: Words) -> None:
    words.every_s = _duration(reader, reader.next(DURATIONS))
    if words.every_s > DAY_S:
        raise reader.wrong("at most 24h; days are chosen by weekdays and dates")
    reader.keyword("for", DURATIONS)
    words.for_s = _duration(reader, reader.next(DURATIONS))
    if words.for_s > words.every_s:
        raise reader.wrong(f"{words.for_s} s do not fit into every {words.every_s} s")


def _on(reader: _Reader, words: Words) -> None:
    chosen: set[int] = set()
    for part in reader.next("weekdays such as mon,wed..fri").split(","):
        first, dots, last = part.partition("..")
        begin = _weekday(reader, first)
        end = _weekday(reader, last) if dots else begin
        chosen |= {(begin + step) % 7 for step in range((end - begin) % 7 + 1)}
    words.weekdays = frozenset(chosen)


def _dates(reader: _Reader, words: Words) -> None:
    parts = reader.last.split(",")
    words.dates = tuple(_date_range(reader, part) for part in parts)


def _always(reader: _Reader, _words: Words) -> None:
    if len(reader.given) > 1:
        raise reader.wrong("'always' stands alone")


_READERS: dict[str, Callable[[_Reader, Words], None]] = {
    "from": _from, "every": _every, "on": _on, "dates": _dates, "always": _always}


def _anchor(reader: _Reader, word: str) -> Anchor:
    clock = _CLOCK.fullmatch(word)
    if clock is not None:
        hour, minute, second = (int(number or 0) for number in clock.groups())
        seconds = hour * 3600 + minute * 60 + second
        if minute > 59 or second > 59 or seconds > DAY_S:
            raise reader.wrong(f"'{word}' is not a time from 00:00 to 24:00")
        return seconds
    found = _SUN.fullmatch(word)
    if found is None or found[1] not in EVENTS:
        raise reader.wrong(_unknown_time(word, "" if found is None else found[1]))
    if found[2] is None:
        return SunTime(EVENTS[found[1]], 0)
    offset_s = _duration(reader, found[3])
    if offset_s > DAY_S:
        raise reader.wrong(f"an offset of {found[3]} is more than 24h")
    return SunTime(EVENTS[found[1]], -offset_s if found[2] == "-" else offset_s)


def _unknown_time(word: str, name: str) -> str:
    if _CLOCK.match(word):
        return f"'{word}': a time of the clock takes no offset; write the time that is meant"
    near = difflib.get_close_matches(name or word, EVENTS, n=1)
    if name == "midnight":
        return "'midnight' is not known; write 00:00, or 24:00 as an end"
    if near:
        return f"'{word}' is no time; did you mean '{near[0]}'?"
    return f"'{word}' is no time; expected {TIMES}"


def _duration(reader: _Reader, word: str) -> int:
    found = _DURATION.fullmatch(word)
    if not word or found is None:
        raise reader.wrong(f"'{word}' is no duration; expected {DURATIONS}")
    if any(len(number or "") > 6 for number in found.groups()):
        raise reader.wrong(f"'{word}' is too long")
    hours, minutes, seconds = (int(number or 0) for number in found.groups())
    length_s = hours * 3600 + minutes * 60 + seconds
    if length_s == 0:
        raise reader.wrong(f"'{word}' is nothing; expected {DURATIONS}")
    return length_s


def _weekday(reader: _Reader, word: str) -> int:
    if word[:3] in WEEKDAYS and _FULL_NAMES[WEEKDAYS.index(word[:3])].startswith(word):
        return WEEKDAYS.index(word[:3])
    raise reader.wrong(f"'{word}' is no weekday; expected {', '.join(WEEKDAYS)}, as a list with "
                       "commas and ranges such as mon..fri")


def _date_range(reader: _Reader, part: str) -> Dates:
    first_text, dots, last_text = part.partition("..")
    if not first_text and not last_text:
        raise reader.wrong(f"'{part}' has no date in it; expected {DATES}")
    first, first_yearly = _date(reader, first_text)
    last, last_yearly = _date(reader, last_text) if dots else (first, first_yearly)
    if first is not None and last is not None and first_yearly != last_yearly:
        raise reader.wrong(f"'{part}': write the year in both dates or in neither")
    yearly = first_yearly or last_yearly
    if yearly and (first is None or last is None):
        raise reader.wrong(f"'{part}': without a year both dates are needed")
    if first is not None and last is not None and last < first and not yearly:
        raise reader.wrong(f"never occurs: '{part}' ends before it begins")
    return Dates(first, last, yearly)


def _date(reader: _Reader, text: str) -> tuple[dt.date | None, bool]:
    """(the date, whether it has no year); (None, False) for an open side."""
    if not text:
        return None, False
    found = _DATE.fullmatch(text)
    if found is None:
        raise reader.wrong(f"'{text}' is no date; expected {DATES}")
    try:
        return (dt.date(int(found[1] or _LEAP_YEAR), int(found[2]), int(found[3])),
                found[1] is None)
    except ValueError as error:
        raise reader.wrong(f"there is no {text} in the calendar") from error


def _check_occurs(reader: _Reader, words: Words) -> None:
    """ScheduleError where no date that is asked for is such a weekday."""
    if not words.dates or any(part.each_year or part.first is None or part.last is None
                              for part in words.dates):
        return
    for part in words.dates:
        for day in range(part.first_day, min(part.last_day, part.first_day + 6) + 1):
            if (day + 3) % 7 in words.weekdays:
                return
    raise ScheduleError(f"window: never occurs: none of these dates is such a weekday; in: "
                        f"{' '.join(reader.given)}")


def _joined(text: str) -> str:
    """In lower case, without blanks within lists, ranges and offsets."""
    text = text.lower()
    for blanks in _JOINED:
        text = blanks.sub("", text)
    return text
