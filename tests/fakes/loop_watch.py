"""Notes every file that one thread touches below some folders. Standard library only.

Import it and call :func:`install` before anything else is imported: code that keeps `os.statvfs` or
`os.fsync` as a default argument then keeps the noting one. For a process of its own: an audit hook
cannot be removed again.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

BY_DESCRIPTOR = ("writev", "write", "pwrite", "pwritev", "read", "pread", "preadv", "readv",
                 "fsync", "fdatasync", "fstat", "posix_fallocate", "posix_fadvise", "sendfile",
                 "copy_file_range", "ftruncate", "fstatvfs", "lseek")
BY_PATH = ("stat", "lstat", "access", "statvfs")
"""With the above: calls of `os` that the interpreter does not audit."""
AUDITED = ("open", "os.", "shutil.", "fcntl.", "glob.", "pathlib.")
TWO_PATHS = ("os.rename", "os.link", "os.symlink", "shutil.move", "shutil.copyfile")

_readlink = os.readlink


class LoopWatch:
    """What the watched thread did; nothing is noted before :meth:`watch`."""

    def __init__(self) -> None:
        self.found: list[str] = []
        self.elsewhere = 0
        """The same by other threads: proof that the watch sees anything at all."""
        self._thread: int | None = None
        self._folders: list[str] = []
        self._but = ""
        self._inside = threading.local()

    def watch(self, folders: list[Path], but: str) -> None:
        """From now on, for the calling thread; paths with a part called `but` are its own."""
        self._folders = [str(folder) for folder in folders]
        self._but = but
        self._thread = threading.get_ident()

    def note(self, what: str, arguments: tuple[Any, ...]) -> None:
        """A call on these paths or descriptors is about to be made by the running thread."""
        if self._thread is None or getattr(self._inside, "noting", False):
            return
        self._inside.noting = True  # what is done here is not the caller's doing
        try:
            paths = [path for argument in arguments if (path := _path_of(argument)) is not None]
            seen = [f"{what} {path}" for path in paths if self._is_watched(path)]
            if threading.get_ident() == self._thread:
                self.found.extend(seen)
            else:
                self.elsewhere += len(seen)
        finally:
            self._inside.noting = False

    def _is_watched(self, path: str) -> bool:
        """Below a watched folder, or relative to a directory that somebody has open."""
        if self._but in path.split("/"):
            return False
        return not path.startswith("/") or any(
            path == folder or path.startswith(folder + "/") for folder in self._folders)


def install() -> LoopWatch:
    """For the rest of the process."""
    watch = LoopWatch()

    def audit(event: str, arguments: tuple[Any, ...]) -> None:
        if event.startswith(AUDITED):
            watch.note(event, arguments[:2 if event in TWO_PATHS else 1])

    sys.addaudithook(audit)
    for name in BY_DESCRIPTOR + BY_PATH:
        setattr(os, name, _noting(watch, name, getattr(os, name)))
    return watch


def _noting(watch: LoopWatch, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    def noting(*arguments: Any, **named: Any) -> Any:
        watch.note(f"os.{name}", arguments[:1])
        return call(*arguments, **named)
    return noting


def _path_of(argument: Any) -> str | None:
    """The file that a path or descriptor means; None for sockets, pipes and terminals."""
    if isinstance(argument, bytes):
        return os.fsdecode(argument)
    if isinstance(argument, str | os.PathLike):
        return os.fspath(argument)
    if isinstance(argument, int) and not isinstance(argument, bool) and argument > 2:
        try:
            target = _readlink(f"/proc/self/fd/{argument}")
        except OSError:
            return None
        return target if target.startswith("/") else None
    return None
