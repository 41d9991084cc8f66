"""The private folder `.fieldrec` in a recordings folder, and the lock that says who works on it.

Blocking, small. The lock (flock) dies with the process, so a file left by a crash harms nobody.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

from fieldrec.core import durable
from fieldrec.core.errors import LockedError, StoreError, StoreFull

PRIVATE_NAME = ".fieldrec"
LOCK_NAME = "daemon.lock"
DRIVES_KEY_NAME = "drives.key"
"""The key by which this recorder knows the drives that it has marked."""


class FolderLock:
    """Held by the one process that works on a recordings folder."""

    def __init__(self, recordings: Path) -> None:
        """Take the lock, making the private folder if needed. LockedError names the holder;
        StoreError when the folder is missing or cannot be written."""
        self.private = recordings / PRIVATE_NAME
        self._made = not self.private.exists()
        try:
            self._descriptor = self._locked(self.private / LOCK_NAME)
        except (StoreFull, LockedError):
            raise
        except OSError as error:
            raise StoreError(f"cannot write to the recordings folder {recordings}: "
                             f"{error.strerror}; make it writable or choose another") from error
        with contextlib.suppress(OSError):  # on a full disk nobody learns our number
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def _locked(self, path: Path) -> int:
        """A descriptor of the lock file, with the lock. Again when the holder removed the file
        between opening and locking it: that lock would keep nobody out."""
        while True:
            durable.make_directories(self.private)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
                os.close(descriptor)
                raise LockedError(f"another fieldrec (process {holder or 'unknown'}) works on "
                                  f"{self.private.parent}; wait for it or stop it first"
                                  ) from error
            except OSError:  # a file system without locks
                os.close(descriptor)
                raise
            if os.fstat(descriptor).st_nlink:
                return descriptor
            os.close(descriptor)

    def remove_if_made(self) -> None:
        """Remove the private folder, if this process made it and no drive was marked meanwhile; the
        lock is held."""
        if self._made and not (self.private / DRIVES_KEY_NAME).exists():
            durable.rmtree(self.private)

    def release(self) -> None:
        """Let the next process in."""
        os.close(self._descriptor)
