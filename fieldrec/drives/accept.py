"""Which drives may get data, and what each of them gets: the configuration's rules, pure.

Asked twice for a drive: with its id and label, before it is mounted, and with what its marker says,
before anything is written. The recorder's owner has the last word: a rule of the configuration
comes before the drive's own marker, and what is said for all drives after it. An unknown drive,
which may be anybody's, is given copies and exports, and nothing is deleted for it (I5 keeps what
lies here; this keeps it from being taken away).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import cast

from fieldrec.config.drives import ANY, LABEL, MARKED, UUID, DriveRule, DrivesConfig, OnInsert
from fieldrec.core.model import Drive
from fieldrec.drives.capacity import TOLD_ON, cannot_tell
from fieldrec.drives.labels import printable


@dataclass(frozen=True, slots=True)
class Serving:
    """What one drive gets when it is put in."""

    on_insert: OnInsert
    """move only for a drive that is known."""
    cameras: tuple[str, ...]
    """Patterns of serials; () = all."""
    eject: bool
    keep_free_bytes: int
    raw_as: str
    """files or tar."""
    why: str
    """For people: who says so, and what to do where it is less than was asked for."""

    def takes(self, camera_serial: str) -> bool:
        """Whether recordings of this camera are for the drive."""
        return not self.cameras or any(fnmatchcase(camera_serial, p) for p in self.cameras)


def recognised(config: DrivesConfig, drive: Drive) -> Drive:
    """`drive` with what the configuration, and its marker, make of it: `known` and `rule`."""
    rule = next((i for i, rule in enumerate(config.rules) if _is(rule.drive, drive)), -1)
    named = (*config.accept, *(rule.drive for rule in config.rules))
    known = any(item != ANY and _is(item, drive) for item in (MARKED, *named))
    return replace(drive, known=known, rule=rule)


def refusal(config: DrivesConfig, drive: Drive) -> str:
    """Why a drive may get nothing, with what to do; "" when it is accepted."""
    if any(_is(item, drive) for item in config.accept):
        return ""
    foreign = "marked by another recorder and " if drive.marker and not drive.marker.ours else ""
    ways = [f"add uuid:{drive.fs_uuid} to drives.accept"] if drive.fs_uuid else []
    if MARKED in config.accept:
        ways.insert(0, f"mark it with `fieldrec drive prepare {drive.device}`")
    return (f"{foreign}not among drives.accept ({', '.join(config.accept)}); to use it "
            + " or ".join(ways or ["format it"]))


def marker_decides(config: DrivesConfig, drive: Drive) -> bool:
    """Whether the drive is accepted only if this recorder has marked it: then it must be looked at
    without a byte being written to it."""
    return MARKED in config.accept and not any(
        item != MARKED and _is(item, drive) for item in config.accept)


def serving(config: DrivesConfig, drive: Drive) -> Serving:
    """What this drive gets; it has been through :func:`recognised`."""
    rule = config.rules[drive.rule] if 0 <= drive.rule < len(config.rules) else None
    on_insert, why = _asked(config, drive, rule)
    if on_insert == "move" and not drive.known:
        on_insert, why = "copy", f"{why}, but {_unknown(drive)}"
    elif on_insert == "move" and (doubt := doubted(config, drive)):
        on_insert, why = "copy", f"{why}, but {doubt}"
    elif drive.marker is not None and not drive.marker.ours:
        why += "; the marker on it is another recorder's, and not followed"
    cameras = config.cameras
    if drive.marker is not None and drive.marker.ours and drive.marker.cameras is not None:
        cameras = drive.marker.cameras
    if rule is not None and rule.cameras is not None:
        cameras = rule.cameras
    return Serving(
        on_insert=on_insert, cameras=cameras, why=why,
        eject=config.eject if rule is None or rule.eject is None else rule.eject,
        keep_free_bytes=(config.keep_free_bytes if rule is None or rule.keep_free_bytes is None
                         else rule.keep_free_bytes),
        raw_as=config.raw_as if rule is None or rule.raw_as is None else rule.raw_as)


def doubted(config: DrivesConfig, drive: Drive) -> str:
    """Why nothing may be deleted for this drive, known as it is: whether it is as large as it says
    cannot be told; "" where it was, or will be before the first deletion. `size_bytes` and
    `free_bytes` are those of its file system, once it is mounted."""
    if config.unproven_moves:
        return ""
    marked = drive.marker.capacity_bytes if drive.marker and drive.marker.ours else 0
    if max(marked, drive.capacity_bytes) >= drive.size_bytes:
        return ""
    # before it is mounted nobody knows what is on it
    free = drive.free_bytes if drive.mount_point is not None else drive.size_bytes
    why = cannot_tell(drive.fs_type, drive.size_bytes, free)
    return why and not_told(drive.label or drive.fs_uuid, drive, why)


def not_told(name: str, drive: Drive, why: str) -> str:
    """For people: nothing is deleted for this drive, and what to do."""
    kind = "ext4" if drive.fs_type in TOLD_ON else "exfat"
    return (f"whether drive {name} is as large as it says {why}; nothing is deleted for it; copy "
            f"instead, format it with `fieldrec drive prepare --format {kind}`, or set "
            "drives.unproven_moves: true")


def described(gets: Serving) -> str:
    """In a few words, e.g. "copies of cameras top, side-*; then eject"."""
    if gets.on_insert == "nothing":
        return "nothing by itself"
    what = {"copy": "copies", "move": "moves", "export": "exports"}
    cameras = f" of cameras {', '.join(printable(c) for c in gets.cameras)}" if gets.cameras else ""
    tar = " as tar" if gets.raw_as == "tar" and gets.on_insert != "export" else ""
    return f"{what[gets.on_insert]}{cameras}{tar}; {'then eject' if gets.eject else 'stays in use'}"


def _asked(config: DrivesConfig, drive: Drive, rule: DriveRule | None) -> tuple[OnInsert, str]:
    """What is to be done on insertion, and who says so."""
    if rule is not None and rule.on_insert is not None:
        return rule.on_insert, f"by rule {drive.rule + 1} of drives.rules ({rule.drive})"
    marker = drive.marker
    if marker is not None and marker.ours and marker.on_insert:
        return cast(OnInsert, marker.on_insert), "by its marker"
    return config.on_insert, "by drives.on_insert"


def _unknown(drive: Drive) -> str:
    """Why nothing is moved to it, and how to change that."""
    who = ("it was marked by another recorder" if drive.marker is not None
           else "it is unknown to this recorder")
    named = f", or name uuid:{drive.fs_uuid} in drives.accept" if drive.fs_uuid else ""
    return (f"{who}, so it gets copies and nothing is deleted here; for moves mark it with "
            f"`fieldrec drive prepare {drive.device}`{named}")


def _is(item: str, drive: Drive) -> bool:
    """Whether one item of the configuration (any, marked, label:…, uuid:…) is this drive."""
    if item in (ANY, MARKED):
        return item == ANY or (drive.marker is not None and drive.marker.ours)
    if item.startswith(UUID):
        return item.removeprefix(UUID).casefold() == drive.fs_uuid.casefold() != ""
    pattern = printable(item.removeprefix(LABEL), len(item))
    return drive.label != "" and fnmatchcase(drive.label.casefold(), pattern.casefold())
