"""The report as text, CSV and page: nothing from outside acts, and no log makes it large."""

from __future__ import annotations

import csv
import io
import re
from html.parser import HTMLParser
from zoneinfo import ZoneInfo

import pytest

from fieldrec.logbook import page, plot, summary, table, text
from fieldrec.logbook.causes import Cause
from fieldrec.logbook.reading import Tally
from fieldrec.logbook.record import Gap, Happening, Missing, Record, Recorded

S = 1_000_000_000
DAY = 86_400 * S
START = 1_777_600_000 * S
VIENNA = ZoneInfo("Europe/Vienna")
HOSTILE = '<script>alert(1)</script>"\'&\x1b[31m\u202e\udcff]]>'


class Tags(HTMLParser):
    """Every tag and attribute, and whether all that was opened was closed."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes.update(name for name, _ in attrs)
        if tag not in ("meta", "path", "rect", "polyline"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes.update(name for name, _ in attrs)

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("path", "rect", "polyline"):
            assert self.open.pop() == tag


def parsed(html: str) -> Tags:
    tags = Tags()
    tags.feed(html)
    assert tags.open == []
    return tags


def recorded(camera: str, at_s: float, seconds: float, name: str = "r") -> Recorded:
    begin = START + round(at_s * S)
    return Recorded(camera, name, begin, begin + round(seconds * S), "stopped", "uuid", 100, 1, 2,
                    5000, "ntp", True)


def hostile() -> Record:
    record = Record(HOSTILE, HOSTILE, START, START + DAY, [HOSTILE])
    record.recordings = [recorded(HOSTILE, 0, 3600, HOSTILE)]
    record.recordings[0].reason = record.recordings[0].uuid = record.recordings[0].clock = HOSTILE
    record.gaps = [Gap(HOSTILE, START + 7200 * S, START + 9000 * S, cause, HOSTILE, HOSTILE)
                   for cause in Cause]
    record.missing = [Missing(HOSTILE, HOSTILE, 1, 2, START, START + S)]
    record.happenings = [Happening(START, kind, HOSTILE) for kind in ("started", "drive_in", "x")]
    record.drives = {HOSTILE: (HOSTILE, 1)}
    record.versions = {HOSTILE: HOSTILE}
    record.configs = [(START, HOSTILE, HOSTILE + "\n" + HOSTILE)]
    record.jobs[HOSTILE, HOSTILE] = 1
    record.copied_bytes[HOSTILE] = 1
    record.ends[HOSTILE] = 1
    record.levels = [(START, HOSTILE)]
    record.charge.add(START, 50)
    return record


def test_nothing_from_outside_becomes_markup() -> None:
    tally = Tally(unreadable=[HOSTILE])
    html = page.render(hostile(), tally, VIENNA, lies=[HOSTILE], nights=[(START, START + DAY // 2)],
                       made_by=HOSTILE)
    tags = parsed(html)
    assert not {"script", "img", "a", "link", "iframe"} & set(tags.tags)
    assert not [name for name in tags.attributes if name.startswith("on")
                or name in ("src", "href", "style")]
    assert "\x1b" not in html and "\u202e" not in html
    assert "<script" not in html and "&lt;script&gt;" in html
    assert "default-src 'none'" in html
    html.encode()
    assert not re.search(r"https?://|url\(|@import", html)


def test_nothing_from_outside_reaches_the_terminal() -> None:
    said = text.render(hostile(), Tally(unreadable=[HOSTILE]), VIENNA, [HOSTILE])
    assert said.replace("\n", "").isprintable()


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t=", "\r@", " =", "\n+"])
def test_no_cell_is_a_formula(begin: str) -> None:
    record = hostile()
    evil = begin + 'cmd|\' /C calc\'!A0,"x"'
    record.recordings = [recorded(evil, 0, 1, evil)]
    record.recordings[0].reason = evil
    record.gaps = [Gap(evil, START, START + S, Cause.OTHER, evil, evil)]
    for said in (table.recordings_csv(record), table.gaps_csv(record)):
        rows = list(csv.reader(io.StringIO(said)))
        assert len({len(row) for row in rows}) == 1
        for cell in [cell for row in rows for cell in row]:
            assert not cell.lstrip().startswith(("=", "+", "@")), cell
            assert not cell.startswith("-") or float(cell) < 0


def test_csv_says_what_was_recorded_and_what_was_not() -> None:
    record = Record("box", "pond", START, START + DAY, ["top"])
    record.recordings = [recorded("top", 0, 10.5, "bees")]
    record.gaps = [Gap("top", START + 20 * S, START + 50 * S, Cause.DISK, "disk full", "dawn")]
    record.missing = [Missing("top", "bees", 3, 4, START + 5 * S, START + 6 * S)]
    (row,) = csv.DictReader(io.StringIO(table.recordings_csv(record)))
    assert (row["recording"], row["recorded_s"], row["frames"], row["first_ns"]) == \
        ("bees", "10.500", "100", str(START))
    assert row["from_utc"] == "2026-05-01T01:46:40.000Z"
    rows = list(csv.DictReader(io.StringIO(table.gaps_csv(record))))
    assert [(row["kind"], row["frames"], row["length_s"], row["cause"]) for row in rows] == [
        ("dropped", "3", "1.000", "camera"), ("lost", "4", "1.000", "ring full"),
        ("not recorded", "", "30.000", "disk")]


def long_record(days: int, each_day: int, cameras: int = 2) -> Record:
    record = Record("box", "pond", START, START + days * DAY, [f"c{n}" for n in range(cameras)])
    for camera in record.cameras:
        for at in range(days * each_day):
            record.recordings.append(recorded(camera, at * 86_400 / each_day, 30, f"r{at}"))
            if at % 3 == 0:
                begin = START + at * DAY // each_day + 40 * S
                record.gaps.append(Gap(camera, begin, begin + 10 * S, Cause.CAMERA, "lost"))
    record.happenings = [Happening(START + at * DAY // 50, "started", "x")
                         for at in range(days * 50)]
    for at in range(days * 24):
        record.charge.add(START + at * 3600 * S, 50 + 40 * (at % 24) / 24)
        record.celsius.add(START + at * 3600 * S, 20 + at % 7)
    return record


def test_a_long_record_makes_no_larger_a_page_than_can_be_seen() -> None:
    """Bounded by what one plot can show, not by how many recordings there were."""
    record = long_record(days=300, each_day=10)
    assert len(record.recordings) == 6000
    stretches = plot.stretches(record)
    assert len(stretches) == 10
    assert sum(len(part.recordings) for _, part in stretches) < 6000 + 20 * 10
    for axis, part in (stretches[0], stretches[-1]):
        drawn = plot.timeline(part, axis, VIENNA)
        assert drawn.count("<") < 3000 and len(drawn) < 400_000
    html = page.render(record, Tally(), VIENNA)
    assert html.count("<tr>") < page.MOST_GAPS + page.MOST_RECORDINGS + page.MOST_EVENTS + 400
    assert "… and 5000 more" in html
    axes = plot.axes(long_record(days=3000, each_day=1, cameras=1))
    assert len(axes) == plot.MOST_PLOTS and axes[-1].until_ns == START + 3000 * DAY


def test_thousands_of_gaps_in_one_band_are_one_element() -> None:
    record = Record("box", "pond", START, START + 30 * DAY, ["top"])
    record.gaps = [Gap("top", START + at * 400 * S, START + (at * 400 + 90) * S, Cause.CAMERA, "x")
                   for at in range(6000)]
    ((axis, part),) = plot.stretches(record)
    drawn = plot.timeline(part, axis, VIENNA)
    assert drawn.count('class="c-camera"') == 1 and len(drawn) < 60_000
    part.gaps = part.gaps[:plot.MOST_TITLES]
    assert plot.timeline(part, axis, VIENNA).count("<title>") == plot.MOST_TITLES + 1


def test_bands_show_what_is_shorter_than_can_be_seen_and_join_what_touches() -> None:
    assert plot.merged([(0, 0), (10, 20), (20.2, 30), (40, 41)]) == [
        (0, plot.FINEST), (10, 30), (40, 41)]
    record = Record("box", "pond", START, START + 30 * DAY, ["top"])
    record.gaps = [Gap("top", START + DAY, START + DAY + S, Cause.UNEXPLAINED, "")]
    (axis,) = plot.axes(record)
    drawn = plot.timeline(record, axis, VIENNA)
    assert f'class="c-unexplained" x="{axis.x(START + DAY):.1f}"' in drawn
    assert f'width="{plot.SMALLEST_GAP}"' in drawn


@pytest.mark.parametrize("days", [0, 0.0001, 0.04, 1, 9, 31, 200])
def test_every_length_of_time_has_an_axis(days: float) -> None:
    record = Record("box", "pond", START, START + round(days * DAY), ["top"])
    record.recordings = [recorded("top", 0, days * 86_400)]
    for axis in plot.axes(record):
        drawn = plot.timeline(record, axis, VIENNA, [(START, START + DAY)])
        parsed(drawn)
        assert 1 <= drawn.count('<text class="tick"') <= 40 or days < 0.001
    parsed(page.render(record, Tally(), VIENNA))


def test_ticks_are_round_on_the_clock_there_also_across_a_change_of_time() -> None:
    march = 1_774_566_000 * S  # 2026-03-27 00:00 in Vienna; clocks change on the 29th
    record = Record("box", "pond", march, march + 5 * DAY, [])
    (axis,) = plot.axes(record)
    drawn = plot.timeline(record, axis, VIENNA)
    shown = re.findall(r'<text class="tick"[^>]*>(\d\d:\d\d)<', drawn)
    assert shown == [*["00:00", "12:00"] * 5, "00:00"]


def test_what_no_calendar_holds_is_drawn_without_failing() -> None:
    record = Record("box", "pond", -10**30, 10**30, ["top"])
    record.recordings = [Recorded("top", "a", -10**30, 10**30)]
    parsed(page.render(record, Tally(), VIENNA))
    assert "? to ?" in text.render(record, Tally(), VIENNA)


def test_empty_records_are_said_to_be_empty() -> None:
    record = Record()
    assert "No gaps." in text.render(record, Tally(), VIENNA)
    parsed(page.render(record, Tally(), VIENNA))
    assert table.recordings_csv(record).count("\n") == 1


def test_figures_are_never_rounded_to_more_than_they_are() -> None:
    assert summary.percent(99.9999) == "99.99 %" and summary.percent(100.0) == "100.00 %"
    assert summary.percent(None) == "-"
    assert [summary.length(s) for s in (0.04, 59.6, 61, 3660, 90_000)] == \
        ["0.0 s", "1 min 00 s", "1 min 01 s", "1 h 01 min", "1 d 01 h"]


def test_every_gap_is_in_the_text_with_its_cause_and_unexplained_ones_are_counted() -> None:
    record = Record("box", "pond", START, START + DAY, ["top"])
    record.recordings = [recorded("top", 0, 3600)]
    record.gaps = [Gap("top", START + 3600 * S, START + 7200 * S, Cause.UNEXPLAINED, ""),
                   Gap("top", START + 9000 * S, START + 9060 * S, Cause.DISK, "disk full")]
    said = text.render(record, Tally(damaged=3, missing=7), VIENNA)
    assert "unexplained gaps: 1, 1 h 00 min" in said and "49.59 % of the time planned" in said
    assert "1 min 00 s  top  disk: disk full" in said and "3 damaged lines skipped" in said


def test_a_record_without_a_name_is_that_of_its_box() -> None:
    assert summary.title(Record("pond", "deployment")) == "Deployment of pond"
    assert summary.title(Record("pond", "lobau")) == "Deployment lobau"
