"""Bringing cameras back: opened again with growing delays, and into the session if it still wants
them. On the event loop, one task for each camera, for ever; the session runs them (I9: no camera
waits for another).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence

from fieldrec.core.clock import Clock
from fieldrec.core.model import CameraState
from fieldrec.record.recorder import Recorder

MEND_DELAYS_S = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Before each try to bring a camera back; the last one for ever."""
GOOD_NS = 60_000_000_000
"""A camera that ran this long since the last try begins with the shortest delay again."""


class Mending:
    """The faults of a box's cameras."""

    def __init__(self, cameras: Iterable[str], *, clock: Clock,
                 on_event: Callable[[str, str], None],
                 join: Callable[[Recorder], Awaitable[None]],
                 delays_s: Sequence[float] = MEND_DELAYS_S) -> None:
        """`join` records with a camera that is ready, if it shall."""
        self._faults = {key: asyncio.Event() for key in cameras}
        self._clock = clock
        self._event = on_event
        self._join = join
        self._delays_s = tuple(delays_s)

    def fault(self, key: str) -> None:
        """Something is wrong with this camera, or it does not record although it could."""
        self._faults[key].set()

    async def open(self, recorder: Recorder) -> None:
        """Open a camera; said when it fails in a new way, and when it is back. Then it joins."""
        before = recorder.problem
        await recorder.open()
        if recorder.state is CameraState.FAILED:
            self.fault(recorder.key)
            if recorder.problem != before:
                self._event(f"camera {recorder.key} does not open: {recorder.problem}", "error")
        elif before:
            self._event(f"camera {recorder.key} is back", "info")
        await self._join(recorder)

    async def keep_going(self, recorder: Recorder) -> None:
        """One camera's mending until cancelled: after each fault one try, later and later."""
        fault = self._faults[recorder.key]
        if recorder.state is CameraState.FAILED:
            fault.set()
        tries, last_ns = 0, self._clock.monotonic_ns()
        while True:
            await fault.wait()
            if self._clock.monotonic_ns() - last_ns > GOOD_NS:
                tries = 0
            await asyncio.sleep(self._delays_s[min(tries, len(self._delays_s) - 1)])
            fault.clear()
            tries += 1
            await self._mend(recorder)
            last_ns = self._clock.monotonic_ns()

    async def _mend(self, recorder: Recorder) -> None:
        if recorder.state is CameraState.FAILED:
            await self.open(recorder)
        else:
            await self._join(recorder)
