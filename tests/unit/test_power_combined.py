"""Several sources: what each says, and what all say together."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import pytest

from fieldrec.config.power import PowerConfig
from fieldrec.core.model import PowerLevel
from fieldrec.core.power_reading import PowerReading
from fieldrec.power.combined import combined
from fieldrec.power.levels import PowerJudge


def said(name: str, percent: float | None = None, *, mains: bool | None = False,
         charging: bool | None = None, problem: str = "", says: PowerLevel | None = None,
         left_mwh: int | None = None, full_mwh: int | None = None, power_mw: int | None = None
         ) -> PowerReading:
    return PowerReading(mains, percent, None, power_mw, charging, name, problem=problem, says=says,
                        energy_mwh=left_mwh, energy_full_mwh=full_mwh)


def together(*readings: PowerReading, mains_if: Literal["any", "all"] = "any") -> PowerReading:
    return combined(readings, mains_if=mains_if, disagree_percent=15)


NONE = PowerReading(True, None, None, None, None, "none")
SILENT = said("nut", mains=None, problem="server gone")


def test_one_source_is_what_it_says() -> None:
    for reading in (NONE, SILENT, said("a", 50)):
        assert together(reading) is reading


def test_an_unreadable_one_is_named_and_hides_nothing() -> None:
    reading = together(SILENT, said("sysfs", 64))
    assert (reading.charge_percent, reading.problem) == (64, "")
    assert reading.note == "nut unreadable (server gone)"
    assert reading.source == "sysfs"


def test_only_when_all_are_unreadable_it_is_a_problem() -> None:
    reading = together(SILENT, said("sysfs", mains=None, problem="ENODATA"))
    assert reading.problem == "nut: server gone; sysfs: ENODATA"
    assert (reading.on_mains, reading.charge_percent) == (None, None)


def test_mains_is_known_although_the_battery_is_unreadable() -> None:
    assert together(SILENT, said("sysfs", mains=True, problem="ENODATA")).on_mains is True


@pytest.mark.parametrize(("known", "any_", "all_"), [
    ((True, False), True, False), ((False, True), True, False), ((True, True), True, True),
    ((False, False), False, False), ((None, True), True, True), ((None, False), False, False),
    ((None, None), None, None),
])
def test_mains(known: tuple[bool | None, ...], any_: bool | None, all_: bool | None) -> None:
    readings = [said(str(number), 50, mains=mains) for number, mains in enumerate(known)]
    assert together(*readings, mains_if="any").on_mains is any_
    assert together(*readings, mains_if="all").on_mains is all_


def test_a_tree_without_batteries_knows_nothing_of_batteries_elsewhere() -> None:
    reading = together(NONE, said("nut", 40))
    assert (reading.on_mains, reading.charge_percent) == (False, 40)
    assert together(NONE, SILENT).problem == "nut: server gone"
    assert together(NONE, NONE).on_mains is True


def test_charge_by_energy_where_every_one_says_it() -> None:
    reading = together(said("a", 100, left_mwh=10_000, full_mwh=10_000, power_mw=1_000),
                       said("b", 90, left_mwh=27_000, full_mwh=30_000, power_mw=2_000))
    assert reading.charge_percent == 92.5
    assert (reading.energy_mwh, reading.energy_full_mwh, reading.power_mw) == (
        37_000, 40_000, 3_000)
    assert reading.note == ""


def test_charge_by_the_lowest_where_one_does_not() -> None:
    low = said("b", 90, power_mw=2_000)
    reading = together(said("a", 100, left_mwh=10_000, full_mwh=10_000, power_mw=1_000), low)
    assert (reading.charge_percent, reading.energy_mwh, reading.power_mw) == (90, None, 2_000)


def test_two_that_disagree_are_said_and_the_lower_counts() -> None:
    reading = together(said("a", 80, left_mwh=8_000, full_mwh=10_000),
                       said("b", 64, left_mwh=6_400, full_mwh=10_000))
    assert (reading.charge_percent, reading.energy_mwh) == (64, 6_400)
    assert reading.note == "a 80 %, b 64 %: they disagree, the lowest counts"
    assert together(said("a", 80), said("b", 65)).note == ""


def test_words_of_the_worst_count() -> None:
    ups = said("nut", 80, says=PowerLevel.CRITICAL)
    reading = together(said("sysfs", 80), ups, said("fixed", says=PowerLevel.BATTERY))
    assert reading.says is PowerLevel.CRITICAL
    assert reading.charge_percent == 80


def test_who_cuts_the_power_is_not_overruled_by_mains() -> None:
    ups = replace(said("nut", 80, says=PowerLevel.CRITICAL), forced=True)
    reading = together(said("sysfs", 90, mains=True), ups)
    assert PowerJudge(PowerConfig()).update(reading, 0).level is PowerLevel.CRITICAL


def test_any_that_charges_charges() -> None:
    assert together(said("a", 80, charging=False), said("b", 80, charging=True)).charging is True
    assert together(said("a", 80, charging=False), said("b", 80)).charging is False


def test_notes_of_all_are_kept() -> None:
    reading = together(replace(said("nut", 80), note="replace the battery"),
                       said("sysfs", mains=None, problem="ENODATA"))
    assert reading.note == "replace the battery; sysfs unreadable (ENODATA)"
