"""Check the invariants of a recordings folder: fsck for recordings. Changes nothing.

Blocking; run by a command or the ``db`` thread. `deep` reads every byte of raw frames and exports.
The stores in it: check_store.py; what can be done about them: repair.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from fieldrec.catalogue.check_store import check_store, not_judged
from fieldrec.catalogue.problem import Problem
from fieldrec.catalogue.repair import repair_store
from fieldrec.catalogue.sidecar import (
    SUFFIX,
    NoExport,
    file_digest,
    matches,
    read_sidecar,
    transcode_problem,
)
from fieldrec.core.durable import PART_PREFIX, TRASH_PREFIX
from fieldrec.core.errors import NotFoundError, StoreDamaged

__all__ = ["Problem", "check", "check_store", "not_judged", "repair_store"]


def check(directory: Path, deep: bool = False) -> list[Problem]:
    """Every broken invariant (I1, I2, I4, I7) of a recordings folder. NotFoundError without it."""
    try:
        paths = sorted(directory.iterdir())
    except OSError as error:
        raise NotFoundError(f"{directory}: {error.strerror}; the recordings folder must exist"
                            ) from error
    problems: list[Problem] = []
    for path in paths:
        try:
            problems.extend(_check_entry(path, deep))
        except OSError as error:
            problems.append(Problem(path, "I1", f"cannot be read: {error.strerror or error}"))
    return problems


def _check_entry(path: Path, deep: bool) -> Iterator[Problem]:
    if path.name.startswith((PART_PREFIX, TRASH_PREFIX)):
        yield Problem(path, "I7", "unfinished work left behind; it is swept at the next start")
    elif path.name.startswith("."):
        return
    elif path.is_dir():
        yield from _check_directory(path, deep)
    elif path.name.endswith(SUFFIX):
        yield from _check_sidecar(path, deep)
    elif path.name.endswith(".mp4") and not path.with_name(path.name + ".json").exists():
        yield Problem(path, "I4", "an export without its sidecar; delete it and export again")


# --- stores -----------------------------------------------------------------------------------

def _check_directory(path: Path, deep: bool) -> Iterator[Problem]:
    """A directory in which nothing looks like a store is not ours to judge."""
    try:
        yield from check_store(path, deep)
    except NotFoundError:
        return


# --- exports ----------------------------------------------------------------------------------

def _check_sidecar(path: Path, deep: bool) -> Iterator[Problem]:
    try:
        sidecar = read_sidecar(path)
    except NoExport:
        problem = transcode_problem(path, deep)
        if problem:
            yield Problem(path, "I4", problem)
        return
    except StoreDamaged as error:
        yield Problem(path, "I4", str(error))
        return
    if not matches(sidecar):
        yield Problem(path, "I4", f"{sidecar.file.name} is missing or has another size; delete "
                                  "both and export again")
    elif deep and file_digest(sidecar.file) != sidecar.export.digest.lower():
        yield Problem(sidecar.file, "I4", "its bytes are not those that were verified; delete it "
                                          "and export again")
