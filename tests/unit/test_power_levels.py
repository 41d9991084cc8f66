"""Levels, as tables of (seconds, what is read) -> level."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from fieldrec.config.power import PowerConfig
from fieldrec.core.model import PowerLevel, PowerState
from fieldrec.core.power_reading import PowerReading
from fieldrec.power.levels import PowerJudge

M, B, L, C, U = (PowerLevel.MAINS, PowerLevel.BATTERY, PowerLevel.LOW, PowerLevel.CRITICAL,
                 PowerLevel.UNKNOWN)
CONFIG = PowerConfig(low_percent=20, low_leave_percent=30, critical_percent=10,
                     critical_leave_percent=15, dwell_s=30, unreadable_s=120)
MAINS = "mains"
SILENT = None


def reading(what: float | str | None, *, charging: bool | None = False) -> PowerReading:
    if what == MAINS:
        return PowerReading(True, None, None, None, None, "test")
    if what is SILENT:
        return PowerReading(None, None, None, None, None, "test", problem="ENODATA")
    assert isinstance(what, float | int)
    return PowerReading(False, float(what), None, None, charging, "test")


def states(steps: Iterable[tuple[float, float | str | None]],
           config: PowerConfig = CONFIG) -> list[PowerState]:
    judge = PowerJudge(config)
    return [judge.update(reading(what), int(at_s * 1e9)) for at_s, what in steps]


@pytest.mark.parametrize("table", [
    pytest.param([(0, 64, B), (10, 63, B)], id="on battery"),
    pytest.param([(0, MAINS, M), (10, 64, M), (39, 64, M), (40, 64, B)], id="unplugged, dwell"),
    pytest.param([(0, 15, L), (10, MAINS, M)], id="plugged in: mains at once"),
    pytest.param([(0, 9, L), (30, 9, C), (40, MAINS, M)], id="plugged in at critical"),
    pytest.param([(0, 21, B), (10, 20, B), (39, 20, B), (40, 20, L)], id="low after the dwell"),
    pytest.param([(0, 21, B), (10, 20, B), (20, 21, B), (30, 20, B), (40, 21, B), (50, 20, B)],
                 id="jitter 20/21/20 above the threshold never flaps"),
    pytest.param([(0, 20, L), (30, 21, L), (60, 20, L), (90, 30, L), (100, 31, B)],
                 id="jitter below it neither, left above 30"),
    pytest.param([(0, 12, L), (10, 10, L), (40, 10, C), (50, 15, C), (60, 16, L), (70, 31, B)],
                 id="critical and back, step by step"),
    pytest.param([(0, 9, L), (29, 9, L), (30, 9, C)], id="critical at start waits as low"),
    pytest.param([(0, 80, B), (10, 3, B), (20, 80, B), (60, 80, B)], id="one wild reading"),
    pytest.param([(0, 80, B), (10, 3, B), (39, 3, B), (40, 3, C)], id="a drop that stays"),
    pytest.param([(0, 80, B), (10, 3, B), (20, 80, B), (30, 3, B), (40, 80, B), (50, 3, B)],
                 id="a gauge that jumps about"),
    pytest.param([(0, 21, B), (10, 20, B), (20, 9, B), (40, 9, L), (50, 9, C)],
                 id="each level by its own dwell"),
    pytest.param([(0, 5, L), (30, 5, C), (40, 80, C), (69, 80, C), (70, 80, B)],
                 id="a jump up is doubted too"),
    pytest.param([(0, SILENT, U), (119, SILENT, U), (120, SILENT, L)], id="silent from the start"),
    pytest.param([(0, 64, B), (10, SILENT, B), (119, SILENT, B), (120, SILENT, L), (130, 28, B)],
                 id="silence: held, then low, then what it was"),
    pytest.param([(0, 9, L), (30, 9, C), (60, SILENT, C), (200, SILENT, C)],
                 id="silence makes nothing better"),
    pytest.param([(0, MAINS, M), (10, SILENT, M), (130, SILENT, L), (140, MAINS, M)],
                 id="silence after mains"),
    pytest.param([(0, 64, B), (10, 9, B), (25, SILENT, B), (40, 9, C)],
                 id="silence between neither confirms nor refutes"),
])
def test_levels(table: list[tuple[float, float | str | None, PowerLevel]]) -> None:
    levels = [state.level for state in states((at_s, what) for at_s, what, _ in table)]
    assert levels == [level for _, _, level in table]


def test_without_dwell_every_reading_is_believed() -> None:
    config = CONFIG.model_copy(update={"dwell_s": 0.0})
    levels = [state.level for state in states([(0, 9), (1, 80), (2, 3)], config)]
    assert levels == [C, B, C]


def test_the_charge_shown_is_the_one_believed() -> None:
    shown = [state.charge_percent for state in states([(0, 80), (10, 3), (20, 79)])]
    assert shown == [80, 80, 79]


def test_reasons_are_words_and_figures() -> None:
    said = [state.reason for state in
            states([(0, 34), (10, 20), (40, 20), (50, 9), (80, 9), (90, SILENT)])]
    assert said == [
        "charge 34 % on battery",
        "charge 20 % on battery; low if it stays for 30 s",
        "charge 20 %: low at 20 %, left above 30 %",
        "charge 9 %: low at 20 %, left above 30 %; critical if it stays for 30 s",
        "charge 9 %: critical at 10 %, left above 15 %",
        "battery unreadable for 10 s (ENODATA): low after 120 s",
    ]
    assert states([(0, 80), (10, 3)])[-1].reason == (
        "charge 3 % read after 80 %: believed if it stays for 30 s")


def test_mains_with_an_unreadable_battery_is_mains() -> None:
    state = PowerJudge(CONFIG).update(
        PowerReading(True, None, None, None, None, "test", problem="ENODATA"), 0)
    assert state.level is M


def test_no_battery_says_so() -> None:
    state = PowerJudge(CONFIG).update(PowerReading(True, None, None, None, None, "none"), 0)
    assert (state.level, state.reason) == (M, "no battery found: taken as mains")


def on_mains(percent: float, charging: bool | None) -> PowerReading:
    return PowerReading(True, percent, None, None, charging, "test")


def test_mains_at_a_low_charge_is_mains_before_the_battery_charges() -> None:
    judge = PowerJudge(CONFIG)
    judge.update(reading(9), 0)
    assert judge.update(on_mains(9, False), 10**9).level is M
    assert judge.update(on_mains(9, False), 10**11).level is M


def test_a_supply_too_weak_to_stop_the_drain_is_not_mains() -> None:
    judge = PowerJudge(CONFIG)
    seen = [judge.update(on_mains(percent, charging), int(at_s * 1e9)).level
            for at_s, percent, charging in
            [(0, 40.0, False), (10, 21.0, False), (20, 20.0, False), (50, 20.0, False),
             (60, 9.0, False), (90, 8.0, False), (100, 8.0, True)]]
    assert seen == [M, M, M, L, L, C, M]


@pytest.mark.parametrize(("power_mw", "energy_mwh", "charging", "minutes"), [
    (6000, 12_000, False, 120.0), (0, 12_000, False, None), (None, 12_000, False, None),
    (6000, None, False, None), (6000, 12_000, True, None),
])
def test_minutes_left(power_mw: int | None, energy_mwh: int | None, charging: bool,
                      minutes: float | None) -> None:
    state = PowerJudge(CONFIG).update(
        PowerReading(False, 64.0, 11_400, power_mw, charging, "test", energy_mwh=energy_mwh), 0)
    assert state.minutes_left == minutes
    assert (state.voltage_mv, state.power_mw) == (11_400, power_mw)


def test_it_says_when_it_waits_to_decide() -> None:
    judge = PowerJudge(CONFIG)
    undecided = []
    for at_s, what in [(0, 64), (10, 20), (40, 20), (50, SILENT), (170, SILENT), (180, 20),
                       (190, 90), (200, 20)]:
        judge.update(reading(what), int(at_s * 1e9))
        undecided.append(judge.undecided)
    assert undecided == [False, True, False, True, False, False, True, False]
