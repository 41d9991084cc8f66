"""The tasks of the box: each part supervised, so that no failure reaches another part (I9). On the
event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from fieldrec.core.workers import supervise


class Tasks:
    """What runs, and what is wrong with it."""

    def __init__(self, on_problem: Callable[[str, str], None]) -> None:
        """`on_problem(name, problem)` hears of a new problem, and "" of every change."""
        self.problems: dict[str, str] = {}
        """By part, "" while it runs well; in the order of their beginning."""
        self._tasks: list[asyncio.Task[None]] = []
        self._on_problem = on_problem

    def __bool__(self) -> bool:
        """Whether anything was begun."""
        return bool(self._tasks)

    def spawn(self, name: str, part: Callable[[], Awaitable[None]]) -> None:
        """Begin a part; it is begun again whenever it fails."""
        self._tasks = [task for task in self._tasks if not task.done()]
        self.add(asyncio.create_task(supervise(name, part, on_change=self.changed), name=name))

    def add(self, task: asyncio.Task[None]) -> None:
        """Own a task that runs once."""
        self._tasks.append(task)

    def changed(self, name: str, problem: str) -> None:
        """A part runs ("") or has a problem."""
        is_new = bool(problem) and problem != self.problems.get(name)
        self.problems[name] = problem
        self._on_problem(name, problem if is_new else "")

    def running(self) -> list[str]:
        """Names of what has not ended."""
        return [task.get_name() for task in self._tasks if not task.done()]

    async def cancel(self, *names: str) -> None:
        """End those of these names, and wait until they have ended."""
        await _end([task for task in self._tasks if task.get_name() in names])

    async def cancel_all(self) -> None:
        """End all, and wait until they have ended."""
        await _end(self._tasks)


async def _end(ending: Sequence[asyncio.Task[None]]) -> None:
    if ending:
        for task in ending:
            task.cancel()
        await asyncio.wait(ending)
