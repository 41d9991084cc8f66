"""extra.log: the extra data of a chunk until its index.extra.json is written, one line a record.

Blocking: the sync thread appends before each sync, so that extra data is as durable as the frames
(I8); the store thread or a recovery turns the whole into JSON. A line is::

    <CRC-32 of the rest, 8 hex digits> <the record's place in the chunk, from 0> <the record, JSON>

Empty lines mean nothing: each append begins with one, so that a torn line costs only itself. A
place that comes twice (an append was tried again) counts once.
"""

from __future__ import annotations

import contextlib
import json
import os
import zlib
from collections.abc import Sequence

from fieldrec.core import durable
from fieldrec.store.chunk_paths import ChunkPaths


def append_lines(paths: ChunkPaths, texts: Sequence[str], first: int) -> None:
    """Append records, the first of which has this place in the chunk; not yet durable.

    StoreFull or OSError: whatever part of it was written does no harm when it is tried again.
    """
    data = lines_bytes(texts, first)
    try:
        flags = os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(paths.extra_log, flags)
    except FileNotFoundError:
        descriptor = durable.create(paths.extra_log, append=True)
    try:
        durable.write(descriptor, [data], paths.extra_log, len(data))
    finally:
        os.close(descriptor)


def lines_bytes(texts: Sequence[str], first: int) -> bytes:
    """The lines of these records, as one append."""
    lines = [b""]
    for place, text in enumerate(texts, first):
        rest = f"{place} {text}".encode("ascii")
        lines.append(b"%08x %s" % (zlib.crc32(rest), rest))
    return b"\n".join(lines) + b"\n"


def parse_lines(data: bytes) -> list[str]:
    """The records whose lines are whole, as JSON text, in the order of their places."""
    found: dict[int, str] = {}
    for line in data.split(b"\n"):
        crc, _, rest = line.partition(b" ")
        place, _, text = rest.partition(b" ")
        with contextlib.suppress(ValueError):
            if len(crc) == 8 and int(crc, 16) == zlib.crc32(rest):
                found.setdefault(int(place), text.decode("ascii"))
    return [found[place] for place in sorted(found)]


def records_bytes(texts: Sequence[str]) -> bytes:
    """The content of index.extra.json: one list, a record a line."""
    return ("[" + ",\n ".join(texts) + "]\n").encode("ascii")


def mend_extra(paths: ChunkPaths) -> int:
    """Turn what a crash left in extra.log into index.extra.json; how many records were saved so.

    0, and nothing changed, without an extra.log. May be killed at any step and run again. Of an
    index.extra.json that was written already, and lists as much, the log is only the remains.
    """
    try:
        texts = parse_lines(paths.extra_log.read_bytes())
    except FileNotFoundError:
        return 0
    saved = 0
    if len(texts) > len(finished_records(paths)):
        durable.write_atomic(paths.extra, records_bytes(texts))
        saved = len(texts)
    durable.unlink(paths.extra_log)
    return saved


def finished_records(paths: ChunkPaths) -> list[str]:
    """The records of the chunk's index.extra.json as JSON text; none where none can be read."""
    try:
        records = json.loads(paths.extra.read_bytes())
    except (FileNotFoundError, ValueError, RecursionError):
        return []
    return [json.dumps(record) for record in records] if isinstance(records, list) else []
