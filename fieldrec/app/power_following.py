"""What the box does when power changes: CRITICAL closes recordings in order and switches the box
off, where that is configured; power that is back lets them go on. On the event loop.

What CRITICAL cuts is kept on disk (held_back.py) while it is being closed, and goes on, as a new
recording, when power is back: in this life of the box or in a later one, if its time is not over
then. Whoever stops it meanwhile is obeyed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from fieldrec.app.held_back import HeldBack, HeldBackFile
from fieldrec.core.clock import Clock
from fieldrec.core.model import PowerLevel, PowerState
from fieldrec.record.asked import Asked
from fieldrec.record.session import Session


class PowerFollowing:
    """The power as judged last, and what follows from it."""

    def __init__(self, first: PowerState, *, session: Session | None, kept: HeldBackFile,
                 clock: Clock, critical_leave_percent: float, say: Callable[[str, str], None],
                 refuse_recording: Callable[[str], None], start: Callable[[Asked], Awaitable[bool]],
                 switch_off: Callable[[str], None] | None) -> None:
        """`start` begins a recording again and says whether it did; `switch_off(why)` asks for the
        end of the box and the machine, None where CRITICAL leaves it running."""
        self.state = first
        self._critical_leave_percent = critical_leave_percent
        self._session = session
        self._kept = kept
        self._clock = clock
        self._say = say
        self._refuse_recording = refuse_recording
        self._start = start
        self._switch_off = switch_off
        self._held_back: HeldBack | None = None
        """The recording that CRITICAL power cut, to go on when power is back."""
        self._recalled = False
        """Whether it was cut in an earlier life: nobody has judged since that power is back."""
        self._switching_off = False
        """This life ends: what was cut goes on in the next one."""
        self._following = asyncio.Lock()
        self._writing: set[asyncio.Task[None]] = set()

    @property
    def holds_back(self) -> bool:
        """Whether a recording waits for power."""
        return self._held_back is not None

    async def recall(self) -> None:
        """Once, at the start: what an earlier life of the box held back, if its time is not
        over."""
        held_back = await self._kept.read()
        if held_back is None:
            return
        if held_back.now(self._clock) is None:
            self._say("the recording that the battery cut does not go on: its time is over", "info")
            await self._kept.forget()
            return
        self._held_back, self._recalled = held_back, True
        self._say("the recording that the battery cut goes on when power is back", "info")

    def take(self, power: PowerState) -> bool:
        """Note a new judgement; whether :meth:`follow` has something to do."""
        before, self.state = self.state, power
        if power.level is before.level:
            return self.holds_back and self._is_back()
        severity = "warning" if power.level in (PowerLevel.LOW, PowerLevel.CRITICAL) else "info"
        self._say(f"power {power.level.value}: {power.reason}", severity)
        self._refuse_recording(
            f"battery critical: {power.reason}" if power.level is PowerLevel.CRITICAL else "")
        return True

    def forget_held_back(self) -> None:
        """The operator stopped: what power had cut does not come back by itself."""
        if self._held_back is not None:
            self._held_back = None
            self._write(self._kept.forget())

    async def follow(self) -> None:
        """CRITICAL: close recordings in order, then stop the box if so configured; a recording
        that was cut by it goes on, as a new one, when power is back."""
        if self._session is None or self._switching_off:
            return
        async with self._following:
            if self.state.level is PowerLevel.CRITICAL:
                await self._cut(self._session)
            elif self._held_back is not None and self._is_back():
                await self._go_on(self._session, self._held_back)

    async def written(self) -> None:
        """Wait until what is held back is on disk, or forgotten there."""
        while self._writing:
            await asyncio.wait(set(self._writing))

    async def close(self) -> None:
        """End what works here. :meth:`follow` is not called any more."""
        await self.written()
        self._kept.close()

    # -- inside ----------------------------------------------------------------------------------

    async def _cut(self, session: Session) -> None:
        """Where the box is switched off, the orderly stop closes the recordings, within its
        budget: nothing is waited for here."""
        self._hold(session.to_ask_again())
        if self._switch_off is not None:
            self._switching_off = True
            self._switch_off(self.state.reason)
            return
        had = self.holds_back
        again = await session.suspend("battery critical")
        if not had:  # a start that was under way
            self._hold(again)
        await self.written()

    async def _go_on(self, session: Session, held_back: HeldBack) -> None:
        asked = held_back.now(self._clock)
        if session.recording:
            self._say("the recording that the battery cut does not go on: something is recorded "
                      "already", "info")
        elif asked is None:
            self._say("the recording that the battery cut does not go on: its time is over", "info")
        elif not await self._start(asked):
            return  # said; tried again when power changes
        if self._held_back is held_back:
            self.forget_held_back()

    def _hold(self, asked: Asked | None) -> None:
        """What the schedule records is none of it: its own rules begin that anew, as long as the
        window runs."""
        if asked is not None:
            self._held_back, self._recalled = HeldBack.of(asked, self._clock), False
            self._write(self._kept.keep(self._held_back))

    def _write(self, work: Awaitable[None]) -> None:
        """In the order of the calls; nobody waits for it."""
        task = asyncio.ensure_future(work)
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    def _is_back(self) -> bool:
        """Whether power is back. In this life the judge has seen to that: CRITICAL is left above
        its own threshold. A later one must look: it believes CRITICAL only after the dwell."""
        level, charge = self.state.level, self.state.charge_percent
        if level in (PowerLevel.CRITICAL, PowerLevel.UNKNOWN):
            return False
        if self._recalled and level is PowerLevel.LOW:
            return charge is None or charge > self._critical_leave_percent
        return True
