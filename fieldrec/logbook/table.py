"""The report as CSV: recordings, gaps and missing frames, one row each, for statistics. Pure.

Times are UTC (ISO 8601) and, as recorded in the stores, whole nanoseconds. A cell that a
spreadsheet would take for a formula is given an apostrophe in front.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

from fieldrec.logbook.lines import utc_text
from fieldrec.logbook.record import Record

RECORDINGS = ("camera", "recording", "uuid", "from_utc", "until_utc", "recorded_s", "frames",
              "dropped", "lost", "bytes", "why_it_ended", "clock_quality", "recovered",
              "figures", "first_ns", "last_ns", "clock_correction_s")
GAPS = ("camera", "from_utc", "until_utc", "length_s", "cause", "detail", "task", "kind", "frames",
        "recording", "from_ns", "until_ns")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def recordings_csv(record: Record) -> str:
    """A row for each recording."""
    return _csv(RECORDINGS, ([
        one.camera, one.name, one.uuid, utc_text(one.from_ns), utc_text(one.until_ns),
        f"{one.seconds:.3f}", one.frames, one.dropped, one.lost, one.size_bytes, one.reason,
        one.clock, "yes" if one.recovered else "no", "exact" if one.exact else "as last seen",
        one.began_ns, one.ended_ns, f"{one.shift_ns / 1e9:.3f}"] for one in record.recordings))


def gaps_csv(record: Record) -> str:
    """A row for each gap ("not recorded"), and for each run of missing frames in a recording
    ("dropped", "lost")."""
    rows: list[tuple[int, Sequence[object]]] = [(gap.from_ns, [
        gap.camera, utc_text(gap.from_ns), utc_text(gap.until_ns), f"{gap.seconds:.3f}",
        gap.cause.value, gap.detail, gap.task, "not recorded", None, None, gap.from_ns,
        gap.until_ns]) for gap in record.gaps]
    for one in record.missing:
        for kind, count in (("dropped", one.dropped), ("lost", one.lost)):
            if count:
                rows.append((one.from_ns, [
                    one.camera, utc_text(one.from_ns), utc_text(one.until_ns),
                    f"{max(one.until_ns - one.from_ns, 0) / 1e9:.3f}",
                    "camera" if kind == "dropped" else "ring full", "", "", kind, count,
                    one.name, one.from_ns, one.until_ns]))
    return _csv(GAPS, (row for _, row in sorted(rows, key=lambda row: row[0])))


def _csv(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(head)
    for row in rows:
        writer.writerow([_cell(cell) for cell in row])
    return out.getvalue()


def _cell(value: object) -> object:
    """Numbers as they are; text without what a spreadsheet would act on."""
    if value is None:
        return ""
    if not isinstance(value, str):
        return value
    text = "".join(ch if ch.isprintable() else " " for ch in value)
    text = text.encode(errors="replace").decode()
    try:
        float(text)
    except ValueError:
        return f"'{text}" if text.lstrip().startswith(_FORMULA) or value.startswith(_FORMULA) \
            else text
    return text
