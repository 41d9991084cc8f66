"""Switching the machine off: who may, and the last question before it is done. On the loop.

Only a process that was told to end the machine with itself (`fieldrec run`) calls
:func:`switch_off`; all others at most wish for it. It comes after the orderly stop, also after one
that is stuck, and while a signal waits to be obeyed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from fieldrec.app.machine import Machine
from fieldrec.config import PowerConfig
from fieldrec.core.clock import Clock
from fieldrec.core.model import PowerLevel, PowerState
from fieldrec.core.notes import Kind, Note
from fieldrec.core.workers import Worker
from fieldrec.power import watcher

NO_BATTERY = frozenset({"mains", "fixed"})
"""Sources that watch none."""
NOTHING_THERE = "none"
"""Source of a state where no battery was found, which counts as mains."""
LAST_LOOK_S = 1.0
"""A source that does not answer within this is taken to say what it said before."""


@dataclass(frozen=True, slots=True)
class Ending:
    """The machine is to be switched off when the box has stopped."""

    why: str
    command: tuple[str, ...]
    still_wanted: Callable[[], Awaitable[bool]]
    """Asked last, right before the command."""


class SwitchingOff:
    """Whether, why and how this life of the box ends with the machine. :attr:`ending` is None until
    that is wanted."""

    def __init__(self, power: PowerConfig, clock: Clock, *, state: Callable[[], PowerState],
                 stop: Callable[[], None], say: Callable[[str, str], None], note: Note) -> None:
        """`stop` asks for the orderly stop; `state` is the power as judged last."""
        self._power = power
        self._clock = clock
        self._state = state
        self._stop = stop
        self._say = say
        self._note = note
        self.ending: Ending | None = None
        self.stopping = False
        """The box stops already: whoever was first is not overruled."""

    def at_critical(self, why: str) -> None:
        """The battery is CRITICAL."""
        self._end(f"battery critical: {why}", self._still_critical)

    def to_sleep(self, why: str) -> None:
        """Until the RTC switches the machine on again."""
        self._end(why, _still)

    def _end(self, why: str, still_wanted: Callable[[], Awaitable[bool]]) -> None:
        if self.stopping or self.ending is not None:
            return
        self.ending = Ending(why, self._power.poweroff_command, still_wanted)
        self._say(f"{why}; recordings are closed, then the machine is switched off", "warning")
        self._note(Kind.POWER_OFF, why, reason=why)
        self._stop()

    async def _still_critical(self) -> bool:
        """Asked when all is closed: a box that is fed again is not switched off."""
        return self._state().level is PowerLevel.CRITICAL \
            and not await fed_again(self._power, self._clock)


async def _still() -> bool:
    return True


def command_of(power: PowerConfig) -> tuple[str, ...]:
    """What switches the machine off at CRITICAL; () where it stays on, or no battery is watched."""
    kinds = [source.type for source in power.sources] or [power.source]
    return power.poweroff_command if set(kinds) - NO_BATTERY else ()


async def switch_off(ending: Ending, machine: Machine) -> bool:
    """Run the command, unless it is not wanted any more; whether it was run. FieldrecError."""
    if not await ending.still_wanted():
        return False
    worker = Worker("switch-off")
    try:
        await worker.run(lambda _stop: machine.run(ending.command))
    finally:
        worker.close()
    return True


async def fed_again(power: PowerConfig, clock: Clock) -> bool:
    """Whether a new look at the power says that the box is on mains, or far from empty."""
    loop = asyncio.get_running_loop()
    first: asyncio.Future[PowerState] = loop.create_future()

    def take(state: PowerState) -> None:
        if not first.done():
            first.set_result(state)

    looking = asyncio.create_task(watcher.run(power, clock, take), name="last look at the power")
    looking.add_done_callback(_seen)
    ends: set[asyncio.Future[PowerState] | asyncio.Task[None]] = {first, looking}
    await asyncio.wait(ends, timeout=LAST_LOOK_S, return_when=asyncio.FIRST_COMPLETED)
    looking.cancel()
    await asyncio.wait({looking}, timeout=LAST_LOOK_S)
    if not first.done() or first.result().source == NOTHING_THERE:
        return False  # a battery that has gone silent is not one that is fed
    return first.result().level in (PowerLevel.MAINS, PowerLevel.BATTERY)


def _seen(task: asyncio.Task[None]) -> None:
    """A source that fails now changes nothing."""
    if not task.cancelled():
        task.exception()
