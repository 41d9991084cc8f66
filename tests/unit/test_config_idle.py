"""Quiet hours and the other limits of idleness: what is taken, and what is said of the rest."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from fieldrec.config.idle import Hours, IdleConfig
from fieldrec.config.jobs import JobsConfig


def test_hours_are_taken_as_they_are_written() -> None:
    config = IdleConfig.model_validate({"quiet_hours": ["22:00-06:00", " 9:05 - 24:00"]})
    assert config.quiet_hours == (Hours(1320, 360), Hours(545, 1440))
    assert [str(hours) for hours in config.quiet_hours] == ["22:00-06:00", "09:05-24:00"]
    assert IdleConfig(quiet_hours=config.quiet_hours) == config


def test_what_hours_hold() -> None:
    night, day = Hours(1320, 360), Hours(480, 1440)
    assert [minute for minute in (0, 359, 360, 1319, 1320, 1439) if night.holds(minute)] == [
        0, 359, 1320, 1439]
    assert [minute for minute in (0, 479, 480, 1439) if day.holds(minute)] == [480, 1439]


@pytest.mark.parametrize(("hours", "said"), [
    ("22-6", "expected hours such as"), (["22:00"], "expected hours such as"),
    (22, "expected hours such as"), ("25:00-06:00", "times from 00:00 to 24:00"),
    ("22:60-06:00", "times from 00:00 to 24:00"), ("24:00-06:00", "times from 00:00 to 24:00"),
    ("22:00-24:30", "times from 00:00 to 24:00"), ("08:00-08:00", "begins when it ends"),
    ("22:00-06:00\n", "")])
def test_wrong_hours(hours: Any, said: str) -> None:
    if not said:
        assert IdleConfig.model_validate({"quiet_hours": [hours]}).quiet_hours
        return
    with pytest.raises(ValidationError, match=said):
        IdleConfig.model_validate({"quiet_hours": [hours]})


@pytest.mark.parametrize(("values", "said"), [
    ({"quiet_hours": ["00:00-24:00"]}, "leave no minute of the day"),
    ({"quiet_hours": ["06:00-22:00", "22:00-06:00"]}, "leave no minute of the day"),
    ({"back_temperature_c": 80}, "back_temperature_c < max_temperature_c"),
    ({"before_schedule_min": -1}, "greater than or equal to 0"),
    ({"max_temperature_c": 900}, "less than or equal to 120")])
def test_limits_that_contradict(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        IdleConfig.model_validate(values)


def test_no_limit_for_heat() -> None:
    assert IdleConfig.model_validate({"max_temperature_c": None}).max_temperature_c is None


def test_history_must_be_bounded() -> None:
    with pytest.raises(ValidationError):
        JobsConfig.model_validate({"history_days": 0})
    assert JobsConfig().history_count == 500
