"""The sections about where recordings are taken: named destinations and removable drives."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from fieldrec.config.section import Bytes, SafeName, Section


class DestinationConfig(Section):
    """A named place to copy to; the key in `destinations:` is its name."""

    type: Literal["folder"] = "folder"
    path: Path
    """Existing folder, outside the recordings folder; relative to the configuration file."""
    automatic: bool = False
    """Queue a copy of every recording (raw and exported) when it is complete."""


class DrivesConfig(Section):
    """Removable drives."""

    enabled: bool = True
    match: dict[str, str] = Field(default_factory=lambda: {"ID_BUS": "usb"})
    """udev properties that a block device must have, all of them, to count as a drive."""
    on_insert: Literal["copy", "nothing"] = "copy"
    """`copy`: give the drive every complete recording and export it lacks, then eject it."""
    mount_root: Path = Path("/run/fieldrec/drives")
    """Folder in which drives are mounted, one private folder each."""
    folder: SafeName = "fieldrec"
    """Folder on the drive that receives recordings."""
    file_systems: tuple[str, ...] = ("ext4", "exfat", "vfat", "ntfs", "ntfs3", "xfs", "btrfs")
    """File-system types that may be mounted; any other drive is rejected."""
    keep_free_bytes: Bytes = 50_000_000
    """Left free on the drive."""
