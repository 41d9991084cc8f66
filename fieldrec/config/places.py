"""The section about named places that recordings are taken to."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from fieldrec.config.section import Section


class DestinationConfig(Section):
    """A named place to copy to; the key in `destinations:` is its name."""

    type: Literal["folder"] = "folder"
    path: Path
    """Existing folder, outside the recordings folder; relative to the configuration file."""
    automatic: bool = False
    """Queue a copy of every recording (raw and exported) when it is complete."""
