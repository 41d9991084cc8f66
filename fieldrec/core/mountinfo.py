"""What is mounted in this process's view, by /proc/self/mountinfo, which the kernel answers from
memory: any thread, never blocks.

Names of mount points are often strangers' labels: the kernel escapes spaces, tabs, backslashes and
line feeds in them, and leaves every other line end as it is. So a line ends at a line feed alone,
no byte is refused, and a line that is none is passed over.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

MOUNTINFO = Path("/proc/self/mountinfo")
_OCTAL = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of mountinfo."""

    number: str
    """"major:minor" of the device; made up by the kernel for btrfs."""
    mount_point: Path
    options: frozenset[str]
    """Of this mount: nosuid, nodev, noexec, ro…"""
    fs_type: str
    source: str
    super_options: frozenset[str]
    """Of the file system: ro after errors, emergency_ro…"""
    ident: str = ""
    """The kernel's number of this mount, unique over all namespaces while it is there."""

    @property
    def read_only(self) -> bool:
        """Whether nothing can be written, for whatever reason."""
        return bool({"ro", "emergency_ro"} & (self.options | self.super_options))


def read_mounts(text: str | None = None, source: Path = MOUNTINFO) -> list[Mount]:
    """All mounts in the order in which they were made; `text` is mountinfo's, default: what
    `source` says now. OSError where that cannot be read."""
    if text is None:
        text = source.read_bytes().decode("utf-8", "surrogateescape")
    found = []
    for line in text.split("\n"):
        before, _, after = line.partition(" - ")
        fields, tail = before.split(" "), after.split(" ")
        if len(fields) < 6 or len(tail) < 3:
            continue
        found.append(Mount(
            number=fields[2], mount_point=Path(plain(fields[4])),
            options=frozenset(fields[5].split(",")), fs_type=tail[0], source=plain(tail[1]),
            super_options=frozenset(tail[2].split(",")), ident=fields[0]))
    return found


def plain(text: str) -> str:
    r"""Undo mountinfo's and fstab's escapes (``\040`` is a space)."""
    return _OCTAL.sub(lambda match: chr(int(match[1], 8)), text)
