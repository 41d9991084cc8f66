"""The private folder `.fieldrec` in a recordings folder, and the lock that says who works on it.

Blocking, small. The lock (flock) dies with the process, so a file left by a crash harms nobody.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from fieldrec.core import durable
from fieldrec.core.errors import LockedError, StoreError, StoreFull

PRIVATE_NAME = ".fieldrec"
LOCK_NAME = "daemon.lock"


class FolderLock:
    """Held by the one process that works on a recordings folder."""

    def __init__(self, recordings: Path) -> None:
        """Take the lock, making the private folder if needed. LockedError names the holder;
        StoreError when the folder is missing or cannot be written."""
        self.private = recordings / PRIVATE_NAME
        try:
            durable.make_directories(self.private)
            path = self.private / LOCK_NAME
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except StoreFull:
            raise
        except OSError as error:
            raise StoreError(f"cannot write to the recordings folder {recordings}: "
                             f"{error.strerror}; make it writable or choose another") from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(self._descriptor, 32, 0).decode(errors="replace").strip()
            os.close(self._descriptor)
            raise LockedError(f"another fieldrec (process {holder or 'unknown'}) works on "
                              f"{recordings}; wait for it or stop it first") from error
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let the next process in."""
        os.close(self._descriptor)
