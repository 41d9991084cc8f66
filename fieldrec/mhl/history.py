"""What a history knows: every file by path, with the digest that it must have. Blocking.

All generations of the chain are read, each once, compared with its C4. The reference of a file is
its first digest that was not found wrong (section 2.7.1 of the guidelines); what a later generation
says of it is that it was compared. A file that was renamed keeps its reference.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from fieldrec.core.errors import StoreDamaged
from fieldrec.mhl import CHAIN_NAME, DEFAULT_IGNORED, EXTENSION, FOLDER, walking
from fieldrec.mhl.digests import FASTEST
from fieldrec.mhl.ignoring import Ignored
from fieldrec.mhl.model import FAILED, FileHash, Generation, HashList, Reference
from fieldrec.mhl.parsing import parse_manifest
from fieldrec.mhl.reading import generations_of, manifest_of


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
    files: dict[str, Wanted] = field(default_factory=dict)
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

    made = History(generations_of(read, where))
    if not made.generations:
        raise StoreDamaged(f"{where}{CHAIN_NAME}: not there, or lists nothing")
    for generation in made.generations:
        _take(made, parse_manifest(manifest_of(read, generation, where),
                                   f"{where}{generation.name}"))
    listed = {one.name for one in made.generations}
    made.notes += [f"{FOLDER}/{entry.name} is in no chain: it was not relied on"
                   for entry in walking.entries(folder)
                   if entry.name.endswith(EXTENSION) and not entry.name.startswith("._")
                   and entry.name not in listed]
    return made


def _take(made: History, generation: HashList) -> None:
    if generation.head.ignored:
        made.patterns = generation.head.ignored
    for file in generation.files:
        if file.previous_path:
            _rename(made, file)
        if file.path not in made.files or not made.files[file.path].form:
            made.files[file.path] = _wanted(file)
    made.directories.update(one.path for one in generation.directories)
    for reference in generation.references:
        inside, _, _ = reference.path.rpartition(f"/{FOLDER}/")
        if inside:
            made.references.setdefault(inside, []).append(reference)


def _rename(made: History, file: FileHash) -> None:
    before = made.files.pop(file.previous_path, None)
    if before is not None:
        made.files.setdefault(file.path, before)


def _wanted(file: FileHash) -> Wanted:
    usable = {one.form: one.text for one in file.digests if one.action != FAILED}
    form = next((form for form in FASTEST if form in usable), "")
    return Wanted(form, usable.get(form, ""), file.size_bytes)
