"""The watcher over a tree of files; the kernel's events are left out (there is no battery)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from fieldrec.config.power import PowerConfig
from fieldrec.core.clock import SystemClock
from fieldrec.core.model import PowerLevel, PowerState
from fieldrec.power import watcher


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
    async with asyncio.timeout(30):
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
