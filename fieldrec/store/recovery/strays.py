"""Directories and files in a store by which imgstore cannot open it: it takes each for a chunk.

Blocking for one listing; whoever moves them holds the store's lock. Nothing is deleted.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from fieldrec.core import durable
from fieldrec.core.errors import SyncFailed
from fieldrec.store.metadata import StoreMetadata
from fieldrec.store.recovery.rebuild import free_name

_NUMBER = re.compile(r"[0-9]+\Z")
ASIDE = ".aside"


@dataclass(frozen=True, slots=True)
class Stray:
    """One of them."""

    path: Path
    chunk: int | None
    """Whose chunk it would be, were its name not short of zeros; None for anything else."""

    @property
    def text(self) -> str:
        """What is wrong with it."""
        if self.chunk is None:
            return "no chunk; imgstore cannot open the store: move it away"
        return f"imgstore looks for this chunk under the name {self.chunk:06d}; rename it"


def find_strays(root: Path, metadata: StoreMetadata) -> list[Stray]:
    """Those of a store, by name. OSError."""
    with os.scandir(root) as entries:
        return [stray for entry in sorted(entries, key=lambda entry: entry.name)
                if (stray := _stray(entry, metadata)) is not None]


def _stray(entry: os.DirEntry[str], metadata: StoreMetadata) -> Stray | None:
    name = entry.name
    if metadata.is_video:
        if not name.endswith(metadata.extension) or name.startswith("."):
            return None
        name = name.removesuffix(metadata.extension)
    elif not entry.is_dir():
        return None
    if not _NUMBER.match(name):
        return Stray(Path(entry.path), None)
    number = int(name)
    return None if name == f"{number:06d}" else Stray(Path(entry.path), number)


def move_strays(root: Path, metadata: StoreMetadata) -> list[str]:
    """Move them out of imgstore's way; what was done, one line each.

    Directories go beside the store, files get another ending; chunks get the name that they should
    have where that is free.
    """
    return [_move(root, stray, metadata) for stray in find_strays(root, metadata)]


def _move(root: Path, stray: Stray, metadata: StoreMetadata) -> str:
    name = stray.path.name
    target = root / f"{stray.chunk or 0:06d}{metadata.extension}"
    if stray.chunk is None or target.exists():
        target = (free_name(root, name + ASIDE) if metadata.is_video
                  else free_name(root.parent, f"{root.name}.{name}"))
    try:
        durable.rename(stray.path, target)
    except (OSError, SyncFailed) as error:
        return f"{name}: {stray.text}: cannot be moved ({error})"
    where = target.name if target.parent == root else f"../{target.name}"
    return f"{name}: is now {where}, for imgstore cannot open a store with it"
