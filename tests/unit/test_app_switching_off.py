"""Who may switch the machine off, and the last question before it is done."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from fieldrec.app.switching_off import SwitchingOff, command_of, fed_again, switch_off
from fieldrec.config.power import PowerConfig
from fieldrec.core.model import PowerLevel, PowerState
from tests.fakes.cameras import ManualClock
from tests.fakes.machines import ManualMachine
from tests.system.box import Battery


def config_of(battery: Battery, **more: Any) -> PowerConfig:
    return PowerConfig(path=battery.root, **more)


@pytest.fixture
def battery(tmp_path: Path) -> Battery:
    return Battery(tmp_path / "power")


OFF = ("systemctl", "poweroff")


@pytest.mark.parametrize(("told", "command"), [
    ({}, OFF), ({"source": "sysfs"}, OFF), ({"source": "nut"}, OFF),
    ({"source": "mains"}, ()), ({"source": "fixed"}, ()),
    ({"sources": [{"type": "fixed"}]}, ()), ({"sources": [{"type": "hwmon"}]}, OFF),
    ({"sources": [{"type": "fixed"}, {"type": "sysfs"}]}, OFF),
    ({"poweroff_command": "none"}, ()), ({"poweroff_command": []}, ()),
    ({"poweroff_command": ["halt"]}, ("halt",)),
])
def test_only_a_battery_that_is_watched_switches_off(
        told: dict[str, Any], command: tuple[str, ...]) -> None:
    assert command_of(PowerConfig.model_validate(told)) == command


@pytest.mark.parametrize(("percent", "fed"), [(5, False), (12, False), (80, True)])
@pytest.mark.asyncio
async def test_a_last_look(battery: Battery, percent: int, fed: bool) -> None:
    battery.drains(percent)
    assert await fed_again(config_of(battery), ManualClock()) is fed
    battery.mains(percent)
    assert await fed_again(config_of(battery), ManualClock())


@pytest.mark.asyncio
async def test_a_source_that_says_nothing_changes_nothing(battery: Battery) -> None:
    for file in (battery.root / "BAT0").iterdir():
        if file.name != "type":
            file.write_text("?")
    (battery.root / "AC" / "online").write_text("0")
    assert not await fed_again(config_of(battery), ManualClock())
    for supply in ("AC", "BAT0"):
        (battery.root / supply / "type").write_text("?")  # nothing there any more
    assert not await fed_again(config_of(battery), ManualClock())


class Rig:
    def __init__(self, battery: Battery) -> None:
        self.level = PowerLevel.CRITICAL
        self.stopped = asyncio.Event()
        self.told: list[str] = []
        self.off = SwitchingOff(
            config_of(battery), ManualClock(), state=lambda: PowerState(self.level),
            stop=self.stopped.set, say=lambda text, _: self.told.append(text), note=self.note)
        self.machine = ManualMachine(ManualClock())
        self.machine.sleeps_for_s = 0

    def note(self, kind: str, text: str, **facts: Any) -> None:
        self.told.append(f"{kind}: {text}")


@pytest.mark.asyncio
async def test_asked_last_it_is_switched_off_or_not(battery: Battery) -> None:
    rig = Rig(battery)
    battery.drains(5)
    rig.off.at_critical("charge 5 %")
    assert rig.stopped.is_set()
    assert rig.told == [
        "battery critical: charge 5 %; recordings are closed, then the machine is switched off",
        "power_off: battery critical: charge 5 %"]
    ending = rig.off.ending
    assert ending is not None
    assert await switch_off(ending, rig.machine)
    assert rig.machine.commands == [OFF]
    battery.mains()  # nobody has judged it yet: a new look is taken
    assert not await switch_off(ending, rig.machine)
    battery.drains(5)
    rig.level = PowerLevel.LOW  # judged: it recovers
    assert not await switch_off(ending, rig.machine)
    assert rig.machine.commands == [OFF]


@pytest.mark.asyncio
async def test_to_sleep_it_is_not_asked_and_who_was_first_stays(battery: Battery) -> None:
    rig = Rig(battery)
    rig.off.to_sleep("asleep until 6")
    rig.off.at_critical("charge 5 %")
    ending = rig.off.ending
    assert ending is not None
    assert ending.why == "asleep until 6"
    assert await switch_off(ending, rig.machine)
    late = Rig(battery)
    late.off.stopping = True
    late.off.at_critical("charge 5 %")
    assert late.off.ending is None
    assert not late.stopped.is_set()
