"""One entry as one line of JSON that proves itself. Pure; any thread.

A line is ASCII, ends with a checksum (XXH3 of all bytes before it) and carries three clocks: the
epoch, which may be wrong and may be set, and the time since boot with the boot's identity, which
put entries in order and at distances whatever was done to the wall clock.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import xxhash

FORMAT = 1
"""Counts up when a reader of before would misunderstand; new kinds and facts do not count."""
LONGEST_LINE = 96 * 1024
"""Bytes. What would be longer is cut, and says so; a reader takes longer lines for damage."""
LONGEST_TEXT = 2000
"""Characters of an entry's text."""
_MARK = b',"xxh3":"'
_TAIL = len(_MARK) + 16 + 2


@dataclass(frozen=True, slots=True)
class Entry:
    """Something that happened."""

    seq: int
    """From 1 on, without a gap, in one logbook."""
    time_ns: int
    """Epoch, as the wall clock said."""
    boottime_ns: int
    boot_id: str
    kind: str
    text: str
    facts: Mapping[str, Any] = field(default_factory=dict)

    def number(self, name: str) -> float | None:
        """A fact that is a number; None when it is not there, or is none."""
        value = self.facts.get(name)
        return value if isinstance(value, int | float) and not isinstance(value, bool) else None

    def whole(self, name: str) -> int | None:
        """A fact that is a whole number: a count, or a time."""
        value = self.facts.get(name)
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    def word(self, name: str) -> str:
        """A fact as text; "" when it is not there."""
        value = self.facts.get(name)
        return "" if value is None else str(value)

    def words(self, name: str) -> tuple[str, ...]:
        """A fact that is a list of texts; () when it is not there."""
        value = self.facts.get(name)
        return tuple(str(item) for item in value) if isinstance(value, list) else ()


def encode(entry: Entry) -> bytes:
    """The entry's line, with its line feed."""
    body = _body(entry, _plain(dict(entry.facts)))
    if len(body) > LONGEST_LINE - _TAIL - 1:
        short = {name: value for name, value in entry.facts.items()
                 if isinstance(value, int | float) or (isinstance(value, str) and len(value) < 200)}
        body = _body(entry, _plain({**dict(list(short.items())[:50]), "cut": True}))
    digest = xxhash.xxh3_64_hexdigest(body).encode()
    return body + _MARK + digest + b'"}\n'


def decode(line: bytes) -> Entry | None:
    """The entry of a line, with or without its line feed; None for one that is torn or damaged."""
    line = line.rstrip(b"\r\n")
    body, tail = line[:-_TAIL], line[-_TAIL:]
    if not tail.startswith(_MARK) or len(line) > LONGEST_LINE:
        return None
    if tail[len(_MARK):-2] != xxhash.xxh3_64_hexdigest(body).encode():
        return None
    try:
        values = json.loads(line)
        return Entry(_whole(values["seq"]), _whole(values["time_ns"]),
                     _whole(values["boottime_ns"]), str(values["boot_id"]), str(values["kind"]),
                     str(values["text"]), dict(values["facts"]))
    except (ValueError, KeyError, TypeError, RecursionError):
        return None  # whole, but not a line of ours


def utc_text(time_ns: int) -> str:
    """Epoch nanoseconds as ISO 8601 UTC to the millisecond; "" for what no calendar holds."""
    try:
        moment = datetime.fromtimestamp(time_ns // 1_000_000_000, UTC)
    except (ValueError, OverflowError, OSError):
        return ""
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{time_ns // 1_000_000 % 1000:03d}Z"


def _body(entry: Entry, facts: Any) -> bytes:
    values = {"seq": entry.seq, "utc": utc_text(entry.time_ns), "time_ns": entry.time_ns,
              "boottime_ns": entry.boottime_ns, "boot_id": entry.boot_id, "kind": entry.kind,
              "text": entry.text[:LONGEST_TEXT], "facts": facts}
    return json.dumps(values, separators=(",", ":"))[:-1].encode()


def _whole(value: object) -> int:
    if not isinstance(value, int):
        raise TypeError(value)
    return value


def _plain(value: Any, depth: int = 8) -> Any:
    """`value` as something that every reader of JSON takes."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    if depth and isinstance(value, Mapping):
        return {str(key): _plain(item, depth - 1) for key, item in value.items()}
    if depth and isinstance(value, list | tuple):
        return [_plain(item, depth - 1) for item in value]
    return str(value)
