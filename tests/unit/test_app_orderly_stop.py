"""The orderly stop: shares of a budget, and what is stuck eats nothing of the others'.

Time is the loop's own, moved by the test: nothing here waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from fieldrec.app.orderly_stop import OrderlyStop, Step, through
from fieldrec.app.tasks import Tasks


class Ends:
    """Steps that end when told, and the order in which they began and ended."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.may_end: dict[str, asyncio.Event] = {}

    def step(self, name: str, until: float, *, ends: bool = True) -> Step:
        self.may_end[name] = asyncio.Event()
        if ends:
            self.may_end[name].set()
        return Step(name, until, self._act(name))

    def _act(self, name: str) -> Callable[[], Awaitable[None]]:
        async def act() -> None:
            self.log.append(f"{name} began")
            await self.may_end[name].wait()
            self.log.append(f"{name} ended")
        return act


@pytest.fixture
def ends() -> Ends:
    return Ends()


async def soon(condition: Callable[[], bool]) -> None:
    """Give the loop some turns until it is so."""
    for _ in range(100):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never came")


@pytest.mark.asyncio
async def test_one_after_the_other(ends: Ends) -> None:
    stop = OrderlyStop(1e9)
    await stop.run([ends.step(name, 0.5) for name in "abc"], 0.9)
    assert ends.log == ["a began", "a ended", "b began", "b ended", "c began", "c ended"]
    assert (stop.late, stop.failed) == ((), [])


@pytest.mark.asyncio
async def test_what_is_stuck_is_named_and_the_rest_is_done(ends: Ends) -> None:
    changes: list[tuple[str, ...]] = []
    stop = OrderlyStop(0.02, lambda: changes.append(stop.late))
    await stop.run([ends.step("a", 0.2, ends=False), ends.step("b", 0.4),
                    ends.step("c", 0.6, ends=False), ends.step("d", 0.8)], 0.9)
    assert ends.log == ["a began", "b began", "b ended", "c began", "d began", "d ended"]
    assert stop.late == ("a", "c")
    assert changes == [("a",), ("a", "c")]
    for name in ("a", "c"):
        ends.may_end[name].set()
    await soon(lambda: changes[-1] == ())


@pytest.mark.asyncio
async def test_what_is_late_may_still_end_in_the_rest_of_the_budget(ends: Ends) -> None:
    stop = OrderlyStop(1e9)
    slow = Step("slow", 0.0, ends._act("slow"))
    ends.may_end["slow"] = asyncio.Event()
    running = asyncio.create_task(stop.run([slow, ends.step("b", 0.5)], 0.9))
    await soon(lambda: "b ended" in ends.log)
    assert list(stop.late) == ["slow"]
    assert not running.done()
    ends.may_end["slow"].set()
    await running
    assert ends.log[-1] == "slow ended"
    assert list(stop.late) == []


@pytest.mark.asyncio
async def test_one_that_fails_keeps_nothing_from_being_done(
        ends: Ends, caplog: pytest.LogCaptureFixture) -> None:
    async def fails() -> None:
        raise OSError("disk")

    stop = OrderlyStop(1e9)
    await stop.run([Step("a", 0.5, fails), ends.step("b", 0.6)], 0.9)
    assert ends.log == ["b began", "b ended"]
    assert [str(error) for error in stop.failed] == ["disk"]
    assert "orderly stop: a" in caplog.text


@pytest.mark.asyncio
async def test_a_signal_does_not_cut_it_and_is_not_forgotten(ends: Ends) -> None:
    stop = OrderlyStop(1e9)
    work = stop.run([ends.step("a", 0.5, ends=False), ends.step("b", 0.6)], 0.9)
    waiting = asyncio.create_task(through(work))
    await soon(lambda: bool(ends.log))
    for _ in range(3):
        waiting.cancel()
        await asyncio.sleep(0)
    assert not waiting.done()
    ends.may_end["a"].set()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert ends.log == ["a began", "a ended", "b began", "b ended"]


@pytest.mark.asyncio
async def test_its_failure_goes_before_the_cancellation() -> None:
    async def fails() -> None:
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        await through(fails())


@pytest.mark.asyncio
async def test_naming_no_task_ends_none_of_them() -> None:
    """A box without a console must not end the jobs once more while they are still at it."""
    tasks = Tasks(lambda _name, _problem: None)
    tasks.spawn("jobs", asyncio.Event().wait)  # type: ignore[arg-type]
    await tasks.cancel()
    assert tasks.running() == ["jobs"]
    await tasks.cancel_all()
    assert tasks.running() == []
