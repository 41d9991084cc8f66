"""The machine that the box runs on, as far as it sleeps, wakes and is switched off: simulated.

Stands in for :class:`fieldrec.app.machine.ThisMachine`; called in the app's workers. Its commands
are no programs: nothing here can touch the real machine.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from pathlib import Path

from fieldrec.power.people import Person
from fieldrec.power.rtc import SINCE_EPOCH, WAKE_ALARM, Attributes
from tests.month.simulated_time import SimulatedClock
from tests.month.story import State, Story

SUSPEND, POWER_OFF = "simulated-suspend", "simulated-power-off"


class SimulatedMachine:
    """See :class:`fieldrec.app.machine.Machine`."""

    def __init__(self, clock: SimulatedClock, state: State, story: Story,
                 suspend: Callable[[], None]) -> None:
        """`suspend` blocks until the machine is awake again."""
        self._clock, self._state, self._story = clock, state, story
        self._suspend = suspend

    def rtc(self, _path: Path) -> Attributes:
        return _Rtc(self._clock, self._state)

    def asleep_ns(self) -> int:
        return self._clock.asleep_ns

    def people(self) -> tuple[Person, ...]:
        return ()

    def run(self, command: Sequence[str]) -> None:
        self._story.tell(self._clock.monotonic_ns(), "command", command=list(command),
                         wake_ns=self._state.wake_ns)
        if command[0] == SUSPEND:
            self._suspend()


class _Rtc:
    """It runs on its own battery: what it shows is the wall clock that it gave the box."""

    def __init__(self, clock: SimulatedClock, state: State) -> None:
        self._clock, self._state = clock, state

    @property
    def _ahead_ns(self) -> int:
        return self._clock.epoch_ns() - self._clock.monotonic_ns()

    def read(self, name: str) -> str:
        if name == SINCE_EPOCH:
            return f"{self._clock.epoch_ns() // 10**9}\n"
        if name == WAKE_ALARM:
            wake_ns = self._state.wake_ns
            return "" if wake_ns is None else f"{(wake_ns + self._ahead_ns) // 10**9}\n"
        raise FileNotFoundError(errno.ENOENT, name)

    def write(self, name: str, text: str) -> None:
        if name != WAKE_ALARM:
            raise FileNotFoundError(errno.ENOENT, name)
        wanted_ns = int(text) * 10**9 - self._ahead_ns
        if wanted_ns <= self._clock.monotonic_ns():
            self._state.wake_ns = None
        elif self._state.wake_ns is not None:
            raise OSError(errno.EBUSY, "an alarm is set")
        else:
            self._state.wake_ns = wanted_ns
