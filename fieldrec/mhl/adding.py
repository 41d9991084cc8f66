"""Adds a generation to each history that was compared: what was verified, what failed, what is new.
Blocking; atomic: a manifest has its name when it is whole, and counts when the chain lists it.

The deepest histories first, for those above them refer to the generations that they get here. A
failed digest is written down as such and never becomes a reference (guidelines, 2.7.1).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from fieldrec.core import durable
from fieldrec.core.clock import Clock
from fieldrec.core.errors import StoreDamaged, StoreError
from fieldrec.mhl import FOLDER, IN_PLACE, model, walking
from fieldrec.mhl.directories import directory_hashes
from fieldrec.mhl.generation import head_of, next_generation
from fieldrec.mhl.model import DirectoryHash, FileHash, HashList, Reference
from fieldrec.mhl.verifying import Verdict
from fieldrec.mhl.writing import writable

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
    generation = _write(verdict, hash_list, now_ns)
    path = f"{verdict.path}/{FOLDER}/{generation.name}"
    return [*below, (path, Reference(generation.name, generation.c4), hash_list.head.root)]


def _hash_list(verdict: Verdict, now_ns: int, references: list[Reference],
               nested: list[DirectoryHash]) -> HashList:
    files = _Files(verdict)
    forms = files.forms | {one.form for one in nested}
    folders: list[DirectoryHash] = []
    if files.are_all and len(forms) == 1 and len(nested) == len(verdict.nested):
        folders = directory_hashes(next(iter(forms)), (
            (file.path, file.digests[0].text) for file in files), nested, verdict.folders)
    patterns = () if verdict.history is None else verdict.history.patterns
    head = head_of(now_ns, IN_PLACE, folders[-1] if folders else None, comment=COMMENT,
                   ignored=patterns)
    return HashList(head, files, [*nested, *folders[:-1]], references)


class _Files:
    """What was read and can be written, sorted; each is made when it is asked for, for there may be
    millions."""

    def __init__(self, verdict: Verdict) -> None:
        self._found = {model.VERIFIED: verdict.right, model.FAILED: verdict.bad,
                       model.ORIGINAL: verdict.new}
        self._order = sorted((path, action) for action, found in self._found.items()
                             for path, one in found.items() if one.form and writable(path))
        self.forms = {one.form for found in self._found.values() for one in found.values()} - {""}
        self.are_all = len(self._order) == sum(map(len, self._found.values()))
        """Else some have no digest of a known kind, or a name that XML cannot hold."""

    def __iter__(self) -> Iterator[FileHash]:
        for path, action in self._order:
            one = self._found[action][path]
            yield FileHash(path, (model.Digest(one.form, one.text, action),), one.size_bytes,
                           one.modified_ns)


def _write(verdict: Verdict, hash_list: HashList, now_ns: int) -> model.Generation:
    known = () if verdict.history is None else verdict.history.generations
    where = Path(verdict.path)
    made, files = next_generation(known, where.resolve().name, hash_list, now_ns)
    try:
        with walking.directory(where) as root, walking.directory(FOLDER, root) as folder:
            for name, data in files.items():
                _put(folder, where / FOLDER / name, data)
    except OSError as error:
        raise StoreError(f"{where / FOLDER}: no generation can be written there: "
                         f"{error.strerror}") from error
    return made


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
