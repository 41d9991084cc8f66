"""Whether what lies at some path is what was recorded: `fieldrec verify`. Blocking; any computer.

A folder with an ASC MHL history is compared with it, those deeper in it with theirs. Where there
is none, what we know by ourselves is checked: the digest of every frame in a store's indexes, that
of a movie in its sidecar. Nothing is changed, but for a generation where that is asked for.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from fieldrec.catalogue.check import check_movie
from fieldrec.catalogue.check_store import check_store, not_judged
from fieldrec.catalogue.problem import Problem
from fieldrec.catalogue.scan import locked_state
from fieldrec.catalogue.sidecar import EXTENSIONS, is_sidecar, sidecar_path
from fieldrec.core.clock import Clock
from fieldrec.core.errors import FieldrecError, NotFoundError, StoreError
from fieldrec.core.model import RecordingState
from fieldrec.mhl import FOLDER
from fieldrec.mhl.adding import add_generations
from fieldrec.mhl.verifying import Fault, OnBytes, Verdict, Verifier
from fieldrec.store.metadata import METADATA_NAME

DEEPEST = 4
"""Folders looked into for recordings below the path; and above it for a history it belongs to."""
HISTORY = "history"
OWN = "own digests"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one recording, movie, or folder with a history."""

    path: str
    checked_by: str
    """HISTORY, or OWN where there is none."""
    files: int = 0
    """That are right; 0 where they were not counted."""
    read_bytes: int = 0
    generations: int = 0
    damaged: tuple[Fault, ...] = ()
    missing: tuple[str, ...] = ()
    extra: tuple[Fault, ...] = ()
    broken: str = ""
    """Why its history cannot be relied on."""
    notes: tuple[str, ...] = ()
    written: str = ""
    """The manifest that was written for it."""

    @property
    def is_right(self) -> bool:
        """Whether nothing is wrong with it."""
        return not (self.damaged or self.missing or self.extra or self.broken)


def verify(path: Path, on_bytes: OnBytes = lambda _count: None, *, write: Clock | None = None
           ) -> Iterator[Outcome]:
    """What is at a path, one after the other. `write`: the clock of the generation to add to each
    history. NotFoundError when there is nothing that could be compared with anything."""
    path = path.resolve()
    if not path.exists():
        raise NotFoundError(f"{path}: no such file or folder")
    found = False
    for outcome in _at(path, on_bytes, write):
        found = True
        yield outcome
    if not found:
        raise NotFoundError(f"{path}: nothing there can be verified: no history (a folder "
                            f"{FOLDER}), no recording, no movie with its sidecar")


def _at(path: Path, on_bytes: OnBytes, write: Clock | None) -> Iterator[Outcome]:
    above = (path, *path.parents[:DEEPEST])
    root = next((folder for folder in above if (folder / FOLDER).is_dir()), None)
    if root is not None:
        yield from _with_history(root, path, on_bytes, write)
    elif write is not None and (not path.is_dir() or (path / METADATA_NAME).exists()):
        raise StoreError(f"{path}: it has no history to write to, and one in it would make it "
                         "unreadable for imgstore; copy it with fieldrec, which makes one")
    elif path.is_dir():
        yield from _plain(path, 0, on_bytes, write)
    elif sidecar_path(path).exists():
        yield _movie(path)


def _with_history(root: Path, path: Path, on_bytes: OnBytes, write: Clock | None
                  ) -> Iterator[Outcome]:
    only = "" if path == root else path.relative_to(root).as_posix()
    if write is not None:
        _check_writable(root, path)
    try:
        verdict = Verifier(on_bytes, hash_all=write is not None).verify(str(root), only)
    except OSError as error:
        raise StoreError(f"{root}: cannot be read: {error.strerror}") from error
    written: dict[str, str] = {}
    if write is not None:
        written = {manifest.rpartition(f"/{FOLDER}/")[0]: manifest
                   for manifest in add_generations(verdict, write)}
    yield from (_outcome(one, written.get(one.path, "")) for one in _all(verdict)
                if not only or one.right_files or not one.is_right)


def _check_writable(root: Path, path: Path) -> None:
    """StoreError where no generation can be written: before hours of reading."""
    if path != root:
        raise StoreError(f"{path} is a part of {root}: a generation is of all of it; verify that")
    if not os.access(root / FOLDER, os.W_OK):
        raise StoreError(f"{root / FOLDER}: no generation can be written there; verify it without "
                         "--write, or make it writable")


def _all(verdict: Verdict) -> Iterator[Verdict]:
    """The deeper ones, then the one above them."""
    for nested in verdict.nested:
        yield from _all(nested)
    yield verdict


def _outcome(verdict: Verdict, written: str) -> Outcome:
    history = verdict.history
    notes = [] if history is None else list(history.notes)
    if verdict.unproven:
        notes.append(f"{len(verdict.unproven)} files have no digest of a known kind: only their "
                     "size was compared")
    return Outcome(verdict.path, HISTORY, verdict.right_files, verdict.read_bytes,
                   0 if history is None else len(history.generations), tuple(verdict.damaged),
                   tuple(verdict.missing), tuple(verdict.extra), verdict.broken, tuple(notes),
                   written)


def _plain(path: Path, depth: int, on_bytes: OnBytes, write: Clock | None) -> Iterator[Outcome]:
    """A folder without a history, and what is in it."""
    if (path / METADATA_NAME).exists():
        yield _store(path)
        return
    try:
        with os.scandir(path) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except OSError as error:
        yield Outcome(str(path), OWN, broken=f"cannot be read: {error.strerror}")
        return
    for entry in entries:
        below = path / entry.name
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            if (below / FOLDER).is_dir():
                yield from _with_history(below, below, on_bytes, write)
            elif depth < DEEPEST:
                yield from _plain(below, depth + 1, on_bytes, write)
        elif is_sidecar(entry.name):
            yield _movie(below.with_suffix(""))
        elif entry.name.endswith(EXTENSIONS) and not sidecar_path(below).exists():
            yield Outcome(str(below), OWN, notes=("nothing tells what it should be",))


def _movie(path: Path) -> Outcome:
    strange = _strange((path, sidecar_path(path)), path.parent)
    if strange:
        return Outcome(str(path), OWN, damaged=strange)
    size = path.stat().st_size if path.exists() else 0
    return _own(path, check_movie(path, deep=True), size)


def _store(path: Path) -> Outcome:
    strange = _strange((Path(folder, name) for folder, _, names in os.walk(path)
                        for name in names), path.parent)
    if strange:
        return Outcome(str(path), OWN, damaged=strange)
    if locked_state(path) is RecordingState.RECORDING:
        return Outcome(str(path), OWN, notes=("is being recorded; not looked at",))
    try:
        untold = not_judged(path)
        return _own(path, check_store(path, deep=True), notes=(untold,) if untold else ())
    except FieldrecError as error:
        return Outcome(str(path), OWN, broken=str(error))


def _strange(paths: Iterable[Path], below: Path) -> tuple[Fault, ...]:
    """Pipes and devices among these: opening one may never end, nor reading it."""
    return tuple(Fault(os.path.relpath(path, below), "is no file but a device or pipe; nothing "
                                                     "here was compared")
                 for path in paths if path.exists() and not path.is_file())


def _own(path: Path, problems: list[Problem], read_bytes: int = 0, notes: tuple[str, ...] = ()
         ) -> Outcome:
    return Outcome(str(path), OWN, read_bytes=read_bytes, notes=notes, damaged=tuple(
        Fault(os.path.relpath(problem.path, path.parent), problem.text) for problem in problems))
