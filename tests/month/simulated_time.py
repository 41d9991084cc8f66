"""Simulated time for the real app: a clock, an event loop that follows it, camera threads that wait
on it.

The loop jumps to its next timer, or to the next frame that a camera thread waits for, as soon as
nothing real is under way. What is real (a worker's call, a process, a frame between camera and
disk) is counted; while any of it goes on, simulated time passes as real time does, or, where only
long work is going on (exports, copies), so many times faster. So exports, copies, verifications,
SQLite and frames happen for real, and a month takes minutes. Not deterministic to the last bit:
threads are real.
"""

from __future__ import annotations

import asyncio
import contextlib
import selectors
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from fieldrec.core.workers import Worker
from fieldrec.record.capture import Capture
from fieldrec.record.ring import Ring

EXPORT_PROCESS = "fieldrec.export.process"
LONG_WORK = frozenset({"copy", "export-check", EXPORT_PROCESS})
"""Names of workers and programs that take minutes in the field."""
LONG_WORK_FASTER = 60.0
"""How many simulated seconds one real second of long work is."""
_LOOK_S = 0.0003
"""Between two looks at threads that do not tell the loop when they are done."""


class SimulatedClock:
    """:class:`fieldrec.core.clock.Clock`; moved by the loop alone, waited for by any thread."""

    def __init__(self, monotonic_ns: int, epoch_ns: int) -> None:
        self._now_ns = monotonic_ns
        self._ahead_ns = epoch_ns - monotonic_ns
        """Of the wall clock."""
        self.asleep_ns = 0
        """Of the monotonic clock: the machine was suspended meanwhile, and no timer ran."""
        self._changed = threading.Condition()
        self._waiting: dict[int, int] = {}
        """What each waiting thread waits for, by thread."""
        self._at_work: set[int] = set()
        """Threads that have got what they waited for and have not come back."""
        self._nudges = 0

    def monotonic_ns(self) -> int:
        return self._now_ns

    def epoch_ns(self) -> int:
        return self._now_ns + self._ahead_ns

    def set_wall_clock(self, epoch_ns: int) -> None:
        """Step it, as a GPS receiver or a person does."""
        self._ahead_ns = epoch_ns - self._now_ns

    # -- the loop's side ---------------------------------------------------------------------------

    def advance_to(self, monotonic_ns: int) -> None:
        """Move on, and wake who waited for this."""
        with self._changed:
            self._now_ns = max(self._now_ns, monotonic_ns)
            due = [thread for thread, at_ns in self._waiting.items() if at_ns <= self._now_ns]
            if due:
                self._at_work.update(due)
                self._changed.notify_all()

    def suspend_until(self, monotonic_ns: int) -> None:
        """The machine sleeps until then; the loop's timers stand still meanwhile."""
        with self._changed:
            slept_ns = max(0, monotonic_ns - self._now_ns)
            self._now_ns += slept_ns
            self.asleep_ns += slept_ns

    def earliest_ns(self) -> int | None:
        """The next moment that a thread waits for."""
        with self._changed:
            return min(self._waiting.values(), default=None)

    @property
    def threads_at_work(self) -> bool:
        """Whether a thread that was woken has not come back yet."""
        return bool(self._at_work)

    # -- the threads' side -------------------------------------------------------------------------

    def begin(self) -> None:
        """The calling thread is at work from now on."""
        with self._changed:
            self._at_work.add(threading.get_ident())

    def end(self) -> None:
        """The calling thread will not wait any more."""
        with self._changed:
            self._at_work.discard(threading.get_ident())

    def wait_until(self, monotonic_ns: int, real_timeout_s: float) -> bool:
        """Block until that moment; False when it had not come after so many real seconds, or
        somebody nudged."""
        me = threading.get_ident()
        with self._changed:
            nudges = self._nudges
            if monotonic_ns > self._now_ns:
                self._waiting[me] = monotonic_ns
                self._at_work.discard(me)
                self._changed.wait_for(lambda: self._now_ns >= monotonic_ns
                                       or self._nudges != nudges, real_timeout_s)
                del self._waiting[me]
                self._at_work.add(me)
            return self._now_ns >= monotonic_ns

    def nudge(self) -> None:
        """Have every waiting thread look whether it shall go on waiting."""
        with self._changed:
            self._nudges += 1
            self._at_work.update(self._waiting)
            self._changed.notify_all()


class RealWork:
    """What goes on for real; time stands still, or nearly, meanwhile."""

    def __init__(self, clock: SimulatedClock) -> None:
        self._clock = clock
        self._calls: Counter[str] = Counter()
        self._rings: weakref.WeakSet[Ring] = weakref.WeakSet()
        self._processes: dict[Any, str] = {}
        self.in_real_time = False
        """Time passes as it does outside: the box is being stopped, within a budget."""

    def pace(self) -> float | None:
        """Simulated seconds for one real second; None when nothing is under way."""
        if self.in_real_time:
            return 1.0
        names = set(self._calls) | {name for transport, name in list(self._processes.items())
                                    if self._runs(transport)}
        if self._clock.threads_at_work or any(_full(ring) for ring in list(self._rings)):
            return 1.0
        if not names:
            return None
        return LONG_WORK_FASTER if names <= LONG_WORK else 1.0

    def _runs(self, transport: Any) -> bool:
        if transport.get_returncode() is not None:
            del self._processes[transport]
            return False
        try:
            stat = Path(f"/proc/{transport.get_pid()}/stat").read_text()
        except OSError:
            return True  # it has ended, and the loop has not been told yet
        return stat.rpartition(")")[2].split()[0] != "T"  # held by SIGSTOP

    def began(self, transport: Any, name: str) -> None:
        """A process has begun."""
        self._processes[transport] = name

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Count, for the length of the block, what fieldrec's own parts do."""
        run, ring_begins, stop = Worker.run, Ring.__init__, Capture.request_stop
        calls, rings, clock = self._calls, self._rings, self._clock

        async def counted(worker: Worker, work: Callable[[threading.Event], Any]) -> Any:
            calls[worker.name] += 1
            try:
                return await run(worker, work)
            finally:
                calls[worker.name] -= 1
                if not calls[worker.name]:
                    del calls[worker.name]

        def registered(ring: Ring, *arguments: Any, **more: Any) -> None:
            ring_begins(ring, *arguments, **more)
            rings.add(ring)

        def nudging(capture: Capture) -> None:
            stop(capture)
            clock.nudge()

        Worker.run, Ring.__init__ = counted, registered  # type: ignore
        Capture.request_stop = nudging  # type: ignore
        try:
            yield
        finally:
            Worker.run, Ring.__init__ = run, ring_begins  # type: ignore
            Capture.request_stop = stop  # type: ignore[method-assign]


def _full(ring: Ring) -> bool:
    """Whether frames wait for the disk."""
    return ring.statistics().used > 0


class SimulatedLoop(asyncio.SelectorEventLoop):
    """An event loop whose `time()`, and with it every timer, is that of the clock."""

    def __init__(self, clock: SimulatedClock, work: RealWork) -> None:
        self._simulated = clock
        self._work = work
        self._booted_ns = clock.monotonic_ns()
        super().__init__(_Selector(clock, work))
        self._clock_resolution = 1e-9

    def time(self) -> float:
        """As CLOCK_MONOTONIC: without the time that the machine was suspended."""
        clock = self._simulated
        return (clock.monotonic_ns() - clock.asleep_ns - self._booted_ns) / 1e9

    async def subprocess_exec(self, protocol_factory: Any, program: Any, *arguments: Any,
                              **more: Any) -> Any:
        transport, protocol = await super().subprocess_exec(
            protocol_factory, program, *arguments, **more)
        name = EXPORT_PROCESS if EXPORT_PROCESS in arguments else str(program)
        self._work.began(transport, name)
        return transport, protocol


class _Selector(selectors.DefaultSelector):
    """Where the loop waits: here time passes."""

    def __init__(self, clock: SimulatedClock, work: RealWork) -> None:
        super().__init__()
        self._clock = clock
        self._work = work
        self.jumps = 0

    def select(self, timeout: float | None = None) -> Any:
        if timeout is not None and timeout <= 0:
            return super().select(0)
        clock = self._clock
        until_ns = None if timeout is None else clock.monotonic_ns() + int(timeout * 1e9) + 1
        while True:
            if events := super().select(0):
                return events
            pace = self._work.pace()
            if pace is not None:
                if self._wait(pace, until_ns):
                    return super().select(0)
                continue
            if events := super().select(0):  # what had ended before it was counted as done
                return events
            earliest_ns = clock.earliest_ns()
            moments = [moment for moment in (until_ns, earliest_ns) if moment is not None]
            if not moments:  # only something from outside can come
                return super().select(None)
            self.jumps += 1
            clock.advance_to(min(moments))
            if until_ns is not None and clock.monotonic_ns() >= until_ns:
                return super().select(0)

    def _wait(self, pace: float, until_ns: int | None) -> bool:
        """Let real time pass; whether the loop has something to do."""
        clock = self._clock
        began_s = time.perf_counter()
        if clock.threads_at_work:
            time.sleep(_LOOK_S)
            events: Any = ()
        else:
            events = super().select(0.001)
        passed_ns = int((time.perf_counter() - began_s) * pace * 1e9)
        now_ns = clock.monotonic_ns() + passed_ns
        limits = [moment for moment in (until_ns, clock.earliest_ns()) if moment is not None]
        clock.advance_to(min([now_ns, *limits]))
        return bool(events) or (until_ns is not None and clock.monotonic_ns() >= until_ns)


@contextlib.contextmanager
def simulated_loop(clock: SimulatedClock) -> Iterator[tuple[SimulatedLoop, RealWork]]:
    """A loop on the clock, set as this thread's; its tasks must have ended at the end."""
    work = RealWork(clock)
    loop = SimulatedLoop(clock, work)
    asyncio.set_event_loop(loop)
    try:
        with work.watched():
            yield loop, work
    finally:
        asyncio.set_event_loop(None)
        loop.close()
