"""The supplies' tree, with everything that gauges get wrong."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from fieldrec.core.clock import SystemClock
from fieldrec.core.power_reading import PowerReading
from fieldrec.power import sysfs


def supply(root: Path, name: str, **attributes: object) -> Path:
    """One supply; an attribute given as OSError is there and cannot be read (a directory)."""
    path = root / name
    path.mkdir()
    for attribute, value in attributes.items():
        if value is OSError:
            (path / attribute).mkdir()
        else:
            (path / attribute).write_text(f"{value}\n")
    return path


def battery(root: Path, name: str = "BAT0", **attributes: object) -> Path:
    return supply(root, name, **{"type": "Battery", "present": 1, "status": "Discharging",
                                 "capacity": 64} | attributes)


def test_no_supplies_at_all_means_mains(tmp_path: Path) -> None:
    for root in (tmp_path, tmp_path / "missing"):
        assert sysfs.read(root) == PowerReading(True, None, None, None, None, "none")


def test_a_root_that_is_no_folder_is_a_problem(tmp_path: Path) -> None:
    root = tmp_path / "file"
    root.write_text("")
    reading = sysfs.read(root)
    assert reading.on_mains is None
    assert str(root) in reading.problem


def test_a_laptop_on_battery(tmp_path: Path) -> None:
    battery(tmp_path, voltage_now=11_400_000, power_now=5_700_000, energy_now=11_400_000,
            energy_full=20_000_000)
    supply(tmp_path, "AC", type="Mains", online=0)
    assert sysfs.read(tmp_path) == PowerReading(
        on_mains=False, charge_percent=64.0, voltage_mv=11_400, power_mw=5_700, charging=False,
        source="sysfs: BAT0, AC", energy_mwh=11_400, energy_full_mwh=20_000)


def test_power_from_current_whatever_its_sign(tmp_path: Path) -> None:
    battery(tmp_path, voltage_now=4_000_000, current_now=-500_000)
    assert sysfs.read(tmp_path).power_mw == 2_000


def test_millivolts_where_microvolts_belong(tmp_path: Path) -> None:
    battery(tmp_path, voltage_now=3_300)
    assert sysfs.read(tmp_path).voltage_mv == 3_300


@pytest.mark.parametrize(("status", "on_mains", "charging"), [
    ("Charging", True, True), ("Discharging", False, False), ("Full", True, None),
    ("Not charging", True, None), ("Unknown", None, None), ("", None, None), (OSError, None, None),
])
def test_without_a_mains_supply_the_status_tells(
        tmp_path: Path, status: object, on_mains: bool | None, charging: bool | None) -> None:
    battery(tmp_path, status=status)
    reading = sysfs.read(tmp_path)
    assert (reading.on_mains, reading.charging) == (on_mains, charging)


@pytest.mark.parametrize(("online", "on_mains"), [(0, False), (1, True), (2, True)])
def test_a_mains_supply_is_believed_over_the_status(
        tmp_path: Path, online: int, on_mains: bool) -> None:
    battery(tmp_path, status="Not charging")
    supply(tmp_path, "usb", type="USB", online=online)
    assert sysfs.read(tmp_path).on_mains is on_mains


def test_an_unreadable_mains_supply_leaves_it_to_the_status(tmp_path: Path) -> None:
    battery(tmp_path)
    supply(tmp_path, "AC", type="Mains", online=OSError)
    assert sysfs.read(tmp_path).on_mains is False


@pytest.mark.parametrize(("attributes", "percent"), [
    ({"capacity": 255}, None),
    ({"capacity": -1}, None),
    ({"capacity": "NA"}, None),
    ({"capacity": OSError}, None),
    ({"capacity": "9" * 400, "energy_now": "9" * 400, "energy_full": "8" * 400}, None),
    ({"capacity": "9" * 9000, "charge_now": 1, "charge_full": 1 << 80}, None),
    ({"capacity": 0}, 0.0),
    ({"capacity": 0, "capacity_level": "Normal"}, None),
    ({"capacity": 0, "capacity_level": "Critical"}, 0.0),
    ({"capacity": 0, "energy_now": 40, "energy_full": 80}, 50.0),
    ({"capacity": 255, "charge_now": 20, "charge_full": 80}, 25.0),
    ({"capacity": 255, "charge_now": 200, "charge_full": 80}, None),
    ({"capacity": 255, "charge_now": 82, "charge_full": 80}, 100.0),
    ({"capacity": 255, "charge_now": 82, "charge_full": 0}, None),
    ({"capacity": -1, "energy_now": -1, "energy_full": 160_000_000}, None),
    ({"capacity": 255, "energy_now": 255, "energy_full": 160_000_000}, None),
    ({"capacity": OSError, "energy_now": -1, "energy_full": 160_000_000}, None),
    ({"capacity": OSError, "energy_now": 160_000, "energy_full": 160_000_000}, 0.1),
    ({"capacity": 100}, 100.0),
])
def test_charge(tmp_path: Path, attributes: dict[str, object], percent: float | None) -> None:
    battery(tmp_path, "BAT0", **attributes)
    reading = sysfs.read(tmp_path)
    assert reading.charge_percent == percent
    assert bool(reading.problem) is (percent is None)


def test_the_batteries_of_mice_and_empty_bays_are_not_ours(tmp_path: Path) -> None:
    battery(tmp_path, "hid-mouse", scope="Device", capacity=3)
    battery(tmp_path, "BAT1", present=0, capacity=0)
    battery(tmp_path, "BAT0")
    assert sysfs.read(tmp_path).charge_percent == 64.0


def test_only_a_mouse_is_no_battery(tmp_path: Path) -> None:
    battery(tmp_path, "hid-mouse", scope="Device", capacity=3)
    assert sysfs.read(tmp_path).source == "none"


def test_an_empty_bay_without_mains_is_a_problem(tmp_path: Path) -> None:
    battery(tmp_path, present=0)
    supply(tmp_path, "AC", type="Mains", online=0)
    reading = sysfs.read(tmp_path)
    assert reading.on_mains is False
    assert reading.problem == "no battery in its bay"


def test_two_batteries_by_energy(tmp_path: Path) -> None:
    battery(tmp_path, "BAT0", capacity=100, energy_now=10_000, energy_full=10_000, power_now=1_000)
    battery(tmp_path, "BAT1", capacity=0, energy_now=0, energy_full=30_000, power_now=2_000)
    reading = sysfs.read(tmp_path)
    assert reading.charge_percent == 25.0
    assert (reading.energy_mwh, reading.power_mw) == (10, 3)


def test_two_batteries_without_energy_by_the_lower_charge_and_voltage(tmp_path: Path) -> None:
    battery(tmp_path, "BAT0", capacity=90, voltage_now=4_000_000)
    battery(tmp_path, "BAT1", capacity=40, voltage_now=3_500_000, status="Charging")
    reading = sysfs.read(tmp_path)
    assert reading.charge_percent == 40.0
    assert reading.voltage_mv == 3_500
    assert reading.charging is True


def test_half_a_sum_is_no_sum(tmp_path: Path) -> None:
    battery(tmp_path, "BAT0", energy_now=10_000)
    battery(tmp_path, "BAT1")
    assert sysfs.read(tmp_path).energy_mwh is None


def test_one_silent_battery_of_two_is_left_out(tmp_path: Path) -> None:
    battery(tmp_path, "BAT0", capacity=255)
    battery(tmp_path, "BAT1", capacity=40)
    reading = sysfs.read(tmp_path)
    assert reading.charge_percent == 40.0
    assert reading.problem == ""


def test_two_that_disagree_without_energy_are_said(tmp_path: Path) -> None:
    battery(tmp_path, "BAT0", capacity=90)
    battery(tmp_path, "BAT1", capacity=40)
    reading, = looks(tmp_path)
    assert (reading.charge_percent, reading.note) == (
        40.0, "BAT0 90 %, BAT1 40 %: they disagree, the lowest counts")
    for name in ("BAT0", "BAT1"):
        (tmp_path / name / "energy_now").write_text("10\n")
        (tmp_path / name / "energy_full").write_text("20\n")
    reading, = looks(tmp_path)
    assert (reading.charge_percent, reading.note) == (50.0, "")


def looks(root: Path, *changes: Callable[[], object], **options: object) -> list[PowerReading]:
    """What one source reads, at first and after each change."""
    async def go() -> list[PowerReading]:
        source = sysfs.Sysfs(sysfs.Options.model_validate({"path": root, **options}), SystemClock())
        try:
            said = [await source.read()]
            for change in changes:
                change()
                said.append(await source.read())
            return said
        finally:
            source.close()

    return asyncio.run(go())


def gone(root: Path, name: str) -> Callable[[], object]:
    return lambda: shutil.rmtree(root / name)


def test_a_battery_that_disappears_is_no_mains(tmp_path: Path) -> None:
    battery(tmp_path, "BAT0")
    first, then = looks(tmp_path, gone(tmp_path, "BAT0"))
    assert first.charge_percent == 64.0
    assert (then.on_mains, then.charge_percent, then.problem) == (None, None, "BAT0: gone")


@pytest.mark.parametrize("online", [0, 1])
def test_without_its_battery_the_charger_still_knows(tmp_path: Path, online: int) -> None:
    battery(tmp_path, "BAT0")
    supply(tmp_path, "AC", type="Mains", online=online)
    then = looks(tmp_path, gone(tmp_path, "BAT0"))[1]
    assert (then.on_mains, then.problem) == (bool(online), "BAT0: gone")


def test_one_of_two_that_disappears_is_said(tmp_path: Path) -> None:
    battery(tmp_path, "BAT0")
    battery(tmp_path, "BAT1", capacity=60)
    then = looks(tmp_path, gone(tmp_path, "BAT1"))[1]
    assert (then.charge_percent, then.note, then.problem) == (64.0, "BAT1: gone", "")


def test_the_whole_tree_can_go(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    battery(tmp_path / "x", "BAT0")
    assert looks(tmp_path / "x", gone(tmp_path, "x"))[1].problem == "BAT0: gone"


def test_batteries_by_name_must_be_there_and_others_do_not_count(tmp_path: Path) -> None:
    battery(tmp_path, "BAT0", capacity=64)
    battery(tmp_path, "spare", capacity=5)
    assert looks(tmp_path, batteries=["BAT0"])[0].charge_percent == 64.0
    reading, = looks(tmp_path, batteries=["BAT0", "BAT7"])
    assert (reading.charge_percent, reading.note) == (64.0, "BAT7: gone")
    reading, = looks(tmp_path, batteries=["BAT7"])
    assert (reading.on_mains, reading.problem) == (None, "BAT7: gone")


def test_names_are_shown_printable(tmp_path: Path) -> None:
    battery(tmp_path, "bat\x1b[31m")
    assert sysfs.read(tmp_path).source == "sysfs: bat?[31m"
