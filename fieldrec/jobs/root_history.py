"""The history of a destination as a whole: which movies lie there, and which recordings with
histories of their own, as one ASC MHL history in its folder.

Blocking; a thread of whoever calls, after jobs have ended. A movie's sidecar says its digest, as
it was read back; nothing is read again. Each call adds a generation with what no generation has
yet, so what a cut left out is taken in by the next; nothing new, and nothing is written.
Generations that others added are gone on from. When an item that they know was taken away and
copied anew, under its old name but with another proof, no further generation can make that right
(what a history knows is for ever): the history is set aside, and begins anew. What changes all the
time (the logbook) is left out by patterns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import xxhash

from fieldrec.core.errors import StoreDamaged
from fieldrec.destinations import Destination, SetsAside
from fieldrec.jobs import manifest
from fieldrec.logbook.reading import FOLDER_NAME
from fieldrec.mhl import CHAIN_LIMIT, CHAIN_NAME, FOLDER, IN_PLACE
from fieldrec.mhl.directories import directory_hashes
from fieldrec.mhl.generation import TOOL, head_of, next_generation
from fieldrec.mhl.model import Digest, DirectoryHash, FileHash, Generation, HashList, Reference
from fieldrec.mhl.parsing import parse_chain, parse_head, parse_manifest
from fieldrec.mhl.reading import generations_of, manifest_of

MOST_BYTES = 32 * 1024 * 1024
"""Of all manifests of the whole together: some thirty thousand items. It is the box's memory, and
the drive may be anybody's."""
IGNORED = (*manifest.IGNORED, f"{FOLDER_NAME}/", ".fieldrec*", ".part-*", ".trash-*", ".work-*")


@dataclass(slots=True)
class _Known:
    """What the generations have already."""

    generations: tuple[Generation, ...]
    files: dict[str, FileHash] = field(default_factory=dict)
    directories: dict[str, DirectoryHash] = field(default_factory=dict)
    references: dict[str, set[Reference]] = field(default_factory=dict)
    """To histories that lie deeper, by their folder."""
    patterns: tuple[str, ...] = ()


@dataclass(slots=True)
class _New:
    """What none of them has."""

    files: list[FileHash] = field(default_factory=list)
    directories: list[DirectoryHash] = field(default_factory=list)
    references: list[Reference] = field(default_factory=list)


def close_history(place: Destination, now_ns: int) -> bool:
    """Add what came since the last generation; whether there was anything.

    StoreDamaged when the history there cannot be relied on: it is left as it is. Otherwise raises
    as the destination does.
    """
    known = _known(place)
    items = place.items()
    if isinstance(place, SetsAside) and any(_is_another(place, item, known) for item in items):
        last = known.generations[-1]
        place.set_aside(FOLDER, f".fieldrec-{FOLDER}-{last.number:04d}-{last.c4[-8:]}")
        known = _Known(())
    new = _New()
    for item in items:
        if item not in known.references and item not in known.files:
            _take(place, item, new)
    if not (new.files or new.references):
        return False
    patterns = tuple(dict.fromkeys((*known.patterns, *IGNORED)))
    head = head_of(now_ns, IN_PLACE, _root(known, new, items), ignored=patterns)
    _, made = next_generation(
        known.generations, _folder(place),
        HashList(head, new.files, new.directories, new.references), now_ns)
    for name, data in made.items():
        place.put_beside(f"{FOLDER}/{name}", data)
    return True


def _known(place: Destination) -> _Known:
    def read(name: str, limit_bytes: int) -> bytes | None:
        return place.beside(f"{FOLDER}/{name}", limit_bytes)

    where = f"{place.name}: {FOLDER}/"
    known = _Known(generations_of(read, where))
    left_bytes = MOST_BYTES
    for generation in known.generations:
        data = manifest_of(read, generation, where, left_bytes)
        left_bytes -= len(data)
        told = parse_manifest(data, f"{where}{generation.name}")
        for file in told.files:
            known.files.setdefault(file.path, file)
        for one in told.directories:
            if one.form == manifest.FORM:  # that of other tools is of another kind
                known.directories.setdefault(one.path, one)
        for reference in told.references:
            item = reference.path.partition(f"/{FOLDER}/")[0]
            known.references.setdefault(item, set()).add(reference)
        known.patterns = told.head.ignored or known.patterns
    return known


def _is_another(place: Destination, item: str, known: _Known) -> bool:
    """Whether a whole item is there that is not the one which the generations know by its name;
    what is only damaged is still that one."""
    try:
        if item in known.references:
            listed = {Reference(f"{item}/{FOLDER}/{one.name}", one.c4)
                      for one in parse_chain(_chain(place, item), item)}
            return not known.references[item] <= listed and place.committed(item) is not None
        if item in known.files and place.sizes(item) != {"": known.files[item].size_bytes}:
            entry, = manifest.parse_sidecar(place.committed(item) or b"", item).files
            return place.sizes(item) == {"": entry.size_bytes}
    except StoreDamaged:
        pass
    return False


def _take(place: Destination, item: str, new: _New) -> None:
    """Nothing of an item whose proof cannot be read: it is none, whatever it looks like."""
    proof = place.committed(item)
    if proof is None:
        return
    try:
        if proof.startswith(b"<"):
            _take_recording(place, item, proof, new)
        else:
            _take_movie(place, item, proof, new)
    except (StoreDamaged, IndexError):
        return


def _take_recording(place: Destination, item: str, first: bytes, new: _New) -> None:
    """A history of its own: its latest generation is referred to."""
    root = parse_head(first, item).root
    latest = parse_chain(_chain(place, item), item)[-1]
    new.references.append(Reference(f"{item}/{FOLDER}/{latest.name}", latest.c4))
    if root is not None and root.form == manifest.FORM:
        new.directories.append(DirectoryHash(item, root.form, root.content, root.structure))


def _chain(place: Destination, item: str) -> bytes:
    return place.beside(f"{item}/{FOLDER}/{CHAIN_NAME}", CHAIN_LIMIT) or b""


def _take_movie(place: Destination, item: str, sidecar: bytes, new: _New) -> None:
    entry, = manifest.parse_sidecar(sidecar, item).files
    if place.sizes(item) == {"": entry.size_bytes}:
        new.files.append(_file(item, entry.xxh64, entry.size_bytes))
        new.files.append(_file(f"{item}.json", xxhash.xxh64_hexdigest(sidecar), len(sidecar)))


def _file(path: str, xxh64: str, size_bytes: int) -> FileHash:
    return FileHash(path, (Digest(manifest.FORM, xxh64),), size_bytes)


def _root(known: _Known, new: _New, items: Sequence[str]) -> DirectoryHash | None:
    """The digest of all that is there now; None where somebody took in what we know no digest
    of."""
    there = {name for item in items for name in (item, f"{item}.json")}
    files = [(file.path, next((one.text for one in file.digests if one.form == manifest.FORM), ""))
             for file in (*known.files.values(), *new.files)]
    folders = [one for one in (*known.directories.values(), *new.directories)
               if one.path in there]
    wanted = known.references.keys() & there
    wanted |= {one.path.partition("/")[0] for one in new.references}
    if any(path not in there or not text for path, text in files) or len(folders) != len(wanted):
        return None
    return directory_hashes(manifest.FORM, files, folders)[-1]


def _folder(place: Destination) -> str:
    """Name of the folder that the history is of, where the destination has one."""
    path = getattr(place, "path", None)
    return path.name if isinstance(path, Path) else TOOL
