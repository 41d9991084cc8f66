"""The directory of a store that is being written: its lock, its metadata and its reserve.

Store thread. Keeps I3 (flock on ``.lock``) and does its part for I1: ``.lock`` is made before
anything else and goes last.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fieldrec.core import durable
from fieldrec.core.errors import LockedError, StoreError, SyncFailed
from fieldrec.core.holding import hold
from fieldrec.store import layout, shared_sync
from fieldrec.store.chunk import as_store_error
from fieldrec.store.metadata import METADATA_NAME, metadata_text

LOCK_TEXT = b"fieldrec\n"
"""imgstore's writer makes an empty ``.lock`` and flocks nothing: this one tells, after a crash too,
that nobody writes the store when nobody holds the flock."""
_OF_A_STORE = re.compile(r"(metadata\.yaml|\.lock|\d+(\..*)?)\Z")


class StoreFolder:
    """One store's directory from its creation to its unlocking."""

    def __init__(self, path: Path, store: Mapping[str, Any], user: Mapping[str, Any], *,
                 reserve_bytes: int, may_exist: bool) -> None:
        """Create and lock it and write its metadata; blocks for four syncs.

        With `may_exist` a directory that has nothing of a store in it will do. StoreError when
        the name is taken or the metadata cannot be stored, StoreFull without room; then nothing of
        ours is left.
        """
        self.path = path
        self.user = dict(user)
        self._store = store
        self._reserve_bytes = reserve_bytes
        self._syncs: shared_sync.Member | None = None
        self._lock = -1
        text = self._text(self.user)
        self._made = self._make(may_exist)
        try:
            self._take_lock()
            durable.write_atomic(path / METADATA_NAME, text)
            self._syncs = shared_sync.join(path)
        except (OSError, StoreError, LockedError) as error:
            self.remove()
            if isinstance(error, OSError):
                raise as_store_error(error, path) from error
            raise
        except BaseException:
            self.let_go()
            raise

    def _text(self, user: Mapping[str, Any]) -> bytes:
        try:
            return metadata_text(self._store, user).encode("ascii")
        except ValueError as error:
            raise StoreError(f"{self.path}: {error}") from error

    def _make(self, may_exist: bool) -> bool:
        """Whether the directory was made, not found."""
        try:
            durable.make_directory(self.path)
            return True
        except FileExistsError as error:
            if not (may_exist and self._is_free()):
                raise StoreError(f"{self.path}: exists already; a recording is never written into "
                                 "another one, choose another name") from error
            return False
        except OSError as error:
            raise as_store_error(error, self.path) from error
        except SyncFailed:
            with contextlib.suppress(OSError, StoreError):
                durable.remove_empty_directory(self.path)
            raise

    def _is_free(self) -> bool:
        return self.path.is_dir() and not any(
            _OF_A_STORE.match(entry.name) for entry in self.path.iterdir())

    def _take_lock(self) -> None:
        """Create and flock ``.lock``. A scan may probe it in between: it lets go at once."""
        path = self.path / layout.LOCK_NAME
        self._lock = durable.create(path)
        durable.write(self._lock, [LOCK_TEXT], path, len(LOCK_TEXT))
        durable.fsync(self._lock, path)
        try:
            hold(self._lock)
        except BlockingIOError as error:
            raise LockedError(f"{self.path}: another process has locked it; try again") from error

    @property
    def is_open(self) -> bool:
        """Whether the store is still ours to write."""
        return self._lock >= 0

    def sync(self) -> None:
        """Make all that was written to its file system durable. SyncFailed, also for what failed
        since the last sync. Any thread, but not beside :meth:`let_go`; blocks for as long as the
        disk takes. No effect once let go."""
        if self._syncs is not None:
            self._syncs.sync()

    def sync_together(self) -> None:
        """As :meth:`sync`, together with other stores on the same file system."""
        if self._syncs is not None:
            self._syncs.sync_together()

    def update_metadata(self, user: Mapping[str, Any]) -> None:
        """Replace the user's metadata, atomically; nothing is written when it is the same."""
        if user != self.user:
            durable.write_atomic(self.path / METADATA_NAME, self._text(user))
            self.user = dict(user)

    # --- reserve --------------------------------------------------------------------------------

    def take_reserve(self) -> None:
        """Occupy what the open chunk's index will need, so that a full disk can be closed on."""
        path = self.path / layout.RESERVE_NAME
        if path.exists():
            return
        try:
            descriptor = durable.create(path)
            try:
                os.posix_fallocate(descriptor, 0, self._reserve_bytes)
            finally:
                os.close(descriptor)
        except OSError as error:
            self.give_reserve_back()
            raise as_store_error(error, path) from error

    def give_reserve_back(self) -> None:
        """Make its room free again. Idempotent."""
        durable.unlink(self.path / layout.RESERVE_NAME, missing_ok=True)

    # --- end ------------------------------------------------------------------------------------

    def unlock(self) -> None:
        """Declare the store complete (I1)."""
        durable.fsync_directory(self.path)
        durable.unlink(self.path / layout.LOCK_NAME)

    def let_go(self) -> None:
        """Close what is held open, leaving all as it lies. Idempotent."""
        syncs, self._syncs = self._syncs, None
        if syncs is not None:
            syncs.leave()
        lock, self._lock = self._lock, -1
        if lock >= 0:
            os.close(lock)  # frees the flock

    def remove(self) -> None:
        """Take back a store that could not be begun; what cannot be removed stays."""
        with contextlib.suppress(OSError, StoreError):
            if self._made:
                durable.rmtree(self.path)
            else:
                for name in (METADATA_NAME, layout.RESERVE_NAME, layout.LOCK_NAME):
                    durable.unlink(self.path / name, missing_ok=True)
        self.let_go()
