"""Which copies of a recording there are at configured places, by the histories that prove them.

Blocking; called by commands. A place that is not there now is passed over.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from fieldrec.core.errors import StoreDamaged
from fieldrec.core.model import Copy
from fieldrec.jobs import manifest
from fieldrec.mhl import FOLDER, walking
from fieldrec.mhl.reading import first_manifest


def find_copies(places: Mapping[str, Path], name: str, uuid: str) -> tuple[Copy, ...]:
    """The committed copies of the recording `name` in these folders (by destination)."""
    found = []
    for destination, folder in places.items():
        there = folder / name
        data = _proof(there)
        if data is None:
            continue
        try:
            told = manifest.parse(data, str(there))
        except StoreDamaged:
            continue
        if told.uuid == uuid:
            found.append(Copy(destination, str(there / name),
                              sum(entry.size_bytes for entry in told.files),
                              _created_ns(told.created)))
    return tuple(found)


def _proof(item: Path) -> bytes | None:
    """None too for what cannot be read: a place that is not there now."""
    try:
        with walking.directory(item / FOLDER) as folder:
            return first_manifest(lambda name, limit_bytes: walking.read_small(name, folder,
                                                                               limit_bytes))
    except OSError:
        return None


def _created_ns(created: str) -> int:
    """0 where the manifest does not say it."""
    try:
        return int(datetime.fromisoformat(created).timestamp()) * 1_000_000_000
    except (ValueError, OverflowError):
        return 0
