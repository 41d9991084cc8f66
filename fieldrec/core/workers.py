"""Named threads for blocking work, and tasks that are restarted when they fail.

``asyncio.to_thread`` returns on cancel while its thread goes on: we would unmount a drive that is
still being written. A :class:`Worker` instead sets the stop flag and waits until the work has
really ended, then lets the cancellation through. :func:`supervise` keeps one part's failure from
reaching any other part (I9).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import threading
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from fieldrec.core.errors import FieldrecError

log = logging.getLogger(__name__)
T = TypeVar("T")

Work = Callable[[threading.Event], Any]


class Left(Exception):
    """The work was left to itself: its thread still runs."""


class Worker:
    """One named thread that runs blocking functions one after another.

    Owned by the event loop; :meth:`run` is called from tasks, :meth:`close` once at the end.
    """

    def __init__(self, name: str, *, may_be_left: bool = False) -> None:
        """`may_be_left`: :meth:`leave` may be called. Such a thread does not keep the process
        alive."""
        self.name = name
        self.left = False
        """Whether its work was left to itself."""
        self._daemon = may_be_left
        self._leaving: asyncio.Future[None] | None = None
        self._stop: threading.Event | None = None
        self._queue: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._closed = False

    async def run(self, work: Callable[[threading.Event], T]) -> T:
        """Run ``work(stop)`` in the thread and return its result; `stop` is set on cancel.

        On cancel this does not return before `work` has: whatever the work held (a file, a drive)
        is free afterwards. Work that polls `stop` seldom makes cancel slow, never wrong.
        """
        if self._closed:
            raise RuntimeError(f"worker {self.name} is closed")
        if self._thread is None:
            self._thread = threading.Thread(target=self._loop, name=self.name, daemon=self._daemon)
            self._thread.start()
        loop = asyncio.get_running_loop()
        leaving = self._leaving = loop.create_future()
        future: asyncio.Future[T] = loop.create_future()
        stop = self._stop = threading.Event()
        self._queue.put(lambda: _run_into(loop, future, work, stop))
        cancelled: asyncio.CancelledError | None = None
        while not future.done():
            try:
                await asyncio.wait([future, leaving], return_when=asyncio.FIRST_COMPLETED)
                if self.left and not future.done():
                    future.cancel()
                    raise Left
            except asyncio.CancelledError as error:  # wait for the thread, then pass it on
                stop.set()
                cancelled = error
        if cancelled is not None:
            with contextlib.suppress(Exception):
                future.result()
            raise cancelled
        return future.result()

    def leave(self) -> None:
        """Wait for the work in hand no longer: it hangs. Its stop flag is set, :meth:`run` raises
        Left, the thread ends when the work does."""
        if self._stop is not None:
            self._stop.set()
        self.left = True
        if self._leaving is not None and not self._leaving.done():
            self._leaving.set_result(None)

    def close(self) -> None:
        """End the thread after the work in hand; blocks until it has ended, unless it was left.
        Idempotent."""
        self._closed = True
        if self._thread is not None:
            self._queue.put(None)
            if not self.left:
                self._thread.join()
            self._thread = None

    def _loop(self) -> None:
        while (call := self._queue.get()) is not None:
            call()


def _run_into(loop: asyncio.AbstractEventLoop, future: asyncio.Future[T],
              work: Callable[[threading.Event], T], stop: threading.Event) -> None:
    """Run the work in the worker's thread and hand its outcome to the loop."""
    try:
        result = work(stop)
    except BaseException as error:  # noqa: BLE001 - whatever it is belongs to the awaiting task
        failure: BaseException = error
        if isinstance(error, StopIteration):  # a future refuses it, and run() would wait for ever
            failure = RuntimeError("the work raised StopIteration")
            failure.__cause__ = error
        _post(loop, lambda: _settle(future, failure))
    else:
        _post(loop, lambda: _settle(future, None, result))


def _settle(future: asyncio.Future[Any], failure: BaseException | None, result: Any = None) -> None:
    if future.done():
        return  # its work was left to itself
    if failure is not None:
        future.set_exception(failure)
    else:
        future.set_result(result)


def _post(loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
    """Have it called on the loop; a loop that has ended left this thread to itself."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(call)


async def supervise(name: str, part: Callable[[], Awaitable[None]], *,
                    on_change: Callable[[str, str], None],
                    first_delay_s: float = 0.5, longest_delay_s: float = 30.0) -> None:
    """Run `part` for ever, again after each failure with a doubling delay.

    `on_change(name, problem)` is called with "" when it runs and with the problem in words when it
    failed, for the board. Returns when `part` returns; a cancellation of the caller passes
    through, one that began inside the part is a failure like any other.
    """
    loop = asyncio.get_running_loop()
    delay_s = first_delay_s
    while True:
        on_change(name, "")
        began_s = loop.time()
        failure = await _failure_of(name, part)
        if failure is None:
            return
        if loop.time() - began_s > longest_delay_s:
            delay_s = first_delay_s  # it ran well: a new trouble, not the old one
        log.error("%s failed; again in %.1f s", name, delay_s, exc_info=failure)
        on_change(name, _in_words(failure))
        await asyncio.sleep(delay_s)
        delay_s = min(delay_s * 2, longest_delay_s)


async def _failure_of(name: str, part: Callable[[], Awaitable[None]]) -> BaseException | None:
    """Run `part` to its end in a task of its own; what it failed with (I9: no part takes another
    one down).

    In a task of its own, because a cancellation that meets a TaskGroup in which a task has just
    failed is swallowed by it, and one that the group gave itself is counted for ever (Python 3.11):
    only so is the caller's cancellation always told from what happened inside.
    """
    async def run() -> None:
        await part()

    task = asyncio.create_task(run(), name=name)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
            task.cancel()
    failure = asyncio.CancelledError() if task.cancelled() else task.exception()
    if cancelled is not None:
        raise cancelled
    return failure


def _in_words(error: BaseException) -> str:
    """One line; the type only where the message was not written for people."""
    text = " ".join(str(error).split())
    if isinstance(error, FieldrecError) and text:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
