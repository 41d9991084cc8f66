"""The sync thread of one recording (`sync-<camera>`): frames become durable on a timer (I8).

Every half of `durability_s`, counted from the beginning of one sync to the next, it calls the
store's sync, so that a frame is durable at most that long plus one sync after it was written. The
threads of all cameras wake at the same moments, so that stores on one file system can share a sync
(store/shared_sync.py). What fails is kept for the store thread, which alone may act on it: a failed
sync is never repeated on the same chunk, so this thread rests until the store thread has dealt with
it.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from typing import Protocol

from fieldrec.core.errors import FieldrecError, StoreError

log = logging.getLogger(__name__)


class Syncable(Protocol):
    """What this thread needs of a store writer."""

    def sync(self) -> None:
        """Make everything appended so far durable. SyncFailed, StoreFull."""
        ...


def due_s(began_s: float, interval_s: float) -> float:
    """When the sync after the one that began at `began_s` is due: the next of the moments that all
    threads with this interval have in common. What took longer is followed at once."""
    return (math.floor(began_s / interval_s) + 1) * interval_s


class Syncer:
    """One thread that calls `store.sync()` every `interval_s` seconds until :meth:`stop`."""

    def __init__(self, key: str, store: Syncable, interval_s: float, *,
                 now_s: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._interval_s = interval_s
        self._now_s = now_s
        self._wake = threading.Event()
        self._failure: FieldrecError | None = None
        self._thread = threading.Thread(target=self._run, name=f"sync-{key}")

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    @property
    def failure(self) -> FieldrecError | None:
        """What went wrong and was not dealt with yet; cheap, the store thread asks per frame."""
        return self._failure

    def resume(self) -> None:
        """The store thread has dealt with the failure: go on syncing."""
        self._failure = None

    def stop(self) -> None:
        """End the thread; blocks for the sync in hand. Idempotent."""
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        began_s = self._now_s()
        while not self._wake.wait(max(0.0, due_s(began_s, self._interval_s) - self._now_s())):
            began_s = self._now_s()
            if self._failure is None:
                self._sync()

    def _sync(self) -> None:
        try:
            self._store.sync()
        except FieldrecError as error:
            self._failure = error
        except Exception as error:
            log.exception("sync failed in a way it should not")
            self._failure = StoreError(f"sync failed: {error}")
