"""When even the event loop does not turn any more: a thread that ends the process all the same.

Armed when the orderly stop begins. The stop names what is stuck by itself; this is for what it
cannot see, a call that blocks the loop. Where the machine was to be switched off it still is: a
battery must not be drained by a process that hangs.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import sys
import threading
from collections.abc import Callable

from fieldrec.core.errors import FieldrecError, ShutdownStuck

log = logging.getLogger(__name__)


class LastResort:
    """A daemon thread, from :meth:`begin` to :meth:`done`."""

    def __init__(self, after_s: float, switch_off: Callable[[], None],
                 leave: Callable[[int], None] = os._exit) -> None:
        """`after_s` of real time; `switch_off` blocks, and knows whether it is wanted."""
        self._after_s = after_s
        self._switch_off = switch_off
        self._leave = leave
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        """The stop has begun. Idempotent."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._watch, name="last-resort", daemon=True)
            self._thread.start()

    def done(self) -> None:
        """The stop is over, well or not."""
        self._over.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def _watch(self) -> None:
        if self._over.wait(self._after_s):
            return
        log.error("the orderly stop hangs after %.0f s; leaving as it is", self._after_s)
        faulthandler.dump_traceback(sys.__stderr__ or 2, all_threads=True)
        try:
            self._switch_off()
        except FieldrecError as error:
            log.error("%s", error)
        self._leave(ShutdownStuck.exit_code)
