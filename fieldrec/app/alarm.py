"""Waiting for a moment of the wall clock that may be set at any time. On the event loop.

:func:`alarm_for` gives the machine's clock the kernel's own timer (timerfd_create(2) with
TFD_TIMER_CANCEL_ON_SET): it wakes at the moment, and at once when somebody sets the clock. Any
other clock, as that of a simulated month, is waited for with timers of the loop, which look again
every LOOK_S.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import errno
import logging
import os
import time
from typing import Protocol

from fieldrec.core.clock import Clock, SystemClock

log = logging.getLogger(__name__)

LOOK_S = 60.0
"""Between two looks at a clock that does not tell when it is set."""
FAR_S = 10 * 366 * 86_400
"""A timer with nothing to wait for but the clock being set."""
SOON_NS = 1_000_000
"""Waited beyond the moment, so that a timer that is early by its resolution is not in vain."""

_TFD_ABSTIME_CANCEL_ON_SET = 1 | 2


class Alarm(Protocol):
    """Wakes whoever keeps to the wall clock."""

    async def wait(self, until_ns: int | None, woken: asyncio.Event) -> None:
        """Return when the wall clock shows `until_ns` (None: no such moment), when it was set, or
        when `woken` is set; sometimes too early."""
        ...

    def close(self) -> None:
        """Give back what it holds."""
        ...


def alarm_for(clock: Clock) -> Alarm:
    """The best alarm for this clock."""
    if isinstance(clock, SystemClock):
        try:
            return KernelAlarm()
        except OSError as error:
            log.warning("a clock that is set is noticed within %.0f s only: %s", LOOK_S, error)
    return LoopAlarm(clock)


class LoopAlarm:
    """By the loop's own timers."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def wait(self, until_ns: int | None, woken: asyncio.Event) -> None:
        pause_s = LOOK_S
        if until_ns is not None:
            left_ns = until_ns + SOON_NS - self._clock.epoch_ns()
            pause_s = min(max(left_ns / 1e9, 0.0), LOOK_S)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await woken.wait()

    def close(self) -> None:
        """It holds nothing."""


class _TimeSpec(ctypes.Structure):
    _fields_ = (("tv_sec", ctypes.c_long), ("tv_nsec", ctypes.c_long))


class _TimerSpec(ctypes.Structure):
    _fields_ = (("it_interval", _TimeSpec), ("it_value", _TimeSpec))


class KernelAlarm:
    """By a timerfd on CLOCK_REALTIME, which the kernel cancels when the clock is set. OSError where
    there is none."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        create = getattr(self._libc, "timerfd_create", None)
        if create is None:
            raise OSError(errno.ENOSYS, "no timerfd on this system")
        self._descriptor = create(time.CLOCK_REALTIME, os.O_NONBLOCK | os.O_CLOEXEC)
        if self._descriptor < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create failed")
        self._arm(None)

    async def wait(self, until_ns: int | None, woken: asyncio.Event) -> None:
        if not self._arm(until_ns):
            return  # it was set since it was looked at
        loop = asyncio.get_running_loop()
        loop.add_reader(self._descriptor, self._due, woken)
        try:
            await woken.wait()
        finally:
            loop.remove_reader(self._descriptor)

    def close(self) -> None:
        os.close(self._descriptor)

    def _arm(self, until_ns: int | None) -> bool:
        """False when the clock was set since the last call."""
        if until_ns is None:
            until_ns = time.time_ns() + int(FAR_S * 1e9)
        seconds, nanoseconds = divmod(max(until_ns + SOON_NS, 1), 1_000_000_000)
        wanted = _TimerSpec(_TimeSpec(0, 0), _TimeSpec(seconds, nanoseconds))
        if self._libc.timerfd_settime(self._descriptor, _TFD_ABSTIME_CANCEL_ON_SET,
                                      ctypes.byref(wanted), None) == 0:
            return True
        code = ctypes.get_errno()
        if code != errno.ECANCELED:
            raise OSError(code, f"timerfd_settime: {os.strerror(code)}")
        return False

    def _due(self, woken: asyncio.Event) -> None:
        try:
            os.read(self._descriptor, 8)
        except BlockingIOError:
            return  # not due after all
        except OSError as error:
            if error.errno != errno.ECANCELED:
                raise
        woken.set()
