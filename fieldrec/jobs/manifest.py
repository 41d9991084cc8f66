"""What a copy consists of: the proof that an item at a destination is whole (I4).

Any thread; nothing is read or written here. A store's proof is an ASC MHL history of one generation
(mhl/): its manifest names every file with size and XXH64 (as the bytes were first read, compared
with what was recorded), and in its comment the recording. It is written only when everything was
read back, so its process is ``transfer``. An export's sidecar is its proof, unchanged: it has
``file.size_bytes`` and ``file.xxh64``. Both come back from media that others may have written:
everything in them is checked.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from fieldrec.core.errors import StoreDamaged
from fieldrec.destinations import File
from fieldrec.mhl import DEFAULT_IGNORED, FOLDER, TRANSFER, digests
from fieldrec.mhl.directories import directory_hashes
from fieldrec.mhl.generation import TOOL, head_of, next_generation
from fieldrec.mhl.model import Digest, FileHash, HashList
from fieldrec.mhl.parsing import scan_manifest, sliced
from fieldrec.mhl.writing import escaped
from fieldrec.store.indexing.compact_index import COMPACT_NAME

FORM = "xxh64"
STORE = "store"
EXPORT = "export"
LONGEST_PATH = 1024
IGNORED = (*DEFAULT_IGNORED, COMPACT_NAME)
"""What may lie in a copied store without being part of it: the index that readers make for
themselves."""
_COMMENT = "fieldrec recording "


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of an item."""

    path: str
    """"/"-separated, inside the item; "" when the item is a single file."""
    size_bytes: int
    xxh64: str
    mtime_ns: int | None = None
    """Of the source; written, not read."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """All files of an item, and whose they are."""

    kind: str
    name: str
    uuid: str
    """Of the recording; "" where an export's sidecar does not say."""
    files: tuple[Entry, ...]
    created: str = ""


def history(item: str, name: str, uuid: str, files: Sequence[Entry], created_ns: int
            ) -> dict[str, bytes]:
    """The history of a store that was copied as `item`: its files by path, in the order in which
    they are written. StoreDamaged for a name that XML cannot hold."""
    folders = directory_hashes(FORM, ((entry.path, entry.xxh64) for entry in files))
    comment = _COMMENT + json.dumps({"kind": STORE, "name": name, "uuid": uuid})
    hash_list = HashList(
        head_of(created_ns, TRANSFER, folders[-1], comment=comment, ignored=IGNORED),
        (FileHash(entry.path, (Digest(FORM, entry.xxh64),), entry.size_bytes, entry.mtime_ns)
         for entry in files), folders[:-1])
    _, made = next_generation((), item, hash_list, created_ns)
    return {f"{FOLDER}/{name}": data for name, data in made.items()}


def check_names(files: Iterable[File]) -> None:
    """StoreDamaged for a name that no manifest can hold: before the first byte is copied."""
    for file in files:
        escaped(file.relative)


def size_limit(file_count: int) -> int:
    """No manifest of ours with so many files is larger, in bytes: more is not worth reading."""
    return 65536 + 2048 * file_count


def parse(data: bytes, where: str) -> Manifest:
    """Read and check the manifest of a store's first generation, if it is by us; StoreDamaged says
    what is wrong with `where`."""
    files: dict[str, Entry] = {}

    def take(file: FileHash) -> None:
        _require(file.path not in files, f"{file.path[:80]!r} is there twice")
        files[file.path] = _listed(file)

    found = scan_manifest(sliced(data), where, take)
    try:
        head = found.head
        _require(head.tool == TOOL and head.comment.startswith(_COMMENT), "not by fieldrec")
        _require(head.process == TRANSFER, "not written after a copy was read back")
        told = json.loads(head.comment.removeprefix(_COMMENT))
        _require(isinstance(told, dict) and told.get("kind") == STORE, "not of a store")
        return Manifest(STORE, _text(told, "name"), _text(told, "uuid"),
                        tuple(files.values()), head.created)
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


def _listed(file: FileHash) -> Entry:
    digest = next((one.text for one in file.digests if one.form == FORM), None)
    _require(digest is not None and file.size_bytes is not None,
             f"{file.path[:80]!r} has no size or no {FORM}")
    return Entry(file.path, file.size_bytes or 0, digest or "")


def _entry(file: dict[str, Any]) -> Entry:
    size = file.get("size_bytes")
    _require(isinstance(size, int) and not isinstance(size, bool) and size >= 0,
             "size_bytes is not a whole number")
    digest = file.get("xxh64")
    _require(isinstance(digest, str) and digests.normal(FORM, digest) == digest,
             "xxh64 is not 16 hexadecimal digits")
    return Entry(_text(file, "path"), int(size or 0), str(digest))


def _text(mapping: dict[str, Any], key: str) -> str:
    value = mapping.get(key)
    if not isinstance(value, str) or len(value) > LONGEST_PATH:
        raise ValueError(f"{key} is not a text of at most {LONGEST_PATH} characters")
    return value


def _require(condition: bool, problem: str) -> None:
    if not condition:
        raise ValueError(problem)
