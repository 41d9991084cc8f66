"""What a test asks of a configuration that names destinations of several kinds."""

from __future__ import annotations

from pathlib import Path

from fieldrec.config import Config
from fieldrec.config.destinations import FolderConfig


def path_of(config: Config, name: str) -> Path:
    """Of a destination that is a folder."""
    folder = config.destinations[name]
    assert isinstance(folder, FolderConfig)
    return folder.path
