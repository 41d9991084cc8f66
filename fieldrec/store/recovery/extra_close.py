"""Extra data files that a crash left without their end: imgstore's are one JSON list each.

imgstore writes the closing bracket when the chunk ends and its text is buffered until then, so that
a crash leaves a list cut anywhere, which its own reader refuses as a whole. Here every whole record
is kept. Blocking, under the store's lock; a file is replaced atomically or not at all.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fieldrec.core import durable

_TAIL_BYTES = 64
_SPACE = b" \t\r\n"
_OWN_KEYS = {"frame_number", "frame_index", "frame_time"}
"""imgstore and fieldrec put these into every record."""
_MOST_TRIES = 10_000
"""So often the beginning of a record is looked for after damage."""
_DECODER = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class Records:
    """What can be read of an extra data file."""

    texts: tuple[str, ...]
    """Each whole record, as it was written."""
    is_whole: bool
    """Whether the file is a complete list."""
    torn_inside: bool
    """Whether something that cannot be read lies before the last record: records may be gone."""


def is_closed(path: Path) -> bool:
    """Whether a file begins and ends as a list does: a look, not a proof. OSError."""
    with path.open("rb") as file:
        begins = file.read(_TAIL_BYTES).lstrip(_SPACE)[:1]
        file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
        return begins == b"[" and file.read().rstrip(_SPACE)[-1:] == b"]"


def read_records(text: str) -> Records:
    """Every whole record in a list that may be cut or damaged."""
    try:
        whole = json.loads(text)
        if isinstance(whole, list) and all(isinstance(record, dict) for record in whole):
            return Records(tuple(json.dumps(record) for record in whole), True, False)
    except (ValueError, RecursionError):
        pass
    texts: list[str] = []
    torn = torn_inside = False
    at, tries = text.find("{"), 0
    while at >= 0 and tries < _MOST_TRIES:
        end = _record_end(text, at, strict=torn)
        if end is None:
            torn, tries, end = True, tries + 1, at + 1
        else:
            texts.append(text[at:end])
            torn_inside = torn
        at = text.find("{", end)
    return Records(tuple(texts), False, torn_inside)


def _record_end(text: str, at: int, *, strict: bool) -> int | None:
    """Where the record that begins here ends, None when there is none. `strict`: after damage,
    when it might be a part of another record."""
    try:
        record: Any
        record, end = _DECODER.raw_decode(text, at)
    except (ValueError, RecursionError):
        return None
    if strict and not record.keys() >= _OWN_KEYS:
        return None
    return end


def close_extra(path: Path, aside: Path) -> str:
    """Make an extra data file a complete list of what is whole in it; what was done, "" if nothing.

    The file as it was is kept as `aside` when more than its end was lost. OSError.
    """
    data = path.read_bytes()
    records = read_records(data.decode("utf-8", "replace"))
    if records.is_whole:
        return ""
    if data.strip(b"[, \t\r\n\0") and (records.torn_inside or not records.texts):
        durable.write_atomic(aside, data)
    if not records.texts:
        durable.unlink(path)
        return f"{path.name}: no whole record in it: removed" + (
            f", kept as {aside.name}" if aside.exists() else "")
    durable.write_atomic(path, ("[" + ",\n ".join(records.texts) + "]\n").encode(
        "utf-8", "replace"))
    count = f"{len(records.texts)} record{'s' if len(records.texts) != 1 else ''}"
    if records.torn_inside:
        return f"{path.name}: damaged; {count} read, the file as it was is now {aside.name}"
    return f"{path.name}: its end was missing; {count} kept"
