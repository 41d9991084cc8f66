"""Workers and supervision: cancel waits for the thread; no failure reaches another part."""

from __future__ import annotations

import asyncio
import threading

import pytest

from fieldrec.core.errors import StateError
from fieldrec.core.workers import Worker, supervise
from tests.fakes.waiting import PATIENCE_S


@pytest.mark.asyncio
async def test_work_runs_in_the_named_thread_one_after_another() -> None:
    worker = Worker("copy")
    names = await asyncio.gather(*(
        worker.run(lambda _stop: threading.current_thread().name) for _ in range(3)))
    assert names == ["copy"] * 3
    worker.close()
    worker.close()
    assert "copy" not in [t.name for t in threading.enumerate()]
    with pytest.raises(RuntimeError, match="closed"):
        await worker.run(lambda _stop: None)


@pytest.mark.asyncio
async def test_cancel_sets_the_flag_and_waits_for_the_work() -> None:
    worker, begun = Worker("w"), threading.Event()
    held, loop = ["drive"], asyncio.get_running_loop()
    running = asyncio.Event()

    def work(stop: threading.Event) -> None:
        loop.call_soon_threadsafe(running.set)
        stop.wait()
        begun.wait()  # the last slice is still being written
        held.clear()

    task = asyncio.create_task(worker.run(work))
    await running.wait()
    task.cancel()
    for _ in range(10):
        await asyncio.sleep(0)
    assert not task.done()
    task.cancel()  # an impatient second cancel changes nothing
    await asyncio.sleep(0)
    assert held == ["drive"]
    begun.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert held == []
    worker.close()


@pytest.mark.asyncio
@pytest.mark.parametrize("error", [
    StateError("x"), OSError(5, "x"), SystemExit(3), StopIteration()])
async def test_errors_of_the_work_reach_the_caller(error: BaseException) -> None:
    worker = Worker("w")

    def work(_stop: threading.Event) -> None:
        raise error

    expected = RuntimeError if isinstance(error, StopIteration) else type(error)
    with pytest.raises(expected):
        await worker.run(work)
    assert await worker.run(lambda _stop: 7) == 7
    worker.close()


@pytest.mark.asyncio
async def test_an_error_during_cancel_is_still_a_cancel() -> None:
    worker, running = Worker("w"), asyncio.Event()
    loop = asyncio.get_running_loop()

    def work(stop: threading.Event) -> None:
        loop.call_soon_threadsafe(running.set)
        stop.wait()
        raise OSError("interrupted")

    task = asyncio.create_task(worker.run(work))
    await running.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    worker.close()


@pytest.mark.asyncio
async def test_close_joins_a_thread_that_works() -> None:
    worker, running, may_end = Worker("w"), asyncio.Event(), threading.Event()
    loop, ended = asyncio.get_running_loop(), []

    def work(_stop: threading.Event) -> None:
        loop.call_soon_threadsafe(running.set)
        may_end.wait()
        ended.append(True)

    task = asyncio.create_task(worker.run(work))
    await running.wait()
    may_end.set()
    worker.close()
    assert ended == [True]
    await task


@pytest.mark.asyncio
async def test_supervise_runs_again_and_tells_the_board() -> None:
    told: list[tuple[str, str]] = []
    outcomes: list[BaseException | None] = [
        ValueError("two\nlines"), StateError("port busy"), OSError(), None]

    async def part() -> None:
        outcome = outcomes.pop(0)
        if outcome is not None:
            raise outcome

    await supervise("console", part, on_change=lambda *a: told.append(a),
                    first_delay_s=0.001, longest_delay_s=0.002)
    assert told == [("console", ""), ("console", "ValueError: two lines"), ("console", ""),
                    ("console", "port busy"), ("console", ""), ("console", "OSError"),
                    ("console", "")]


@pytest.mark.asyncio
async def test_a_cancel_that_meets_a_failing_group_is_the_end() -> None:
    """As when the program stops while a disk that died makes a part fail."""
    failing, may_end, runs = asyncio.Event(), asyncio.Event(), 0

    async def fails() -> None:
        raise OSError("gone")

    async def is_slow_to_end() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            failing.set()
            await may_end.wait()

    async def part() -> None:
        nonlocal runs
        runs += 1
        async with asyncio.TaskGroup() as group:
            group.create_task(is_slow_to_end())
            await asyncio.sleep(0)
            group.create_task(fails())

    task = asyncio.create_task(supervise("part", part, on_change=lambda *_: None,
                                         first_delay_s=0.0))
    await failing.wait()
    task.cancel()
    await asyncio.sleep(0)
    may_end.set()
    await asyncio.wait({task}, timeout=PATIENCE_S)
    assert task.cancelled()
    assert runs == 1


@pytest.mark.asyncio
async def test_a_cancel_from_inside_is_a_failure_from_outside_the_end() -> None:
    told: list[str] = []
    running, count = asyncio.Event(), 0

    async def part() -> None:
        nonlocal count
        count += 1
        if count == 1:
            inner = asyncio.get_running_loop().create_future()
            inner.cancel()
            await inner
        running.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(supervise("p", part, first_delay_s=0.001,
                                         on_change=lambda _n, problem: told.append(problem)))
    await running.wait()
    assert told == ["", "CancelledError", ""]
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
