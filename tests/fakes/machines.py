"""A machine that sleeps and is switched off as the test says: no command is run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fieldrec.core.errors import FieldrecError
from fieldrec.power.people import Person
from fieldrec.power.rtc import Attributes
from tests.fakes.cameras import SECOND_NS, ManualClock
from tests.fakes.rtc import KernelRtc


class ManualMachine:
    """Its RTC behaves as the kernel's; it sleeps until the alarm, or as long as it is told to."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.rtc_files = KernelRtc(lambda: clock.epoch / SECOND_NS)
        self.asleep = 0
        self.somebody: list[Person] = []
        self.commands: list[tuple[str, ...]] = []
        self.sleeps_for_s: float | None = None
        """None: until the RTC's alarm; 0: it does not fall asleep."""
        self.fails = ""

    def rtc(self, path: Path) -> Attributes:
        return self.rtc_files

    def asleep_ns(self) -> int:
        return self.asleep

    def people(self) -> tuple[Person, ...]:
        return tuple(self.somebody)

    def run(self, command: Sequence[str]) -> None:
        self.commands.append(tuple(command))
        if self.fails:
            raise FieldrecError(self.fails)
        seconds = self.sleeps_for_s
        if seconds is None:
            at_s = self.rtc_files.wakes_at_s
            assert at_s is not None, "asleep for ever"
            seconds = at_s - self.clock.epoch / SECOND_NS
        self.sleep(seconds)

    def sleep(self, seconds: float) -> None:
        """Asleep for so long, whoever told it to."""
        self.asleep += int(seconds * SECOND_NS)
        self.clock.forward(seconds)
