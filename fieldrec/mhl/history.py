"""What a history knows: every file by path, with the digest that it must have. Blocking.

All generations of the chain are read, each once, when its C4 was found right; memory is linear in
the files, some 200 bytes for each. The reference of a file is its first digest that was not found
wrong (section 2.7.1 of the guidelines); what a later generation says of it is that it was compared.
What was renamed keeps its reference.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from fieldrec.core.errors import StoreDamaged
from fieldrec.mhl import CHAIN_NAME, DEFAULT_IGNORED, EXTENSION, FOLDER, digests, walking
from fieldrec.mhl.digests import FASTEST
from fieldrec.mhl.ignoring import Ignored
from fieldrec.mhl.model import FAILED, FileHash, Generation, HashList, Reference
from fieldrec.mhl.parsing import scan_manifest
from fieldrec.mhl.reading import check_c4, generations_of


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a file must be."""

    form: str
    """"" where the history has no digest of a kind that can be compared."""
    text: str
    size_bytes: int | None


@dataclass(slots=True)
class History:
    """All that the generations say together."""

    generations: tuple[Generation, ...] = ()
    files: dict[str, dict[str, Wanted]] = field(default_factory=dict)
    """By folder ("" is the top), then by name."""
    directories: set[str] = field(default_factory=set)
    references: dict[str, list[Reference]] = field(default_factory=dict)
    """Of histories deeper in the tree, by their folder."""
    patterns: tuple[str, ...] = DEFAULT_IGNORED
    """What is left out, as the latest generation says."""
    notes: list[str] = field(default_factory=list)

    @property
    def ignored(self) -> Ignored:
        """The patterns, ready to be asked; the history itself is always left out."""
        return Ignored((*self.patterns, f"{FOLDER}/"))


def load(root: int, where: str) -> History:
    """The history in the open directory `root`. StoreDamaged for one that cannot be relied on: no
    chain, a manifest that is missing or another than was listed, or that is none."""
    try:
        with walking.directory(FOLDER, root) as folder:
            return _load(folder, f"{where}/{FOLDER}/")
    except OSError as error:
        raise StoreDamaged(f"{where}/{FOLDER}: cannot be read: {error.strerror}") from error


def _load(folder: int, where: str) -> History:
    def read(name: str, limit_bytes: int) -> bytes | None:
        return walking.read_small(name, folder, limit_bytes)

    taking = _Taking(History(generations_of(read, where)))
    made = taking.made
    if not made.generations:
        raise StoreDamaged(f"{where}{CHAIN_NAME}: not there, or lists nothing")
    for generation in made.generations:
        try:
            with os.fdopen(walking.open_file(generation.name, folder), "rb") as file:
                check_c4(digests.c4_of(walking.slices(file)), generation, where)
                file.seek(0)
                taking.rest(scan_manifest(walking.slices(file), f"{where}{generation.name}",
                                          taking.file))
        except OSError as error:
            raise StoreDamaged(f"{where}{generation.name}: cannot be read, though the chain lists "
                               f"it: {error.strerror}") from error
    listed = {one.name for one in made.generations}
    made.notes += [f"{FOLDER}/{entry.name} is in no chain: it was not relied on"
                   for entry in walking.entries(folder)
                   if entry.name.endswith(EXTENSION) and not entry.name.startswith("._")
                   and entry.name not in listed]
    return made


class _Taking:
    """Takes generations in, one after the other."""

    def __init__(self, made: History) -> None:
        self.made = made
        self._names: dict[str, str] = {}
        """Names come again in every folder: they are held once."""
        self._renamed: list[FileHash] = []

    def file(self, file: FileHash) -> None:
        """One file of a generation."""
        if file.previous_path:
            self._renamed.append(file)
            return
        folder, _, name = file.path.rpartition("/")
        known = self.made.files.get(folder, {}).get(name)
        if known is None or not known.form:
            self._put(file.path, _wanted(file))

    def rest(self, generation: HashList) -> None:
        """What there is in it beside files, which have been taken."""
        made = self.made
        before = {file.path: self._pop(file.previous_path) for file in self._renamed}
        for file in self._renamed:
            self._put(file.path, before[file.path] or _wanted(file))
        self._renamed = []
        made.directories.difference_update(one.previous_path for one in generation.directories)
        made.directories.update(one.path for one in generation.directories)
        made.patterns = generation.head.ignored or made.patterns
        for reference in generation.references:
            inside, _, _ = reference.path.rpartition(f"/{FOLDER}/")
            if inside:
                made.references.setdefault(inside, []).append(reference)

    def _pop(self, path: str) -> Wanted | None:
        folder, _, name = path.rpartition("/")
        return self.made.files.get(folder, {}).pop(name, None)

    def _put(self, path: str, wanted: Wanted) -> None:
        folder, _, name = path.rpartition("/")
        name = self._names.setdefault(name, name)
        self.made.files.setdefault(folder, {})[name] = wanted


def _wanted(file: FileHash) -> Wanted:
    usable = {one.form: one.text for one in file.digests if one.action != FAILED}
    form = next((form for form in FASTEST if form in usable), "")
    return Wanted(form, usable.get(form, ""), file.size_bytes)
