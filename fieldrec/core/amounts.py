"""Sizes and time spans as people say them: "412 GB", "1 h 50 min". Pure."""

from __future__ import annotations

import math

_SIZE_UNITS = ("B", "kB", "MB", "GB", "TB", "PB", "EB")


def size(count_bytes: float) -> str:
    """Bytes in decimal units, as disks are sold: "512 B", "1.3 GB", "412 GB"."""
    if not math.isfinite(count_bytes):
        return "?"
    value = float(max(count_bytes, 0))
    for unit in _SIZE_UNITS:
        digits = 0 if unit == "B" or value >= 99.95 else 1
        if round(value, digits) < 1000 or unit == _SIZE_UNITS[-1]:
            return f"{value:.{digits}f} {unit}"
        value /= 1000
    return "?"


def duration(seconds: float) -> str:
    """A time span with at most two units, rounded down: "48 s", "4 min 10 s", "1 h 50 min"."""
    if not math.isfinite(seconds):
        return "?"
    whole = max(int(seconds), 0)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return _two(whole // 60, "min", whole % 60, "s")
    if whole < 86_400:
        return _two(whole // 3600, "h", whole % 3600 // 60, "min")
    return _two(whole // 86_400, "d", whole % 86_400 // 3600, "h")


def _two(large: int, large_unit: str, small: int, small_unit: str) -> str:
    return f"{large} {large_unit} {small} {small_unit}" if small else f"{large} {large_unit}"
