"""Watch the power: every source in its time, sooner when one reports a change, judged together.

One supervised task on the event loop and one short task for each reading under way; whatever
blocks does so in the sources' own workers. Keeps I9: a gauge, server or program that hangs stops
nothing but its own figures: after `ANSWER_S` it counts as unreadable, and the others are heard.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import Callable, Sequence

from fieldrec.config.power import PowerConfig
from fieldrec.core.clock import Clock
from fieldrec.core.model import PowerLevel, PowerReading, PowerState
from fieldrec.power import Source
from fieldrec.power.combined import combined
from fieldrec.power.configured import make_sources
from fieldrec.power.levels import PowerJudge

log = logging.getLogger(__name__)

LEAST_PAUSE_S = 1.0
"""Between two rounds while events pour in: some drivers report every second."""
ANSWER_S = 8.0
"""A source's own time limits are shorter."""


async def run(config: PowerConfig, clock: Clock, on_state: Callable[[PowerState], None]) -> None:
    """Call `on_state` on the loop with the first state and whenever it changes; until cancelled.

    A source is read when it reports a change; every `poll_s` if it can report, else every
    `poll_often_s` (or its own `every_s`); and so often at LOW and CRITICAL, and three times per
    dwell while a worse level waits to be believed, for then no reading may be an old one. On cancel
    the readings under way are finished first. ConfigError for wrong sources.
    """
    watch = Watch(make_sources(config, clock), config, clock, on_state)
    try:
        await watch.run()
    finally:
        await watch.close()


class Watch:
    """The sources, what each said last, and what all of it means."""

    def __init__(self, sources: Sequence[Source], config: PowerConfig, clock: Clock,
                 on_state: Callable[[PowerState], None]) -> None:
        self._config = config
        self._clock = clock
        self._on_state = on_state
        self._judge = PowerJudge(config)
        self._last: PowerState | None = None
        self._changed = asyncio.Event()
        self._asked = [_Asked(source, self._changed) for source in sources]

    async def run(self) -> None:
        """Round after round, until cancelled."""
        for asked in self._asked:
            asked.start()
        while True:
            self._changed.clear()
            await self._ask()
            self._tell()
            await self._wait()

    async def close(self) -> None:
        """Let the readings under way end, then free the sources."""
        under_way = [asked.task for asked in self._asked if asked.task is not None]
        for task in under_way:
            task.cancel()
        if under_way:
            await asyncio.wait(under_way)
        for asked in self._asked:
            asked.source.close()
        await asyncio.sleep(0)  # closed connections leave the loop at its next turn

    async def _ask(self) -> None:
        """Read every source whose time has come; waits for their answers, but not for ever."""
        now_s = asyncio.get_running_loop().time()
        for asked in self._asked:
            if asked.task is None and asked.due_s <= now_s:
                asked.begin(now_s)
        fresh = [asked.task for asked in self._asked
                 if asked.task is not None and asked.began_s == now_s]
        if fresh:
            await asyncio.wait(fresh, timeout=ANSWER_S)

    def _tell(self) -> None:
        now_s = asyncio.get_running_loop().time()
        reading = combined([asked.said(now_s) for asked in self._asked],
                           mains_if=self._config.mains_if,
                           disagree_percent=self._config.disagree_percent)
        state = self._judge.update(reading, self._clock.monotonic_ns())
        if state == self._last:
            return
        if self._last is None or state.level is not self._last.level:
            log.info("power: %s (%s)", state.level.value, state.reason)
        self._last = state
        self._on_state(state)

    async def _wait(self) -> None:
        """Until a source is due, or one of them calls; `LEAST_PAUSE_S` in any case."""
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        least_s = min(LEAST_PAUSE_S, self._config.poll_s)
        next_s = math.inf
        for asked in self._asked:
            pause_s = self._pause_s(asked)
            asked.due_s = max(asked.began_s + pause_s, began_s) if not asked.called else 0.0
            next_s = min(next_s, began_s + pause_s if asked.task is not None else asked.due_s)
        await asyncio.sleep(least_s)
        if math.isinf(next_s):
            await self._changed.wait()
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(max(next_s, began_s + least_s)):
                await self._changed.wait()

    def _pause_s(self, asked: _Asked) -> float:
        """Between two readings of this source, as things are."""
        config = self._config
        often_s = min(config.poll_often_s, config.poll_s)
        every_s = asked.source.every_s
        if every_s is not None and math.isinf(every_s):
            return math.inf
        if self._judge.undecided:
            return min(often_s, max(config.dwell_s / 3, LEAST_PAUSE_S))
        if self._last is not None and self._last.level in (PowerLevel.LOW, PowerLevel.CRITICAL):
            return often_s
        if every_s is not None:
            return every_s
        return config.poll_s if asked.reports else often_s


class _Asked:
    """One source, when it is read, and what it said."""

    def __init__(self, source: Source, wake: asyncio.Event) -> None:
        self.source = source
        self.reports = False
        """Whether it calls when something changes."""
        self.task: asyncio.Task[None] | None = None
        self.began_s = 0.0
        self.due_s = 0.0
        self.called = False
        """It reported a change that has not been read yet."""
        self._wake = wake
        self._reading: PowerReading | None = None

    def start(self) -> None:
        self.reports = self.source.start(self._call)

    def begin(self, now_s: float) -> None:
        """Start a reading."""
        self.began_s = now_s
        self.called = False
        self.task = asyncio.create_task(self._read(), name=f"power {self.source.name}")

    def said(self, now_s: float) -> PowerReading:
        """The last reading; a problem while it does not answer."""
        if self._reading is None or (self.task is not None and now_s - self.began_s >= ANSWER_S):
            return PowerReading(None, None, None, None, None, self.source.name,
                                problem=f"no answer for {now_s - self.began_s:.0f} s")
        return self._reading

    async def _read(self) -> None:
        late = asyncio.get_running_loop().time() + ANSWER_S
        try:
            self._reading = await self.source.read()
        except Exception as error:  # a source's own fault must not hide what the others say
            log.exception("power: %s", self.source.name)
            self._reading = PowerReading(None, None, None, None, None, self.source.name,
                                         problem=f"{type(error).__name__}: {error}")
        finally:
            self.task = None
        if asyncio.get_running_loop().time() >= late:
            self._wake.set()  # nobody waits for it any more: heard in a round of its own

    def _call(self) -> None:
        self.called = True
        self.due_s = 0.0
        self._wake.set()
