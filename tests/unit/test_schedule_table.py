"""Tasks of the configuration and of commands, together."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fieldrec.config import Config
from fieldrec.core.errors import NotFoundError, ScheduleError, StateError
from fieldrec.schedule.table import Table, in_words
from tests.fakes.schedules import task

NIGHT = {"do": "start", "when": "from 20:00 to 06:00"}


def table(**tasks: Any) -> Table:
    return Table(Config.model_validate({"cameras": {"top": {"backend": "synthetic"}},
                                        "schedule": {"tasks": tasks or {"night": NIGHT}}}))


def names(some: Table) -> list[str]:
    return [entry.task.name for entry in some.entries]


def test_added_tasks_come_after_the_configurations_and_go() -> None:
    some = table()
    some.add("noon", {"do": "start", "when": "0 12 * * *", "duration": "10min"})
    assert names(some) == ["night", "noon"]
    assert [one.name for one in some.active] == ["night", "noon"]
    some.remove("noon")
    assert names(some) == ["night"]
    with pytest.raises(StateError, match="switch it off for now with `fieldrec schedule off nig"):
        some.remove("night")
    with pytest.raises(NotFoundError, match="did you mean night"):
        some.remove("nigth")


def test_a_name_is_there_once() -> None:
    some = table()
    with pytest.raises(ScheduleError, match=r"task night already \(in the configuration\)"):
        some.add("night", NIGHT)
    some.add("other", NIGHT)
    with pytest.raises(ScheduleError, match=r"task other already \(remove it first\)"):
        some.add("other", NIGHT)


@pytest.mark.parametrize(("name", "told", "says"), [
    ("a b", NIGHT, "cannot be a task's name"), ("", NIGHT, "cannot be a task's name"),
    ("x", {}, "task x: do: this key is required"),
    ("x", {"do": "start"}, "task x: when: this key is required"),
    ("x", NIGHT | {"wehn": 1}, "did you mean 'when'"),
    ("x", NIGHT | {"when": 5}, "task x: when: "),
    ("x", NIGHT | {"when": "61 * * * *"}, "field 1 of 5 (minute)"),
    ("x", NIGHT | {"cameras": ["tip"]}, "did you mean top"),
    ("x", NIGHT | {"when": "from dusk to dawn"}, "need schedule.location")])
def test_a_wrong_task_is_one_line_and_changes_nothing(name: str, told: Any, says: str) -> None:
    some = table()
    with pytest.raises(ScheduleError) as error:
        some.add(name, told)
    assert says in str(error.value)
    assert "\n" not in str(error.value)
    assert names(some) == ["night"]
    assert error.value.exit_code == 3


def test_clear_leaves_the_configurations() -> None:
    some = table()
    some.add("a", NIGHT)
    some.add("b", NIGHT)
    assert some.clear() == (["a", "b"], ["night"])
    assert names(some) == ["night"]


def test_switched_off_it_does_nothing_and_is_listed() -> None:
    some = table(night=NIGHT, late={**NIGHT, "enabled": False})
    some.switch("night", False)
    assert some.active == []
    assert names(some) == ["night", "late"]
    some.switch("night", True)
    assert [one.name for one in some.active] == ["night"]
    with pytest.raises(StateError, match=r"schedule.tasks.late.enabled"):
        some.switch("late", True)


def test_what_commands_made_of_it_outlives_a_restart() -> None:
    some = table()
    some.add("a", {"do": "configure", "when": "0 6 * * *", "values": {"Gain": 2.5, "On": True}})
    some.add("b", NIGHT | {"metadata": {"x": [1, {"y": None}]}})
    some.switch("night", False)
    some.switch("b", False)
    said: list[str] = []
    other = table()
    other.take(json.loads(json.dumps(some.as_json())), lambda text, _severity: said.append(text))
    assert [(entry.task, entry.off) for entry in other.entries] == [
        (entry.task, entry.off) for entry in some.entries]
    assert said == []


@pytest.mark.parametrize("values", [{}, {"version": 2, "tasks": {}, "off": []},
                                    {"version": 1, "tasks": [], "off": []},
                                    {"version": 1, "tasks": {}, "off": [1]}])
def test_what_was_never_written_is_refused(values: Any) -> None:
    with pytest.raises(ValueError, match="not a list of tasks"):
        table().take(values, lambda *_: None)


def test_a_task_that_is_in_the_configuration_by_now_is_that_one() -> None:
    said: list[str] = []
    some = table()
    some.take({"version": 1, "tasks": {"night": {"do": "stop", "when": "0 1 * * *"}, "x": 5},
               "off": []}, lambda text, _severity: said.append(text))
    assert some.get("night").from_config
    assert len(said) == 2
    assert some.as_json()["tasks"].keys() == {"night", "x"}


@pytest.mark.parametrize(("told", "words"), [
    (NIGHT, "record as x"),
    ({"do": "start", "when": "0 6 * * *", "duration": "1h 30min", "name": "bees",
      "cameras": ["top", "side"], "preset": "Low"},
     "record 1 h 30 min as bees with top, side, exported with Low later"),
    ({"do": "stop", "when": "0 6 * * *"}, "end what the schedule records"),
    ({"do": "copy_all", "when": "0 6 * * *", "destination": "archive"}, "copy all to archive"),
    ({"do": "copy_all", "when": "0 6 * * *", "destination": "drive", "delete_after": True},
     "move all to drive"),
    ({"do": "export_all", "when": "0 6 * * *", "preset": "Low", "delete_after": True},
     "export all with Low, delete the raw"),
    ({"do": "configure", "when": "0 6 * * *", "values": {"Gain": 2}}, "set all cameras: Gain=2"),
    ({"do": "output", "when": "0 6 * * *", "camera": "top", "output": "L", "value": False},
     "switch L of top off")])
def test_in_words(told: dict[str, Any], words: str) -> None:
    assert in_words(task("x", **told)) == words
