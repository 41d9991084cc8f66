"""The one orderly stop: steps in their order, each within its share of the budget. On the loop.

A step that does not end in its share (a disk or a drive that does not answer) is left to itself,
and the next one begins: what is stuck in one place eats nothing of what closing, ejecting and
syncing need elsewhere. It may still end until the budget is over; only then is it called stuck, by
name. Nothing here cancels a step: a worker that waits for a dead disk lets no cancel through, and
one that writes must not be cut.

A cancel of whoever waits for the stop (a signal that comes while it is under way) is passed on when
the stop is over, never before.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do at the end."""

    name: str
    """What people call it, when it is stuck: "recordings", "drives"."""
    until: float
    """Part of the whole budget at which the next step begins, whether or not this one has ended."""
    act: Callable[[], Awaitable[None]]


class OrderlyStop:
    """Runs steps; the budget counts from the first of them. :attr:`late` is for the board."""

    def __init__(self, budget_s: float, on_change: Callable[[], None] = lambda: None) -> None:
        """`on_change` is called when a step turned out to be late, or ended after all."""
        self._budget_s = budget_s
        self._on_change = on_change
        self._began_s: float | None = None
        self._late: dict[asyncio.Task[None], str] = {}
        self.failed: list[BaseException] = []
        """What went wrong; the steps after it were done all the same."""

    @property
    def late(self) -> tuple[str, ...]:
        """Steps whose share is over and that have not ended."""
        return tuple(name for task, name in self._late.items() if not task.done())

    async def run(self, steps: Sequence[Step], wait_until: float) -> None:
        """All these steps; then wait until `wait_until` of the budget for those that are late."""
        for step in steps:
            task = asyncio.create_task(_guarded(step, self.failed), name=f"stop {step.name}")
            await asyncio.wait({task}, timeout=self._left_s(step.until))
            if not task.done():
                self._late[task] = step.name
                log.warning("orderly stop: %s take long; going on with the rest", step.name)
                task.add_done_callback(lambda _task: self._on_change())
                self._on_change()
        if self.late:
            await asyncio.wait(set(self._late), timeout=self._left_s(wait_until))

    def _left_s(self, part: float) -> float:
        now_s = asyncio.get_running_loop().time()
        if self._began_s is None:
            self._began_s = now_s
        return max(0.0, self._began_s + part * self._budget_s - now_s)


async def _guarded(step: Step, failed: list[BaseException]) -> None:
    try:
        await step.act()
    except Exception as error:  # the steps after it must be done all the same
        log.exception("orderly stop: %s", step.name)
        failed.append(error)


async def through(work: Awaitable[Any]) -> None:
    """Wait for `work` to its end, whatever cancels the caller meanwhile; the cancellation is passed
    on afterwards, unless `work` failed."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancelled = error
    task.result()
    if cancelled is not None:
        raise cancelled
