"""What a copy consists of, as a small text: the proof that an item at a destination is whole (I4).

Pure; any thread. A directory item (a store) carries ``fieldrec-manifest.json`` in its root::

    {"format": "fieldrec-copy", "version": 1, "kind": "store",
     "recording": {"name": "bees_20261121_060000", "uuid": "…"},
     "created": "2026-11-21T06:31:07Z",
     "files": [{"path": "000000/000000.npy", "size_bytes": 1310848, "xxh64": "0123…"}, …]}

An export's sidecar is its manifest, unchanged: it has ``file.size_bytes`` and ``file.xxh64``. The
digest is XXH64 (seed 0, big-endian hex), the one that all offload tools share. A manifest comes
back from media that others may have written: everything in it is checked.
"""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from fieldrec.core.errors import StoreDamaged

FORMAT = "fieldrec-copy"
VERSION = 1
STORE = "store"
EXPORT = "export"
LONGEST_PATH = 1024
_DIGEST = re.compile(r"[0-9a-f]{16}\Z")


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of an item."""

    path: str
    """"/"-separated, inside the item; "" when the item is a single file."""
    size_bytes: int
    xxh64: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """All files of an item, and whose they are."""

    kind: str
    name: str
    uuid: str
    """Of the recording; "" where an export's sidecar does not say."""
    files: tuple[Entry, ...]
    created: str = ""


def build(kind: str, name: str, uuid: str, files: Sequence[Entry], created_ns: int) -> bytes:
    """The manifest as bytes: JSON, one file per line, so that people and diff can read it too."""
    created = datetime.datetime.fromtimestamp(created_ns // 1_000_000_000, datetime.UTC)
    head = {
        "format": FORMAT, "version": VERSION, "kind": kind,
        "recording": {"name": name, "uuid": uuid},
        "created": created.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    lines = ",\n".join(
        json.dumps({"path": entry.path, "size_bytes": entry.size_bytes, "xxh64": entry.xxh64})
        for entry in files)
    return f'{json.dumps(head)[:-1]}, "files": [\n{lines}\n]}}\n'.encode()


def size_limit(file_count: int) -> int:
    """No manifest of ours with so many files is larger, in bytes: more is not worth reading."""
    return 65536 + 512 * file_count


def parse(data: bytes, where: str) -> Manifest:
    """Read and check a manifest; StoreDamaged says what is wrong with `where`."""
    try:
        content = json.loads(data)
        _require(isinstance(content, dict), "not a mapping")
        _require(content.get("format") == FORMAT, f"format is not {FORMAT!r}")
        _require(content.get("version") == VERSION, f"version is not {VERSION}")
        kind = content.get("kind")
        _require(kind in (STORE, EXPORT), "kind is neither store nor export")
        recording = content.get("recording")
        _require(isinstance(recording, dict), "no recording")
        files = content.get("files")
        _require(isinstance(files, list), "no files")
        return Manifest(kind, _text(recording, "name"), _text(recording, "uuid"),
                        _entries(files), _text(content, "created"))
    except (ValueError, RecursionError) as error:
        raise StoreDamaged(f"{where}: not a manifest of a copy: {error}") from error


def parse_sidecar(data: bytes, where: str) -> Manifest:
    """Read an export's sidecar as the manifest that it is; StoreDamaged if it cannot be one."""
    try:
        content = json.loads(data)
        _require(isinstance(content, dict), "not a mapping")
        file = content.get("file")
        _require(isinstance(file, dict), "no file")
        recording = content.get("recording")
        recording = recording if isinstance(recording, dict) else {}
        name, uuid = recording.get("name", ""), recording.get("uuid", "")
        _require(isinstance(name, str) and isinstance(uuid, str), "recording is not named by text")
        return Manifest(EXPORT, name, uuid, (_entry({**file, "path": ""}),))
    except (ValueError, RecursionError) as error:
        raise StoreDamaged(f"{where}: not a sidecar of an export: {error}") from error


def _entries(files: Iterable[Any]) -> tuple[Entry, ...]:
    entries = []
    seen = set()
    for file in files:
        _require(isinstance(file, dict), "a file is not a mapping")
        entry = _entry(file)
        _require(_inside(entry.path), f"path {entry.path[:80]!r} leaves the item")
        _require(entry.path not in seen, f"path {entry.path[:80]!r} is there twice")
        seen.add(entry.path)
        entries.append(entry)
    return tuple(entries)


def _entry(file: dict[str, Any]) -> Entry:
    size = file.get("size_bytes")
    _require(isinstance(size, int) and not isinstance(size, bool) and size >= 0,
             "size_bytes is not a whole number")
    digest = file.get("xxh64")
    _require(isinstance(digest, str) and _DIGEST.match(digest) is not None,
             "xxh64 is not 16 hexadecimal digits")
    return Entry(_text(file, "path"), int(size or 0), str(digest))


def _inside(path: str) -> bool:
    return ("\0" not in path
            and all(part not in ("", ".", "..") for part in path.split("/")))


def _text(mapping: dict[str, Any], key: str) -> str:
    value = mapping.get(key)
    if not isinstance(value, str) or len(value) > LONGEST_PATH:
        raise ValueError(f"{key} is not a text of at most {LONGEST_PATH} characters")
    return value


def _require(condition: bool, problem: str) -> None:
    if not condition:
        raise ValueError(problem)
