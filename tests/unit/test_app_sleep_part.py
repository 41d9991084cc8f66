"""The whole box sleeps between scheduled recordings, and says so; at CRITICAL the RTC is told.

The real app on a machine that only says that it slept, with an RTC that answers as the kernel's.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from fieldrec.app import DAEMON, App
from fieldrec.cli.awake import seconds_of
from fieldrec.config import load_config
from fieldrec.core.errors import StateError, UsageError
from fieldrec.core.snapshot import Snapshot
from fieldrec.power.people import Person
from fieldrec.power.rtc import Attributes
from fieldrec.status.control_socket import AWAKE, dispatch
from tests.fakes.commands import write_config
from tests.fakes.rtc import KernelRtc
from tests.fakes.waiting import PATIENCE_S
from tests.system.box import Battery

pytestmark = pytest.mark.asyncio


class SleepyMachine:
    """Sleeps for an hour in no time."""

    def __init__(self) -> None:
        self.rtc_files = KernelRtc(time.time)
        self.slept_ns = 0
        self.commands: list[tuple[str, ...]] = []

    def rtc(self, path: Path) -> Attributes:
        return self.rtc_files

    def asleep_ns(self) -> int:
        return self.slept_ns

    def people(self) -> tuple[Person, ...]:
        return ()

    def run(self, command: Sequence[str]) -> None:
        self.commands.append(tuple(command))
        self.slept_ns += 3600 * 10**9


@contextlib.asynccontextmanager
async def box(tmp_path: Path, machine: SleepyMachine, **sections: Any) -> AsyncIterator[App]:
    config = load_config(write_config(tmp_path, cameras={}, **sections))
    async with App(config, DAEMON, machine=machine) as app:
        yield app


async def until(app: App, condition: Callable[[Snapshot], Any]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition(app.board.latest):
            await app.board.wait_changed(app.board.latest.version, PATIENCE_S)


def far_window() -> dict[str, Any]:
    """A scheduled recording that begins in about twelve hours."""
    hour = (time.gmtime().tm_hour + 12) % 24
    return {"tasks": {"far": {"do": "start", "when": f"from {hour:02}:00 to {hour:02}:10"}}}


async def test_it_sleeps_wakes_and_says_so(tmp_path: Path) -> None:
    machine = SleepyMachine()
    async with box(tmp_path, machine, schedule=far_window(),
                   sleep={"mode": "between_windows", "idle_s": 1}) as app:
        asked = AWAKE.validate_python(await dispatch(app.control, "awake", {}))
        assert asked.why.startswith(("idle for", "nothing is scheduled"))
        await until(app, lambda now: any(e.text.startswith("awake after 1 h: woken by something")
                                         for e in now.events))
        assert machine.commands[0] == ("systemctl", "suspend")
        said = [event.text for event in app.board.latest.events]
        assert any(text.startswith("the RTC wakes the machine at ") for text in said)
        assert any(text.startswith("asleep until ") for text in said)
        answer = await dispatch(app.control, "stay_awake", {"seconds": 1800})
        assert answer == "the box stays awake for 30 min"
        asked = AWAKE.validate_python(await dispatch(app.control, "awake", {}))
        assert {holder.name for holder in asked.holders} == {"stay-awake", "commands"}
        assert asked.why == "held awake by commands, stay-awake"
        assert await dispatch(app.control, "stay_awake", {"seconds": 0}) == "the box may sleep"
        with pytest.raises(UsageError, match="use a time up to 30 d, or 0 to end it"):
            await dispatch(app.control, "stay_awake", {"seconds": -1})
        count = len(machine.commands)
    next_ns = asked.wanted_ns
    assert next_ns is not None
    assert machine.rtc_files.wakes_at_s == next_ns // 10**9 - 120  # checked again at the end
    assert len(machine.commands) == count


async def test_switched_off_at_critical_the_rtc_has_the_next_recording(tmp_path: Path) -> None:
    machine, battery = SleepyMachine(), Battery(tmp_path / "power")
    async with box(tmp_path, machine, schedule=far_window(), power={
            "source": "sysfs", "path": str(battery.root), "poll_s": 0.05, "dwell_s": 0.1}) as app:
        await until(app, lambda now: now.schedule.next_ns is not None)
        next_ns = app.board.latest.schedule.next_ns
        assert machine.rtc_files.writes == []  # it never sleeps
        battery.drains(5)
        async with asyncio.timeout(PATIENCE_S):
            await app.stop_requested.wait()
    assert next_ns is not None
    assert machine.rtc_files.wakes_at_s == next_ns // 10**9 - 120
    assert machine.commands == []  # that is for who runs the app


async def test_where_nothing_sleeps_that_is_said(tmp_path: Path) -> None:
    from fieldrec.app import FOLDER_ONLY

    config = load_config(write_config(tmp_path, cameras={}))
    async with App(config, FOLDER_ONLY, machine=SleepyMachine()) as app:
        for verb, arguments in (("awake", {}), ("stay_awake", {"seconds": 60})):
            with pytest.raises(StateError, match="nothing sleeps here: start the daemon"):
                await dispatch(app.control, verb, arguments)


@pytest.mark.parametrize(("text", "seconds"), [
    ("90", 90), ("90s", 90), ("30min", 1800), ("1.5 h", 5400), ("2H", 7200), ("1d", 86_400),
    ("0", 0)])
async def test_times(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "h", "-1h", "1 week", "1h30min", "1e3", "nan"])
async def test_no_times(text: str) -> None:
    with pytest.raises(UsageError, match="is no time: use 90s, 30min, 2h or 1d"):
        seconds_of(text)
