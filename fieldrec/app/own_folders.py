"""The recordings folders that this process works on: a lock in each, so that no other one does.

Blocking but short; in the workers that look at folders. The first folder that could be used at the
start is the home: its private folder holds the rows of jobs and the control socket.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from fieldrec.core.errors import FieldrecError
from fieldrec.core.folder import FolderLock


class OwnFolders:
    """The locks held by this process."""

    def __init__(self) -> None:
        self._locks: dict[Path, FolderLock] = {}
        self._guard = threading.Lock()
        self.on_claim: Callable[[], None] = lambda: None
        """Called, in the thread of whoever claims, when another folder has become ours: the disk
        that it is on may have come after the start."""

    @property
    def paths(self) -> Sequence[Path]:
        """The folders that are ours."""
        return tuple(self._locks)

    def claim(self, path: Path) -> None:
        """Make a folder ours; no effect when it is. LockedError, StoreError."""
        with self._guard:
            if path in self._locks:
                return
            self._locks[path] = FolderLock(path)
        self.on_claim()

    def private(self, path: Path) -> Path:
        """The private folder in one that is ours."""
        return self._locks[path].private

    def release(self, *, leave_trace: bool = True) -> None:
        """Let other processes in. Without a trace: private folders that this process made, and in
        which nothing of worth is, go too."""
        with self._guard:
            for lock in self._locks.values():
                if not leave_trace:
                    with contextlib.suppress(OSError, FieldrecError):  # the disk may be dead by now
                        lock.remove_if_made()
                lock.release()
            self._locks.clear()
