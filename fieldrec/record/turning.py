"""The turn thread of one series (`turn-<camera>`): makes the next store and closes the last one.

Both block for as long as the disk takes, and the store thread has no time for that: it only swaps.
One thing after another, in the order in which they were asked for; the thread exists only once
something was, and ends after what was asked for before :meth:`Turning.end`.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable

log = logging.getLogger(__name__)


class Turning:
    """A thread for what the store thread cannot wait for. Used by the store thread alone, but for
    :meth:`join`."""

    def __init__(self, name: str, *, may_hang: bool = False) -> None:
        """`may_hang`: what it does may never end, and the process must not wait for it."""
        self._queue: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=may_hang)
        self._ended = False

    def do(self, work: Callable[[], None]) -> None:
        """Have `work` done soon; returns at once."""
        self._queue.put(work)
        if self._thread.ident is None:
            self._thread.start()

    def end(self) -> None:
        """Nothing more will be asked for. Idempotent."""
        if not self._ended:
            self._ended = True
            self._queue.put(None)

    def join(self, timeout_s: float | None = None) -> bool:
        """Wait until all is done; whether it is. :meth:`end` must have been called."""
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while (work := self._queue.get()) is not None:
            try:
                work()
            except Exception:
                log.exception("%s failed in a way it should not", self._thread.name)
