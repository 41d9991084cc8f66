"""A thread of its own that makes what a store writer was given durable, every so often (I8).

It does not keep the store object alive, nor the interpreter: a store that is forgotten can be
collected, and at the end of Python its closing stops the thread. A failed sync is never repeated on
the same data: the thread rests until the writing thread has dealt with it.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Protocol

from fieldrec.core.errors import FieldrecError, StoreError

log = logging.getLogger(__name__)


class Syncable(Protocol):
    """What this thread needs of a store writer."""

    def sync(self) -> None:
        """Make everything appended so far durable. SyncFailed, StoreFull."""
        ...


class SyncThread:
    """Calls `store.sync()` every `interval_s` seconds until :meth:`stop`."""

    def __init__(self, name: str, store: Syncable, interval_s: float) -> None:
        self._store = store
        self._interval_s = interval_s
        self._stop = threading.Event()
        self.failure: FieldrecError | None = None
        """What went wrong and was not dealt with yet; whoever deals with it sets it to None."""
        self._thread = threading.Thread(target=self._run, name=f"sync-{name}", daemon=True)
        self._thread.start()

    @property
    def is_current(self) -> bool:
        """Whether it is this thread that asks."""
        return self._thread is threading.current_thread()

    def stop(self) -> None:
        """End the thread; blocks for the sync in hand. Idempotent; not from the thread itself."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        due_s = time.monotonic() + self._interval_s
        while not self._stop.wait(max(0.0, due_s - time.monotonic())):
            due_s = time.monotonic() + self._interval_s
            if self.failure is None:
                self._sync()

    def _sync(self) -> None:
        try:
            self._store.sync()
        except FieldrecError as error:
            self.failure = error
        except Exception as error:
            log.exception("sync failed in a way it should not")
            self.failure = StoreError(f"sync failed: {error}")
