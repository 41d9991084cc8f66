"""The report as plain text: a table to cite, and every gap with its cause. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import tzinfo

from fieldrec.logbook import summary
from fieldrec.logbook.reading import Tally
from fieldrec.logbook.record import Record

MOST_LISTED = 200
"""Of gaps and of events each; the CSV has them all."""


def render(record: Record, tally: Tally, zone: tzinfo, lies: Sequence[str] = ()) -> str:
    """The whole text; `lies`: what lies where, a line each."""
    return "\n".join([*_head(record, zone), "", *_cameras(record), "", *_facts(record, tally, zone),
                      "", *_gaps(record, zone), *_what_lies(lies), "",
                      *_events(record, zone)]).rstrip() + "\n"


def printable(text: str) -> str:
    """`text` without what a terminal would act on."""
    return "".join(ch if ch.isprintable() else "?" for ch in text)


def facts(record: Record, tally: Tally, zone: tzinfo) -> list[tuple[str, str]]:
    """(name, value): what is said of the whole deployment."""
    cameras = summary.figures(record)
    total = summary.total_of(cameras)
    unexplained = record.unexplained()
    found = [
        ("recorded", f"{summary.hours(total.recorded_s)} by {_plural(len(cameras), 'camera')}, "
         f"{summary.percent(total.percent)} of the time planned"),
        ("frames", f"{total.frames}, {total.dropped} dropped by cameras, {total.lost} lost here"),
        ("gaps", f"{total.gaps}, {summary.length(total.gap_s)}"
         + (f": {_causes(record)}" if total.gaps else "")),
        ("unexplained gaps", f"{len(unexplained)}"
         + (f", {summary.length(sum(gap.seconds for gap in unexplained))}" if unexplained else "")),
        ("clock", f"recordings by quality: {summary.clocks(record)}; "
         f"{_plural(len(record.clock_steps), 'step')}{_steps(record, zone)}"),
        ("starts", _starts(record)),
        ("power", _power(record)),
    ]
    if record.celsius.count:
        found.append(("temperature", f"{record.celsius.lowest:.1f} to "
                      f"{record.celsius.highest:.1f} °C"))
    found += [("drives", ", ".join(
        f"{label or key} ({_plural(visits, 'visit')})"
        for key, (label, visits) in record.drives.items()) or "none"),
        ("copied", ", ".join(f"{summary.size(count)} to {_destination(record, name)}"
                             for name, count in record.copied_bytes.items()) or "nothing"),
        ("jobs", ", ".join(f"{count} {what} {state}" for (what, state), count
                           in sorted(record.jobs.items())) or "none"),
        ("configuration", ", ".join(f"{digest} from {summary.moment(at, zone)}"
                                    for at, digest, _ in record.configs[-5:]) or "not known"),
        ("versions", ", ".join(f"{name} {value}" for name, value in record.versions.items())
         or "not known"),
        ("this record", _quality(record, tally))]
    return [(name, printable(value)) for name, value in found]


def _head(record: Record, zone: tzinfo) -> Iterator[str]:
    place = summary.place_text(record)
    whose = "" if record.deployment in summary.NAMELESS else f" of box {record.box or '?'}"
    yield printable(f"{summary.title(record)}{whose}" + (f" at {place}" if place else ""))
    yield (f"{summary.moment(record.from_ns, zone)} to {summary.moment(record.until_ns, zone)} "
           f"({zone}), {summary.length((record.until_ns - record.from_ns) / 1e9)}")


def _cameras(record: Record) -> list[str]:
    cameras = summary.figures(record)
    shown = [*cameras, summary.total_of(cameras)] if len(cameras) > 1 else cameras
    rows = [[one.camera or "-", str(one.recordings), summary.hours(one.recorded_s),
             summary.percent(one.percent), str(one.gaps), summary.length(one.gap_s),
             str(one.frames), str(one.dropped), str(one.lost), summary.size(one.size_bytes)]
            for one in shown]
    return table(["camera", "recordings", "recorded", "of planned", "gaps", "in gaps", "frames",
                  "dropped", "lost", "size"], rows)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns as wide as they need to be; all but the first to the right."""
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [max(len(row[at]) for row in (head, *rows)) for at in range(len(head))]
    lines = []
    for row in (head, ["-" * width for width in widths], *rows):
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width
                                            in zip(row[1:], widths[1:], strict=True))]
        lines.append("  ".join(cells).rstrip())
    return lines


def _facts(record: Record, tally: Tally, zone: tzinfo) -> Iterator[str]:
    for name, value in facts(record, tally, zone):
        yield f"{name + ':':<18}{value}"


def _gaps(record: Record, zone: tzinfo) -> Iterator[str]:
    if not record.gaps:
        yield "No gaps."
        return
    yield "Gaps"
    for gap in record.gaps[:MOST_LISTED]:
        task = f" [{gap.task}]" if gap.task else ""
        yield printable(
            f"  {summary.moment(gap.from_ns, zone)} to "
            f"{'the end of the record' if gap.still else summary.moment(gap.until_ns, zone)}  "
            f"{summary.length(gap.seconds):>12}  {gap.camera or 'all cameras'}{task}  "
            f"{gap.cause.value}{': ' + gap.detail if gap.detail else ''}")
    if len(record.gaps) > MOST_LISTED:
        yield f"  … and {len(record.gaps) - MOST_LISTED} more; --format csv has all"


def _what_lies(lies: Sequence[str]) -> list[str]:
    return ["", "What lies where", *(f"  {printable(line)}" for line in lies)] if lies else []


def _events(record: Record, zone: tzinfo) -> Iterator[str]:
    shown = record.happenings[-MOST_LISTED:]
    if not shown:
        return
    yield "Events"
    if left := len(record.happenings) - len(shown) + record.not_listed:
        yield f"  … {left} before these"
    for one in shown:
        yield printable(f"  {summary.moment(one.time_ns, zone)}  {one.text}")


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _causes(record: Record) -> str:
    return ", ".join(f"{cause.value} {count} ({summary.length(seconds)})"
                     for cause, count, seconds in summary.causes(record))


def _steps(record: Record, zone: tzinfo) -> str:
    steps = record.clock_steps
    said = ", ".join(f"{moved:+.3f} s at {summary.moment(at, zone)}" for at, moved in steps[:5])
    more = f", … {len(steps) - 5} more" if len(steps) > 5 else ""
    return f" ({said}{more})" if steps else ""


def _starts(record: Record) -> str:
    names = {"first": "first start", "in order": "after an orderly stop",
             "killed": "after fieldrec was killed", "power cut": "after a power cut"}
    return ", ".join(f"{count} {names.get(how, how or 'not known')}"
                     for how, count in sorted(record.ends.items())) or "none in this record"


def _power(record: Record) -> str:
    said = []
    for curve, unit, digits in ((record.charge, "%", 0), (record.volts, "V", 2),
                                (record.watts, "W", 2)):
        if curve.lowest is not None and curve.highest is not None:
            said.append(f"{curve.lowest:.{digits}f} to {curve.highest:.{digits}f} {unit}")
    levels: dict[str, int] = {}
    for _, level in record.levels:
        levels[level] = levels.get(level, 0) + 1
    said += [f"{count} times {level}" if count > 1 else f"once {level}"
             for level, count in levels.items()]
    return ", ".join(said) or "not known"


def _destination(record: Record, name: str) -> str:
    """A drive by its label."""
    label = record.drives.get(name.removeprefix("drive:"), ("", 0))[0]
    return f"drive {label}" if label and name.startswith("drive:") else name


def _quality(record: Record, tally: Tally) -> str:
    said = [_plural(record.entries, "entry").replace("entrys", "entries")]
    if tally.missing:
        said.append(f"{tally.missing} missing (rotated away, or damaged)")
    if tally.damaged:
        said.append(f"{_plural(tally.damaged, 'damaged line')} skipped")
    if record.entries_dropped:
        said.append(f"{record.entries_dropped} dropped while the disk could not be written")
    if tally.newer_format:
        said.append(f"partly written by a later fieldrec (format {tally.newer_format})")
    said += tally.unreadable
    return ", ".join(said)
