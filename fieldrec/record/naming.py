"""Names of recordings: NAME_YYYYMMDD_HHMMSS[_SERIAL], safe on every file system, never used twice.

Pure but for :func:`unused_name` and :func:`names_taken`, which list a directory (blocking, small).
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Collection
from pathlib import Path
from zoneinfo import ZoneInfo

from fieldrec.config.section import SAFE_NAME
from fieldrec.core.durable import PART_PREFIX, TRASH_PREFIX, WORK_PREFIX
from fieldrec.core.errors import UsageError

ALLOWED = ("use letters, digits, '.', '_' and '-' only, beginning with a letter or digit, "
           "at most 100 characters")


def check_name(text: str) -> str:
    """Return `text` if it may begin a recording's name; else UsageError says what is allowed."""
    if SAFE_NAME.fullmatch(text):
        return text
    raise UsageError(f"{_shown(text)} cannot be a recording's name: {_reason(text)}; {ALLOWED}")


def recording_name(base: str, epoch_ns: int, timezone: str, serial: str | None = None) -> str:
    """`base` with the local time in `timezone`, and the camera's serial where several record."""
    seconds = epoch_ns // 1_000_000_000
    local = dt.datetime.fromtimestamp(seconds, tz=ZoneInfo(timezone))
    name = f"{base}_{local:%Y%m%d_%H%M%S}"
    return name if serial is None else f"{name}_{serial}"


def unused_name(directory: Path, name: str) -> str:
    """`name`, or with the first suffix -2, -3… under which `directory` holds nothing.

    Exports (`<name>.high.mp4`) and unfinished or half-deleted things count: the clock may go back,
    and two recordings must never share a name.
    """
    return first_unused(name, names_taken(directory))


def names_taken(directory: Path) -> frozenset[str]:
    """What :func:`first_unused` must know of a folder. OSError when it cannot be listed."""
    with os.scandir(directory) as entries:
        return frozenset(_stem(entry.name) for entry in entries)


def first_unused(name: str, taken: Collection[str]) -> str:
    """`name`, or with the first suffix -2, -3… under which nothing in `taken` lies."""
    near = [entry for entry in taken if entry.startswith(name)]  # one pass over a full folder
    candidate, number = name, 1
    while any(entry == candidate or entry.startswith(candidate + ".") for entry in near):
        number += 1
        candidate = f"{name}-{number}"
    return candidate


def _stem(entry: str) -> str:
    for prefix in (PART_PREFIX, TRASH_PREFIX, WORK_PREFIX):
        entry = entry.removeprefix(prefix)
    return entry


def _shown(text: str) -> str:
    """The text in quotes, control characters escaped, cut where it is long."""
    return repr(text if len(text) <= 40 else text[:37] + "...")


def _reason(text: str) -> str:
    if not text:
        return "it is empty"
    if len(text) > 100:
        return f"it has {len(text)} characters"
    wrong = next((c for c in text if not (c.isascii() and (c.isalnum() or c in "._-"))), None)
    if wrong is None:
        return f"it begins with {text[0]!r}"
    return f"{wrong!r} is not allowed"
