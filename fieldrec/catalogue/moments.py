"""Where in a recording somebody means: by index, by local time or by time from its start.

Pure, any thread: text and times in, an index out.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, tzinfo

import numpy as np
from numpy.typing import NDArray

from fieldrec.core.errors import UsageError

EXPECTED = ("an index (0, 1500; -100 is from the end), a time from the start (+90, +1:30:00), or a "
            "local time (07:30, 2026-11-21T07:30:00.5)")

_INDEX = re.compile(r"[+-]?[0-9]{1,18}\Z")
_OFFSET = re.compile(r"\+(?:(?:([0-9]+):)?([0-9]{1,2}):)?([0-9]+(?:\.[0-9]+)?)s?\Z")
_TIME_OF_DAY = re.compile(r"[0-9]{1,2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,9})?)?\Z")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST_NS = 2**63 - 1


def place(text: str, times_ns: NDArray[np.int64], zone: tzinfo) -> int:
    """The index that `text` means, 0 … number of frames: of the first frame at or after a moment.

    UsageError says what may be written.
    """
    text = text.strip()
    count = len(times_ns)
    if _INDEX.match(text) and not text.startswith("+"):
        index = int(text)
        return min(max(index + count if index < 0 else index, 0), count)
    if count == 0:
        return 0
    moment_ns = _moment_ns(text, int(times_ns[0]), zone)
    after = times_ns >= min(moment_ns, _LATEST_NS)
    return int(after.argmax()) if after.any() else count


def _moment_ns(text: str, first_ns: int, zone: tzinfo) -> int:
    offset = _OFFSET.match(text)
    if offset is not None:
        hours, minutes, seconds = offset.groups()
        whole_s, _, part = seconds.partition(".")
        total_s = int(hours or 0) * 3600 + int(minutes or 0) * 60 + int(whole_s)
        return first_ns + total_s * 1_000_000_000 + int(part[:9].ljust(9, "0"))
    try:
        if _TIME_OF_DAY.match(text):
            return _next_time_of_day(text, first_ns, zone)
        moment = datetime.fromisoformat(text)
        return _epoch_ns(moment if moment.tzinfo else moment.replace(tzinfo=zone))
    except (ValueError, OverflowError) as error:
        raise UsageError(f"{text!r} is no place in a recording; expected {EXPECTED}") from error


def _next_time_of_day(text: str, first_ns: int, zone: tzinfo) -> int:
    """That time on the day of the first frame, or on the next when it was past by then."""
    first = (_EPOCH + timedelta(microseconds=first_ns // 1000)).astimezone(zone)
    whole, _, part = text.partition(".")
    clock = datetime.strptime(whole, "%H:%M:%S" if whole.count(":") == 2 else "%H:%M").time()
    part_ns = int(part.ljust(9, "0"))

    def on(day: date) -> int:
        return _epoch_ns(datetime.combine(day, clock, zone)) + part_ns

    today_ns = on(first.date())
    return today_ns if today_ns >= first_ns else on(first.date() + timedelta(days=1))


def _epoch_ns(moment: datetime) -> int:
    """Exact: no float on the way."""
    since = moment - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000_000 + since.microseconds * 1000
