"""The timeline of a record as SVG: a band for each camera, power and temperature below. Pure.

What lies closer together than can be seen is drawn as one, so that a plot of a year with a hundred
thousand recordings has no more elements than one of a day. Everything that came from outside is
escaped. Colours are classes; the page gives them their values.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

from fieldrec.core.notes import Kind
from fieldrec.logbook import summary
from fieldrec.logbook.causes import Cause
from fieldrec.logbook.record import Gap, Record
from fieldrec.logbook.text import printable
from fieldrec.logbook.thinned import Curve

LEFT, WIDTH, RIGHT = 92.0, 1000.0, 34.0
"""Of the picture, in its own units: room for names, the time axis, and for scales."""
BAND, BAND_GAP, CURVE, AXIS = 24.0, 8.0, 72.0, 30.0
FINEST = 0.5
"""Units that can be told apart."""
SMALLEST_GAP = 1.5
"""A gap is at least this wide: a short one is seen too."""
MOST_TITLES = 300
"""Gaps of one band that are elements of their own, with words under the pointer."""
MOST_MARKS = 250
DAY_NS = 86_400_000_000_000
LONGEST_NS = 31 * DAY_NS
MOST_PLOTS = 24
BREAK_NS = 6 * 3_600_000_000_000
"""Between two readings that are not joined by a line."""
_STEPS_S = (60, 300, 600, 1800, 3600, 3 * 3600, 6 * 3600, 12 * 3600, 86_400, 2 * 86_400,
            7 * 86_400, 14 * 86_400, 28 * 86_400, 91 * 86_400, 365 * 86_400)
_MARKS: dict[str, str] = {
    Kind.STARTED: "start", Kind.CLOCK_STEP: "clock", Kind.DRIVE_IN: "drive",
    Kind.DRIVE_OUT: "drive", Kind.SLEPT: "sleep"}
_MARK_NAMES = {"start": "fieldrec started", "clock": "clock set", "drive": "drive in or out",
               "sleep": "slept"}

Span = tuple[int, int]
"""(from_ns, until_ns)."""


@dataclass(frozen=True, slots=True)
class Axis:
    """One stretch of time and where it lies in the picture."""

    from_ns: int
    until_ns: int

    def x(self, time_ns: int) -> float:
        """Position of a moment, kept inside."""
        part = (time_ns - self.from_ns) / (self.until_ns - self.from_ns)
        return LEFT + WIDTH * min(max(part, 0.0), 1.0)

    def shows(self, from_ns: int, until_ns: int) -> bool:
        return until_ns >= self.from_ns and from_ns <= self.until_ns


def axes(record: Record) -> list[Axis]:
    """The whole time, cut into stretches of a month where it is longer."""
    length_ns = max(record.until_ns - record.from_ns, 1_000_000_000)
    piece_ns = max(LONGEST_NS, math.ceil(length_ns / MOST_PLOTS))
    count = math.ceil(length_ns / piece_ns)
    return [Axis(record.from_ns + at * piece_ns,
                 min(record.from_ns + (at + 1) * piece_ns, record.from_ns + length_ns))
            for at in range(count)]


def stretches(record: Record) -> list[tuple[Axis, Record]]:
    """Each axis with what lies on it; looks at everything once."""
    found = [(axis, Record(from_ns=axis.from_ns, until_ns=axis.until_ns, cameras=record.cameras,
                           charge=record.charge, volts=record.volts, celsius=record.celsius))
             for axis in axes(record)]
    first_ns, piece_ns = record.from_ns, found[0][0].until_ns - found[0][0].from_ns

    def on(from_ns: int, until_ns: int) -> Iterable[Record]:
        begin = min(max((from_ns - first_ns) // piece_ns, 0), len(found) - 1)
        end = min(max((until_ns - first_ns) // piece_ns, 0), len(found) - 1)
        return (part for _, part in found[begin:end + 1])

    for one in record.recordings:
        for part in on(one.from_ns, one.until_ns):
            part.recordings.append(one)
    for gap in record.gaps:
        for part in on(gap.from_ns, gap.until_ns):
            part.gaps.append(gap)
    for missing in record.missing:
        for part in on(missing.from_ns, missing.until_ns):
            part.missing.append(missing)
    for happening in record.happenings:
        for part in on(happening.time_ns, happening.time_ns):
            part.happenings.append(happening)
    return found


def timeline(record: Record, axis: Axis, zone: tzinfo, nights: Sequence[Span] = ()) -> str:
    """One stretch (:func:`stretches`) as an `<svg>` element."""
    cameras = sorted({*record.cameras, *(gap.camera for gap in record.gaps)})
    curves = [(name, curve, unit, bounds) for name, curve, unit, bounds in (
        ("charge", record.charge, "%", (0.0, 100.0)),
        ("voltage", record.volts if not record.charge.count else Curve(), "V", None),
        ("temperature", record.celsius, "°C", None)) if curve.count]
    top = 18.0
    bands_end = top + len(cameras) * (BAND + BAND_GAP)
    bottom = bands_end + len(curves) * (CURVE + BAND_GAP)
    whole = bottom + AXIS
    boxes = [*((top + at * (BAND + BAND_GAP), BAND) for at in range(len(cameras))),
             *((bands_end + at * (CURVE + BAND_GAP), CURVE) for at in range(len(curves)))]
    parts = [
        f'<svg class="timeline" viewBox="0 0 {LEFT + WIDTH + RIGHT:g} {whole:g}" role="img" '
        f'aria-label="Timeline from {summary.moment(axis.from_ns, zone)} to '
        f'{summary.moment(axis.until_ns, zone)}">',
        *(f'<rect class="band" x="{LEFT:g}" y="{y:g}" width="{WIDTH:g}" height="{height:g}"/>'
          for y, height in boxes),
        *_nights(axis, nights, top, bottom), *_ticks(axis, zone, top, bottom)]
    for at, camera in enumerate(cameras):
        parts += _band(record, camera, axis, top + at * (BAND + BAND_GAP), zone)
    for at, (name, curve, unit, bounds) in enumerate(curves):
        y = bands_end + at * (CURVE + BAND_GAP)
        parts += _curve(name, curve, unit, bounds, axis, y)
    parts += _marks(record, axis, zone, bottom)
    return "\n".join([*parts, "</svg>"])


def legend(record: Record, *, with_nights: bool) -> str:
    """What the colours and marks mean: those that occur."""
    items = ['<span><i class="k recorded"></i>recorded</span>']
    items += [f'<span><i class="k {_class(cause)}"></i>{cause.value} '
              f"({count}, {summary.length(seconds)})</span>"
              for cause, count, seconds in summary.causes(record)]
    if record.missing:
        items.append('<span><i class="k missing"></i>frames dropped or lost</span>')
    if with_nights:
        items.append('<span><i class="k night"></i>night</span>')
    seen = {one.kind for one in record.happenings}
    named = {css: _MARK_NAMES[css] for kind, css in _MARKS.items() if kind in seen}
    items += [f'<span><i class="m {css}"></i>{words}</span>' for css, words in named.items()]
    return f'<p class="legend">{"".join(items)}</p>'


def merged(spans: Iterable[tuple[float, float]], smallest: float = FINEST
           ) -> list[tuple[float, float]]:
    """Spans in the order of their beginnings, those that cannot be told apart as one."""
    out: list[tuple[float, float]] = []
    for begin, end in sorted(spans):
        end = max(end, begin + smallest)
        if out and begin - out[-1][1] < FINEST:
            out[-1] = (out[-1][0], max(out[-1][1], end))
        else:
            out.append((begin, end))
    return out


def _band(record: Record, camera: str, axis: Axis, y: float, zone: tzinfo) -> Iterator[str]:
    label = printable(camera) or "all"
    short = label if len(label) <= 13 else label[:12] + "…"
    yield (f'<text class="name" x="{LEFT - 8:g}" y="{y + BAND * 0.68:.1f}">{_safe(short)}'
           f"<title>{_safe(label)}</title></text>")
    recorded = merged((axis.x(one.from_ns), axis.x(one.until_ns)) for one in record.recordings
                      if one.camera == camera and axis.shows(one.from_ns, one.until_ns))
    yield _path("recorded", recorded, y, BAND)
    by_cause: dict[Cause, list[Gap]] = {cause: [] for cause in Cause}
    for gap in record.gaps:
        if gap.camera == camera and axis.shows(gap.from_ns, gap.until_ns):
            by_cause[gap.cause].append(gap)
    for cause, gaps in by_cause.items():
        yield from _gaps(gaps, cause, axis, y, zone)
    missing = merged(((axis.x(one.from_ns), axis.x(one.until_ns)) for one in record.missing
                      if one.camera == camera and axis.shows(one.from_ns, one.until_ns)), 1.0)
    yield _path("missing", missing, y + BAND - 5, 5)


def _gaps(gaps: Sequence[Gap], cause: Cause, axis: Axis, y: float, zone: tzinfo) -> Iterator[str]:
    spans = [(axis.x(gap.from_ns), axis.x(gap.until_ns)) for gap in gaps]
    if len(gaps) > MOST_TITLES:
        yield _path(_class(cause), merged(spans, SMALLEST_GAP), y, BAND)
        return
    for gap, (begin, end) in zip(gaps, spans, strict=True):
        words = (f"{summary.moment(gap.from_ns, zone)} to {summary.moment(gap.until_ns, zone)}, "
                 f"{summary.length(gap.seconds)}: {cause.value}"
                 + (f", {gap.detail}" if gap.detail else ""))
        yield (f'<rect class="{_class(cause)}" x="{begin:.1f}" y="{y:g}" '
               f'width="{max(end - begin, SMALLEST_GAP):.1f}" height="{BAND:g}">'
               f"<title>{_safe(words)}</title></rect>")


def _curve(name: str, curve: Curve, unit: str, bounds: tuple[float, float] | None, axis: Axis,
           y: float) -> Iterator[str]:
    points = [point for point in curve.points if axis.from_ns <= point[0] <= axis.until_ns]
    low, high = bounds or _bounds(curve)
    bottom = y + CURVE

    def height(value: float) -> float:
        return bottom - CURVE * (min(max(value, low), high) - low) / (high - low)

    yield f'<text class="name" x="{LEFT - 8:g}" y="{y + CURVE / 2:.1f}">{name}</text>'
    for value in (low, high):
        at = height(value) + (9 if value == high else -1)
        yield (f'<text class="scale" x="{LEFT + WIDTH + 4:g}" y="{at:.1f}">{value:g}{unit}</text>')
    for line in _lines(points):
        drawn = _thin([(axis.x(at), height(lowest), height(highest))
                       for at, lowest, highest in line])
        if len(drawn) == 1:
            drawn *= 2
        coordinates = " ".join(f"{x:.1f},{a:.1f}" if abs(a - b) < FINEST
                               else f"{x:.1f},{a:.1f} {x:.1f},{b:.1f}" for x, a, b in drawn)
        yield f'<polyline class="{name}" points="{coordinates}"/>'


def _bounds(curve: Curve) -> tuple[float, float]:
    low, high = curve.lowest or 0.0, curve.highest or 0.0
    step = 5.0 if high - low > 3 or high > 30 else 0.5
    low, high = math.floor(low / step) * step, math.ceil(high / step) * step
    return low, high if high > low else low + step


def _lines(points: Sequence[tuple[int, float, float]]) -> Iterator[list[tuple[int, float, float]]]:
    """Points that are close enough to be joined."""
    line: list[tuple[int, float, float]] = []
    for point in points:
        if line and point[0] - line[-1][0] > BREAK_NS:
            yield line
            line = []
        line.append(point)
    if line:
        yield line


def _thin(points: Sequence[tuple[float, float, float]]) -> list[tuple[float, float, float]]:
    out: list[tuple[float, float, float]] = []
    for x, low, high in points:
        if out and x - out[-1][0] < FINEST:
            out[-1] = (out[-1][0], max(out[-1][1], low), min(out[-1][2], high))
        else:
            out.append((x, low, high))
    return out


def _marks(record: Record, axis: Axis, zone: tzinfo, bottom: float) -> Iterator[str]:
    """Triangles above the bands; those that would lie on each other are one."""
    last: dict[str, float] = {}
    drawn = 0
    for one in record.happenings:
        if one.kind not in _MARKS or not axis.from_ns <= one.time_ns <= axis.until_ns:
            continue
        css, x = _MARKS[one.kind], axis.x(one.time_ns)
        if x - last.get(css, -math.inf) < 3 or drawn >= MOST_MARKS:
            continue
        last[css], drawn = x, drawn + 1
        yield (f'<path class="mark {css}" d="M{x - 4:.1f} 5h8l-4 8z"><title>'
               f"{_safe(summary.moment(one.time_ns, zone) + ' ' + printable(one.text))}"
               "</title></path>"
               f'<path class="thread {css}" d="M{x:.1f} 13V{bottom:g}"/>')


def _nights(axis: Axis, nights: Sequence[Span], top: float, bottom: float) -> Iterator[str]:
    spans = [(axis.x(begin), axis.x(end)) for begin, end in nights if axis.shows(begin, end)]
    if spans:
        yield _path("night", merged(spans), top, bottom - top)


def _ticks(axis: Axis, zone: tzinfo, top: float, bottom: float) -> Iterator[str]:
    length_s = (axis.until_ns - axis.from_ns) / 1e9
    step_s = next((step for step in _STEPS_S if length_s / step <= 16), _STEPS_S[-1])
    before = ""
    for moment in _moments(axis, zone, step_s):
        x = axis.x(round(moment.timestamp() * 1e9))
        day, time = f"{moment:%d %b}".lstrip("0"), f"{moment:%H:%M}"
        text = day if step_s >= 86_400 else time
        yield f'<path class="tick" d="M{x:.1f} {top:g}V{bottom + 4:g}"/>'
        yield f'<text class="tick" x="{x:.1f}" y="{bottom + 15:g}">{text}</text>'
        below = f"{moment:%Y}" if step_s >= 86_400 else f"{day} {moment:%Y}"
        if below != before:
            before = below
            yield f'<text class="tick" x="{x:.1f}" y="{bottom + 27:g}">{below}</text>'


def _moments(axis: Axis, zone: tzinfo, step_s: int) -> Iterator[datetime]:
    """Round moments of the clock on the wall there."""
    try:
        begin = datetime.fromtimestamp(axis.from_ns / 1e9, UTC).astimezone(zone)
        end = datetime.fromtimestamp(axis.until_ns / 1e9, UTC)
    except (ValueError, OverflowError, OSError):
        return
    midnight = begin.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
    since_s = (begin.replace(tzinfo=None) - midnight).total_seconds()
    at = midnight + timedelta(seconds=math.ceil(since_s / step_s) * step_s)
    while (moment := at.replace(tzinfo=zone)).astimezone(UTC) <= end:
        yield moment
        at += timedelta(seconds=step_s)


def _path(css: str, spans: Sequence[tuple[float, float]], y: float, height: float) -> str:
    """Rectangles as one element."""
    drawn = "".join(f"M{begin:.1f} {y:g}h{end - begin:.1f}v{height:g}h-{end - begin:.1f}z"
                    for begin, end in spans)
    return f'<path class="{css}" d="{drawn}"/>' if drawn else ""


def _class(cause: Cause) -> str:
    return "c-" + cause.value.replace(" ", "-")


def _safe(text: str) -> str:
    return html.escape(printable(text))
