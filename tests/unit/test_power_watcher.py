"""The watcher over a tree of files, and over several sources in time that jumps; the kernel's
events are in test_power_uevents."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from fieldrec.config.power import PowerConfig
from fieldrec.core.clock import SystemClock
from fieldrec.core.model import PowerLevel, PowerState
from fieldrec.core.power_reading import PowerReading
from fieldrec.power import watcher
from tests.fakes.jumping_loop import JumpingClock, run_jumping
from tests.fakes.waiting import PATIENCE_S


@contextlib.asynccontextmanager
async def watching(config: PowerConfig) -> AsyncIterator[asyncio.Queue[PowerState]]:
    states: asyncio.Queue[PowerState] = asyncio.Queue()
    task = asyncio.create_task(watcher.run(config, SystemClock(), states.put_nowait))
    try:
        yield states
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until(states: asyncio.Queue[PowerState], level: PowerLevel) -> PowerState:
    async with asyncio.timeout(PATIENCE_S):
        while (state := await states.get()).level is not level:
            pass
    return state


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Path]:
    for name, attributes in {"BAT0": {"type": "Battery", "status": "Discharging", "capacity": 64},
                             "AC": {"type": "Mains", "online": 0}}.items():
        (tmp_path / name).mkdir()
        for attribute, value in attributes.items():
            (tmp_path / name / attribute).write_text(f"{value}\n")
    yield tmp_path


@pytest.mark.asyncio
async def test_it_follows_the_tree(tree: Path) -> None:
    config = PowerConfig(path=tree, poll_s=0.05, dwell_s=0.1)
    async with watching(config) as states:
        assert (await until(states, PowerLevel.BATTERY)).charge_percent == 64.0
        (tree / "BAT0" / "capacity").write_text("9\n")
        await until(states, PowerLevel.CRITICAL)
        (tree / "AC" / "online").write_text("1\n")
        assert (await until(states, PowerLevel.MAINS)).source == "sysfs: BAT0, AC"


@pytest.mark.asyncio
async def test_nothing_is_said_while_nothing_changes(tree: Path) -> None:
    async with watching(PowerConfig(path=tree, poll_s=0.05)) as states:
        await until(states, PowerLevel.BATTERY)
        await asyncio.sleep(0.3)
        assert states.empty()


@pytest.mark.asyncio
async def test_mains_by_configuration_reads_nothing(tree: Path) -> None:
    async with watching(PowerConfig(source="mains", path=tree)) as states:
        state = await until(states, PowerLevel.MAINS)
        assert state.source == "configured"


# -- several sources, in time that jumps ----------------------------------------------------------


class Stub:
    """A source that says what the test tells it to."""

    def __init__(self, clock: JumpingClock, percent: float, *, reports: bool = True,
                 every_s: float | None = None) -> None:
        self.name = f"stub {percent:g}"
        self.every_s = every_s
        self.percent: float | None = percent
        self.mains = False
        self.hangs = False
        self.fails: Exception | None = None
        self.read_at_s: list[int] = []
        self.closed = False
        self.changed: Callable[[], None] = lambda: None
        self._clock = clock
        self._reports = reports

    def start(self, changed: Callable[[], None]) -> bool:
        self.changed = changed
        return self._reports

    async def read(self) -> PowerReading:
        self.read_at_s.append(round(self._clock.now_ns / 1e9))
        if self.fails is not None:
            raise self.fails
        if self.hangs:
            await asyncio.Event().wait()
        return PowerReading(self.mains, self.percent, None, None, None, self.name)

    def close(self) -> None:
        self.closed = True


CONFIG = PowerConfig(low_percent=20, low_leave_percent=30, critical_percent=10,
                     critical_leave_percent=15)


def follow(clock: JumpingClock, sources: list[Stub], story: Callable[[], Awaitable[None]],
           config: PowerConfig = CONFIG) -> list[tuple[int, PowerState]]:
    """What is said, and in which second, while the story goes on."""
    said: list[tuple[int, PowerState]] = []

    async def go() -> None:
        watch = watcher.Watch(sources, config, clock, lambda state: said.append(
            (round(clock.now_ns / 1e9), state)))
        task = asyncio.create_task(watch.run())
        await story()
        task.cancel()
        await asyncio.wait({task})
        await watch.close()
        assert all(source.closed for source in sources)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run_jumping(clock, go())
    return said


def levels(said: list[tuple[int, PowerState]]) -> list[tuple[int, str]]:
    """When the level changed."""
    found: list[tuple[int, str]] = []
    for at_s, state in said:
        if not found or found[-1][1] != state.level.value:
            found.append((at_s, state.level.value))
    return found


def test_a_calm_hour_costs_little() -> None:
    """60 looks an hour where events come, one every 10 s where none do, one for a constant (ten
    minutes of it)."""
    clock = JumpingClock()
    reports, silent = Stub(clock, 80), Stub(clock, 81, reports=False)
    seldom, never = Stub(clock, 82, every_s=300), Stub(clock, 83, every_s=math.inf)
    said = follow(clock, [reports, silent, seldom, never], lambda: asyncio.sleep(599))
    assert [len(s.read_at_s) for s in (reports, silent, seldom, never)] == [10, 60, 2, 1]
    assert [state.level for _, state in said] == [PowerLevel.BATTERY]


def test_a_constant_alone_is_never_looked_at_again() -> None:
    clock = JumpingClock()
    constant = Stub(clock, 80, every_s=math.inf)

    async def story() -> None:
        await asyncio.sleep(100_000)

    follow(clock, [constant], story)
    assert constant.read_at_s == [0]


def test_what_is_reported_is_read_at_once_and_the_others_are_not() -> None:
    clock = JumpingClock()
    first, second = Stub(clock, 80), Stub(clock, 81)
    first.mains = True

    async def story() -> None:
        await asyncio.sleep(30)
        first.mains = False
        first.percent = 50
        first.changed()
        await asyncio.sleep(5)

    said = follow(clock, [first, second], story)
    assert (first.read_at_s, second.read_at_s[0]) == ([0, 30], 0)
    assert said[-1][1].reason.startswith("charge 50 % read after 80 %")


def test_events_that_pour_in_are_read_once_a_second() -> None:
    clock = JumpingClock()
    source = Stub(clock, 80)

    async def story() -> None:
        for _ in range(300):
            source.changed()
            await asyncio.sleep(0.01)

    follow(clock, [source], story)
    assert 3 <= len(source.read_at_s) <= 5


def test_low_is_looked_at_every_ten_seconds() -> None:
    clock = JumpingClock()
    source = Stub(clock, 18)
    follow(clock, [source], lambda: asyncio.sleep(99))
    assert source.read_at_s == list(range(0, 100, 10))


def test_no_old_reading_confirms_a_worse_level() -> None:
    """One bad reading of a source that is seldom read is not counted again and again while
    another one is read often: it is read again before it is believed."""
    clock = JumpingClock()
    bad, often = Stub(clock, 80, every_s=600), Stub(clock, 80, reports=False)

    async def story() -> None:
        await asyncio.sleep(20)
        bad.percent = 3
        bad.changed()
        await asyncio.sleep(2)
        bad.percent = 80
        await asyncio.sleep(300)

    said = follow(clock, [bad, often], story)
    assert bad.read_at_s == [0, 20, 30]
    assert levels(said) == [(0, "battery")]


def test_what_was_read_before_a_sleep_confirms_nothing_after_it() -> None:
    clock = JumpingClock()
    bad, other = Stub(clock, 80), Stub(clock, 80)

    async def story() -> None:
        await asyncio.sleep(20)
        bad.percent = 3
        bad.changed()
        await asyncio.sleep(2)
        bad.percent = 80
        clock.suspend(6 * 3600)
        other.changed()
        await asyncio.sleep(300)

    said = follow(clock, [bad, other], story)
    assert bad.read_at_s[:3] == [0, 20, 6 * 3600 + 22]
    assert levels(said) == [(0, "battery")]


def test_a_source_that_hangs_hides_nothing() -> None:
    clock = JumpingClock()
    gauge, other = Stub(clock, 80), Stub(clock, 78, reports=False)

    async def story() -> None:
        gauge.hangs = True
        await asyncio.sleep(100)
        other.percent = 15
        other.changed()
        await asyncio.sleep(100)

    said = follow(clock, [gauge, other], story)
    assert said[0][1].reason == (
        "charge 78 % on battery; stub 80 unreadable (no answer for 8 s)")
    assert levels(said) == [(8, "battery"), (130, "low")]
    assert gauge.read_at_s == [0]


def test_one_that_hangs_alone_is_low_after_its_time() -> None:
    clock = JumpingClock()
    gauge = Stub(clock, 80)

    async def story() -> None:
        await asyncio.sleep(30)
        gauge.hangs = True
        await asyncio.sleep(300)

    said = follow(clock, [gauge], story)
    began_s = gauge.read_at_s[-1]
    assert levels(said) == [(0, "battery"), (pytest.approx(120, abs=10), "low")]
    assert began_s == 60


def test_a_source_with_a_fault_of_its_own_says_so() -> None:
    clock = JumpingClock()
    broken, good = Stub(clock, 80), Stub(clock, 70)
    broken.fails = ZeroDivisionError("division by zero")
    said = follow(clock, [broken, good], lambda: asyncio.sleep(1))
    assert said[0][1].reason == ("charge 70 % on battery; stub 80 unreadable "
                                 "(ZeroDivisionError: division by zero)")


def test_a_night_on_battery_and_the_sun() -> None:
    """Level by level, each after its dwell, with no level twice."""
    clock = JumpingClock()
    battery = Stub(clock, 60)

    async def story() -> None:
        for percent in range(60, 4, -1):
            battery.percent = percent
            await asyncio.sleep(600)
        for percent in range(5, 60):
            battery.percent = percent
            await asyncio.sleep(300)
        battery.mains = True
        battery.changed()
        await asyncio.sleep(5)

    seldom = CONFIG.model_copy(update={"poll_s": 300.0, "poll_often_s": 100.0})
    said = follow(clock, [battery], story, seldom)
    assert [level for _, level in levels(said)] == [
        "battery", "low", "critical", "low", "battery", "mains"]
    at_40 = next(state for _, state in said if state.charge_percent == 40)
    assert at_40.minutes_left == pytest.approx(400, rel=0.1)
    assert at_40.minutes_left_range is not None
    assert at_40.minutes_left_range[0] < 400 < at_40.minutes_left_range[1]
