"""Check the invariants of a recordings folder: fsck for recordings. Changes nothing.

Blocking; run by a command or the ``db`` thread. `deep` reads every byte of raw frames and exports.
The stores in it: check_store.py; what can be done about them: repair.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from fieldrec.catalogue.check_store import check_store, not_judged
from fieldrec.catalogue.copied import store_of
from fieldrec.catalogue.exports import whole
from fieldrec.catalogue.problem import Problem
from fieldrec.catalogue.repair import repair_store
from fieldrec.catalogue.sidecar import (
    EXTENSIONS,
    NoExport,
    Sidecar,
    file_digest,
    is_sidecar,
    matches,
    read_sidecar,
    sidecar_path,
    transcode_problem,
    whole_problem,
)
from fieldrec.core.durable import PART_PREFIX, TRASH_PREFIX, WORK_PREFIX
from fieldrec.core.errors import FieldrecError, NotFoundError, StoreDamaged
from fieldrec.core.holding import is_held
from fieldrec.store.movie.content import TRANSCODE_FORMAT, content_of, parse
from fieldrec.store.movie.embedded import embedded

__all__ = ["Problem", "check", "check_movie", "check_store", "not_judged", "repair_store"]


def check(directory: Path, deep: bool = False) -> list[Problem]:
    """Every broken invariant (I1, I2, I4, I7) of a recordings folder. NotFoundError without it."""
    try:
        paths = sorted(directory.iterdir())
    except OSError as error:
        raise NotFoundError(f"{directory}: {error.strerror}; the recordings folder must exist"
                            ) from error
    problems: list[Problem] = []
    exports: list[Sidecar] = []
    for path in paths:
        try:
            problems.extend(_check_entry(path, deep, exports))
        except OSError as error:
            problems.append(Problem(path, "I1", f"cannot be read: {error.strerror or error}"))
    return [*problems, *_incomplete_sets(exports)]


def check_movie(path: Path, deep: bool = False) -> list[Problem]:
    """What is wrong with one movie, by its sidecar, or with that it has none. OSError."""
    beside = sidecar_path(path)
    if beside.exists():
        return list(_check_sidecar(beside, deep, []))
    return list(_without_sidecar(path)) or [Problem(path, "I4", "nothing tells anything of it: no "
                                                    "movie of fieldrec")]


def _check_entry(path: Path, deep: bool, exports: list[Sidecar]) -> Iterator[Problem]:
    """What is wrong with one entry; a good export's sidecar is added to `exports`."""
    if path.name.startswith((PART_PREFIX, TRASH_PREFIX)):
        yield Problem(path, "I7", "unfinished work left behind; it is swept at the next start")
    elif path.name.startswith(WORK_PREFIX) and path.is_dir():
        if not is_held(path):
            yield Problem(path, "I7", "an export that was not finished; it goes on, or is swept, "
                                      "at the next start")
    elif path.name.startswith("."):
        return
    elif path.is_dir():
        yield from _check_directory(path, deep)
    elif is_sidecar(path.name):
        yield from _check_sidecar(path, deep, exports)
    elif path.name.endswith(EXTENSIONS) and not sidecar_path(path).exists():
        yield from _without_sidecar(path)


# --- stores -----------------------------------------------------------------------------------

def _check_directory(path: Path, deep: bool) -> Iterator[Problem]:
    """A directory in which nothing looks like a store is not ours to judge."""
    try:
        yield from check_store(store_of(path), deep)
    except NotFoundError:
        return


# --- exports ----------------------------------------------------------------------------------

def _without_sidecar(path: Path) -> Iterator[Problem]:
    """A movie that nothing beside it speaks for. What it carries was written before it was
    verified, so it is no export; but it still tells which recording it shows. A movie that carries
    nothing and is not named like an export is not ours to judge."""
    try:
        told = content_of(path).values
        name = str(told["recording"]["name"])
    except (FieldrecError, KeyError, TypeError):
        if "." in path.stem:
            yield Problem(path, "I4", "an export without its sidecar; delete it and export again")
        return
    if told["format"] == TRANSCODE_FORMAT:
        text = f"its sidecar is gone; it still tells that it shows {name}: `fieldrec show` it"
    elif (path.parent / name).is_dir():
        text = f"an export of {name} without its sidecar; delete it and export again"
    else:
        text = (f"an export of {name}, whose raw is gone, without its sidecar: keep it, it still "
                "tells its numbers and times: `fieldrec show` it")
    yield Problem(path, "I4", text)


def _check_sidecar(path: Path, deep: bool, exports: list[Sidecar]) -> Iterator[Problem]:
    try:
        sidecar = read_sidecar(path)
    except NoExport:
        problem = transcode_problem(path, deep) or whole_problem(path)
        if problem:
            yield Problem(path, "I4", problem)
        return
    except StoreDamaged as error:
        yield Problem(path, "I4", str(error))
        return
    if not matches(sidecar):
        yield Problem(path, "I4", f"{sidecar.file.name} is missing or has another size; delete "
                                  "both and export again")
        return
    exports.append(sidecar)
    problem = whole_problem(path)
    if problem:
        yield Problem(path, "I4", problem)
    if deep:
        yield from _check_movie(sidecar)


def _check_movie(sidecar: Sidecar) -> Iterator[Problem]:
    """Every byte of the movie, and what it carries."""
    if file_digest(sidecar.file) != sidecar.export.digest.lower():
        what = ("delete it and export again" if sidecar.recording.path.is_dir() else
                "its raw is gone: put it back from a copy")
        yield Problem(sidecar.file, "I4", f"its bytes are not those that were verified; {what}")
        return
    carried = embedded(sidecar.file)
    if carried is None:
        return
    try:
        told = parse(carried)
        same = (told["recording"]["uuid"], told["frame_count"]) == (
            sidecar.recording.uuid, sidecar.export.frame_count)
    except (ValueError, KeyError, TypeError):
        same = False
    if not same:
        yield Problem(sidecar.file, "I4", "what it carries is not what its sidecar says")


def _incomplete_sets(sidecars: list[Sidecar]) -> Iterator[Problem]:
    """Slices of exports that lack others."""
    by_recording: dict[tuple[str, str], list[Sidecar]] = {}
    for sidecar in sidecars:
        key = sidecar.recording.name, sidecar.recording.uuid
        by_recording.setdefault(key, []).append(sidecar)
    for found in by_recording.values():
        complete = {export.path for export in whole(sidecar.export for sidecar in found)}
        for sidecar in found:
            if sidecar.file not in complete:
                yield Problem(sidecar.file, "I4", f"slice {sidecar.export.slice_number} of "
                              f"{sidecar.export.slice_count}, of which others are missing: it is "
                              "no export; export again")
