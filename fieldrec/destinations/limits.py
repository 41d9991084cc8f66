"""What a file system cannot hold: files that are too large, names it forbids, folders too full.

Not a kind of destination; used by those that are folders, and asked by a copy before its first
byte, so that nobody learns after an hour that the last file does not fit. Pure but for
:func:`limits_at`, which reads /proc and at most one sector. Names are refused, never changed: what
a manifest says is what lies there. fieldrec's own names are fit for all of these file systems;
stores made by others, or renamed by hand, may have any. A destination's times are never relied on
(FAT keeps them to 2 s), here or anywhere.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from fieldrec.core.durable import PART_PREFIX
from fieldrec.core.errors import JobRefused
from fieldrec.core.mountinfo import read_mounts
from fieldrec.destinations import _tree

_GIB = 1 << 30
_WINDOWS_FORBIDS = frozenset('\\:*?"<>|' + "".join(map(chr, range(0x20))))
_LONGEST_BYTES, _LONGEST_UNITS = 255, 255
_AFTER = "-12345678-9.json"
"""What an item's name may get at its end: a suffix where it is taken, and its manifest's."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one file system; the largest numbers there are where it has no limit that matters."""

    name: str
    """As people say it."""
    file_bytes: int = 1 << 62
    """Of the largest file."""
    forbidden: frozenset[str] = frozenset()
    """Characters that no name may have, besides "/" and NUL."""
    drops_last: str = ""
    """Characters that are silently taken from the end of a name."""
    folds_case: bool = False
    """Whether "Bees" and "bees" are one name, there or on the computers it is made for…"""
    driver_folds: bool = True
    """…and whether the driver here holds to that; where it does not, we do (:func:`twin`)."""
    utf16: bool = False
    """Whether names are counted in UTF-16 units and not in bytes; 255 of either."""
    folder_entries: int = 1 << 62
    """Room in one folder, in entries of the file system…"""
    entries_besides: int = 1
    """…of which a file takes so many…"""
    entry_units: int = 0
    """…and one more for so many units of its name; 0: none."""

    def entries(self, name: str) -> int:
        """Of a folder that one file takes."""
        if not self.entry_units:
            return self.entries_besides
        return self.entries_besides + -(-_units(name) // self.entry_units)


_FAT = Limits("FAT32", file_bytes=4 * _GIB - 1, forbidden=_WINDOWS_FORBIDS, drops_last=". ",
              folds_case=True, utf16=True, folder_entries=65_536 - 2, entry_units=13)
"""A folder has 2 MiB, an entry 32 bytes; a long name takes one entry for each 13 units."""
_EXFAT = Limits("exFAT", forbidden=_WINDOWS_FORBIDS, drops_last=". ", folds_case=True, utf16=True,
                folder_entries=8_388_608, entries_besides=2, entry_units=15)
"""A folder has 256 MB; a file takes two entries and one for each 15 units of its name."""
_NTFS = Limits("NTFS", forbidden=_WINDOWS_FORBIDS, drops_last=". ", folds_case=True,
               driver_folds=False, utf16=True)
"""Its drivers here take any name and keep "Bees" beside "bees": Windows could then open neither."""
NONE = Limits("this file system")
_KNOWN = {"vfat": _FAT, "msdos": _FAT, "fat": _FAT, "fat32": _FAT, "exfat": _EXFAT,
          "fuse.exfat": _EXFAT, "ntfs": _NTFS, "ntfs3": _NTFS, "fuse.ntfs": _NTFS,
          "fuse.ntfs-3g": _NTFS,
          "ext2": Limits("ext2"), "ext3": Limits("ext3"), "ext4": Limits("ext4", 16 << 40),
          "xfs": Limits("XFS"), "btrfs": Limits("btrfs")}
_SIGNATURES = ((3, b"EXFAT   ", "exfat"), (3, b"NTFS    ", "ntfs"), (82, b"FAT32   ", "vfat"),
               (54, b"FAT1", "vfat"))
"""In a boot sector, at an offset: which of them a driver in user space has mounted."""


@runtime_checkable
class Limited(Protocol):
    """A destination on a file system that has limits."""

    def limits(self) -> Limits:
        """Blocking; DestinationError, DriveGone as any call of a destination."""
        ...


def limits_of(fs_type: str) -> Limits:
    """Of a file system by its type, as mountinfo or blkid has it; :data:`NONE` for any other."""
    return _KNOWN.get(fs_type.lower(), NONE)


def limits_at(descriptor: int) -> Limits:
    """Of the file system that an open directory lies on; :data:`NONE` where it cannot be told."""
    fs_type, source = mounted(descriptor)
    if fs_type == "fuseblk":  # which one, only its first sector says
        fs_type = _signature(source)
    return limits_of(fs_type)


def mounted(descriptor: int) -> tuple[str, str]:
    """(type, source) of the mount that an open file is reached by; "" where /proc does not say."""
    number = re.search(r"^mnt_id:\s*(\d+)$", Path(f"/proc/self/fdinfo/{descriptor}").read_text(),
                       re.MULTILINE)
    return next(((mount.fs_type, mount.source) for mount in read_mounts()
                 if number is not None and mount.ident == number[1]), ("", ""))


def check(destination: object, item: str, sizes: Mapping[str, int]) -> None:
    """JobRefused, with what to do, if the item's files (bytes by `relative`, "" for a single file)
    cannot all lie at the destination. One that is no folder takes all."""
    if isinstance(destination, Limited) and (why := refusal(destination.limits(), item, sizes)):
        raise JobRefused(f"{why}; nothing was copied")


def refusal(limits: Limits, item: str, sizes: Mapping[str, int]) -> str:
    """Why an item cannot lie there, and what to do; "" if it can."""
    longest = PART_PREFIX + item + _AFTER
    folders: dict[str, set[str]] = {}
    for relative, size in sizes.items():
        if size > limits.file_bytes:
            return _too_large(limits, _path(item, relative), size)
        parts = [part for part in relative.split("/") if part]
        for depth, part in enumerate(parts):
            folders.setdefault("/".join(parts[:depth]), set()).add(part)
    for name in (item, longest, *(name for names in folders.values() for name in names)):
        if why := _name_refused(limits, name):
            return f"{_path(item)}: {why}"
    for folder, names in folders.items():
        if why := _folder_refused(limits, names):
            return f"{_path(item, folder)}: {why}"
    return ""


def twin(limits: Limits, item: str, descriptor: int) -> bool:
    """Whether the open folder has the item's name in other case, where that must not be and nobody
    else sees to it. Looks at every name there is, one by one."""
    if not limits.folds_case or limits.driver_folds:
        return False
    wanted = {item.upper(), f"{item}.json".upper()}
    with os.scandir(descriptor) as entries:
        return any(entry.name.upper() in wanted for entry in entries)


def folded_twins(names: Iterable[str]) -> tuple[str, str] | None:
    """Two of the names that differ in case alone."""
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(name.upper(), name)
        if other != name:
            return other, name
    return None


def _too_large(limits: Limits, what: str, size: int) -> str:
    smaller = ("let raw lie there as files (raw_as: files)" if what.endswith(".tar")
               else "export with slice_s in the preset")
    return (f"{what} has {size / _GIB:.1f} GiB, and {limits.name} holds no file of "
            f"{-(-limits.file_bytes // _GIB)} GiB or more; {smaller}, or use a drive formatted as "
            "exFAT")


def _name_refused(limits: Limits, name: str) -> str:
    length = _units(name) if limits.utf16 else len(os.fsencode(name))
    if length > (_LONGEST_UNITS if limits.utf16 else _LONGEST_BYTES):
        return f"the name {_shown(name)} is too long; give it a shorter name and try again"
    wrong = next((letter for letter in name if letter in limits.forbidden), None)
    if wrong is not None:
        return (f"{limits.name} forbids {wrong!r}, which the name {_shown(name)} has; rename it, "
                "or use a drive formatted as ext4")
    if limits.drops_last and name[-1:] in limits.drops_last:
        return (f"{limits.name} keeps no {name[-1]!r} at the end of a name, as in {_shown(name)}; "
                "rename it, or use a drive formatted as ext4")
    return ""


def _folder_refused(limits: Limits, names: set[str]) -> str:
    if limits.folds_case and (twins := folded_twins(sorted(names))):
        return (f"{_shown(twins[0])} and {_shown(twins[1])} are one name on {limits.name}; "
                "use a drive formatted as ext4")
    needed = sum(limits.entries(name) for name in names)
    if needed > limits.folder_entries:
        return (f"{len(names)} files are more than one folder holds on {limits.name}; use a drive "
                "formatted as exFAT or ext4")
    return ""


def _units(name: str) -> int:
    """UTF-16 units of a name."""
    return len(name) + sum(letter > "\uffff" for letter in name)


def _path(*parts: str) -> str:
    return _tree.shown("/".join(filter(None, parts)))


def _shown(name: str) -> str:
    return ascii(name if len(name) <= 60 else name[:57] + "...")


def _signature(source: str) -> str:
    """The type of file system that a boot sector tells of; "" where it cannot be read."""
    try:
        with Path(source).open("rb", buffering=0) as device:
            sector = device.read(512)
    except OSError:
        return ""
    return next((name for at, mark, name in _SIGNATURES if sector.startswith(mark, at)), "")
