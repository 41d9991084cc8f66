"""Moments and spans in the words of a reason: "06:00", "Fri 22:00", "7 min". Pure."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

MINUTE_NS = 60 * 1_000_000_000


def clock_time(at_ns: int, now_ns: int, timezone: str) -> str:
    """A moment by the wall clock of `timezone`, as short as it is clear: the time alone on the day
    of `now_ns`, with the weekday within six days of it, else with the date. "?" for what no
    calendar holds."""
    zone = ZoneInfo(timezone)
    try:
        at, now = (datetime.fromtimestamp(ns // 1_000_000_000, zone) for ns in (at_ns, now_ns))
    except (ValueError, OverflowError, OSError):
        return "?"
    if at.date() == now.date():
        return f"{at:%H:%M}"
    if abs(at.date() - now.date()) <= timedelta(days=6):
        return f"{at:%a %H:%M}"
    return f"{at:%Y-%m-%d %H:%M}"


def span(seconds: float) -> str:
    """A span to the minute, "40 s" below one: "7 min", "2 h 5 min", "3 d 4 h"."""
    if not math.isfinite(seconds):
        return "?"
    whole = max(round(seconds), 0)
    if whole < 60:
        return f"{whole} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"
