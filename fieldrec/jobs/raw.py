"""Deleting the raw of a recording for its verified export: the evidence looked at again (I5).

Blocking; in the jobs' threads. The export's bytes are read from the medium, past the page cache,
and must be those that were verified; only then does the raw go.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable

from fieldrec.catalogue.exports import whole
from fieldrec.catalogue.sidecar import read_sidecar
from fieldrec.core import durable
from fieldrec.core.errors import JobRefused, NotFoundError, StoreDamaged, VerifyMismatch
from fieldrec.core.model import Export
from fieldrec.destinations import Destination, File
from fieldrec.destinations.folder import FolderDestination
from fieldrec.jobs import manifest
from fieldrec.jobs.source import check
from fieldrec.jobs.transfer import check_proves


class NotThere(NotFoundError):
    """The export has not come to that destination (yet)."""


def check_here(exports: Iterable[Export], uuid: str, stop: threading.Event,
               on_bytes: Callable[[int], None] = lambda _bytes: None) -> None:
    """StoreDamaged unless each export beside the raw is, on the medium, what was verified."""
    for export in exports:
        with contextlib.closing(FolderDestination("recordings", export.path.parent)) as folder:
            try:
                _check(folder, export, uuid, stop, on_bytes)
            except (VerifyMismatch, NotThere) as error:
                raise StoreDamaged(
                    f"{export.path} is not the file that was verified ({error}); the raw is kept; "
                    f"remove it and {export.path.name}.json, then export again") from error


def check_there(destination: Destination, exports: Iterable[Export], uuid: str,
                stop: threading.Event,
                on_bytes: Callable[[int], None] = lambda _bytes: None) -> None:
    """NotThere or VerifyMismatch unless each export is at the destination too, whole; JobRefused
    where that cannot be told for certain."""
    check_proves(destination, stop)
    compare_there(destination, exports, uuid, stop, on_bytes)


def compare_there(destination: Destination, exports: Iterable[Export], uuid: str,
                  stop: threading.Event,
                  on_bytes: Callable[[int], None] = lambda _bytes: None) -> None:
    """The same, where nothing is deleted for it."""
    for export in exports:
        _check(destination, export, uuid, stop, on_bytes)


def exports_at(folder: FolderDestination, name: str, uuid: str, preset: str
               ) -> tuple[Export, ...]:
    """The export of the recording `name` with this preset that was made straight to this folder,
    whole (all its slices); () when it is not there. JobRefused where another recording's has its
    name."""
    found = []
    place = folder.opened()
    for movie in folder.movies(f"{name}."):
        with contextlib.suppress(StoreDamaged):  # not ours, or not whole: not there
            told = read_sidecar(place / f"{movie}.json")
            if told.export.preset.lower() != preset.lower() or \
                    folder.sizes(told.file.name) != {"": told.export.size_bytes}:
                continue
            if told.recording.uuid != uuid:
                raise JobRefused(
                    f"{folder.name} has {told.file.name} of another recording (uuid "
                    f"{told.recording.uuid}): move it and its .json away first")
            found.append(told.export)
    return whole(found)


def remove(folder: FolderDestination, exports: Iterable[Export]) -> None:
    """Remove an export that was made straight to this folder: first what says that it is there."""
    place = folder.opened()
    for export in exports:
        durable.unlink(place / f"{export.path.name}.json", missing_ok=True)
        durable.unlink(place / export.path.name, missing_ok=True)


class _Verified:
    """What the file of an export has to be, where it was made or copied to."""

    def __init__(self, export: Export) -> None:
        self.files = (File("", export.path, export.size_bytes, 0),)
        self._digest = export.digest

    def digest(self, _file: File) -> str:
        return self._digest


def _check(place: Destination, export: Export, uuid: str, stop: threading.Event,
           on_bytes: Callable[[int], None]) -> None:
    name = export.path.name
    told = place.committed(name)
    if told is None:
        raise NotThere(f"{name} is not at {place.name}")
    try:
        found = manifest.parse_sidecar(told, f"{name}.json")
    except StoreDamaged as error:
        raise VerifyMismatch(f"{error}; the raw is kept") from error
    entry, = found.files
    if (found.uuid, entry.xxh64) != (uuid, export.digest):
        raise NotThere(f"{name} at {place.name} is another export than the one here")

    def read(count_bytes: int) -> None:
        check(stop)
        on_bytes(count_bytes)

    if place.verify(name, _Verified(export), read):
        raise VerifyMismatch(f"{name} at {place.name} has other bytes than were verified; the raw "
                             "is kept; remove that file and its .json, and check the medium")
