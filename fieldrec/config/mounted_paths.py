"""Paths made absolute without asking a file system that may hang: what is mounted by a network or
by FUSE is not looked into. Blocking, small; used while a file is loaded."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

from fieldrec.core.mountinfo import read_mounts

MOST_LINKS = 40
_HANGING = ("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "ceph", "afs", "fuse", "autofs",
            "glusterfs")
"""Types of file systems that may not answer; fuse.sshfs and its like too."""


def resolve_unasked(base: Path, path: Path) -> Path:
    """As `(base / path).resolve()` with `~` expanded, but whatever lies below the mount point of
    such a file system is taken as it is written. OSError for a loop of links, ValueError for what
    can be no path."""
    if "\0" in str(path):
        raise ValueError("embedded null byte")
    points = _mount_points()
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
    points = _mount_points()
    return any(str(one) in points for one in (path, *path.parents))


def _mount_points() -> frozenset[str]:
    """Those of file systems that may hang."""
    with contextlib.suppress(OSError):
        return frozenset(str(mount.mount_point) for mount in read_mounts()
                         if mount.fs_type.partition(".")[0] in _HANGING)
    return frozenset()
