"""A wall clock that the test sets while the real program runs, for whole-program tests alone.

libfaketime, preloaded, answers CLOCK_REALTIME from a file; all other clocks stay real. A time
namespace would be the kernel's own means, but virtualises only the monotonic clocks
(time_namespaces(7): "time namespaces do not virtualize the CLOCK_REALTIME clock"), and the
machine's own clock is not a test's to set.
"""

from __future__ import annotations

import datetime as dt
import os
import time
from pathlib import Path

LIBRARY = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), None)
_SLEEP = """
import select
import time


def sleep(seconds):
    select.select([], [], [], seconds)


time.sleep = sleep
"""
"""libfaketime 0.9.10 hands clock_nanosleep a wrong deadline when the monotonic clock is not faked
(EINVAL); Python 3.11 sleeps by that call. Its select is untouched."""


class SteppedClock:
    """The wall clock of every program that is started with :attr:`environment`."""

    def __init__(self, folder: Path) -> None:
        """`folder`: a new one, for its files. Needs LIBRARY."""
        folder.mkdir()
        self._file = folder / "clock"
        (folder / "sitecustomize.py").write_text(_SLEEP)
        self.set_off(0)
        self.environment = {
            "LD_PRELOAD": str(LIBRARY), "PYTHONPATH": str(folder),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),  # looked at once a second
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1", "NO_FAKE_STAT": "1", "TZ": "UTC"}

    def set_off(self, seconds: float) -> None:
        """It runs, so far from the true time."""
        self._write(f"{seconds:+.3f}")

    def set_to(self, moment: dt.datetime) -> float:
        """It runs on from `moment`; how far that is from the true time, in seconds."""
        off_s = moment.timestamp() - time.time()
        self.set_off(off_s)
        return off_s

    def stand_still(self, moment: dt.datetime) -> None:
        """It shows `moment` and nothing else."""
        self._write(f"{moment:%Y-%m-%d %H:%M:%S}")

    def close(self) -> None:
        """Remove what libfaketime left in shared memory, of programs that have ended."""
        for left in Path("/dev/shm").glob("*faketime_*"):
            if not Path("/proc", left.name.rpartition("_")[2]).exists():
                left.unlink(missing_ok=True)

    def _write(self, text: str) -> None:
        """Whole at any moment; seen within a second."""
        beside = self._file.with_suffix(".new")
        beside.write_text(text + "\n")
        os.replace(beside, self._file)  # noqa: PTH105 - as durable: one atomic step
