"""A tree that somebody else may have made, walked by descriptors: through no symlink, into no other
thing than files and directories. Blocking. Linear in entries; deep nesting is not followed."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from fieldrec.mhl import FOLDER

DEEPEST = 64
"""Folders in one another."""
SLICE_BYTES = 1 << 20
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Entry:
    """One name in an open directory."""

    name: str
    kind: str
    """"file", "directory", "other" (a symlink, FIFO, device)."""


def entries(directory: int) -> list[Entry]:
    """What is in an open directory, sorted by name. OSError."""
    with os.scandir(directory) as found:
        return sorted((Entry(one.name, _kind(one)) for one in found), key=lambda one: one.name)


def _kind(entry: os.DirEntry[str]) -> str:
    if entry.is_file(follow_symlinks=False):
        return "file"
    return "directory" if entry.is_dir(follow_symlinks=False) else "other"


@contextlib.contextmanager
def directory(name: str | os.PathLike[str], parent: int | None = None) -> Iterator[int]:
    """The open directory `name` in `parent`, or at a path that the caller trusts (which may be a
    symlink). OSError where it is none."""
    flags = _DIRECTORY if parent is not None else _DIRECTORY & ~os.O_NOFOLLOW
    descriptor = os.open(name, flags, dir_fd=parent)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def open_file(name: str, parent: int) -> int:
    """The open regular file `name` in `parent`. OSError where it is none: not even a FIFO that
    nobody writes holds us."""
    descriptor = os.open(name, _FILE, dir_fd=parent)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(0, "not a file")
    return descriptor


def read_small(name: str, parent: int, limit_bytes: int) -> bytes | None:
    """The bytes of the file `name` in `parent`; None when missing, no file, unreadable, or too
    large."""
    try:
        with open(open_file(name, parent), "rb") as file:
            if os.fstat(file.fileno()).st_size > limit_bytes:
                return None
            data = file.read(limit_bytes + 1)
    except OSError:
        return None
    return data if len(data) <= limit_bytes else None


def slices(file: BinaryIO) -> Iterator[bytes]:
    """The bytes of an open file from where it stands."""
    while data := file.read(SLICE_BYTES):
        yield data


def has_history(parent: int) -> bool:
    """Whether there is a folder ``ascmhl/`` in an open directory."""
    try:
        return stat.S_ISDIR(os.stat(FOLDER, dir_fd=parent, follow_symlinks=False).st_mode)
    except OSError:
        return False
