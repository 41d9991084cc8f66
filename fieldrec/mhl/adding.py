"""Adds a generation to each history that was compared: what was verified, what failed, what is new.
Blocking; atomic: a manifest has its name when it is whole, and counts when the chain lists it.

The deepest histories first, for those above them refer to the generations that they get here. A
failed digest is written down as such and never becomes a reference (guidelines, 2.7.1).
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from fieldrec import __version__
from fieldrec.core import durable
from fieldrec.core.clock import Clock
from fieldrec.core.errors import StoreDamaged, StoreError
from fieldrec.mhl import CHAIN_NAME, FOLDER, IN_PLACE, digests, walking
from fieldrec.mhl.directories import directory_hashes
from fieldrec.mhl.model import (
    FAILED,
    ORIGINAL,
    VERIFIED,
    Digest,
    DirectoryHash,
    FileHash,
    Generation,
    HashList,
    Head,
    Reference,
)
from fieldrec.mhl.verifying import Found, Verdict
from fieldrec.mhl.writing import chain_bytes, instant, manifest_bytes, manifest_name, writable

TOOL = "fieldrec"
COMMENT = "fieldrec verify"


def add_generations(verdict: Verdict, clock: Clock) -> list[str]:
    """Write what was found of a whole tree; the manifests that were written, by path. StoreError
    where nothing can be written. Histories that cannot be relied on get nothing."""
    return [path for path, _, _ in _add(verdict, clock.epoch_ns())]


def _add(verdict: Verdict, now_ns: int) -> list[tuple[str, Reference, DirectoryHash | None]]:
    below = [made for nested in verdict.nested for made in _add(nested, now_ns)]
    if verdict.history is None or verdict.broken:
        return below
    own = len(verdict.path) + 1
    direct = {f"{nested.path}/{FOLDER}" for nested in verdict.nested}
    references, directories = [], []
    for path, reference, root in below:
        folder, _, name = path.rpartition("/")
        if folder in direct:
            references.append(Reference(f"{folder[own:]}/{name}", reference.c4))
            if root is not None:
                directories.append(DirectoryHash(folder[own:].removesuffix(f"/{FOLDER}"),
                                                 root.form, root.content, root.structure))
    hash_list = _hash_list(verdict, now_ns, references, directories)
    generation = _write(verdict, manifest_bytes(hash_list), now_ns)
    path = f"{verdict.path}/{FOLDER}/{generation.name}"
    return [*below, (path, Reference(generation.name, generation.c4), hash_list.head.root)]


def _hash_list(verdict: Verdict, now_ns: int, references: list[Reference],
               nested: list[DirectoryHash]) -> HashList:
    files = sorted([*_entries(verdict.right, VERIFIED), *_entries(verdict.bad, FAILED),
                    *_entries(verdict.new, ORIGINAL)], key=lambda file: file.path)
    forms = {one.form for file in files for one in file.digests} | {one.form for one in nested}
    folders: list[DirectoryHash] = []
    all_of_it = len(files) == len(verdict.right) + len(verdict.bad) + len(verdict.new)
    if all_of_it and len(forms) == 1 and len(nested) == len(verdict.nested):
        folders = directory_hashes(next(iter(forms)), (
            (file.path, file.digests[0].text) for file in files), nested, verdict.folders)
    patterns = () if verdict.history is None else verdict.history.patterns
    head = Head(instant(now_ns), socket.gethostname() or "unknown", TOOL, __version__, IN_PLACE,
                COMMENT, patterns, folders[-1] if folders else None)
    return HashList(head, files, [*nested, *folders[:-1]], references)


def _entries(found: dict[str, Found], action: str) -> Iterator[FileHash]:
    """Those that can be written: with a digest, and a name that XML can hold."""
    for path, one in found.items():
        if one.form and writable(path):
            yield FileHash(path, (Digest(one.form, one.text, action),), one.size_bytes,
                           one.modified_ns)


def _write(verdict: Verdict, data: bytes, now_ns: int) -> Generation:
    known = () if verdict.history is None else verdict.history.generations
    number = len(known) + 1
    where = Path(verdict.path)
    generation = Generation(number, manifest_name(number, where.resolve().name, now_ns),
                            digests.c4(data))
    try:
        with walking.directory(where) as root, walking.directory(FOLDER, root) as folder:
            _put(folder, where / FOLDER / generation.name, data)
            _put(folder, where / FOLDER / CHAIN_NAME, chain_bytes([*known, generation]))
    except OSError as error:
        raise StoreError(f"{where / FOLDER}: no generation can be written there: "
                         f"{error.strerror}") from error
    return generation


def _put(folder: int, path: Path, data: bytes) -> None:
    """Put a file in place in the open directory: all of it, or what was there before."""
    part = path.with_name(durable.PART_PREFIX + path.name)
    with contextlib.suppress(FileNotFoundError):
        durable.unlink_at(folder, part)
    try:
        descriptor = durable.create_at(folder, part)
        try:
            durable.write(descriptor, [data], part, len(data))
            durable.fsync(descriptor, part)
        finally:
            os.close(descriptor)
        if walking.read_small(part.name, folder, len(data)) != data:
            raise StoreDamaged(f"{path} reads back otherwise than it was written; check that "
                               "medium")
        durable.rename_at(folder, part, path)
    except (OSError, StoreError):
        with contextlib.suppress(OSError):  # the medium may be gone; the first error says more
            durable.unlink_at(folder, part)
        raise
