"""I4 and I5 as they can be seen from outside: what lies at a destination, and what at the source.

Knows nothing of how fieldrec writes or reads: proofs are parsed here, by json and ElementTree, and
every file is compared byte by byte with what was recorded. Pure but for reading files.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import xxhash

MHL = "{urn:ASC:MHL:v2.0}"
PROOF_FOLDER = "ascmhl"
NO_ITEMS = frozenset({"logbook", "ascmhl", "README.txt", "README", "lost+found"})
MADE_ANEW = ".frames.index"
"""Comes and goes in a finished store, and is not copied."""
UNFINISHED = (".part-", ".work-", ".trash-")

Files = Mapping[str, bytes]
"""Bytes by path; "" of a single file."""


@dataclass(frozen=True, slots=True)
class Original:
    """Recordings as they were before anybody touched them."""

    items: Mapping[str, Files]
    """By name."""
    stands_for: Mapping[str, str]
    """Name of an item -> name of the export at the destination that is enough to let it go."""


def files_in(path: Path) -> dict[str, bytes]:
    """All files of an item; {} when it is not there."""
    if path.is_file():
        return {"": path.read_bytes()}
    return {file.relative_to(path).as_posix(): file.read_bytes()
            for file in sorted(path.rglob("*"))
            if file.is_file() and file.name != MADE_ANEW}


def original(recordings: Path, *names: str, **stands_for: str) -> Original:
    """These items of a folder of recordings, as they are now."""
    return Original({name: files_in(recordings / name) for name in names}, stands_for)


def proven(path: Path) -> dict[str, str] | None:
    """XXH64 by path of every file that the item's proof names; None when it has none."""
    try:
        return _proven(path)
    except (ValueError, LookupError, TypeError, RecursionError, ElementTree.ParseError):
        return None  # somebody wrote what is no proof


def _proven(path: Path) -> dict[str, str] | None:
    beside = path.with_name(f"{path.name}.json")
    if path.is_file():
        return {"": json.loads(beside.read_bytes())["file"]["xxh64"]} if beside.exists() else None
    manifests = sorted((path / PROOF_FOLDER).glob("*.mhl"))
    if not manifests or not (path / PROOF_FOLDER / "ascmhl_chain.xml").exists():
        return None
    return {found.findtext(f"{MHL}path", ""): found.findtext(f"{MHL}xxh64", "")
            for found in ElementTree.parse(manifests[0]).iter(f"{MHL}hash")}


def is_proof(relative: str) -> bool:
    return relative.startswith(f"{PROOF_FOLDER}/")


def broken_items(folder: Path, *, between: bool = False) -> list[str]:
    """I4: whatever has a final name is whole, by its own proof. `between`: a single file may wait
    for its proof (a cut fell between the last two steps): without one it is not there."""
    wrong = []
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if path.name.startswith(".") or path.name in NO_ITEMS:
            continue
        if path.is_file() and path.name.endswith(".json") and path.with_suffix("").exists():
            continue
        told = proven(path)
        if told is None and between and path.is_file():
            continue
        if told is None:
            wrong.append(f"I4 {path.name} has a final name and no proof")
            continue
        there = {name: data for name, data in files_in(path).items() if not is_proof(name)}
        if there.keys() != told.keys():
            wrong.append(f"I4 {path.name}: proof and files differ in "
                         f"{sorted(there.keys() ^ told.keys())[:3]}")
        wrong += [f"I4 {path.name}/{name} is not what its proof says" for name, data in
                  there.items() if told.get(name) != xxhash.xxh64_hexdigest(data)]
    return wrong


def is_committed(folder: Path, name: str, files: Files) -> bool:
    """Whether the item lies at the destination under its name, with its proof, byte for byte. (A
    store lies in a folder of its own beside the proof.)"""
    if proven(folder / name) is None:
        return False
    there = files_in(folder / name)
    return {path: data for path, data in there.items() if not is_proof(path)} == {
        f"{name}/{path}" if path else path: data for path, data in files.items()}


def lost(recordings: Path, folder: Path, what: Original) -> list[str]:
    """I5: each item is whole at the source or committed at the destination."""
    return [f"I5 {name} is neither whole at the source nor at the destination"
            for name, files in what.items.items()
            if files_in(recordings / name) != files
            and not is_committed(folder, name, files)
            and proven(folder / what.stands_for.get(name, ".none")) is None]


def unfinished(folder: Path) -> list[str]:
    """What a job that has ended may not leave."""
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    return [f"left: {name}" for name in names
            if name.startswith(UNFINISHED) or name.endswith(".tmp")]
