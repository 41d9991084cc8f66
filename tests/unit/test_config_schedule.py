"""The section `schedule`: every wrong line is one line that names file, line and key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from fieldrec.cli.where import load_checked
from fieldrec.config.schedule import ScheduleConfig, TaskConfig, parse_length
from fieldrec.core.errors import ConfigError

GOOD = {"do": "start", "when": "from dusk to dawn"}


@pytest.mark.parametrize(("text", "seconds"), [
    (90, 90), ("90", 90), ("90 s", 90), ("10min", 600), ("10 minutes", 600), ("1.5 h", 5400),
    ("1h 30min", 5400), ("1h30m", 5400), ("2 days", 172_800)])
def test_lengths(text: object, seconds: float) -> None:
    assert parse_length(text) == seconds


@pytest.mark.parametrize("text", ["", " ", "x", "10 foo", "-3", "1h 30", "10min,", True, "1e3 s"])
def test_wrong_lengths(text: object) -> None:
    with pytest.raises(ValueError, match="expected a length of time"):
        parse_length(text)


def written(folder: Path, schedule: dict[str, Any]) -> Path:
    path = folder / "fieldrec.yaml"
    path.write_text(yaml.safe_dump({
        "cameras": {"top": {"backend": "synthetic"}},
        "destinations": {"archive": {"path": "/archive"}},
        "schedule": {"location": {"latitude": 48.2, "longitude": 16.4}} | schedule},
        sort_keys=False))
    return path


def line_of(path: Path, key: str) -> int:
    """Of the last line with this key; of the task where it is missing."""
    lines = path.read_text().splitlines()
    return max((number for number, line in enumerate(lines, 1)
                if line.strip().startswith(f"{key}:")),
               default=0) or line_of(path, "night")


@pytest.mark.parametrize(("task", "key", "says"), [
    ({"when": "0 25 * * *"}, "when", ["field 2 of 5 (hour)", "25"]),
    ({"when": "60 * * * *"}, "when", ["field 1 of 5 (minute)"]),
    ({"when": "* * * *"}, "when", ["found 4 fields"]),
    ({"when": "* * * * * * * *"}, "when", ["found 8 fields"]),
    ({"when": "0 0 * Foo *"}, "when", ["field 4 of 5 (month)", "Foo"]),
    ({"when": "0 0 31 2 *"}, "when", ["never occurs"]),
    ({"when": "0 0 * * %2"}, "when", ["field 5 of 5 (day of week)"]),
    ({"when": "from dusk"}, "when", ["from dusk"]),
    ({"when": "from dusk to dawn-30x"}, "when", ["dawn-30x"]),
    ({"when": "from 25:00 to dawn"}, "when", ["25:00"]),
    ({"when": "every 10m for 20m"}, "when", []),
    ({"when": ""}, "when", ["empty"]),
    ({"when": "0 6 * * *"}, "duration", ["needs it"]),
    ({"duration": "10min"}, "duration", ["a window has its own end"]),
    ({"when": "0 6 * * *", "duration": "ten"}, "duration", ["expected a length of time"]),
    ({"when": "0 6 * * *", "duration": -5}, "duration", ["greater than 0"]),
    ({"cameras": ["tip"]}, "cameras", ["no camera 'tip'; did you mean top?"]),
    ({"cameras": []}, "cameras", ["names no camera"]),
    ({"preset": "Hihg"}, "preset", ["Hihg"]),
    ({"name": "a/b"}, "name", ["letters, digits"]),
    ({"metadata": {"timezone": "UTC"}}, "metadata", ["the key 'timezone' is reserved"]),
    ({"destination": "archive"}, "destination", ["not for `do: start`"]),
    ({"camera_relative": True, "when": "0 6 * * *", "duration": 5}, "camera_relative",
     ["not for `do: start`"]),
    ({"do": "copy_all", "when": "0 6 * * *"}, "destination", ["`do: copy_all` needs it"]),
    ({"do": "copy_all", "when": "0 6 * * *", "destination": "archve"}, "destination",
     ["did you mean archive?"]),
    ({"do": "configure", "when": "0 6 * * *", "values": {}}, "values", ["needs it"]),
    ({"do": "configure", "when": "0 6 * * *", "values": {"Gain": [1]}}, "values",
     ["values.Gain: expected a number, a text, or true or false"]),
    ({"do": "output", "when": "0 6 * * *", "output": "a\nb", "value": True}, "output",
     ["expected the name of an output"]),
    ({"do": "output", "when": "from 6:00 to 7:00", "output": "L", "value": True,
      "camera_relative": True}, "camera_relative", ["only for cron lines"]),
    ({"do": "record"}, "do", ["'start'"]),
    ({"wehn": "x"}, "wehn", ["did you mean 'when'?"]),
])
def test_a_wrong_task(tmp_path: Path, task: dict[str, Any], key: str, says: list[str]) -> None:
    path = written(tmp_path, {"tasks": {"night": GOOD | task}})
    with pytest.raises(ConfigError) as error:
        load_checked(path)
    (line,) = str(error.value).splitlines()
    number = line_of(path, "Gain" if "Gain" in line else key)
    assert line.startswith(f"{path}:{number}: schedule.tasks.night.{key}"), line
    for text in says:
        assert text in line


@pytest.mark.parametrize(("schedule", "key", "says"), [
    ({"location": {"latitude": 91, "longitude": 3}}, "latitude",
     "schedule.location.latitude: input should be less than or equal to 90 (got 91)"),
    ({"location": {"latitude": 48.2}}, "location", "schedule.location.longitude: this key is "
                                                   "required"),
    ({"location": {"latitude": 1, "longitude": 2, "x": 3}}, "x", "unknown key"),
    ({"location": {"latitude": "north", "longitude": 3}}, "latitude", "valid number"),
    ({"location": "here"}, "location", "expected {latitude: 48.2, longitude: 16.4} or gpsd"),
    ({"gpsd": "localhost"}, "gpsd", "expected host:port"),
    ({"gpsd": "localhost:0"}, "gpsd", "expected host:port"),
    ({"late": "never"}, "late", "'start' or 'skip'"),
    ({"without_clock": "guess"}, "without_clock", "'record_always' or 'wait'"),
    ({"tasks": {"a b": GOOD}}, "a b", "this cannot be a name"),
    ({"tasks": []}, "tasks", "keys and values"),
    ({"tasks": {"a": None}}, "a", "nothing in it"),
    ({"location": None, "tasks": {"night": GOOD}}, "when", "need schedule.location"),
])
def test_a_wrong_section(tmp_path: Path, schedule: dict[str, Any], key: str, says: str) -> None:
    path = written(tmp_path, schedule)
    with pytest.raises(ConfigError) as error:
        load_checked(path)
    (line,) = str(error.value).splitlines()
    assert line.startswith(f"{path}:{line_of(path, key)}: schedule."), line
    assert says in line


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    path = written(tmp_path, {"tasks": {
        "a": GOOD | {"when": "x"}, "b": GOOD | {"cameras": ["x"], "preset": "y"}}})
    with pytest.raises(ConfigError) as error:
        load_checked(path)
    assert len(str(error.value).splitlines()) == 3


def test_what_is_left_out() -> None:
    assert ScheduleConfig() == ScheduleConfig(location=None, late="start",
                                              without_clock="record_always", tasks={})
    assert TaskConfig.model_validate(GOOD).enabled
    assert ScheduleConfig(location="gpsd").location == "gpsd"
