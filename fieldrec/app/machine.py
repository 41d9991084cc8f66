"""The machine that fieldrec may put to sleep or switch off: the one place where that is done.

All calls block, and are made in workers. Whoever gives the box another one (tests, simulated time)
sees what would have been done; nothing else in fieldrec starts such a command.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from fieldrec.core.errors import FieldrecError
from fieldrec.power.people import Person, people
from fieldrec.power.rtc import Attributes, SysfsAttributes

COMMAND_PATIENCE_S = 10.0
"""`systemctl poweroff` and `systemctl suspend` return at once; one that hangs is given up on."""


class Machine(Protocol):
    """What sleeping and switching off need of a machine."""

    def rtc(self, path: Path) -> Attributes:
        """The files of the RTC there; that it is not there is found when they are read."""
        ...

    def asleep_ns(self) -> int:
        """Nanoseconds since boot that it was asleep."""
        ...

    def people(self) -> tuple[Person, ...]:
        """Who sits at a terminal, and when the last key was pressed."""
        ...

    def run(self, command: Sequence[str]) -> None:
        """Run what switches it off or puts it to sleep. FieldrecError when that fails."""
        ...


class ThisMachine:
    """The machine that this process runs on."""

    def rtc(self, path: Path) -> Attributes:
        return SysfsAttributes(path)

    def asleep_ns(self) -> int:
        return (time.clock_gettime_ns(time.CLOCK_BOOTTIME)
                - time.clock_gettime_ns(time.CLOCK_MONOTONIC))

    def people(self) -> tuple[Person, ...]:
        return people()

    def run(self, command: Sequence[str]) -> None:
        shown = " ".join(command)
        try:
            done = subprocess.run(command, check=False, stdin=subprocess.DEVNULL,
                                  capture_output=True, text=True, errors="replace",
                                  timeout=COMMAND_PATIENCE_S)
        except subprocess.TimeoutExpired:
            raise FieldrecError(f"`{shown}` did not return within {COMMAND_PATIENCE_S:g} s; try it "
                                "by hand") from None
        except (OSError, ValueError) as error:
            raise FieldrecError(f"`{shown}` cannot be run: {error}") from error
        if done.returncode != 0:
            said = " ".join((done.stderr or done.stdout).split())[:200] or "it said nothing"
            raise FieldrecError(f"`{shown}` failed ({done.returncode}): {said}")
