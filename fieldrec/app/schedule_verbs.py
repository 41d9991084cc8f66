"""The schedule's verbs: what the control socket, and with it the command line, may ask and order.
On the event loop."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from fieldrec.app.foresight import with_forecast
from fieldrec.app.scheduling import Scheduling
from fieldrec.core.clock import Clock
from fieldrec.core.errors import UsageError
from fieldrec.jobs.forecast import Battery, Disk
from fieldrec.schedule.rows import Row, rows
from fieldrec.schedule.simulate import Simulated, simulate

LONGEST_NS = 400 * 86_400 * 1_000_000_000
"""Of a simulated span."""


class ScheduleVerbs:
    """List, add, remove, clear, switch, simulate."""

    def __init__(self, scheduling: Scheduling, clock: Clock, *,
                 figures: Callable[[], Awaitable[tuple[Disk | None, Battery | None]]]) -> None:
        """`figures`: what is known of disk and battery, for forecasts."""
        self._scheduling = scheduling
        self._clock = clock
        self._figures = figures

    async def list(self) -> list[Row]:
        """Every task: the configuration's, then those added."""
        scheduling = self._scheduling
        return rows(scheduling.table, scheduling.calendar, self._clock.epoch_ns(),
                    list(scheduling.deciding.memory.entered.values()))

    async def add(self, name: str, told: Mapping[str, Any]) -> Row:
        """Another task, kept over restarts; `told`: keys as in `schedule.tasks`. ScheduleError."""
        table = self._scheduling.table
        table.add(name, told)
        try:
            await self._scheduling.write_tasks()
        except BaseException:
            table.remove(name)
            raise
        self._scheduling.tasks_changed()
        return await self._row(name)

    async def remove(self, name: str) -> str:
        """Take an added task away; what it records now ends. NotFoundError, StateError."""
        self._scheduling.table.remove(name)
        await self._changed()
        return f"removed {name}"

    async def clear(self) -> str:
        """Take away every task that was added; says which stay."""
        gone, stay = self._scheduling.table.clear()
        await self._changed()
        left = f"; in the configuration, and left: {', '.join(stay)}" if stay else ""
        return f"removed {', '.join(gone) or 'nothing'}{left}"

    async def switch(self, name: str, on: bool) -> Row:
        """Switch a task off for now (over restarts too), or on again."""
        self._scheduling.table.switch(name, on)
        await self._changed()
        return await self._row(name)

    async def simulate(self, since_ns: int, until_ns: int) -> Simulated:
        """What would happen in (since, until], with a forecast. UsageError for no such span."""
        check_span(since_ns, until_ns)
        scheduling = self._scheduling
        simulated = simulate(scheduling.calendar, since_ns, until_ns)
        disk, battery = await self._figures()
        return with_forecast(simulated, scheduling.zone, disk, battery)

    async def _changed(self) -> None:
        """Also when it cannot be written: the running schedule is what was ordered."""
        self._scheduling.tasks_changed()
        await self._scheduling.write_tasks()

    async def _row(self, name: str) -> Row:
        return next(row for row in await self.list() if row.name == name)


def check_span(since_ns: int, until_ns: int) -> None:
    """UsageError for a span that ends before it begins, or is longer than anybody plans."""
    if until_ns <= since_ns:
        raise UsageError("simulate: the end must be after the beginning")
    if until_ns - since_ns > LONGEST_NS or since_ns < 0 or until_ns > 8_000_000_000_000_000_000:
        raise UsageError("simulate: name a span of at most 400 days, from 1970 on")
