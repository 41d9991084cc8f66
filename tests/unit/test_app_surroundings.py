"""Time of day, schedule, heat and room as admission sees them, and when jobs are to be woken."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from fieldrec.app.surroundings import Surroundings, too_warm
from fieldrec.config import Config
from fieldrec.core.clock import SystemClock
from fieldrec.core.model import Conditions, PowerLevel, PowerState, SpaceState, SpaceTier

NOW_NS = int(dt.datetime(2026, 11, 21, 22, 30, tzinfo=dt.UTC).timestamp()) * 10**9
PLAIN = Conditions(recording=False, recording_since_ns=None, power=PowerState(PowerLevel.MAINS),
                   present_destinations=frozenset(), free_bytes=0)


class StandingClock(SystemClock):
    """Always NOW."""

    def epoch_ns(self) -> int:
        return NOW_NS


def surroundings(**config: Any) -> Surroundings:
    return Surroundings(Config.model_validate(config), StandingClock())


def test_until_somebody_says_more_only_the_time_is_known() -> None:
    around = surroundings(system={"timezone": "Europe/Vienna"})
    found = around.put_into(PLAIN)
    assert (found.now_ns, found.timezone) == (NOW_NS, "Europe/Vienna")
    assert (found.next_start_ns, found.quiet_until_ns, found.quiet_from_ns, found.temperature_c,
            found.too_warm) == (None, None, None, None, False)
    assert found.before_schedule_s == 600
    assert not around.look()


def test_the_configuration_counts() -> None:
    around = surroundings(
        system={"timezone": "Europe/Vienna"}, export={"while_recording": "throttled",
                                                      "raw": "delete_verified"},
        idle={"quiet_hours": ["23:00-06:00"]}, space={"act": ["export_on_battery"]})
    around.export_on_battery = lambda: True
    found = around.put_into(PLAIN)
    assert found.quiet_until_ns == NOW_NS + 6.5 * 3600 * 10**9
    assert found.quiet_from_ns == NOW_NS + 23.5 * 3600 * 10**9
    assert found.before_schedule_s == 0
    assert found.export_on_battery_when_full


def test_jobs_are_woken_by_what_they_may_wait_for_and_by_nothing_else() -> None:
    around = surroundings()
    temperature, start, space = 70.0, (None, ""), SpaceState()
    around.temperature_c = lambda: temperature
    around.next_start = lambda: start
    around.space = lambda: space
    assert not around.look()
    temperature = 79.0
    assert not around.look()
    temperature = 80.5
    assert around.look()
    assert around.put_into(PLAIN).too_warm
    temperature = 76.0
    assert not around.look()
    temperature = 74.9
    assert around.look()
    start = (NOW_NS + 10**9, "night")  # type: ignore[assignment]
    assert around.look()
    assert around.put_into(PLAIN).next_start_name == "night"
    space = SpaceState(SpaceTier.OK, hours_left=20.0)
    assert not around.look()
    space = SpaceState(SpaceTier.ACT, hours_left=2.0)
    assert around.look()
    assert around.put_into(PLAIN).space is space
    assert not around.look()
    around.export_on_battery = lambda: True
    assert around.look()
    assert not around.look()


@pytest.mark.parametrize(("before", "now_c", "expected"), [
    (False, 80.0, False), (False, 80.1, True), (True, 75.0, True), (True, 74.9, False),
    (True, None, False), (False, None, False), (False, 200.0, True)])
def test_heat_has_hysteresis(before: bool, now_c: float | None, expected: bool) -> None:
    assert too_warm(before, now_c, 80.0, 75.0) is expected
    assert too_warm(before, now_c, None, 75.0) is False
