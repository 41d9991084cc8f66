"""Paths made absolute without asking a file system that may hang: what is mounted by a network or
by FUSE is not looked into. Blocking, small; used while a file is loaded."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

MOST_LINKS = 40
_HANGING = ("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "ceph", "afs", "fuse", "autofs",
            "glusterfs")
"""Types of file systems that may not answer; fuse.sshfs and its like too."""
_ESCAPED = re.compile(r"\\([0-7]{3})")


def resolve_unasked(base: Path, path: Path) -> Path:
    """As `(base / path).resolve()` with `~` expanded, but whatever lies below the mount point of
    such a file system is taken as it is written. OSError for a loop of links, ValueError for what
    can be no path."""
    if "\0" in str(path):
        raise ValueError("embedded null byte")
    points = _mount_points(Path("/proc/self/mountinfo"))
    left = list(reversed((Path.cwd() / base / path.expanduser()).parts[1:]))
    at, links = Path("/"), 0
    while left:
        part = left.pop()
        if part == "..":
            at = at.parent
            continue
        at = at / part
        if str(at) in points:
            return Path(os.path.normpath(at.joinpath(*reversed(left))))
        if at.is_symlink():
            links += 1
            if links > MOST_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(at))
            target = at.readlink()
            at = Path("/") if target.is_absolute() else at.parent
            left.extend(reversed([one for one in target.parts if one != "/"]))
    return at


def may_hang(path: Path) -> bool:
    """Whether a path that is absolute lies on such a file system."""
    points = _mount_points(Path("/proc/self/mountinfo"))
    return any(str(one) in points for one in (path, *path.parents))


def _mount_points(mountinfo: Path) -> frozenset[str]:
    """Those of file systems that may hang."""
    points = set()
    try:
        text = mountinfo.read_text(errors="surrogateescape")
    except OSError:
        return frozenset()
    for line in text.splitlines():
        fields = line.split(" ")
        kind = fields[fields.index("-") + 1]
        if kind.partition(".")[0] in _HANGING:
            points.add(_ESCAPED.sub(lambda found: chr(int(found[1], 8)), fields[4]))
    return frozenset(points)
