"""How long the battery lasts: from what the source says, from power, from the discharge."""

from __future__ import annotations

import random

import pytest

from fieldrec.config.power import PowerConfig
from fieldrec.core.model import PowerState
from fieldrec.core.power_reading import PowerReading
from fieldrec.power.levels import PowerJudge
from fieldrec.power.runtime import LONGEST_MIN, Estimate, Runtime


def reading(percent: float | None = None, *, power_mw: int | None = None,
            energy_mwh: int | None = None, runtime_s: float | None = None,
            charging: bool | None = False, mains: bool = False) -> PowerReading:
    return PowerReading(mains, percent, None, power_mw, charging, "test", energy_mwh=energy_mwh,
                        runtime_s=runtime_s)


def discharge(minutes: int, per_hour: float, *, noise: random.Random | None = None,
              every_min: float = 1.0, start: float = 80.0, whole: bool = True) -> Estimate | None:
    """The estimate after so long at so many percent an hour, read by a gauge of whole percents."""
    runtime, said = Runtime(), None
    for number in range(int(minutes / every_min) + 1):
        at_min = number * every_min
        percent = start - per_hour * at_min / 60
        if noise is not None:
            percent += noise.gauss(0, 1.5)
            if noise.random() < 0.1:  # a wild one now and then
                percent -= 15
        said = runtime.update(reading(percent), round(percent) if whole else percent,
                              int(at_min * 60e9))
    return said


def test_what_the_source_reckons() -> None:
    assert Runtime().update(reading(50, runtime_s=3600, power_mw=5, energy_mwh=5), 50, 0) == (
        60, (45, 75))


def test_energy_over_power_with_a_wide_range_at_first() -> None:
    said = Runtime().update(reading(64, power_mw=6_000, energy_mwh=12_000), 64, 0)
    assert said is not None
    assert said[0] == 120
    assert said[1] == pytest.approx((120 / 1.3, 156))


def test_bursts_of_power_do_not_shake_it() -> None:
    runtime = Runtime()
    said: list[Estimate | None] = []
    for minute in range(30):
        power_mw = 20_000 if minute % 5 == 4 else 5_000
        said.append(runtime.update(reading(64, power_mw=power_mw, energy_mwh=10_000), 64,
                                   int(minute * 60e9)))
    last = said[-1]
    assert last is not None
    assert list(last[1]) == [30, 120]  # a fifth of the time it drew four times as much
    assert {estimate[0] for estimate in said[2:] if estimate is not None} == {120}


def test_old_power_is_forgotten() -> None:
    runtime = Runtime()
    runtime.update(reading(64, power_mw=20_000, energy_mwh=10_000), 64, 0)
    said = runtime.update(reading(64, power_mw=5_000, energy_mwh=10_000), 64, int(31 * 60e9))
    assert said is not None
    assert said[0] == 120


@pytest.mark.parametrize(("power_mw", "energy_mwh"), [(0, 12_000), (None, 12_000), (6_000, None)])
def test_half_of_it_says_nothing(power_mw: int | None, energy_mwh: int | None) -> None:
    said = Runtime().update(reading(64, power_mw=power_mw, energy_mwh=energy_mwh), 64, 0)
    assert said is None


@pytest.mark.parametrize(("minutes", "per_hour"), [(30, 10), (60, 6), (180, 3), (600, 2)])
def test_the_discharge_holds_the_truth_in_its_range(minutes: int, per_hour: float) -> None:
    said = discharge(minutes, per_hour)
    truth_min = (80 - per_hour * minutes / 60) / per_hour * 60
    assert said is not None
    assert said[1][0] <= truth_min <= said[1][1]
    assert said[0] == pytest.approx(truth_min, rel=0.15)


def test_a_noisy_gauge_with_wild_readings() -> None:
    held = 0
    for seed in range(8):
        said = discharge(180, 10, noise=random.Random(seed))
        assert said is not None
        truth_min = 50 / 10 * 60
        held += said[1][0] <= truth_min * 1.1 and truth_min * 0.9 <= said[1][1]
        assert said[0] == pytest.approx(truth_min, rel=0.25)
    assert held >= 7


def test_the_range_is_as_wide_as_the_noise_asks_for() -> None:
    """A 95 % interval: of twenty noisy hours at most two may lie outside."""
    held = 0
    for seed in range(20):
        noise, runtime = random.Random(seed), Runtime()
        for minute in range(0, 60, 2):
            percent = 80 - minute / 3 + noise.gauss(0, 4)
            runtime.update(reading(percent), percent, int(minute * 60e9))
        said = runtime.update(reading(60), 60, int(60 * 60e9))
        assert said is not None
        held += said[1][0] <= 180 <= said[1][1]
    assert held >= 18


@pytest.mark.parametrize(("minutes", "per_hour"), [(10, 30), (60, 1), (180, 0), (180, -5)])
def test_too_soon_or_no_fall_says_nothing(minutes: int, per_hour: float) -> None:
    assert discharge(minutes, per_hour) is None


def test_a_range_that_is_open_above_has_an_end() -> None:
    said = discharge(60, 2)
    assert said is not None
    assert said[0] < said[1][1] <= LONGEST_MIN


def test_its_memory_is_bounded() -> None:
    runtime = Runtime()
    for second in range(0, 24 * 3600, 10):
        runtime.update(reading(50, power_mw=5_000), 50, second * 10**9)
    assert len(runtime._points) <= 91
    assert len(runtime._powers) <= 200


def judged(*steps: tuple[float, PowerReading]) -> PowerState:
    """The state after readings at these minutes."""
    judge = PowerJudge(PowerConfig(dwell_s=0))
    state = PowerState(judge.update(steps[0][1], 0).level)
    for at_min, what in steps[1:]:
        state = judge.update(what, int(at_min * 60e9))
    return state


def falling(from_min: int, start: float) -> list[tuple[float, PowerReading]]:
    return [(from_min + minute, reading(start - minute / 5)) for minute in range(0, 31, 2)]


@pytest.mark.parametrize("between", [
    (40.0, reading(90, mains=True)), (40.0, reading(75, charging=True)), (40.0, reading(20))])
def test_mains_charging_and_another_battery_begin_anew(between: tuple[float, PowerReading]) -> None:
    before = falling(0, 80)
    assert judged(*before).minutes_left is not None
    state = judged(*before, between, (42.0, reading(between[1].charge_percent)))
    assert (state.minutes_left, state.minutes_left_range) == (None, None)


def test_the_state_has_the_range() -> None:
    state = judged(*falling(0, 80))
    assert state.minutes_left_range is not None
    assert state.minutes_left is not None
    assert state.minutes_left_range[0] < state.minutes_left < state.minutes_left_range[1]
