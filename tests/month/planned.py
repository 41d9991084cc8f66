"""What the schedule is to record, and what was recorded of it: true times, epoch ns. Pure.

The spans come from the grammar's own tests (cron, windows); here they are the measure: every part
of every span is in the camera's ledger, or in a gap of the report that says why.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from zoneinfo import ZoneInfo

from fieldrec.config import Config
from fieldrec.config.schedule import PlaceConfig
from fieldrec.schedule.cron import Cron
from fieldrec.schedule.place import Place
from fieldrec.schedule.window import Window

Span = tuple[int, int]


def planned_spans(config: Config, begins_ns: int, ends_ns: int) -> list[Span]:
    """All recordings that the configuration's schedule asks for, merged, in order."""
    zone = ZoneInfo(config.system.timezone)
    location = config.schedule.location
    place = Place(location.latitude, location.longitude) \
        if isinstance(location, PlaceConfig) else None
    after, until = _moment(begins_ns), _moment(ends_ns)
    found: list[Span] = []
    for task in config.schedule.tasks.values():
        if task.do != "start":
            continue
        if task.when[0].isdigit() or task.when[0] == "*":
            length_ns = int((task.duration or 0) * 1e9)
            found += [(_ns(at), _ns(at) + length_ns)
                      for at in Cron.parse(task.when).fires(after, until, zone)]
        else:
            found += [(_ns(span.begins), _ns(span.ends))
                      for span in Window.parse(task.when).spans(after, until, zone, place)]
    return merged([(max(one, begins_ns), min(other, ends_ns)) for one, other in found])


def recorded_spans(moments: Sequence[int], period_s: float) -> list[Span]:
    """From the moments of frames: what lies between two of them that are a period apart."""
    period_ns = int(period_s * 1e9)
    return merged([(moment, moment + period_ns + 10**9) for moment in moments])


def merged(spans: Iterable[Span]) -> list[Span]:
    """Sorted, and without overlaps."""
    found: list[Span] = []
    for begins, ends in sorted(spans):
        if found and begins <= found[-1][1]:
            found[-1] = (found[-1][0], max(ends, found[-1][1]))
        elif ends > begins:
            found.append((begins, ends))
    return found


def holes(wanted: Sequence[Span], had: Sequence[Span], least_ns: int) -> list[Span]:
    """What of `wanted` is not in `had`, of at least this length; both merged."""
    found = []
    for begins, ends in wanted:
        at = begins
        for one, other in had:
            if other <= at or one >= ends:
                continue
            if one - at >= least_ns:
                found.append((at, one))
            at = max(at, other)
        if ends - at >= least_ns:
            found.append((at, ends))
    return found


def _moment(epoch_ns: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(epoch_ns / 1e9, dt.UTC)


def _ns(moment: dt.datetime) -> int:
    return int(moment.timestamp() * 1e9)
