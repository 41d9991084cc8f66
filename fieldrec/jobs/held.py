"""The handle by which a running export's process is held, slowed down and let go. Event loop.

The runner decides; the job puts its process in here and takes it out. Recording must not begin
beside an encoder that still runs, so :meth:`Held.is_stopped` asks the kernel and nobody else.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Protocol

from fieldrec.core.model import Export


class EncoderLike(Protocol):
    """What the jobs need of an export process."""

    @property
    def pid(self) -> int | None:
        """Of the process; None before it was started and after it has ended."""
        ...

    @property
    def size_bytes(self) -> int:
        """Encoded so far."""
        ...

    async def run(self) -> Export:
        """Make the export; on cancel the process is gone before this returns."""
        ...

    def pause(self) -> None:
        """Hold it; never blocks. Before it was started: it stops as soon as it is."""
        ...

    def resume(self) -> None:
        """Let it go on; never blocks."""
        ...

    def throttle(self, share: float) -> None:
        """Let it run for this share of the time only, 1: all of it; never blocks."""
        ...


class Held:
    """One job's process, if it has one."""

    def __init__(self, on_change: Callable[[], None]) -> None:
        """`on_change` tells whoever decides to look again."""
        self.verifying = False
        """Whether the export is encoded and is being compared with the raw."""
        self._on_hold: Callable[[bool], None] = lambda _held: None
        self._encoder: EncoderLike | None = None
        self._is_held = False
        self._share = 1.0
        self._on_change = on_change

    @property
    def is_held(self) -> bool:
        """Whether there is a process, told to pause."""
        return self._is_held

    def take(self, encoder: EncoderLike, on_hold: Callable[[bool], None]) -> None:
        """There is a process from now on. `on_hold` is told when it is held (True) and let go, for
        whoever takes the time."""
        self._encoder = encoder
        self._on_hold = on_hold
        self._share = 1.0
        self._on_change()

    def verifies(self) -> None:
        """The process said that it began to verify."""
        if not self.verifying:
            self.verifying = True
            self._on_change()

    def drop(self) -> bool:
        """The process has ended; whether it had been told to pause just then."""
        self._encoder = None
        was_held, self._is_held = self._is_held, False
        return was_held

    def hold(self) -> bool:
        """Pause the process; False when there is none. Idempotent."""
        if self._encoder is None:
            return False
        self._encoder.pause()
        if not self._is_held:
            self._is_held = True
            self._on_hold(True)
        return True

    def let_go(self, share: float = 1.0) -> bool:
        """Let the process run, for `share` of the time; whether it was held before."""
        if self._encoder is None:
            return False
        if share != self._share:
            self._share = share
            self._encoder.throttle(share)
        if not self._is_held:
            return False
        self._encoder.resume()
        self._is_held = False
        self._on_hold(False)
        return True

    def is_stopped(self) -> bool:
        """Whether no thread of the process runs any more: it is held, or there is none. False for
        one that is being started just now: it is stopped as soon as it can be."""
        if self._encoder is None:
            return True
        pid = self._encoder.pid
        return pid is not None and _all_threads_stopped(pid)


def _all_threads_stopped(pid: int) -> bool:
    """The kernel says that a child has stopped when its last thread has. Whoever waits for the
    child's end is not disturbed: nothing is consumed here."""
    try:
        told = os.waitid(os.P_PID, pid, os.WSTOPPED | os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:  # it has ended, and somebody has seen that
        return True
    return told is not None
