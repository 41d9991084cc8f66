"""A pack's voltage to its charge, over a tree of files as the hwmon ABI has it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from fieldrec.core.power_reading import PowerReading
from fieldrec.power import curves
from fieldrec.power.hwmon import Hwmon, Options


class Clock:
    """Moved by hand."""

    now_s = 0.0

    def monotonic_ns(self) -> int:
        return int(self.now_s * 1e9)

    def epoch_ns(self) -> int:
        raise AssertionError("a voltage has no date")


CLOCK = Clock()


def chip(root: Path, number: int = 0, name: str = "ina226", at: str = "1-0040", **inputs: object
         ) -> Path:
    path = root / "class" / f"hwmon{number}"
    path.mkdir(parents=True)
    (path / "name").write_text(f"{name}\n")
    device = root / "devices" / at
    device.mkdir(parents=True)
    (path / "device").symlink_to(device)
    for attribute, value in inputs.items():
        (path / f"{attribute}_input").write_text(f"{value}\n")
    return path


def read(root: Path, *moments: float, **options: Any) -> list[PowerReading]:
    """Readings at these moments; `before` is called with the number of each."""
    before = options.pop("before", lambda _number: None)
    source = Hwmon(Options.model_validate({"chip": "ina226", "path": root / "class",
                                           "chemistry": "lead", "cells": 6, **options}), CLOCK)

    async def go() -> list[PowerReading]:
        said = []
        for number, CLOCK.now_s in enumerate(moments or (0.0,)):
            before(number)
            said.append(await source.read())
        source.close()
        return said

    return asyncio.run(go())


def test_an_ina226_with_everything(tmp_path: Path) -> None:
    chip(tmp_path, in0=2, in1=12_240, curr1=-500, power1=6_120_000)
    reading, = read(tmp_path, current="curr1", power="power1", capacity_wh=100)
    assert reading.charge_percent == pytest.approx(50)
    assert replace(reading, charge_percent=None) == PowerReading(
        on_mains=None, charge_percent=None, voltage_mv=12_240, power_mw=6_120,
        charging=None, source="hwmon ina226", energy_mwh=50_000, energy_full_mwh=100_000)


def test_watts_from_the_current_where_there_are_none(tmp_path: Path) -> None:
    chip(tmp_path, in1=12_000, curr1=-500)
    assert read(tmp_path, current="curr1")[0].power_mw == 6_000


@pytest.mark.parametrize(("volts", "percent"), [
    (10.0, 0), (11.892, 0), (12.06, 25), (12.15, 37.5), (12.648, 100), (14.4, 100)])
def test_lead(tmp_path: Path, volts: float, percent: float) -> None:
    chip(tmp_path, in1=round(volts * 1000))
    assert read(tmp_path)[0].charge_percent == pytest.approx(percent)


def test_a_curve_of_ones_own_in_any_order(tmp_path: Path) -> None:
    chip(tmp_path, in1=13_000)
    reading, = read(tmp_path, curve=[[14, 100], [12, 0]], chemistry=None, cells=None)
    assert reading.charge_percent == 50


def test_a_short_sag_changes_nothing_and_a_long_one_does(tmp_path: Path) -> None:
    path = chip(tmp_path, in1=12_450)

    def load(number: int) -> None:
        (path / "in1_input").write_text("12060\n" if number >= 10 else "12450\n")

    said = read(tmp_path, *[30.0 * n for n in range(21)], smooth_s=300, before=load)
    percents = [round(reading.charge_percent or 0) for reading in said]
    assert percents[:15] == [75] * 15
    assert percents[16:] == [25] * 5
    assert said[10].voltage_mv == 12_060  # what is shown is what is there


def test_the_sag_of_a_known_resistance_is_taken_out(tmp_path: Path) -> None:
    chip(tmp_path, in1=12_150, curr1=3_000)
    reading, = read(tmp_path, current="curr1", resistance_mohm=100)
    assert reading.charge_percent == pytest.approx(75)


def test_mains_by_the_charger_s_voltage(tmp_path: Path) -> None:
    path = chip(tmp_path, in1=13_800)

    def unplug(number: int) -> None:
        (path / "in1_input").write_text("12650\n" if number else "13800\n")

    said = read(tmp_path, 0.0, 10.0, mains_above_v=13.5, before=unplug)
    assert [reading.on_mains for reading in said] == [True, False]


@pytest.mark.parametrize("text", ["", "-12", "0", "NA", "1.5", "9" * 400])
def test_a_voltage_that_is_none(tmp_path: Path, text: str) -> None:
    chip(tmp_path, in1=text)
    assert read(tmp_path)[0].problem == "in1_input: no voltage"


def test_the_chip_is_gone(tmp_path: Path) -> None:
    chip(tmp_path, name="coretemp")
    assert read(tmp_path)[0].problem == "no chip ina226; there are: coretemp"
    assert read(tmp_path / "nothing")[0].problem == "no chip ina226; there are: none"


def test_of_two_equal_ones_the_device_says_which(tmp_path: Path) -> None:
    chip(tmp_path, 0, at="1-0040", in1=12_060)
    chip(tmp_path, 1, at="1-0041", in1=12_450)
    assert read(tmp_path)[0].problem == (
        "2 chips ina226; say which by the option device: 1-0040, 1-0041")
    reading, = read(tmp_path, device="1-0041")
    assert reading.source == "hwmon ina226 1-0041"
    assert reading.charge_percent == pytest.approx(75)


@pytest.mark.parametrize(("options", "said"), [
    ({}, "expected a curve, or chemistry and cells"),
    ({"chemistry": "lead"}, "expected a curve, or chemistry and cells"),
    ({"chemistry": "leed", "cells": 6}, "lifepo4"),
    ({"chemistry": "lead", "cells": 0}, "greater than"),
    ({"curve": [[12, 0], [13, 100]], "cells": 6}, "not both"),
    ({"curve": [[12, 0]]}, "at least two points"),
    ({"curve": [[12, 0], [12, 100]]}, "each voltage once"),
    ({"curve": [[12, 50], [13, 40]]}, "more charge at a higher voltage"),
    ({"curve": [[12, 0], [13, 101]]}, "0 to 100"),
    ({"chemistry": "lead", "cells": 6, "resistance_mohm": 10}, "needs current"),
    ({"chemistry": "lead", "cells": 6, "voltage": "../in1"}, "pattern"),
])
def test_wrong_options(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Options.model_validate({"chip": "ina226", **options})


@pytest.mark.parametrize("chemistry", sorted(curves.CELLS))
def test_built_in_curves_are_whole_and_ascend(chemistry: str) -> None:
    curve = curves.curve_of(chemistry, 1)
    assert curves.checked(curve) == curve
    assert [curve[0][1], curve[-1][1]] == [0, 100]
    assert curves.percent_at(curve, 0.1) == 0
    assert curves.percent_at(curve, 9.9) == 100
