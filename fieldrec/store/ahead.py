"""A second thread for a store that does not keep up: it writes one frame's file ahead of its turn.

Used by the store thread alone, and only while frames wait in the ring: two writes in flight keep a
disk busy that waits between one and the next. Whether that frame gets its record, and so exists, is
still decided by the store thread, in the frames' order (I2). The thread begins with the first use.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue


class Ahead:
    """One piece of work at a time, in a thread of its own."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._work: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._done: SimpleQueue[Exception | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def begin(self, work: Callable[[], None]) -> None:
        """Have `work` done from now on. What was begun before must have been waited for."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=self._name)
            self._thread.start()
        self._work.put(work)

    def wait(self) -> Exception | None:
        """Block until it is done; what it raised."""
        return self._done.get()

    def end(self) -> None:
        """End the thread, which must have nothing to do, and wait for that. Idempotent."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._work.put(None)
            thread.join()

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            try:
                work()
            except Exception as error:  # noqa: BLE001 - it belongs to who waits
                self._done.put(error)
            else:
                self._done.put(None)
