"""The report as one HTML page: no script, nothing loaded from anywhere, light and dark, for a phone
and for paper. Pure.

What came from outside (labels of drives, names, reasons) is escaped; a policy in the page forbids
everything else besides.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, tzinfo

from fieldrec.logbook import plot, summary
from fieldrec.logbook.reading import Tally
from fieldrec.logbook.record import Record
from fieldrec.logbook.text import facts, printable

MOST_GAPS, MOST_RECORDINGS, MOST_EVENTS = 500, 1000, 400
"""Rows of the tables; the CSV has them all."""
STYLE = """
:root{color-scheme:light dark;--bg:#fff;--fg:#1d2327;--soft:#5b6670;--line:#d5dbe0;--band:#eef1f3;
--night:#dfe5f1;--rec:#1b7f79;--power:#e69f00;--crash:#c8501d;--off:#9aa3ab;--camera:#c4659b;
--disk:#8a6d00;--clock:#3f97d3;--paused:#c3c9b0;--other:#6f5aa8;--un:#d40000;--temp:#b5482a}
@media (prefers-color-scheme:dark){:root{--bg:#14181b;--fg:#e7ecef;--soft:#9aa7b1;--line:#333c44;
--band:#20272c;--night:#1a2137;--rec:#35b3aa;--off:#6d767d;--disk:#d3b02a;--paused:#6f7560;
--other:#a08fdd;--un:#ff4d4d;--temp:#e5805f;--camera:#de8fbd}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:1240px;padding:20px 16px 48px;background:var(--bg);color:var(--fg);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif}
h1{font-size:1.6rem;line-height:1.2;margin:.2em 0 .1em;overflow-wrap:anywhere}
h2{font-size:1.1rem;margin:2em 0 .5em}
.sub{color:var(--soft);margin:0 0 1.2em}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:10px;margin:1em 0}
.cards div{border:1px solid var(--line);border-radius:8px;padding:10px 12px}
.cards b{display:block;font-size:1.35rem;white-space:nowrap;line-height:1.2;
font-variant-numeric:tabular-nums}
.cards span{color:var(--soft);font-size:.85rem}
.cards .bad b{color:var(--un)}
.scroll{overflow-x:auto}
.scroll+.scroll,.small+.scroll{margin-top:1.2em}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums;font-size:.9rem}
th,td{text-align:left;padding:4px 10px 4px 0;border-bottom:1px solid var(--line);vertical-align:top}
th{color:var(--soft);font-weight:600;white-space:nowrap}
td.n,th.n{text-align:right;white-space:nowrap}
td.t{white-space:nowrap}
td.w{overflow-wrap:anywhere;min-width:12em}
tfoot td{font-weight:600}
.small table{max-width:30em}
svg.timeline{display:block;width:100%;min-width:760px;height:auto;margin:.6em 0 1em}
svg text{font-size:11px;fill:var(--soft)}
svg text.name{text-anchor:end;fill:var(--fg);font-size:12px}
svg text.tick{text-anchor:middle}
svg .band{fill:var(--band)}
svg .night{fill:var(--night)}
svg .tick{stroke:var(--line);stroke-width:1;fill:none}
svg text.tick{stroke:none;fill:var(--soft)}
svg .recorded{fill:var(--rec)}
svg .missing{fill:var(--fg)}
svg .c-power{fill:var(--power)}svg .c-crash{fill:var(--crash)}svg .c-fieldrec-off{fill:var(--off)}
svg .c-camera{fill:var(--camera)}svg .c-disk{fill:var(--disk)}svg .c-clock{fill:var(--clock)}
svg .c-paused{fill:var(--paused)}svg .c-other{fill:var(--other)}
svg .c-unexplained{fill:var(--un);stroke:var(--un);stroke-width:1.5}
svg polyline{fill:none;stroke-width:1.6;stroke-linejoin:round;stroke:var(--clock)}
svg polyline.temperature{stroke:var(--temp)}
svg .mark.start{fill:var(--crash)}svg .mark.clock{fill:var(--clock)}svg .mark.drive{fill:var(--rec)}
svg .mark.sleep{fill:var(--other)}
svg .thread{stroke-width:1;stroke-dasharray:1 3;fill:none;stroke:var(--soft);opacity:.55}
.legend{display:flex;flex-wrap:wrap;gap:4px 18px;font-size:.85rem;color:var(--soft);margin:.4em 0}
.legend span{white-space:nowrap}
.legend i{display:inline-block;width:14px;height:12px;margin-right:6px;vertical-align:-1px;
border-radius:2px}
.legend i.m{width:0;height:0;border:6px solid transparent;border-bottom-width:0;border-radius:0;
border-top:10px solid;background:none}
i.recorded{background:var(--rec)}i.night{background:var(--night);outline:1px solid var(--line)}
i.missing{background:var(--fg)}i.c-power{background:var(--power)}i.c-crash{background:var(--crash)}
i.c-fieldrec-off{background:var(--off)}i.c-camera{background:var(--camera)}
i.c-disk{background:var(--disk)}i.c-clock{background:var(--clock)}
i.c-paused{background:var(--paused)}i.c-other{background:var(--other)}
i.c-unexplained{background:var(--un)}
i.start{color:var(--crash)}i.clock{color:var(--clock)}i.drive{color:var(--rec)}
i.sleep{color:var(--other)}
details{margin:.8em 0}summary{cursor:pointer;font-weight:600}
pre{white-space:pre-wrap;overflow-wrap:anywhere;font-size:.82rem;background:var(--band);
padding:10px;border-radius:6px}
footer{margin-top:3em;color:var(--soft);font-size:.85rem}
@media print{:root{--bg:#fff;--fg:#000;--soft:#444;--line:#bbb;--band:#f1f1f1;--night:#e3e7f0;
--rec:#1b7f79;--off:#9aa3ab;--disk:#8a6d00;--paused:#c3c9b0;--other:#6f5aa8;--un:#d40000;
--temp:#b5482a;--camera:#c4659b}
body{max-width:none;padding:0;font-size:10pt}svg.timeline{min-width:0}
svg.timeline,.cards,tr{break-inside:avoid}h2{break-after:avoid}.scroll{overflow:visible}
svg *,i.k,i.m,.cards div{-webkit-print-color-adjust:exact;print-color-adjust:exact}}
"""


def render(record: Record, tally: Tally, zone: tzinfo, *, lies: Sequence[str] = (),
           nights: Sequence[plot.Span] = (), made_by: str = "fieldrec") -> str:
    """The whole page. `lies`: what lies where; `nights`: for the shading of the timeline."""
    title = summary.title(record)
    return "\n".join([
        "<!doctype html>", '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width,initial-scale=1">',
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "style-src 'unsafe-inline'\">",
        f"<title>{_safe(title)}</title><style>{STYLE}</style></head><body>",
        *_head(record, zone, title), *_cards(record), *_timeline(record, zone, nights),
        *_cameras(record), *_gaps(record, zone), *_days(record, zone),
        *_facts(record, tally, zone), *_lies(lies), *_recordings(record, zone),
        *_events(record, zone), *_configs(record, zone),
        f"<footer>Made by {_safe(made_by)} from the record that the box kept. Times are "
        f"{_safe(str(zone))}. Planned time is what was recorded and the gaps together.</footer>",
        "</body></html>", ""])


def _head(record: Record, zone: tzinfo, title: str) -> Iterator[str]:
    place = summary.place_text(record)
    yield f"<h1>{_safe(title)}</h1>"
    yield (f'<p class="sub">Box {_safe(record.box or "?")}{", " + place if place else ""} · '
           f"{summary.moment(record.from_ns, zone, seconds=False)} to "
           f"{summary.moment(record.until_ns, zone, seconds=False)} {_safe(str(zone))} "
           f"({summary.length((record.until_ns - record.from_ns) / 1e9)})</p>")


def _cards(record: Record) -> Iterator[str]:
    total = summary.total_of(summary.figures(record))
    unexplained = len(record.unexplained())
    cards = [(summary.hours(total.recorded_s), "recorded", ""),
             (summary.percent(total.percent), "of planned time", ""),
             (str(total.gaps), f"gaps, {summary.length(total.gap_s)}", ""),
             (str(unexplained), "unexplained gaps", "bad" if unexplained else ""),
             (f"{total.frames:,}".replace(",", " "), "frames", ""),
             (f"{total.dropped} + {total.lost}", "frames dropped + lost", ""),
             (summary.size(total.size_bytes), "recorded data", "")]
    yield '<div class="cards">'
    for value, words, css in cards:
        yield f'<div class="{css}"><b>{_safe(value)}</b><span>{_safe(words)}</span></div>'
    yield "</div>"


def _timeline(record: Record, zone: tzinfo, nights: Sequence[plot.Span]) -> Iterator[str]:
    yield "<h2>Timeline</h2>"
    yield plot.legend(record, with_nights=bool(nights))
    for axis, part in plot.stretches(record):
        yield f'<div class="scroll">{plot.timeline(part, axis, zone, nights)}</div>'


def _cameras(record: Record) -> Iterator[str]:
    cameras = summary.figures(record)
    head = ["camera", "recordings", "recorded", "of planned", "gaps", "time in gaps", "frames",
            "dropped", "lost", "size"]

    def row(one: summary.CameraFigures) -> list[str]:
        return [one.camera or "-", str(one.recordings), summary.hours(one.recorded_s),
                summary.percent(one.percent), str(one.gaps), summary.length(one.gap_s),
                str(one.frames), str(one.dropped), str(one.lost), summary.size(one.size_bytes)]

    yield "<h2>Cameras</h2>"
    foot = [row(summary.total_of(cameras))] if len(cameras) > 1 else []
    yield _table(head, [row(one) for one in cameras], foot=foot, kinds="w" + "n" * 9)


def _gaps(record: Record, zone: tzinfo) -> Iterator[str]:
    yield f"<h2>Gaps ({len(record.gaps)})</h2>"
    if not record.gaps:
        yield "<p>None: everything that should have been recorded was.</p>"
        return
    by_cause = [[cause.value, str(count), summary.length(seconds)]
                for cause, count, seconds in summary.causes(record)]
    yield f'<div class="small">{_table(["cause", "gaps", "time"], by_cause, kinds="wnn")}</div>'
    rows = [[summary.moment(gap.from_ns, zone),
             "the end" if gap.still else summary.moment(gap.until_ns, zone),
             summary.length(gap.seconds), gap.camera or "all", gap.cause.value,
             gap.detail + (f" [{gap.task}]" if gap.task else "")]
            for gap in record.gaps[:MOST_GAPS]]
    inner = _table(["from", "to", "length", "camera", "cause", "in words"], rows, kinds="ttnwtw")
    left = _left(len(record.gaps), MOST_GAPS)
    yield inner + left if len(rows) <= 40 else \
        f"<details><summary>All gaps</summary>{inner}{left}</details>"


def _days(record: Record, zone: tzinfo) -> Iterator[str]:
    """Hours recorded on each day, by camera."""
    cameras = record.cameras
    days: dict[str, dict[str, float]] = {}
    for one in record.recordings:
        for day, seconds in _by_day(one.from_ns, one.until_ns, zone):
            hours = days.setdefault(day, {})
            hours[one.camera] = hours.get(one.camera, 0.0) + seconds / 3600
    if len(days) < 2:
        return
    rows = [[day, *(f"{hours.get(camera, 0.0):.2f}" for camera in cameras)]
            for day, hours in sorted(days.items())]
    table = _table(["day", *cameras], rows, kinds="t" + "n" * len(cameras))
    yield f"<details><summary>Hours recorded on each day</summary>{table}</details>"


def _facts(record: Record, tally: Tally, zone: tzinfo) -> Iterator[str]:
    yield "<h2>The deployment</h2>"
    yield _table((), [list(row) for row in facts(record, tally, zone)], kinds="tw")


def _lies(lies: Sequence[str]) -> Iterator[str]:
    if lies:
        yield "<h2>What lies where</h2><ul>"
        yield from (f"<li>{_safe(line)}</li>" for line in lies)
        yield "</ul>"


def _recordings(record: Record, zone: tzinfo) -> Iterator[str]:
    rows = [[one.name, one.camera, summary.moment(one.from_ns, zone), summary.length(one.seconds),
             "?" if one.frames is None else str(one.frames), str(one.dropped), str(one.lost),
             summary.size(one.size_bytes), one.reason or "-"]
            for one in record.recordings[:MOST_RECORDINGS]]
    head = ["recording", "camera", "from", "length", "frames", "dropped", "lost", "size",
            "why it ended"]
    yield (f"<details><summary>Recordings ({len(record.recordings)})</summary>"
           f"{_table(head, rows, kinds='wttnnnnnw')}"
           f"{_left(len(record.recordings), MOST_RECORDINGS)}</details>")


def _events(record: Record, zone: tzinfo) -> Iterator[str]:
    shown = record.happenings[-MOST_EVENTS:]
    rows = [[summary.moment(one.time_ns, zone), one.text] for one in shown]
    before = len(record.happenings) - len(shown) + record.not_listed
    note = f"<p>{before} before these are not shown.</p>" if before else ""
    yield (f"<details><summary>Events ({len(record.happenings) + record.not_listed})</summary>"
           f"{note}{_table(['when', 'what'], rows, kinds='tw')}</details>")


def _configs(record: Record, zone: tzinfo) -> Iterator[str]:
    for at, digest, text in record.configs[-5:]:
        yield (f"<details><summary>Configuration {_safe(digest)} from "
               f"{summary.moment(at, zone)}</summary><pre>{_safe(text, lines=True)}</pre>"
               "</details>")


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], *, kinds: str,
           foot: Iterable[Sequence[str]] = ()) -> str:
    """`kinds`: a letter for each column, n a figure, t a text that does not wrap, w one that
    does."""
    def line(cells: Sequence[str], tag: str) -> str:
        inside = "".join(f'<{tag} class="{kind}">{_safe(cell)}</{tag}>'
                         for cell, kind in zip(cells, kinds, strict=True))
        return f"<tr>{inside}</tr>"

    top = f"<thead>{line(head, 'th')}</thead>" if head else ""
    bottom = "".join(line(row, "td") for row in foot)
    return (f'<div class="scroll"><table>{top}<tbody>'
            f'{"".join(line(row, "td") for row in rows)}</tbody>'
            f'{f"<tfoot>{bottom}</tfoot>" if bottom else ""}</table></div>')


def _by_day(from_ns: int, until_ns: int, zone: tzinfo) -> Iterator[tuple[str, float]]:
    """(day, seconds) of a span; a span of years is not one of ours."""
    at_ns = from_ns
    for _ in range(400):
        if at_ns >= until_ns:
            return
        try:
            local = datetime.fromtimestamp(at_ns / 1e9, UTC).astimezone(zone)
        except (ValueError, OverflowError, OSError):
            return
        left_s = 86_400 - (local.hour * 3600 + local.minute * 60 + local.second)
        end_ns = min(until_ns, at_ns + int(max(left_s, 1) * 1e9))
        yield f"{local:%Y-%m-%d}", (end_ns - at_ns) / 1e9
        at_ns = end_ns


def _left(count: int, shown: int) -> str:
    return f"<p>… and {count - shown} more; --format csv has all.</p>" if count > shown else ""


def _safe(text: str, *, lines: bool = False) -> str:
    if lines:
        return "\n".join(_safe(line) for line in text.split("\n"))
    return html.escape(printable(text))
