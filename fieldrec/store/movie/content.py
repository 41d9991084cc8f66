"""What an exported movie tells of itself: the text of its sidecar, written and read here alone.

Pure but for the readers, which block for one file; any thread. The text is JSON of a few lines: the
first, with "}" put behind it, is a whole object by itself, small, and all that a catalogue needs;
each long part (:data:`TAIL`) follows on a line of its own. `tail_bytes` in the first line says how
long they are together, so that a cut file shows itself without being read. Version 1, one line with
plain lists, is read too. The keys are described in DESIGN.md.
"""

from __future__ import annotations

import base64
import json
import os
import stat
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fieldrec.core.errors import NotFoundError, StoreDamaged
from fieldrec.store.movie.embedded import MOST_BYTES, embedded

FORMAT = "fieldrec-export"
TRANSCODE_FORMAT = "fieldrec-transcode"
"""Of movies that somebody named and placed: they are no exports, no raw is deleted for them."""
VERSION = 2
READABLE = (1, 2)

TAIL = ("gaps", "unreadable", "frames", "extra_data")
"""Keys whose values may be long."""
EXTENSIONS = (".mp4", ".mkv", ".avi")
"""Of movies that may have a sidecar."""
RECORDS_ENCODING = "JSON lines, zlib, base64"
_MOST_HEAD_BYTES = 64 << 20
_BLOCK_BYTES = 1 << 20
"""Of extra data that are compressed, and so are in memory, at once."""


def sidecar_path(movie: Path) -> Path:
    """"name.high.mp4" has its sidecar at "name.high.mp4.json"."""
    return movie.with_name(movie.name + ".json")


def is_sidecar(name: str) -> bool:
    """Whether a file of this name may be the sidecar of a movie."""
    return name.endswith(tuple(f"{extension}.json" for extension in EXTENSIONS))


# --- text ---------------------------------------------------------------------------------------

def text(content: Mapping[str, Any]) -> bytes:
    """The content as it is stored. What JSON does not know becomes text."""
    tail = b"".join(b"\n," + _json(key) + b":" + _json(content[key])
                    for key in TAIL if key in content)
    tail = tail[1:] + b"}\n" if tail else b"}\n"
    head = {key: value for key, value in content.items() if key not in TAIL}
    return _json({**head, "tail_bytes": len(tail)})[:-1] + b"\n" + tail


def _json(value: Any) -> bytes:
    written = json.dumps(value, ensure_ascii=False, default=str, separators=(",", ":"))
    try:
        return written.encode()
    except UnicodeEncodeError:  # half a character, which no UTF-8 has
        return json.dumps(value, default=str, separators=(",", ":")).encode()


def read_head(path: Path) -> dict[str, Any]:
    """All but the long parts of the sidecar at `path`, which are not even read; of version 1 the
    whole. OSError; ValueError for what is no sidecar, or is cut short."""
    with open(path, "rb", opener=_at_once) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("it is not a file")
        line = file.readline(_MOST_HEAD_BYTES)
        told = status.st_size - file.tell()
        head = _first_line(line) if told else None
        if head is None:  # of version 1, or written anew by somebody
            return _object(line + file.read(MOST_BYTES))
    if head["tail_bytes"] != told:
        raise ValueError(f"it is cut short: {told} of {head['tail_bytes']} bytes follow its first "
                         "line")
    return head


def _at_once(path: str, flags: int) -> int:
    """A FIFO in a sidecar's place, on somebody's drive, must not hold us for ever."""
    return os.open(path, flags | os.O_NONBLOCK)


def _first_line(line: bytes) -> dict[str, Any] | None:
    """The head, if that is what this line is."""
    try:
        head = _object(line.rstrip(b"\n") + b"}")
    except ValueError:
        return None
    return head if "tail_bytes" in head else None


def parse(data: bytes) -> dict[str, Any]:
    """The whole content. ValueError for anything else."""
    return _object(data)


def _object(data: bytes) -> dict[str, Any]:
    try:
        told = json.loads(data)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not isinstance(told, dict):
        raise ValueError("it is not a JSON object")
    return told


# --- extra data ---------------------------------------------------------------------------------

def pack_records(records: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Records of extra data (in types that JSON has) for the key `extra_data`: lines of JSON,
    compressed in blocks, so that they can be read one block at a time."""
    count, size = 0, 0
    lines: list[bytes] = []
    blocks: list[str] = []
    for record in records:
        line = _json(record) + b"\n"
        count, size = count + 1, size + len(line)
        lines.append(line)
        if size >= _BLOCK_BYTES:
            blocks.append(_block(lines))
            lines, size = [], 0
    if lines:
        blocks.append(_block(lines))
    return {"count": count, "encoding": RECORDS_ENCODING, "blocks": blocks}


def _block(lines: list[bytes]) -> str:
    return base64.b64encode(zlib.compress(b"".join(lines))).decode("ascii")


def unpack_records(packed: Any) -> Iterator[dict[str, Any]]:
    """The records of `extra_data`, None for none. ValueError where they are damaged."""
    if packed is None:
        return
    if isinstance(packed, list):  # as version 1 had it
        yield from (_record(record) for record in packed)
        return
    if not isinstance(packed, dict) or not isinstance(packed.get("blocks"), list):
        raise ValueError("its extra data is not what it should be")
    for block in packed["blocks"]:
        try:
            data = zlib.decompressobj().decompress(base64.b64decode(str(block)), MOST_BYTES)
        except zlib.error as error:
            raise ValueError(f"its extra data is damaged: {error}") from error
        yield from (_record(_object(line)) for line in data.splitlines())


def _record(record: Any) -> dict[str, Any]:
    if not isinstance(record, dict):
        raise ValueError("its extra data is not a list of records")
    return record


# --- the content of a movie ---------------------------------------------------------------------

@dataclass(frozen=True, slots=True)
class Content:
    """What a movie tells, and where it tells it."""

    movie: Path
    values: Mapping[str, Any]
    origin: Path
    """The sidecar, or the movie itself."""
    problems: tuple[str, ...]
    """Why it was not the sidecar, one line; and what is wrong with the movie by the sidecar."""

    @property
    def is_verified(self) -> bool:
        """Whether it says that the movie was compared with the raw frames."""
        return bool(self.values.get("verified_at_ns"))


def content_of(movie: Path) -> Content:
    """What the sidecar of `movie` says, else what the movie carries. NotFoundError without a movie,
    or where neither is there; StoreDamaged."""
    if not movie.is_file():
        raise NotFoundError(f"{movie}: no such movie")
    sidecar = sidecar_path(movie)
    problem = f"{sidecar}: is not there; what the movie itself carries is shown"
    try:
        if sidecar.stat().st_size > MOST_BYTES:
            raise ValueError("it is too large to be a sidecar")
        values = parse(sidecar.read_bytes())
        _check(values)
        told = values.get("file")
        size = told.get("size_bytes") if isinstance(told, dict) else None
        if size == movie.stat().st_size:
            return Content(movie, values, sidecar, ())
        problem = (f"{sidecar}: is about a file of {size} bytes, this one has "
                   f"{movie.stat().st_size}; what the movie itself carries is shown")
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:
        problem = f"{sidecar}: {error}; what the movie itself carries is shown"
    return _carried(movie, problem)


def _carried(movie: Path, problem: str) -> Content:
    try:
        data = embedded(movie)
        if data is None:
            raise NotFoundError(f"{problem.partition(';')[0]}, and the movie carries nothing that "
                                "fieldrec wrote: its frames have no numbers and times")
        values = parse(data)
        _check(values)
    except OSError as error:
        raise StoreDamaged(f"{movie}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise StoreDamaged(f"{movie}: what it carries is damaged: {error}") from error
    return Content(movie, values, movie, (problem,))


def _check(values: Mapping[str, Any]) -> None:
    if values.get("format") not in (FORMAT, TRANSCODE_FORMAT):
        raise ValueError("it is not about a movie that fieldrec made")
    if values.get("version") not in READABLE:
        raise ValueError(f"its version {values.get('version')!r} is not known: use a newer "
                         "fieldrec")
