"""Where the next recording of a camera goes: asked by its store thread, answered for the session.

Blocking but short; any thread. The store thread asks for a path at the start, at every split and
motion event, and again when the disk it writes to has failed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from fieldrec.core.errors import FieldrecError, StoreError


class Place(Protocol):
    """Names and folders for one camera's recordings in one session."""

    def next_path(self, epoch_ns: int) -> Path:
        """Path of a recording that begins at `epoch_ns`; nothing is there and nothing is made.

        StoreFull, StoreError (one line: what is wrong with every folder there is) when no folder
        can take it."""
        ...

    def failed(self, path: Path, error: FieldrecError) -> bool:
        """Writing to `path` failed. Its folder is not given again until it has been looked at;
        whether there is another to go on in."""
        ...


class GivenPath:
    """One path that is known beforehand, and no other folder to go on in."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._given = False

    def next_path(self, epoch_ns: int) -> Path:
        """The path, once."""
        del epoch_ns
        if self._given:
            raise StoreError(f"{self._path}: nothing else can be written beside this one recording")
        self._given = True
        return self._path

    def failed(self, path: Path, error: FieldrecError) -> bool:
        """There is nowhere else."""
        del path, error
        return False
