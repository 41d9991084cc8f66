"""What a kill between an export's rename and its sidecar leaves behind (I4). Blocking, any thread.

Only a movie that says itself that it is an export of a store which lies beside it is taken for half
of one: it can be made again. What somebody else put into the folder is never ours to remove.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from fieldrec.catalogue.sidecar import EXTENSIONS, is_sidecar, sidecar_path
from fieldrec.core.errors import FieldrecError
from fieldrec.store.metadata import METADATA_NAME
from fieldrec.store.movie.content import FORMAT, parse, read_head
from fieldrec.store.movie.embedded import embedded
from fieldrec.store.reader import read_metadata


def half_exports(folder: Path) -> list[Path]:
    """Movies without their sidecar whose raw is there to make them again from, and sidecars whose
    movie is gone. OSError when the folder cannot be listed."""
    return list(_halves(folder))


def _halves(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or not path.is_file():
            continue
        if is_sidecar(path.name):
            if not path.with_suffix("").exists() and _is_an_exports(path):
                yield path
        elif (path.name.endswith(EXTENSIONS) and not sidecar_path(path).exists()
              and _can_be_made_again(path)):
            yield path


def _is_an_exports(sidecar: Path) -> bool:
    try:
        return read_head(sidecar).get("format") == FORMAT
    except (OSError, ValueError):
        return False


def _can_be_made_again(movie: Path) -> bool:
    """Whether it is an export, by what it carries, of the store of that name beside it."""
    try:
        carried = embedded(movie)
        if carried is None:
            return False
        told = parse(carried)
        name, uuid = str(told["recording"]["name"]), str(told["recording"]["uuid"])
        if told["format"] != FORMAT or not movie.name.startswith(f"{name}."):
            return False
        store = movie.parent / name
        return (store / METADATA_NAME).exists() and read_metadata(store)[0].get("uuid") == uuid
    except (OSError, ValueError, KeyError, TypeError, FieldrecError):
        return False
