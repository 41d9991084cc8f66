"""The real upsd with its dummy driver, and the real box on it: mains lost, the battery drains, low,
critical, back. What happens to the UPS is written into the driver's file."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from fieldrec.app.box import App
from fieldrec.app.parts import DAEMON
from fieldrec.catalogue.scan import scan
from fieldrec.config import Config
from fieldrec.core.clock import SystemClock
from fieldrec.core.model import PowerLevel, RecordingState
from fieldrec.core.snapshot import Snapshot
from fieldrec.power import nut, watcher
from fieldrec.power.nut import Nut, Options
from tests.fakes.upsd import MAINS, MISSING, UPS, Upsd
from tests.fakes.waiting import PATIENCE_S

pytestmark = [pytest.mark.slow, pytest.mark.asyncio]
NO_ROOT = "" if os.geteuid() == 0 else "upsd is told to stay root, which only root can"


@pytest.fixture(scope="module")
def upsd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upsd]:
    if MISSING or NO_ROOT:
        pytest.skip(MISSING or NO_ROOT)
    with Upsd(tmp_path_factory.mktemp("nut")) as running:
        yield running


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watcher, "LEAST_PAUSE_S", 0.05)
    monkeypatch.setattr(nut, "FIRST_BACK_OFF_S", 0.05)


@contextlib.asynccontextmanager
async def box_on(port: int, folder: Path) -> AsyncIterator[App]:
    config = Config.model_validate({
        "storage": {"directory": folder, "reserve_bytes": 1_000_000, "stop_percent": 100},
        "cameras": {"top": {"backend": "synthetic",
                            "options": {"width": 64, "height": 48, "hz": 50}}},
        "drives": {"enabled": False}, "export": {"automatic": False},
        "power": {"poll_s": 0.05, "dwell_s": 0.2, "poweroff_command": "none",
                  "sources": [{"type": "nut", "options": {"ups": UPS, "port": port}}]}})
    async with App(config, DAEMON) as app:
        yield app


async def until(app: App, what: Callable[[Snapshot], bool]) -> Snapshot:
    """The first snapshot of which `what` is true."""
    version = -1
    async with asyncio.timeout(PATIENCE_S):
        while True:
            now = await app.board.wait_changed(version, 1.0)
            if what(now):
                return now
            version = now.version


def at(level: PowerLevel, words: str = "") -> Callable[[Snapshot], bool]:
    return lambda now: now.power.level is level and words in now.power.reason


def recording(now: Snapshot) -> bool:
    return now.recording and sum(recorder.frame_count for recorder in now.recorders) > 5


async def test_a_box_from_mains_to_critical_and_back(upsd: Upsd, tmp_path: Path) -> None:
    async with box_on(upsd.port, tmp_path) as app:
        power = (await until(app, at(PowerLevel.MAINS))).power
        assert (power.charge_percent, power.voltage_mv, power.power_mw) == (90.0, 13_100, 12_000)
        first, = await app.control.start("watch")
        await until(app, recording)

        upsd.write({"ups.status": "OB DISCHRG", "battery.charge": "76", "battery.runtime": "2400"})
        power = (await until(app, at(PowerLevel.BATTERY))).power
        assert (power.minutes_left, power.minutes_left_range) == (40.0, (30.0, 50.0))

        upsd.write({"ups.status": "OB DISCHRG", "battery.charge": "24"})
        assert (await until(app, at(PowerLevel.LOW))).recording  # LOW stops jobs, not recordings

        upsd.write({"ups.status": "OB DISCHRG LB", "battery.charge": "18"})
        power = (await until(app, at(PowerLevel.CRITICAL))).power
        assert power.reason == f"charge 18 %: nut {UPS}@127.0.0.1 itself says critical"
        await until(app, lambda now: not now.recording)
        assert not app.stop_requested.is_set()
        closed, = scan(tmp_path)
        assert (closed.name, closed.state) == (first, RecordingState.COMPLETE)

        upsd.write(MAINS | {"battery.charge": "18"})
        await until(app, lambda now: at(PowerLevel.MAINS)(now) and recording(now))
        await app.control.stop()
    second, = (found for found in scan(tmp_path) if found.name != first)
    assert second.state is RecordingState.COMPLETE
    assert second.frame_count > 5


async def test_a_server_without_its_driver_and_then_gone(upsd: Upsd, tmp_path: Path) -> None:
    """Said in words, recording goes on, and a server that is back is found again."""
    nobody = Nut(Options(ups="nobody", port=upsd.port), SystemClock())
    assert (await nobody.read()).problem == (
        f"NUT server 127.0.0.1:{upsd.port}: it has no UPS of this name (UNKNOWN-UPS); see ups.conf")
    nobody.close()
    upsd.write(MAINS)
    async with box_on(upsd.port, tmp_path) as app:
        await until(app, at(PowerLevel.MAINS))
        await app.control.start("watch")
        upsd.kill_driver()
        await until(app, at(PowerLevel.MAINS, "(DRIVER-NOT-CONNECTED)"))
        upsd.kill_server()
        await until(app, at(PowerLevel.MAINS, "Connection refused"))
        upsd.start_server()
        await until(app, at(PowerLevel.MAINS, "(DRIVER-NOT-CONNECTED)"))
        await until(app, recording)
