"""Hours of the day in which the box keeps quiet, on the line of time. Pure.

A moment is quiet when the wall clock of the zone shows a time within one of the spans. So on the
night when clocks are put back an hour of quiet may be twice as long, and on the one when they are
put forward it may be missing: as whoever sleeps beside the box understands it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from fieldrec.config.idle import Hours

_S_NS = 1_000_000_000
_STEP = timedelta(minutes=15)
"""Zones change their offset at whole quarters of an hour UTC, so none is passed over."""
_MINUTE = timedelta(minutes=1)
_FAR = timedelta(days=3)
"""No answer is farther away: in three days every hour has come, also one that a change left out."""


def quiet_until_ns(now_ns: int, zone: ZoneInfo, hours: Sequence[Hours]) -> int | None:
    """When the quiet that it is now ends; None when it is not quiet."""
    now = _moment(now_ns)
    return _change_ns(now, zone, hours) if is_quiet(now, zone, hours) else None


def quiet_from_ns(now_ns: int, zone: ZoneInfo, hours: Sequence[Hours]) -> int | None:
    """When it becomes quiet next, the present quiet not counted; None without any hours."""
    if not hours:
        return None
    now = _moment(now_ns)
    if is_quiet(now, zone, hours):
        until_ns = _change_ns(now, zone, hours)
        if until_ns is None:
            return None
        now = _moment(until_ns)
    return _change_ns(now, zone, hours)


def is_quiet(at: datetime, zone: ZoneInfo, hours: Sequence[Hours]) -> bool:
    """Whether an aware moment is within the hours."""
    local = at.astimezone(zone)
    minute = local.hour * 60 + local.minute
    return any(span.holds(minute) for span in hours)


def _change_ns(now: datetime, zone: ZoneInfo, hours: Sequence[Hours]) -> int | None:
    """The next moment at which quiet becomes unquiet or the other way round."""
    was, at = is_quiet(now, zone, hours), now
    while at - now < _FAR:
        before, at = at, _next_quarter(at)
        if is_quiet(at, zone, hours) is was and not _has_edge(before, at, zone, hours):
            continue
        moment = before.replace(second=0, microsecond=0)
        while (moment := moment + _MINUTE) <= at:
            if is_quiet(moment, zone, hours) is not was:
                return int(moment.timestamp()) * _S_NS
    return None


def _has_edge(before: datetime, at: datetime, zone: ZoneInfo, hours: Sequence[Hours]) -> bool:
    """Whether a span begins or ends between two moments; the offset is the same at both."""
    first = before.astimezone(zone)
    minute, length = first.hour * 60 + first.minute, (at - before).total_seconds() / 60
    return any(0 < (edge - minute) % 1440 <= length
               for span in hours for edge in (span.begin_min, span.end_min))


def _next_quarter(at: datetime) -> datetime:
    whole = at.replace(minute=at.minute // 15 * 15, second=0, microsecond=0)
    return whole + _STEP


def _moment(at_ns: int) -> datetime:
    return datetime.fromtimestamp(at_ns // _S_NS, UTC)
