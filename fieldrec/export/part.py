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
