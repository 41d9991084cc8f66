"""Simulated time itself: it jumps when nothing goes on, and waits for what does."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Coroutine
from typing import Any

from fieldrec.core.workers import Worker
from tests.month.simulated_time import LONG_WORK_FASTER, SimulatedClock, simulated_loop

DAY_S = 86_400


def run(clock: SimulatedClock, main: Coroutine[Any, Any, Any]) -> Any:
    with simulated_loop(clock) as (loop, _):
        loop.set_debug(False)
        return loop.run_until_complete(main)


def test_a_month_of_sleep_takes_no_time() -> None:
    clock = SimulatedClock(10**15, 10**18)
    began_s = time.monotonic()
    run(clock, asyncio.sleep(30 * DAY_S))
    assert clock.monotonic_ns() - 10**15 >= 30 * DAY_S * 10**9
    assert clock.epoch_ns() - clock.monotonic_ns() == 10**18 - 10**15
    assert time.monotonic() - began_s < DAY_S


def test_timers_keep_their_order_and_their_moments() -> None:
    clock = SimulatedClock(0, 0)
    rung: list[tuple[str, int]] = []

    async def ring(name: str, after_s: float) -> None:
        await asyncio.sleep(after_s)
        rung.append((name, clock.monotonic_ns() // 10**9))

    async def main() -> None:
        await asyncio.gather(ring("late", 7200), ring("soon", 5), ring("next", 3600))

    run(clock, main())
    assert rung == [("soon", 5), ("next", 3600), ("late", 7200)]


def test_a_worker_that_works_holds_time() -> None:
    """A timer of a day does not come before the work is done, which takes real time."""
    clock = SimulatedClock(0, 0)
    order = []

    async def main() -> None:
        worker, let_go = Worker("slow"), threading.Event()
        timer = asyncio.create_task(asyncio.sleep(DAY_S))
        timer.add_done_callback(lambda _: order.append("day"))
        asyncio.get_running_loop().call_later(0.01, let_go.set)  # passes at the pace of real time
        await worker.run(lambda _stop: let_go.wait())
        order.append("work")
        await timer
        worker.close()

    run(clock, main())
    assert order == ["work", "day"]


def test_long_work_is_passed_over_faster() -> None:
    clock = SimulatedClock(0, 0)

    async def main() -> None:
        worker, let_go = Worker("copy"), threading.Event()
        asyncio.get_running_loop().call_later(LONG_WORK_FASTER / 100, let_go.set)
        await worker.run(lambda _stop: let_go.wait())
        worker.close()

    began_s = time.monotonic()
    run(clock, main())
    assert clock.monotonic_ns() >= LONG_WORK_FASTER / 100 * 1e9
    assert time.monotonic() - began_s < LONG_WORK_FASTER


def test_no_moment_passes_that_a_thread_waits_for() -> None:
    """A camera thread gets each of its moments, and time stands nearly still until it is back."""
    clock = SimulatedClock(0, 0)
    seen: list[int] = []

    def camera() -> None:
        clock.begin()
        for second in range(10, 60, 10):
            assert clock.wait_until(second * 10**9, 30.0)
            seen.append(clock.monotonic_ns())
        clock.end()

    async def main() -> None:
        thread = threading.Thread(target=camera)
        thread.start()
        await asyncio.sleep(3600)
        thread.join()

    run(clock, main())
    assert [moment // 10**9 for moment in seen] == [10, 20, 30, 40, 50]


def test_a_nudge_ends_the_wait() -> None:
    clock = SimulatedClock(0, 0)
    came: list[bool] = []
    thread = threading.Thread(target=lambda: came.append(clock.wait_until(10**18, 30.0)))
    thread.start()
    while clock.earliest_ns() is None:
        time.sleep(0.001)
    clock.nudge()
    thread.join()
    assert came == [False]


def test_timers_stand_still_while_the_machine_is_suspended() -> None:
    """As with the kernel: CLOCK_BOOTTIME goes on, CLOCK_MONOTONIC, the timers', does not."""
    clock = SimulatedClock(0, 0)

    async def main() -> int:
        timer = asyncio.create_task(asyncio.sleep(60))
        await asyncio.sleep(10)
        clock.suspend_until(DAY_S * 10**9)
        await timer
        return clock.monotonic_ns() // 10**9

    assert run(clock, main()) == DAY_S + 50
    assert clock.asleep_ns // 10**6 == (DAY_S - 10) * 1000 - 1


def test_setting_the_wall_clock_moves_no_timer() -> None:
    clock = SimulatedClock(10**12, 10**18)

    async def main() -> None:
        timer = asyncio.create_task(asyncio.sleep(60))
        clock.set_wall_clock(2 * 10**18)
        await timer

    run(clock, main())
    assert clock.monotonic_ns() // 10**9 == 10**12 // 10**9 + 60
    assert clock.epoch_ns() // 10**9 == 2 * 10**18 // 10**9 + 60
