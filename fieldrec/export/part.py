"""The unfinished file of an export: made, locked, gone again unless it gets its final name (I4).

Blocking; in the export process, or in a command of its own.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import av

from fieldrec.core import durable
from fieldrec.core.errors import EncoderFailed, FieldrecError, LockedError, StoreFull

_HEAD_BYTES = 4_096


class PartFile:
    """The file object that libavformat writes to: sequential but for the index at the end."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor
        self.failure: Exception | None = None
        """The first error of a write: libavformat may forget it and name one of its own."""

    def write(self, data: bytes) -> int:
        """All of `data` at the present position; StoreFull when the disk is full."""
        try:
            durable.write(self._descriptor, [data], self._path, len(data))
        except Exception as error:
            self.failure = self.failure or error
            raise
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """As of any file."""
        return os.lseek(self._descriptor, offset, whence)

    def tell(self) -> int:
        """As of any file."""
        return os.lseek(self._descriptor, 0, os.SEEK_CUR)

    def seekable(self) -> bool:
        """Always."""
        return True

    def replace_head(self, old: bytes, new: bytes) -> None:
        """Put `new` in the place of `old`, of the same length, near the beginning of the file."""
        with self._path.open("rb") as file:
            at = file.read(_HEAD_BYTES).find(old)
        if at < 0 or len(old) != len(new):
            raise EncoderFailed(f"{self._path}: the movie does not begin as it should")
        self.seek(at)
        self.write(new)


def part_path(target: Path) -> Path:
    """Where an export is made before it gets its name."""
    return target.with_name(durable.PART_PREFIX + target.name)


def fresh_part(part: Path) -> int:
    """Create the part file and hold its flock; what a dead run left is removed first.

    LockedError when another process is making the same export.
    """
    with contextlib.suppress(FileNotFoundError):
        stale = os.open(part, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            _lock(stale, part)
            durable.unlink(part)
        finally:
            os.close(stale)
    descriptor = durable.create(part)
    try:
        _lock(descriptor, part)
    except LockedError:
        os.close(descriptor)
        raise
    return descriptor


def _lock(descriptor: int, part: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise LockedError(f"{part}: another process is making this export") from error


@contextlib.contextmanager
def removed_on_failure(path: Path) -> Iterator[None]:
    """Whatever ends the block early, a stop or Ctrl-C too, takes the file with it."""
    try:
        yield
    except LockedError:
        raise  # the file is the other process's
    except BaseException:
        discard(path)
        raise


def discard(path: Path) -> None:
    """Remove our own file if it can be removed; the error under way says more than a new one."""
    with contextlib.suppress(OSError, FieldrecError):
        durable.unlink(path, missing_ok=True)


@contextlib.contextmanager
def errors_in_one_line(part: Path) -> Iterator[None]:
    """Give the errors of the encoder and of the system a place in our tree."""
    try:
        yield
    except av.FFmpegError as error:
        raise EncoderFailed(f"{part}: the encoder failed: {error}") from error
    except OSError as error:
        if error.errno in durable.FULL_ERRNOS:
            raise StoreFull(f"{part}: {error.strerror}: make room") from error
        where = error.filename or part
        raise EncoderFailed(f"{where}: the export failed: {error.strerror or error}") from error
