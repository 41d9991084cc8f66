"""Walking a tree that somebody else may have prepared: by descriptors, through no symlink.

Not a kind of destination (hence the underscore); used by those that are folders. A drive may carry
planted symlinks, FIFOs and devices under our names: every component is opened by name inside the
descriptor of its parent, through no link and no mount (_beneath.py), so that nothing is resolved
twice, and every file must be a regular one. Blocking; ``copy`` thread.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from fieldrec.core import durable
from fieldrec.core.errors import JobRefused
from fieldrec.destinations import _beneath

DEEPEST = 8
"""Directories below an item; ours have one. A planted deeper tree is refused, not walked."""


def split(relative: str) -> list[str]:
    """The components of a "/"-separated path inside an item; JobRefused for any that climbs."""
    parts = relative.split("/")
    if any(part in ("", ".", "..") or "\0" in part for part in parts):
        raise JobRefused(f"{relative!r} is not a path inside an item")
    return parts


def kind(parent: int, path: Path) -> str | None:
    """What `path.name` in the open directory `parent` is: "file", "directory", "other" (a symlink,
    FIFO, device), or None when nothing has that name."""
    try:
        mode = os.stat(path.name, dir_fd=parent, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISREG(mode):
        return "file"
    return "directory" if stat.S_ISDIR(mode) else "other"


def open_directory(parent: int, path: Path, *, make: bool = False) -> int:
    """Open the directory `path.name` in `parent`; with `make` it is created where missing.

    JobRefused when something else has that name.
    """
    if make and kind(parent, path) is None:
        with contextlib.suppress(FileExistsError):
            durable.make_directory_at(parent, path)
    try:
        return _beneath.open_directory(path.name, parent)
    except OSError as error:
        if error.errno in _beneath.ELSEWHERE:
            raise refused(path, "directory") from error
        raise


@contextlib.contextmanager
def descend(parent: int, path: Path, parts: Sequence[str], *, make: bool = False
            ) -> Iterator[tuple[int, Path]]:
    """The open directory reached from `parent` (which is `path`) through `parts`, and its path."""
    at = os.dup(parent)
    try:
        for part in parts:
            path = path / part
            below = open_directory(at, path, make=make)
            os.close(at)
            at = below
        yield at, path
    finally:
        os.close(at)


def open_file(parent: int, path: Path, flags: int = 0) -> int:
    """Open the regular file `path.name` in `parent` for reading; JobRefused if it is anything else.

    O_NONBLOCK, because a FIFO would otherwise hold us for ever.
    """
    flags |= os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(path.name, flags, dir_fd=parent)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise refused(path, "file") from error
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise refused(path, "file")
    return descriptor


def refused(path: Path, wanted: str) -> JobRefused:
    """The error for a name of ours that something else has."""
    return JobRefused(f"{shown(path)} is in the way: not a {wanted} of ours but something else (a "
                      "symbolic link, a mount?); nothing was written there; remove it and try "
                      "again")


def entries(parent: int) -> Iterator[tuple[str, str]]:
    """Name and kind (as :func:`kind`) of all that is in an open directory, one by one, unsorted."""
    with os.scandir(parent) as found:
        for entry in found:
            if entry.is_file(follow_symlinks=False):
                yield entry.name, "file"
            else:
                is_directory = entry.is_dir(follow_symlinks=False)
                yield entry.name, "directory" if is_directory else "other"


def shown(path: Path | str) -> str:
    """A path for messages: anybody may have named it."""
    text = str(path)
    return text if text.isascii() and text.isprintable() else ascii(text)


def names(parent: int) -> list[str]:
    """Every name in an open directory, sorted."""
    return sorted(os.listdir(parent))


def file_sizes(parent: int, path: Path, depth: int = DEEPEST) -> dict[str, int]:
    """Bytes of every regular file below the open directory `parent`, by relative path.

    JobRefused for anything that is neither a file nor a directory.
    """
    found: dict[str, int] = {}
    for name in names(parent):
        mode_of = os.stat(name, dir_fd=parent, follow_symlinks=False)
        if stat.S_ISREG(mode_of.st_mode):
            found[name] = mode_of.st_size
        elif stat.S_ISDIR(mode_of.st_mode) and depth > 0:
            with descend(parent, path, [name]) as (below, below_path):
                inner = file_sizes(below, below_path, depth - 1)
            found.update((f"{name}/{relative}", size) for relative, size in inner.items())
        else:
            raise refused(path / name, "file")
    return found


def read_small(parent: int, path: Path, limit_bytes: int) -> bytes | None:
    """The bytes of the file `path.name` in `parent`; None when missing, no file, or too large."""
    if kind(parent, path) != "file":
        return None
    with open(open_file(parent, path), "rb") as file:
        if os.fstat(file.fileno()).st_size > limit_bytes:
            return None
        data = file.read(limit_bytes + 1)
    return data if len(data) <= limit_bytes else None
