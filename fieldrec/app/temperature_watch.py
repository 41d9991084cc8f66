"""The processor's temperature, looked at now and then while it matters: something records, or jobs
want to run. One task on the event loop; the sensors are read in thread ``temperature``."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

from fieldrec.core.workers import Worker
from fieldrec.sensors import temperature

LOOK_S = 15.0


class TemperatureWatch:
    """Owned by the app; `celsius` is None while nobody wants to know, or nothing tells."""

    def __init__(self, on_change: Callable[[float | None], None], root: Path = Path("/sys"),
                 look_s: float = LOOK_S) -> None:
        """`on_change` hears of each new figure, in whole degrees of difference."""
        self.celsius: float | None = None
        self._on_change = on_change
        self._root = root
        self._look_s = look_s
        self._wanted = asyncio.Event()
        self._unwanted = asyncio.Event()

    def want(self, wanted: bool) -> None:
        """Whether anybody wants to know; called with every picture of the box. Cheap."""
        if wanted:
            self._wanted.set()
            self._unwanted.clear()
        else:
            self._wanted.clear()
            self._unwanted.set()

    async def run(self) -> None:
        """Look while it is wanted, until cancelled. A box that has never told anything is asked
        once for each time that it is wanted."""
        worker = Worker("temperature")
        has_sensor = False
        try:
            while True:
                await self._wanted.wait()
                found = await worker.run(lambda _stop: temperature.read(self._root))
                self._take(found)
                has_sensor = has_sensor or found is not None
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._look_s if has_sensor else None):
                        await self._unwanted.wait()
                        self._take(None)
        finally:
            worker.close()

    def _take(self, found: float | None) -> None:
        before, self.celsius = self.celsius, found
        if found is None or before is None:
            if found is not before:
                self._on_change(found)
        elif round(found) != round(before):
            self._on_change(found)
