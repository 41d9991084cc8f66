"""Sleeping between scheduled recordings: a supervised task on the event loop.

It looks when a lease came or went, when the schedule changed and when a time is over, never by the
clock alone. Nothing sleeps that was not asked last: the alarm is in the RTC and read back, drives
are out of danger, nobody sits at a terminal, and after all of that still nobody holds the box
awake. Whoever put the machine to sleep, how long it slept is found by two clocks: CLOCK_BOOTTIME
counts it, CLOCK_MONOTONIC does not.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from fieldrec.app.keeping_awake import KeepingAwake
from fieldrec.app.machine import Machine
from fieldrec.app.sleep_rules import SECOND_NS, Sleep, Stay, View, decide, wake_ns
from fieldrec.app.wake_alarm import WakeAlarm
from fieldrec.config.sleep import SleepConfig
from fieldrec.core.clock import Clock
from fieldrec.core.errors import FieldrecError
from fieldrec.core.notes import Kind, Note
from fieldrec.core.snapshot import Snapshot
from fieldrec.core.workers import Worker
from fieldrec.power.awake import Awake, AwakeStatus, Lease
from fieldrec.status import words

AGAIN_S = 600.0
"""After a try that failed."""
FALLING_ASLEEP_S, LOOK_S = 30, 1.0
"""`systemctl suspend` returns before the machine sleeps: how long that is waited for."""
ASLEEP_NS = 2 * SECOND_NS
"""Less than this the machine has not slept."""
AT_TERMINAL = "somebody at "
EARLY_NS = 5 * SECOND_NS
"""Woken more than this before the alarm: by something else."""


@dataclass(frozen=True, slots=True)
class Box:
    """What sleeping needs of the box."""

    next_ns: Callable[[], int | None]
    """When it is wanted next, epoch."""
    let_go_of_drives: Callable[[], Awaitable[None]]
    """Make mounted drives safe to remove; FieldrecError when one cannot be."""
    switch_off: Callable[[str], None]
    """Ask for the orderly stop and the end of the machine, saying why."""
    woken: Callable[[], None]
    """The machine has slept: whatever waits for a time must look again."""
    say: Callable[[str, str], None]
    note: Note


class Sleeping:
    """:attr:`awake` is for whoever must keep the box awake; :meth:`look` at each snapshot."""

    def __init__(self, config: SleepConfig, machine: Machine, clock: Clock, box: Box) -> None:
        self._config = config
        self._machine = machine
        self._clock = clock
        self._box = box
        self.awake = Awake(clock, on_change=self._leases_changed, on_drop=self._dropped)
        self.alarm = WakeAlarm(config.rtc, machine, clock, box.say)
        self._keeping = KeepingAwake(config, self.awake)
        self._worker = Worker("sleep")
        self._changed = asyncio.Event()
        self._asleep_ns = machine.asleep_ns()
        self._idle_since_ns = clock.monotonic_ns()
        self._was_held = False
        self._failed = ""
        self._failed_ns = 0
        self._person: Lease | None = None
        self._asked: Lease | None = None
        self._verdict: Sleep | None = None
        """While it falls asleep, sleeps and wakes: as was decided."""
        self._told_next_ns: int | None = None
        self._ahead_ns = clock.epoch_ns() - clock.monotonic_ns()
        """Of the wall clock before the monotonic one."""
        self._alarm_is_stale = True
        self.stay = Stay("", None)
        """Why it does not sleep now."""

    # -- what others tell ------------------------------------------------------------------------

    def look(self, snapshot: Snapshot) -> None:
        """The box shows something new. Cheap."""
        self._keeping.look(snapshot)
        next_ns = self._box.next_ns()
        ahead_ns = self._clock.epoch_ns() - self._clock.monotonic_ns()
        if abs(ahead_ns - self._ahead_ns) > ASLEEP_NS:  # the wall clock was set: the RTC was not
            self._ahead_ns = ahead_ns
            self._alarm_is_stale = True
            self._changed.set()
        if next_ns != self._told_next_ns:
            self._told_next_ns = next_ns
            self._changed.set()
        self._notice_sleep()

    def somebody(self, who: str) -> None:
        """A person gives commands: awake for `person_s` from now."""
        before, self._person = self._person, None
        if self._config.person_s > 0:
            self._person = self.awake.lease(who, self._config.person_s)
        if before is not None:
            before.release()

    def stay_awake(self, for_s: float) -> None:
        """A person wants it awake, for so long from now, whatever they said before. UsageError."""
        before = self._asked
        self._asked = self.awake.lease("stay-awake", for_s)
        if before is not None:
            before.release()

    def need_not_stay_awake(self) -> None:
        """As far as people are concerned it may sleep."""
        for lease in (self._asked, self._person):
            if lease is not None:
                lease.release()

    def status(self) -> AwakeStatus:
        """For people."""
        holders = self.awake.holders()
        verdict = decide(self._view(), self._config)
        why = verdict.reason if isinstance(verdict, Stay) else "it is about to sleep"
        return AwakeStatus(holders, why, self._box.next_ns(), self.alarm.set_ns,
                           self.alarm.problem)

    # -- life ------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until cancelled; at the end of the machine's sleep it goes on."""
        while True:
            self._changed.clear()
            await self._keep_alarm()
            verdict = decide(self._view(), self._config)
            if isinstance(verdict, Sleep):
                await self._sleep(verdict)
                continue
            self.stay = verdict
            waits = [self.awake.due_in_s(), AGAIN_S if self._failed else float("inf")]
            waits += [] if verdict.again_s is None else [verdict.again_s]
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if min(waits) == float("inf")
                                           else max(0.01, min(waits))):
                    await self._changed.wait()

    async def set_alarm_at_end(self, next_ns: int | None, *, switched_off: bool) -> None:
        """The box stops: the RTC has the next wake-up, checked once more, whatever comes now."""
        if next_ns is None or (self._config.mode == "never"
                               and not (switched_off and self._config.wake_after_power_off)):
            return
        await self.alarm.set_to(max(wake_ns(self._config, next_ns),
                                    self._clock.epoch_ns() + 60 * SECOND_NS))

    def close(self) -> None:
        """End the workers; :meth:`run` has ended."""
        self.alarm.close()
        self._worker.close()

    # -- inside ----------------------------------------------------------------------------------

    async def _keep_alarm(self) -> None:
        next_ns = self._box.next_ns()
        if self._config.mode == "never" or next_ns is None:
            return
        at_ns = wake_ns(self._config, next_ns)
        set_ns, stale = self.alarm.set_ns, self._alarm_is_stale
        right = set_ns is not None and not stale and abs(set_ns - at_ns) < 60 * SECOND_NS
        if right or at_ns <= self._clock.epoch_ns():
            return
        self._alarm_is_stale = False
        await self.alarm.set_to(at_ns)

    def _view(self) -> View:
        held_by = [holder.name for holder in self.awake.holders()]
        now_ns = self._clock.monotonic_ns()
        if self._failed and now_ns - self._failed_ns >= AGAIN_S * SECOND_NS:
            self._failed = ""
        return View(self._clock.epoch_ns(), held_by, (now_ns - self._idle_since_ns) / SECOND_NS,
                    self._box.next_ns(), self._failed)

    async def _sleep(self, verdict: Sleep) -> None:
        """All that must be true before, asked in the order of its cost; then the sleep itself."""
        if await self._somebody_sits_there():
            return
        try:
            await self._box.let_go_of_drives()
        except (FieldrecError, OSError) as error:
            self._try_later(str(error))
            return
        if not await self.alarm.set_to(verdict.until_ns):
            self._try_later(self.alarm.problem)
            return
        if not isinstance(decide(self._view(), self._config), Sleep):
            return  # something began meanwhile
        self._box.note(Kind.SLEPT, verdict.reason, until_ns=verdict.until_ns,
                       reason=verdict.reason)
        self._box.say(f"asleep until {words.utc(verdict.until_ns)}: {verdict.reason}", "info")
        if self._config.by == "power_off":
            self._box.switch_off(f"asleep until {words.utc(verdict.until_ns)}")
            await asyncio.Event().wait()
        await self._suspend(verdict)

    async def _somebody_sits_there(self) -> bool:
        """Whether a key was pressed within `person_s`; then that keeps the box awake."""
        people = await self._worker.run(lambda _stop: self._machine.people())
        now_ns = self._clock.epoch_ns()
        left_s = {one.terminal: self._config.person_s - (now_ns - one.last_key_ns) / SECOND_NS
                  for one in people}
        there = {terminal: min(seconds, self._config.person_s)
                 for terminal, seconds in left_s.items() if seconds > 0}
        for terminal, seconds in there.items():
            self.awake.lease(f"{AT_TERMINAL}{terminal}", seconds)
        return bool(there)

    async def _suspend(self, verdict: Sleep) -> None:
        command, before_ns = self._config.command, self._asleep_ns
        self._verdict = verdict
        try:
            await self._worker.run(lambda _stop: self._machine.run(command))
            for _ in range(FALLING_ASLEEP_S):
                self._notice_sleep()
                if self._asleep_ns != before_ns:
                    return
                await asyncio.sleep(LOOK_S)
            self._did_not_sleep(f"`{' '.join(command)}` did not put the machine to sleep")
        except FieldrecError as error:
            self._did_not_sleep(str(error))
        finally:
            self._verdict = None

    def _did_not_sleep(self, why: str) -> None:
        self._box.note(Kind.WOKE, why, reason=why, slept_s=0.0)
        self._try_later(why)

    def _notice_sleep(self) -> None:
        """If the machine has slept since the last look, note and tell it."""
        slept_ns = self._machine.asleep_ns() - self._asleep_ns
        if slept_ns < ASLEEP_NS:
            return
        self._asleep_ns += slept_ns
        self._idle_since_ns = self._clock.monotonic_ns()
        reason = self._why_awake()
        self._box.note(Kind.WOKE, reason, reason=reason, slept_s=slept_ns / 1e9)
        self._box.say(f"awake after {words.duration(slept_ns / 1e9)}: {reason}", "info")
        self._box.woken()
        self._changed.set()

    def _why_awake(self) -> str:
        verdict = self._verdict
        if verdict is None:
            return "somebody else had put it to sleep"
        early_ns = verdict.until_ns - self._clock.epoch_ns()
        if early_ns > EARLY_NS:
            return f"woken by something else, {words.duration(early_ns / 1e9)} early"
        return f"woken by the RTC: {verdict.reason}"

    def _try_later(self, why: str) -> None:
        if why != self._failed:
            self._box.say(f"does not sleep: {why}", "warning")
        self._failed, self._failed_ns = why, self._clock.monotonic_ns()

    def _leases_changed(self) -> None:
        held = bool(self.awake.holders())
        if self._was_held and not held:
            self._idle_since_ns = self._clock.monotonic_ns()
        self._was_held = held
        self._changed.set()

    def _dropped(self, lease: Lease) -> None:
        if lease in (self._person, self._asked) or lease.name.startswith(AT_TERMINAL):
            return  # what they asked for is over: nothing is wrong
        held = words.duration(lease.max_s)
        self._box.say(f"{lease.name}: held the box awake for {held}, and does no longer", "warning")
        self._box.note(Kind.LEASE_DROPPED, f"{lease.name} held the box awake for {held}",
                       who=lease.name, held_s=lease.max_s)
