"""Blocking calls on drives, one worker thread per drive, each call with a time limit.

Called by the drive watcher on the event loop. A dying drive can hold a thread in the kernel for
minutes, where nothing can stop it: such a call is given up on, its thread left to itself, and other
drives, each with a thread of its own, do not notice (I9).
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from fieldrec.core.errors import DriveBusy
from fieldrec.core.workers import Worker
from fieldrec.drives.table import Key

T = TypeVar("T")


class DriveWork:
    """The drives' workers; a worker is made at the first call and ended by :meth:`end`."""

    def __init__(self) -> None:
        self._workers: dict[Key, Worker] = {}
        self._calls: dict[Key, set[asyncio.Task[Any]]] = {}

    def hangs(self, key: Key) -> bool:
        """Whether a call on this drive has not come back."""
        return bool(self._calls.get(key))

    async def run(self, key: Key, work: Callable[[threading.Event], T], timeout_s: float,
                  complaint: str) -> T:
        """Run `work` in the drive's thread, after the calls before it.

        DriveBusy(`complaint`, with advice) when it takes longer than `timeout_s`; the call goes on.
        On cancel too it goes on: it holds nothing of ours.
        """
        if key not in self._workers:
            self._workers[key] = Worker(f"drive-{Path(key[1]).name}")
        task: asyncio.Task[T] = asyncio.ensure_future(self._workers[key].run(work))
        self._calls.setdefault(key, set()).add(task)
        task.add_done_callback(lambda done: self._ended(key, done))
        await asyncio.wait({task}, timeout=timeout_s)
        if not task.done():
            raise DriveBusy(f"{complaint} (waited {timeout_s:g} s); pull it out")
        return task.result()

    def end(self, key: Key) -> None:
        """End a drive's thread; one that hangs ends by itself when the kernel lets it go."""
        worker = self._workers.pop(key, None)
        if worker is None:
            return
        if self.hangs(key):
            threading.Thread(target=worker.close, name=f"{worker.name}-end", daemon=True).start()
        else:
            worker.close()

    def close(self) -> None:
        """End all threads that do not hang."""
        for key in list(self._workers):
            self.end(key)

    def _ended(self, key: Key, task: asyncio.Task[Any]) -> None:
        if not task.cancelled():
            task.exception()  # seen: perhaps nobody waits for it any more
        calls = self._calls.get(key, set())
        calls.discard(task)
        if not calls:
            self._calls.pop(key, None)
