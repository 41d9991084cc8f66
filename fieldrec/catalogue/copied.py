"""Where the store of a copy is. Blocking: a few looks at a folder; changes nothing.

imgstore opens no directory store that has any folder in it but its chunks, so the ASC MHL history
of a copy lies not in the store but around it: ``NAME/ascmhl/`` and ``NAME/NAME/metadata.yaml``.
"""

from __future__ import annotations

import os
from pathlib import Path

from fieldrec.mhl import CHAIN_NAME, FOLDER
from fieldrec.store.metadata import METADATA_NAME


def store_of(path: Path) -> Path:
    """The store in the copy `path`; `path` itself where that is none. Never raises."""
    try:
        if not (path / FOLDER / CHAIN_NAME).is_file() or (path / METADATA_NAME).exists():
            return path
        with os.scandir(path) as entries:
            stores = [path / entry.name for entry in entries
                      if entry.name != FOLDER and entry.is_dir(follow_symlinks=False)
                      and (path / entry.name / METADATA_NAME).exists()]
    except OSError:
        return path
    return stores[0] if len(stores) == 1 else path
