"""Which copies of a recording there are at configured places, by the manifests that prove them.

Blocking; called by commands. A place that is not there now is passed over.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from fieldrec.core.errors import StoreDamaged
from fieldrec.core.model import Copy
from fieldrec.destinations import MANIFEST_NAME
from fieldrec.jobs import manifest


def find_copies(places: Mapping[str, Path], name: str, uuid: str) -> tuple[Copy, ...]:
    """The committed copies of the recording `name` in these folders (by destination)."""
    found = []
    for destination, folder in places.items():
        file = folder / name / MANIFEST_NAME
        try:
            told = manifest.parse(file.read_bytes(), str(file))
        except (OSError, StoreDamaged):
            continue
        if told.uuid == uuid:
            found.append(Copy(destination, str(file.parent),
                              sum(entry.size_bytes for entry in told.files),
                              _created_ns(told.created)))
    return tuple(found)


def _created_ns(created: str) -> int:
    """0 where the manifest does not say it."""
    try:
        return int(datetime.fromisoformat(created).timestamp()) * 1_000_000_000
    except (ValueError, OverflowError):
        return 0
