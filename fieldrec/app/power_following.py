"""What the box does when power changes: CRITICAL closes recordings in order, and power that is back
lets them go on. On the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from fieldrec.config import PowerConfig
from fieldrec.core.model import PowerLevel, PowerState
from fieldrec.record.asked import Asked
from fieldrec.record.session import Session


class PowerFollowing:
    """The power as judged last, and what follows from it."""

    def __init__(self, config: PowerConfig, first: PowerState, *, session: Session | None,
                 say: Callable[[str, str], None], refuse_recording: Callable[[str], None],
                 start: Callable[[Asked], Awaitable[None]], power_off: Callable[[], None]) -> None:
        """`start` begins a recording again, `power_off` asks for the end of the box."""
        self.state = first
        self._config = config
        self._session = session
        self._say = say
        self._refuse_recording = refuse_recording
        self._start = start
        self._power_off = power_off
        self._held_back: Asked | None = None
        """The recording that CRITICAL power cut, to go on when power is back."""
        self._following = asyncio.Lock()

    def take(self, power: PowerState) -> bool:
        """Note a new judgement; whether :meth:`follow` has something to do."""
        before, self.state = self.state, power
        if power.level is before.level:
            return False
        severity = "warning" if power.level in (PowerLevel.LOW, PowerLevel.CRITICAL) else "info"
        self._say(f"power {power.level.value}: {power.reason}", severity)
        self._refuse_recording(
            f"battery critical: {power.reason}" if power.level is PowerLevel.CRITICAL else "")
        return True

    def forget_held_back(self) -> None:
        """The operator stopped: what power had cut does not come back by itself."""
        self._held_back = None

    async def follow(self) -> None:
        """CRITICAL: close recordings in order, then stop the box if so configured; a recording
        that was cut by it goes on, as a new one, when power is back."""
        if self._session is None:
            return
        async with self._following:
            await self._follow_now(self._session)

    async def _follow_now(self, session: Session) -> None:
        if self.state.level is PowerLevel.CRITICAL:
            self._held_back = await session.suspend("battery critical") or self._held_back
            still = self.state.level is PowerLevel.CRITICAL
            if still and self._config.poweroff_command:
                self._power_off()
        elif self._held_back is not None:
            held_back, self._held_back = self._held_back, None
            await self._start(held_back)
