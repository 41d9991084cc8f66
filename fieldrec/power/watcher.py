"""Watch the power: every source in its time, sooner when one reports a change, judged together.

One supervised task on the event loop and one short task for each reading under way; whatever
blocks does so in the sources' own workers. Keeps I9: a gauge, server or program that hangs stops
nothing but its own figures: after `ANSWER_S` it counts as unreadable, and the others are heard.
When a source is due is told by the clock, which goes on while the machine is suspended (the loop's
does not): what was read before a sleep is read again before anything is judged by it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import Callable, Sequence

from fieldrec.config.power import PowerConfig
from fieldrec.core.clock import Clock
from fieldrec.core.model import PowerLevel, PowerState
from fieldrec.core.power_reading import PowerReading
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
        now_ns = self._clock.monotonic_ns()
        fresh = [asked.begin(now_ns) for asked in self._asked if asked.is_due(now_ns)]
        if fresh:
            await asyncio.wait(fresh, timeout=ANSWER_S)

    def _tell(self) -> None:
        now_ns = self._clock.monotonic_ns()
        reading = combined([asked.said(now_ns) for asked in self._asked],
                           mains_if=self._config.mains_if,
                           disagree_percent=self._config.disagree_percent)
        state = self._judge.update(reading, now_ns)
        if state == self._last:
            return
        if self._last is None or state.level is not self._last.level:
            log.info("power: %s (%s)", state.level.value, state.reason)
        self._last = state
        self._on_state(state)

    async def _wait(self) -> None:
        """Until a source is due, or one of them calls; `LEAST_PAUSE_S` in any case."""
        least_s = min(LEAST_PAUSE_S, self._config.poll_s)
        now_ns = self._clock.monotonic_ns()
        for asked in self._asked:
            asked.pause_s = self._pause_s(asked)
        longest_s = min(asked.left_s(now_ns) for asked in self._asked)
        await asyncio.sleep(least_s)
        if math.isinf(longest_s):
            await self._changed.wait()
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(longest_s - least_s):
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
        """The reading under way."""
        self.pause_s = 0.0
        """Until it is read again, since it was last."""
        self._began_ns = 0
        self._called = True
        """It reported a change that has not been read yet; at first all is new."""
        self._wake = wake
        self._reading: PowerReading | None = None

    def start(self) -> None:
        self.reports = self.source.start(self._call)

    def is_due(self, now_ns: int) -> bool:
        return self.task is None and (self._called or self.left_s(now_ns) <= 0)

    def left_s(self, now_ns: int) -> float:
        """Until it is due, or, while it does not answer, until that is looked at again."""
        if self.task is not None:
            return self.pause_s
        return self.pause_s - (now_ns - self._began_ns) / 1e9

    def begin(self, now_ns: int) -> asyncio.Task[None]:
        """Start a reading."""
        self._began_ns = now_ns
        self._called = False
        self.task = asyncio.create_task(self._read(), name=f"power {self.source.name}")
        return self.task

    def said(self, now_ns: int) -> PowerReading:
        """The last reading; a problem while it does not answer."""
        silent_s = (now_ns - self._began_ns) / 1e9
        if self._reading is None or (self.task is not None and silent_s >= ANSWER_S):
            return PowerReading(None, None, None, None, None, self.source.name,
                                problem=f"no answer for {silent_s:.0f} s")
        return self._reading

    async def _read(self) -> None:
        late_s = asyncio.get_running_loop().time() + ANSWER_S
        try:
            self._reading = await self.source.read()
        except Exception as error:  # a source's own fault must not hide what the others say
            log.exception("power: %s", self.source.name)
            self._reading = PowerReading(None, None, None, None, None, self.source.name,
                                         problem=f"{type(error).__name__}: {error}")
        finally:
            self.task = None
        if asyncio.get_running_loop().time() >= late_s:
            self._wake.set()  # nobody waits for it any more: heard in a round of its own

    def _call(self) -> None:
        self._called = True
        self._wake.set()
