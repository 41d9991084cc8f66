"""The section about removable drives: which of them may get data, and what each gets.

Pure; what the rules mean for one drive is drives/accept.py's.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, field_validator

from fieldrec.config.section import Bytes, SafeName, Section, located

OnInsert = Literal["copy", "move", "export", "nothing"]
ANY, MARKED, LABEL, UUID = "any", "marked", "label:", "uuid:"
_ID = re.compile(r"[A-Za-z0-9-]{1,64}\Z")
LONGEST_PATTERN = 100


def check_item(text: str) -> str:
    """`text` as it was written if it names drives: any, marked, label:PATTERN or uuid:ID; else
    ValueError saying how it is written."""
    if text in (ANY, MARKED):
        return text
    if text.startswith(UUID):
        if not _ID.match(text.removeprefix(UUID)):
            raise ValueError("expected uuid: and an id of letters, digits and '-', as `fieldrec "
                             "drive list` shows it")
    elif text.startswith(LABEL):
        _check_label(text.removeprefix(LABEL))
    else:
        raise ValueError("expected any, marked, label:PATTERN (such as label:FIELD*) or uuid:ID")
    return text


def _check_label(pattern: str) -> None:
    if not pattern.strip() or len(pattern) > LONGEST_PATTERN:
        raise ValueError(f"expected label: and a pattern of 1 to {LONGEST_PATTERN} characters, "
                         "such as label:FIELD*")
    if not pattern.strip("*?"):
        raise ValueError("this pattern is every drive with a label, and drives named by their "
                         "label may get moves; write any, or a part of the label")


def check_camera(pattern: str) -> str:
    """`pattern` if it can be a camera's serial, or a pattern of serials; else ValueError."""
    if not pattern.strip() or len(pattern) > LONGEST_PATTERN:
        raise ValueError("expected a camera's serial, or a pattern such as side-*")
    return pattern


def _listed(value: object) -> object:
    """One word where a list is meant."""
    return (value,) if isinstance(value, str) else value


def _some(items: tuple[str, ...]) -> tuple[str, ...]:
    if not items:
        raise ValueError("no drive could be used then; write any, or `enabled: false`")
    return items


Item = Annotated[str, AfterValidator(check_item)]
Cameras = Annotated[tuple[Annotated[str, AfterValidator(check_camera)], ...],
                    BeforeValidator(_listed)]
Items = Annotated[tuple[Item, ...], BeforeValidator(_listed), AfterValidator(_some)]


class DriveRule(Section):
    """What one drive, or one kind of drive, gets; what is left out is as the drive's own marker
    says, else as `drives` says."""

    drive: Item
    """any, marked (by this recorder), label:PATTERN or uuid:ID."""
    on_insert: OnInsert | None = None
    """None: not said here."""
    cameras: Cameras | None = None
    """None: not said here; an empty list: all of them."""
    eject: bool | None = None
    keep_free_bytes: Bytes | None = None
    raw_as: Literal["files", "tar"] | None = None


class DrivesConfig(Section):
    """Removable drives."""

    enabled: bool = True
    match: dict[str, str] = Field(default_factory=lambda: {"ID_BUS": "usb"})
    """udev properties that a block device must have, all of them, to count as a drive; the values
    may be patterns (`*`, `?`)."""
    accept: Items = (ANY,)
    """Which drives may get data, when one of these holds: `any` drive; `marked`, by `fieldrec drive
    prepare` on this recorder; `label:PATTERN` (upper and lower case are the same); `uuid:ID` of its
    file system. Another is never written to. A drive that is accepted only as `any` is unknown: it
    gets copies and exports, and nothing is ever deleted for it."""
    require_usb3: bool = False
    """Do not use a drive whose USB link is slower than USB 3 (5000 Mb/s)."""
    on_insert: OnInsert = "copy"
    """`copy`: give the drive every complete recording and export it lacks; `move`: and delete what
    was verified on it from the recorder; `export`: the exports alone; `nothing`."""
    cameras: Cameras = ()
    """Serials, or patterns of them, of the cameras whose recordings it gets; none: all. Where not
    all of them fit, those that are nowhere else yet go first, then by this order, then the
    oldest."""
    eject: bool = True
    """Make it safe to remove when it has got everything."""
    keep_free_bytes: Bytes = 50_000_000
    """Left free on the drive."""
    raw_as: Literal["files", "tar"] = "files"
    """How raw lies on it: `files` as recorded; `tar`: one archive per chunk, for drives on which
    many small files are slow."""
    rules: tuple[DriveRule, ...] = ()
    """What certain drives get instead; the first that names a drive counts."""
    check: Literal["never", "look", "repair"] = "look"
    """Look for errors of the file system before it is used; `repair` mends what can be mended
    without a question, `look` only what an exFAT drive that was pulled out has in copies that were
    not finished. Another drive with errors is rejected."""
    check_s: float = Field(default=60.0, gt=0, le=3600)
    """A check that takes longer is ended, and the drive used all the same."""
    mounter: Literal["auto", "udisks", "mount"] = "auto"
    """`auto`: udisks2 where it runs, else mount(8)."""
    mount_root: Path = Path("/run/fieldrec/drives")
    """Folder in which drives are mounted, one private folder each."""
    folder: SafeName = "fieldrec"
    """Folder on the drive that receives recordings."""
    file_systems: tuple[str, ...] = ("ext4", "exfat", "vfat", "ntfs", "ntfs3", "xfs", "btrfs")
    """File-system types that may be mounted; any other drive is rejected."""
    suspect_after: int = Field(default=3, ge=1, le=1000)
    """A drive on which so many copies came out wrong is suspect, and used no more."""

    unproven_moves: bool = False
    """Also delete for a copy on a drive of which cannot be told whether it is as large as it says:
    a counterfeit one would destroy earlier recordings with later ones."""

    @field_validator("match")
    @classmethod
    def _not_every_disk(cls, value: dict[str, str]) -> dict[str, str]:
        if not value:
            raise ValueError("every disk of this machine would be a drive then; write {ID_BUS: usb}"
                             " (`enabled: false` is for no drives at all)")
        return value

    @field_validator("rules")
    @classmethod
    def _each_rule_is_reached(cls, value: tuple[DriveRule, ...]) -> tuple[DriveRule, ...]:
        seen: dict[str, int] = {}
        for index, rule in enumerate(value):
            before = seen.get(ANY, seen.get(rule.drive.casefold()))
            if before is not None:
                raise located((index, "drive"), f"never reached: rule {before + 1} is for "
                              f"{value[before].drive} already, and the first that fits counts")
            seen[rule.drive.casefold()] = index
        return value
