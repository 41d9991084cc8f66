"""How far the wall clock can be trusted now: what the kernel knows of its synchronisation.

One system call; called by the recorder's worker when a recording starts.
"""

from __future__ import annotations

import ctypes
from pathlib import Path

from fieldrec.core.model import ClockQuality

TIME_ERROR = 5
"""adjtimex(2): the clock is not synchronised (STA_UNSYNC, or its error is too large)."""
TIMEX_BYTES = 512
"""More than sizeof(struct timex) on any Linux (208 on 64-bit); all zero means: only read."""
RTC = Path("/sys/class/rtc/rtc0")


def clock_quality(rtc: Path = RTC) -> ClockQuality:
    """NTP when the kernel's clock is disciplined, else RTC when the machine has one, else NONE."""
    state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(TIMEX_BYTES))
    if 0 <= state < TIME_ERROR:
        return ClockQuality.NTP
    return ClockQuality.RTC if rtc.exists() else ClockQuality.NONE
