"""A window's words: every wrong text is one error that shows the word."""

from __future__ import annotations

from random import Random

import pytest

from fieldrec.core.errors import ScheduleError
from fieldrec.schedule.cron import Cron
from fieldrec.schedule.window import Window
from fieldrec.schedule.window_words import is_window


@pytest.mark.parametrize(("text", "reason", "marked"), [
    ("from drawn to 10:00", "did you mean 'dawn'?", ">drawn<"),
    ("from later to 10:00", "is no time; expected", ">later<"),
    ("from 25:00 to 10:00", "'25:00' is not a time from 00:00 to 24:00", ">25:00<"),
    ("from 24:01 to 10:00", "is not a time", ">24:01<"),
    ("from 10:60 to 11:00", "is not a time", ">10:60<"),
    ("from 24:00 to 10:00", "24:00 can only be an end", ">24:00<"),
    ("from 10:00 to 10:00", "never occurs: it ends when it begins", "to >10:00<"),
    ("from dawn to civil_dawn", "never occurs: it ends when it begins", ">civil_dawn<"),
    ("from dawn-30 to 10:00", "'30' is no duration", ">dawn-30<"),
    ("from dawn- to 10:00", "'' is no duration", ">dawn-<"),
    ("from dawn-0m to 10:00", "'0m' is nothing", ">dawn-0m<"),
    ("from dawn-25h to 10:00", "an offset of 25h is more than 24h", ">dawn-25h<"),
    ("from 10:00+1h to 12:00", "a time of the clock takes no offset", ">10:00+1h<"),
    ("from midnight to 10:00", "write 00:00, or 24:00 as an end", ">midnight<"),
    ("from 6:00 until 7:00", "expected 'to'", ">until<"),
    ("every 1m for 2m", "120 s do not fit into every 60 s", ">2m<"),
    ("every 30 for 60s", "'30' is no duration; expected a duration with its unit", ">30<"),
    ("every 0m for 0s", "'0m' is nothing", ">0m<"),
    ("every 48h for 1h", "at most 24h", ">48h<"),
    ("every 9999999h for 1h", "is too long", ">9999999h<"),
    ("every 30m during 60s", "expected 'for'", ">during<"),
    ("on foo", "'foo' is no weekday", ">foo<"),
    ("on mon..", "'' is no weekday", ">mon..<"),
    ("on mo", "'mo' is no weekday", ">mo<"),
    ("on mons", "'mons' is no weekday", ">mons<"),
    ("2026-02-30", "there is no 2026-02-30 in the calendar", ">2026-02-30<"),
    ("2026-05-02..2026-05-01", "never occurs: '2026-05-02..2026-05-01' ends before",
     ">2026-05-02..2026-05-01<"),
    ("2026-05-01..06-01", "write the year in both dates or in neither", ">2026-05-01..06-01<"),
    ("05-01..", "without a year both dates are needed", ">05-01..<"),
    ("1..2", "'1' is no date", ">1..2<"),
    ("..", "has no date in it", ">..<"),
    ("2026-05-01,", "has no date in it", ">2026-05-01,<"),
    ("always on mon", "'always' stands alone", ">always<"),
    ("form 6:00 to 7:00", "did you mean 'from'?", ">form<"),
    ("nonsense", "'nonsense' begins no part of a window; expected from T to T", ">nonsense<"),
    ("from 6:00 to 7:00 from 8:00 to 9:00", "'from' is there twice", "7:00 >from<"),
])
def test_a_wrong_window_is_shown_with_its_word(text: str, reason: str, marked: str) -> None:
    with pytest.raises(ScheduleError) as caught:
        Window.parse(text)
    message = str(caught.value)
    assert message.startswith("window: ")
    assert reason in message
    assert "\n" not in message
    words, marks = message.rpartition("; in: ")[2], marked
    assert marks in words
    assert words.replace(">", "").replace("<", "") == text


@pytest.mark.parametrize(("text", "missing"), [
    ("from", "a time such as 06:30"), ("from 6:00", "'to' and a time such as 06:30"),
    ("from 6:00 to", "a time such as 06:30"), ("every", "a duration with its unit"),
    ("every 30m", "'for' and a duration"), ("every 30m for", "a duration with its unit"),
    ("on", "weekdays such as mon,wed..fri"),
])
def test_a_window_that_stops_short_says_what_is_missing(text: str, missing: str) -> None:
    with pytest.raises(ScheduleError, match="is missing: " + missing) as caught:
        Window.parse(text)
    assert str(caught.value).endswith(f"; in: {text} ><")


def test_windows_that_never_occur_are_refused() -> None:
    with pytest.raises(ScheduleError, match="none of these dates is such a weekday"):
        Window.parse("2026-05-02..2026-05-03 on mon..fri")
    with pytest.raises(ScheduleError, match="it is empty"):
        Window.parse("  ")
    with pytest.raises(ScheduleError, match="at most 500"):
        Window.parse("on mon," + "tue," * 200 + "wed")
    Window.parse("2026-05-02..2026-05-04 on mon..fri")  # a Monday is among them


def test_nonsense_is_an_error_of_one_line_and_nothing_else() -> None:
    random = Random("nonsense")
    words = ["from", "to", "every", "for", "on", "always", "dawn", "10:00", "24:00", "30m", "60s",
             "mon..fri", "2026-05-01", "..", ",", "+", "-", "05-01..06-01", "noon-25h",
             "\u00e9\x00", "99999999999999", "0:0:0", "--"]
    for _ in range(1500):
        text = " ".join(random.choices(words, k=random.randint(0, 7)))
        try:
            Window.parse(text)
        except ScheduleError as error:
            assert "\n" not in str(error)


@pytest.mark.parametrize(("text", "window"), [
    ("from 6:00 to 7:00", True), ("every 30m for 1m", True), ("on mon", True), ("always", True),
    ("2026-05-01", True), ("05-01..06-01", True), ("0 6 * * *", False), ("1-5 * * * Mon", False),
    ("0 0 0 1 1 ? 2026-2030", False), ("%7 * * ? * *", False), ("", False),
])
def test_a_window_and_a_cron_line_are_told_apart(text: str, window: bool) -> None:
    assert is_window(text) is window
    if window:
        Window.parse(text)
    elif text:
        Cron.parse(text)
