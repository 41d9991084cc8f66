"""An event loop that jumps to its next timer instead of waiting, for parts without threads: hours
in milliseconds, and every moment exact."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class JumpingClock:
    """:class:`fieldrec.core.clock.Clock` in step with the loop; without a date."""

    now_ns = 0
    asleep_ns = 0
    """The machine was suspended for so long: this clock went on, the loop's did not."""

    def suspend(self, seconds: float) -> None:
        """As CLOCK_BOOTTIME and CLOCK_MONOTONIC see it."""
        self.now_ns += int(seconds * 1e9)
        self.asleep_ns += int(seconds * 1e9)

    def monotonic_ns(self) -> int:
        return self.now_ns

    def epoch_ns(self) -> int:
        raise AssertionError("nothing here may ask for the date")


class _Selector(selectors.DefaultSelector):
    def __init__(self, clock: JumpingClock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0 if timeout is not None else None)
        if not ready and timeout is not None and timeout > 0:
            self._clock.now_ns += int(timeout * 1e9) + 1
        return ready


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self, clock: JumpingClock) -> None:
        self._jumping = clock
        super().__init__(_Selector(clock))
        self._clock_resolution = 1e-9

    def time(self) -> float:
        return (self._jumping.now_ns - self._jumping.asleep_ns) / 1e9


class Ahead:
    """The running loop's time, where threads are at work: it goes on as ever, and is put ahead."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        now, self._ahead_s = loop.time, 0.0
        loop.time = lambda: now() + self._ahead_s  # type: ignore[method-assign]

    async def by(self, seconds: float) -> None:
        """Whoever waited for less has been woken, and has looked, when this returns."""
        self._ahead_s += seconds
        for _ in range(10):
            await asyncio.sleep(0)


def run_jumping(clock: JumpingClock, main: Coroutine[Any, Any, T]) -> T:
    """Run `main` to its end on such a loop."""
    with asyncio.Runner(loop_factory=lambda: _Loop(clock)) as runner:
        return runner.run(main)
