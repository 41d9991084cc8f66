"""Moments as people on the spot read them: in the recording's own time zone. Pure, any thread."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo

from fieldrec.status import words
from fieldrec.store.created import zone_of

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def zone(name: str) -> tzinfo:
    """The time zone of that name; UTC where this machine does not know it."""
    return zone_of(name) or UTC


def local_time(time_ns: int, zone_name: str, digits: int = 3) -> str:
    """Epoch nanoseconds as "2026-11-21 07:00:12.345", in UTC where this machine does not know the
    zone; "?" for what no calendar holds."""
    moment = _moment(time_ns, zone_name)
    if moment is None:
        return "?"
    part = f".{time_ns % 1_000_000_000:09d}"[:digits + 1] if digits else ""
    return f"{moment:%Y-%m-%d %H:%M:%S}{part}"


def time_of_day(time_ns: int, zone_name: str, digits: int = 3) -> str:
    """Epoch nanoseconds as "07:00:12.345"."""
    return local_time(time_ns, zone_name, digits).rpartition(" ")[2]


def length(seconds: float) -> str:
    """A length of time: "0.480 s", "12.500 s", "4 min 10 s"."""
    return f"{seconds:.3f} s" if abs(seconds) < 60 else words.duration(seconds)


def zone_label(time_ns: int, zone_name: str) -> str:
    """What the clock was called then: "CET", "UTC", "-03"."""
    moment = _moment(time_ns, zone_name)
    return (moment and moment.tzname()) or zone_name


def _moment(time_ns: int, zone_name: str) -> datetime | None:
    """To the second below."""
    try:
        return (_EPOCH + timedelta(seconds=time_ns // 1_000_000_000)).astimezone(
            zone(zone_name))
    except (ValueError, OverflowError):
        return None
