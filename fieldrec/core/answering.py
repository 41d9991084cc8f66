"""Places that may stop answering: a network share whose server is away hangs every call to it, in
the kernel, for as long as it likes.

All calls to such a place are made in a thread of its own that may be left to itself. A call that
has shown no sign of life for a while is given up: whoever waits for it is told so, goes on with
other things, and the thread stays where it hangs. No second one is sent after it. When the call
returns after all, the thread finds its stop flag set, ends at the next slice and says that the
place answers again. Event loop, but for :class:`Pulse`, which the place's own calls keep.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

from fieldrec.core.errors import DestinationAway
from fieldrec.core.workers import Worker

T = TypeVar("T")

LIMIT_S = 30.0
"""Without a sign of life, a place that is being used does not answer."""
PATIENCE_S = 3.0
"""The same, when it is asked to stop: somebody waits to switch the machine off."""


class Pulse:
    """Signs of life from inside calls to a place. Any thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0
        self.signs = 0
        """Ever more."""

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """A call to the place is under way."""
        self._step(1)
        try:
            yield
        finally:
            self._step(-1)

    def beat(self) -> None:
        """It goes on."""
        self._step(0)

    def beating(self, on_bytes: Callable[[int], None]) -> Callable[[int], None]:
        """`on_bytes`, each call of which is a sign of life."""
        def told(count: int) -> None:
            self.beat()
            on_bytes(count)
        return told

    def wait_inside(self) -> None:
        """Block until a call is under way."""
        with self._changed:
            self._changed.wait_for(lambda: self.busy)

    @property
    def busy(self) -> bool:
        """Whether a call is under way."""
        return self._inside > 0

    def _step(self, inside: int) -> None:
        with self._changed:
            self._inside += inside
            self.signs += 1
            self._changed.notify_all()


class NotAnswering(DestinationAway):
    """A call to the place hangs; it is tried again as soon as that returns."""


class Place:
    """One place, as the calls to it see it."""

    def __init__(self, name: str, owner: Answering) -> None:
        self.pulse = Pulse()
        self._name = name
        self._owner = owner

    async def run(self, thread: str, work: Callable[[threading.Event], T]) -> T:
        """As :meth:`Worker.run`; NotAnswering when the place stops answering meanwhile. A cancel
        that meets a hanging call does not wait for it."""
        return await self._owner.run(self._name, self.pulse, thread, work)


class Answering:
    """All places of one process, and which of them hang."""

    def __init__(self, on_answer: Callable[[], None] = lambda: None, *, limit_s: float = LIMIT_S,
                 patience_s: float = PATIENCE_S) -> None:
        """`on_answer` is called on the loop when a place that hung has come back."""
        self._on_answer = on_answer
        self._limit_s = limit_s
        self._patience_s = patience_s
        self._hanging: dict[str, int] = {}
        """Threads that were left, by place."""

    def place(self, name: str) -> Place:
        """A place by the name that messages call it."""
        return Place(name, self)

    def hangs(self, name: str) -> bool:
        """Whether a call to the place was given up and has not returned. Whoever holds something
        of that place must not touch it meanwhile."""
        return name in self._hanging

    def away(self, name: str) -> NotAnswering:
        """What to say of a place that hangs."""
        return NotAnswering(f"destination {name} does not answer for {self._limit_s:.0f} s; it is "
                            "tried again when it does")

    async def run(self, name: str, pulse: Pulse, thread: str,
                  work: Callable[[threading.Event], T]) -> T:
        """:meth:`Place.run`."""
        if self.hangs(name):
            raise self.away(name)
        loop = asyncio.get_running_loop()
        worker = Worker(thread, may_be_left=True)

        def in_thread(stop: threading.Event) -> T:
            try:
                return work(stop)
            finally:
                with contextlib.suppress(RuntimeError):  # nobody is there any more
                    loop.call_soon_threadsafe(self._ended, name, worker)

        task = asyncio.create_task(worker.run(in_thread), name=thread)
        try:
            return await self._watch(name, pulse, worker, task)
        finally:
            worker.close()

    async def _watch(self, name: str, pulse: Pulse, worker: Worker, task: asyncio.Task[T]) -> T:
        cancelled: asyncio.CancelledError | None = None
        seen = pulse.signs
        while not task.done():
            try:
                limit_s = self._limit_s if cancelled is None else self._patience_s
                await asyncio.wait([task], timeout=limit_s)
            except asyncio.CancelledError as error:
                cancelled = error
                task.cancel()
                seen = pulse.signs
                continue
            if not task.done() and pulse.busy and pulse.signs == seen:
                self._hanging[name] = self._hanging.get(name, 0) + 1
                worker.leave()
                await asyncio.wait([task])
                _look_at(task)
                if cancelled is not None:
                    raise cancelled
                raise self.away(name)
            seen = pulse.signs
        if cancelled is not None:
            _look_at(task)
            raise cancelled
        return task.result()

    def _ended(self, name: str, worker: Worker) -> None:
        if not worker.left:
            return
        self._hanging[name] -= 1
        if not self._hanging[name]:
            del self._hanging[name]
            self._on_answer()


def _look_at(task: asyncio.Task[T]) -> None:
    """Whatever it failed with is nobody's concern any more."""
    if not task.cancelled():
        task.exception()
