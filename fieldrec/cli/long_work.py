"""What commands share that work for minutes in one thread: a signal ends them in order, progress
is shown where somebody looks on.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType

from fieldrec.core.errors import FieldrecError

REDRAW_S = 0.1


class Interrupted(FieldrecError):
    """The command was ended by a signal."""

    exit_code = 130


@contextlib.contextmanager
def stopped_by_signals(left: str) -> Iterator[threading.Event]:
    """Ctrl-C and SIGTERM set the event, and the work ends in order when it looks; a second signal
    leaves at once. After the block Interrupted is raised, saying what is `left` of the work."""
    stop = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            os._exit(Interrupted.exit_code)
        stop.set()

    before = {number: signal.signal(number, on_signal)
              for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    except FieldrecError:
        if not stop.is_set():
            raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if stop.is_set():
        raise Interrupted(f"interrupted; {left}")


class Progress:
    """One line on stderr that is drawn over, on a terminal; nothing elsewhere."""

    def __init__(self, unit: str = "frames") -> None:
        self._unit = unit
        self._shown = sys.stderr.isatty()
        self._next_s = 0.0
        self._width = 0
        self._phase = ""
        self._began_s = 0.0

    def __enter__(self) -> Callable[[str, int, int], None]:
        return self.say

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.clear()

    def clear(self) -> None:
        """Take the line away, for another to be said."""
        self._draw("")

    def say(self, phase: str, done: int, total: int) -> None:
        """So many of `total`; 0 where the total is not known."""
        now_s = time.monotonic()
        if not self._shown or (phase == self._phase and now_s < self._next_s and done != total):
            return
        if phase != self._phase:
            self._phase, self._began_s = phase, now_s
        self._next_s = now_s + REDRAW_S
        passed_s = now_s - self._began_s
        rate = f", {done / passed_s:.0f} {self._unit}/s" if passed_s > 1 else ""
        share = f" of {total} ({done * 100 // total} %)" if total else ""
        self._draw(f"{phase}: {done}{share}{rate}")

    def _draw(self, text: str) -> None:
        if self._shown:
            with contextlib.suppress(OSError):
                sys.stderr.write("\r" + text.ljust(self._width) + ("" if text else "\r"))
                sys.stderr.flush()
            self._width = len(text)
