"""An RTC whose files answer as the kernel's do (drivers/rtc/sysfs.c): errors and silences included.

None of these tests has met a real RTC: the machine that they run on may have none.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

from fieldrec.power.rtc import SINCE_EPOCH, WAKE_ALARM


class KernelRtc:
    """`since_epoch` and `wakealarm` of one RTC, told the true time by a callable."""

    def __init__(self, true_s: Callable[[], float]) -> None:
        """`true_s`: seconds since the epoch, UTC."""
        self._true_s = true_s
        self.off_s = 0
        """The RTC is so far ahead: its time zone, its drift, or what it has lost."""
        self.alarm_s: int | None = None
        """In the RTC's own time."""
        self.there = True
        self.can_wake = True
        self.knows_time = True
        self.whole_minutes = False
        self.farthest_s: int | None = None
        """More than this ahead does not fit into its registers."""
        self.read_only = False
        self.forgets = False
        """It takes an alarm and has none afterwards, as some boards do."""
        self.set_by_others: int | None = None
        """Another program sets this alarm whenever none is set."""
        self.writes: list[str] = []

    @property
    def wakes_at_s(self) -> int | None:
        """When it will wake the machine, in true seconds since the epoch."""
        return None if self.alarm_s is None else self.alarm_s - self.off_s

    def read(self, name: str) -> str:
        self._check_there(name)
        if name == SINCE_EPOCH:
            return f"{self._now_s()}\n"
        return "" if self.alarm_s is None else f"{self.alarm_s}\n"

    def write(self, name: str, text: str) -> None:
        self._check_there(name)
        if name != WAKE_ALARM or self.read_only:
            raise _error(errno.EACCES)
        self.writes.append(text)
        now_s = self._now_s()
        at_s = int(text)
        if at_s <= now_s:  # 0, or what is over: no alarm, and no error
            self.alarm_s = self.set_by_others
            return
        if self.alarm_s is not None:
            raise _error(errno.EBUSY)
        if self.farthest_s is not None and at_s - now_s > self.farthest_s:
            raise _error(errno.EINVAL)
        if not self.forgets:
            self.alarm_s = at_s - at_s % 60 if self.whole_minutes else at_s

    def _now_s(self) -> int:
        if not self.knows_time:
            raise _error(errno.EINVAL)
        return int(self._true_s()) + self.off_s

    def _check_there(self, name: str) -> None:
        if not self.there or (name == WAKE_ALARM and not self.can_wake):
            raise _error(errno.ENOENT)


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number))
