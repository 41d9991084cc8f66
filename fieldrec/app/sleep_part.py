"""Sleeping as a part of the box: wired to its drives, its schedule and its end. On the loop.

A process that keeps no schedule (a command on a folder) never sleeps and has none of this.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from fieldrec.app.machine import Machine
from fieldrec.app.schedule_part import SchedulePart
from fieldrec.app.sleeping import Box, Sleeping
from fieldrec.app.tasks import Tasks
from fieldrec.config.sleep import SleepConfig
from fieldrec.control import Control
from fieldrec.core.clock import Clock
from fieldrec.core.errors import UsageError
from fieldrec.core.model import Drive, DriveState
from fieldrec.core.notes import Note
from fieldrec.core.snapshot import Snapshot
from fieldrec.power.awake import AwakeStatus
from fieldrec.status import words

TASK = "sleep"
LONGEST_S = 30 * 86_400.0
"""Nobody who wants more than that comes back to say so."""
EJECTED = "the box sleeps"


@dataclass(frozen=True, slots=True)
class Around:
    """What of the box is needed."""

    schedule: SchedulePart
    drives: Callable[[], tuple[Drive, ...]]
    eject: Callable[[str, str], Awaitable[None]]
    switch_off: Callable[[str], None]
    woken: Callable[[], None]
    say: Callable[[str, str], None]
    note: Note


class SleepPart:
    """See :mod:`fieldrec.app.sleeping` for what it does."""

    def __init__(self, config: SleepConfig, machine: Machine, clock: Clock, around: Around, *,
                 kept: bool) -> None:
        """`kept`: whether this process may put the machine to sleep."""
        self._around = around
        self._kept = kept
        self._tasks: Tasks | None = None
        self._sleeping = Sleeping(config, machine, clock, Box(
            self._next_ns, self._let_go_of_drives, around.switch_off, self._woken, around.say,
            around.note))

    def attend(self, control: Control) -> None:
        """Give people their verbs, and see when they use any."""
        if self._kept:
            control.sleep = SleepVerbs(self._sleeping)
            control.attended = lambda: self._sleeping.somebody("commands")

    def spawn(self, tasks: Tasks) -> None:
        """Begin its task."""
        if self._kept:
            self._tasks = tasks
            tasks.spawn(TASK, self._sleeping.run)

    def look(self, snapshot: Snapshot) -> None:
        """The box shows something new."""
        if self._kept:
            self._sleeping.look(snapshot)

    async def at_end(self, *, switched_off: bool) -> None:
        """First of all: nothing sleeps any more, and the RTC has the next wake-up."""
        next_ns = self._next_ns()  # as long as there is a schedule
        if self._tasks is not None:
            await self._tasks.cancel(TASK)
            await self._sleeping.set_alarm_at_end(next_ns, switched_off=switched_off)

    async def close(self) -> None:
        """End what works here; its task has ended."""
        self._sleeping.close()

    @property
    def alarm_ns(self) -> int | None:
        """What the RTC was told, read back."""
        return self._sleeping.alarm.set_ns

    def _next_ns(self) -> int | None:
        schedule = self._around.schedule
        moments = (schedule.next_start_ns, schedule.next_moment_ns)
        return min((at_ns for at_ns in moments if at_ns is not None), default=None)

    async def _let_go_of_drives(self) -> None:
        for drive in self._around.drives():
            if drive.state is DriveState.READY:
                await self._around.eject(drive.device, EJECTED)

    def _woken(self) -> None:
        self._around.schedule.wake()
        self._around.woken()


class SleepVerbs:
    """What people may ask and order."""

    def __init__(self, sleeping: Sleeping) -> None:
        self._sleeping = sleeping

    def status(self) -> AwakeStatus:
        """Who keeps the box awake."""
        return self._sleeping.status()

    def stay_awake(self, seconds: float) -> str:
        """Keep it awake for so long from now, whatever was said before; 0: no longer."""
        if not 0 <= seconds <= LONGEST_S:
            raise UsageError(f"awake for {seconds:g} s: use a time up to "
                             f"{words.duration(LONGEST_S)}, or 0 to end it")
        if seconds == 0:
            self._sleeping.need_not_stay_awake()
            return "the box may sleep"
        self._sleeping.stay_awake(seconds)
        return f"the box stays awake for {words.duration(seconds)}"
