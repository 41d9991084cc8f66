"""The beat of the box: once a second it measures the loop's lag and tells systemd that all is well.
A task on the event loop."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable, Sequence

from fieldrec.app.health import Alive, Progress
from fieldrec.core.snapshot import RecorderStatus

log = logging.getLogger(__name__)

BEAT_S = 1.0
LAG_REPORTED_MS = 100.0
"""A loop that was late by this much is reported (design: who runs where)."""


class Beat:
    """How late the loop is, and whether frames reach the disk."""

    def __init__(self, recorders: Callable[[], Sequence[RecorderStatus]],
                 line: Callable[[], str], on_stuck: Callable[[str], None]) -> None:
        """`line` is what `systemctl status` shows; `on_stuck` hears what is stuck, and "" when
        nothing is any more."""
        self.lag_ms = 0.0
        """Worst of the last second."""
        self._recorders = recorders
        self._line = line
        self._on_stuck = on_stuck
        self._stuck = ""
        self._progress = Progress()
        self._alive = Alive()

    async def run(self, at_each: Callable[[int], Awaitable[None]]) -> None:
        """Beat until cancelled; `at_each` is called with the number of the beat."""
        loop = asyncio.get_running_loop()
        for beat in itertools.count(1):
            due = loop.time() + BEAT_S
            await asyncio.sleep(BEAT_S)
            self.lag_ms = max(0.0, (loop.time() - due) * 1000)
            if self.lag_ms >= LAG_REPORTED_MS:
                log.warning("event loop was %.0f ms late", self.lag_ms)
            self._tell_systemd(loop.time())
            await at_each(beat)

    def _tell_systemd(self, now_s: float) -> None:
        """Feed the watchdog only while frames reach the disk; keep the line of `systemctl status`
        up to date."""
        stuck = self._progress.problem(self._recorders(), now_s)
        if stuck != self._stuck:
            self._stuck = stuck
            self._on_stuck(stuck)
        if not stuck:
            self._alive.tell(self._line(), now_s)
