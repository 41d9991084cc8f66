"""The next wake-up, in the RTC: set before work starts, kept right, looked at before it is relied
on. On the loop; the RTC's files are read and written in a worker of its own (`rtc`).

A box that hangs, or loses its power, is woken for the next scheduled recording all the same: the
alarm was set long before. Whenever it passes while the box is awake the next one is set.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fieldrec.app.machine import Machine
from fieldrec.app.sleep_rules import SECOND_NS
from fieldrec.core.clock import Clock
from fieldrec.core.workers import Worker
from fieldrec.power.rtc import Alarm, NoAlarm, Rtc
from fieldrec.status import words


class WakeAlarm:
    """One RTC's alarm. :attr:`problem` says why it cannot be relied on; "" while it can."""

    def __init__(self, path: Path, machine: Machine, clock: Clock,
                 say: Callable[[str, str], None]) -> None:
        self._rtc = Rtc(str(path), machine.rtc(path))
        self._clock = clock
        self._say = say
        self._worker = Worker("rtc")
        self._off_s = 0
        self.set_ns: int | None = None
        """Epoch of the alarm that was read back last; None: none was set by us."""
        self.problem = ""

    async def set_to(self, at_ns: int) -> bool:
        """Set it and read it back; whether it can be relied on. What changes is said once."""
        at_s = at_ns // SECOND_NS
        now_s = self._clock.epoch_ns() // SECOND_NS
        try:
            alarm: Alarm = await self._worker.run(lambda _stop: self._rtc.wake_at(at_s, now_s))
        except NoAlarm as error:
            self.set_ns = None
            if str(error) != self.problem:
                self.problem = str(error)
                self._say(f"the machine cannot be woken: {self.problem}", "warning")
            return False
        self.problem = ""
        if self.set_ns != alarm.at_s * SECOND_NS:
            self.set_ns = alarm.at_s * SECOND_NS
            zone = f" (it is {alarm.off_s} s ahead of UTC)" if abs(alarm.off_s) > 1 else ""
            self._say(f"the RTC wakes the machine at {words.utc(self.set_ns)}{zone}", "info")
        return True

    def close(self) -> None:
        """End the worker; blocks until what it does is done."""
        self._worker.close()
