"""`fieldrec schedule` without a daemon, and how its options become a task."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml
from click.testing import CliRunner

from fieldrec.cli.schedule import _local, _told, schedule_command
from fieldrec.core.errors import FieldrecError, UsageError
from tests.fakes.schedules import at
from tests.fakes.small_stores import make_store


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration with tasks, one that was added, and something that was recorded."""
    private = tmp_path / "recordings" / ".fieldrec"
    private.mkdir(parents=True)
    (private / "schedule.json").write_text(json.dumps({
        "version": 1, "off": ["noon"],
        "tasks": {"late": {"do": "start", "when": "from 22:00 to 23:00"}}}))
    (private / "schedule-memory.json").write_text(json.dumps({"place": [48.2, 16.4]}))
    path = tmp_path / "fieldrec.yaml"
    path.write_text(yaml.safe_dump({
        "system": {"timezone": "Europe/Vienna"}, "storage": {"directory": "recordings"},
        "schedule": {"location": "gpsd", "tasks": {
            "night": {"do": "start", "when": "from dusk to dawn"},
            "noon": {"do": "start", "when": "0 12 * * *", "duration": "10min"}}}}))
    return path


def ran(*arguments: object) -> str:
    """What a sub-command prints."""
    done = CliRunner().invoke(schedule_command, [str(one) for one in arguments])
    if done.exception is not None:
        raise done.exception
    return done.output


def test_list_and_next_without_a_daemon(config: Path) -> None:
    rows = {row["name"]: row for row in json.loads(ran("list", "--json", "--config", config))}
    assert [(name, row["from_config"], row["active"]) for name, row in rows.items()] == [
        ("night", True, True), ("noon", True, False), ("late", False, True)]
    assert rows["night"]["next_ns"] is not None  # the place of the last fix
    table = ran("list", "--config", config)
    assert "switched off" in table
    assert "record 10 min as noon" in table
    soon = ran("next", "--config", config).splitlines()
    assert sorted(line.partition(":")[0] for line in soon) == ["late", "night"]
    assert all(", in " in line for line in soon)


def test_simulate_without_a_daemon(config: Path) -> None:
    said = ran("simulate", "--from", "2026-11-21 12:00", "--to", "2026-11-22 12:00",
               "--config", config)
    lines = [line.split("  ") for line in said.splitlines()]
    assert "2026-11-21 12:00 to 2026-11-22 12:00, Europe/Vienna" in lines[0][0]
    assert "Sat 2026-11-21 22:00" in said
    assert "joins the recording of night (record as late)" in said
    assert "disk: no forecast, nothing has been recorded here yet" in said
    make_store(config.parent / "recordings", "a_20261121_120000")
    found = json.loads(ran("simulate", "--days", "1", "--from", "2026-11-21", "--json",
                           "--config", config))
    assert found["until_ns"] - found["since_ns"] == 86_400 * 10**9
    assert found["since_ns"] == at("2026-11-21", "Europe/Vienna")
    assert any(line.startswith("recorded: ") for line in found["forecast"])


def test_an_empty_schedule_says_how_to_fill_it(tmp_path: Path) -> None:
    (tmp_path / "r").mkdir()
    where = ("--recordings", tmp_path / "r")
    assert "fieldrec schedule add" in ran("list", *where)
    assert "nothing is due" in ran("next", *where)
    assert "nothing happens" in ran("simulate", *where)


@pytest.mark.parametrize(("arguments", "says"), [
    (("simulate", "--days", "1", "--to", "2026-11-21"), "--days or --to"),
    (("simulate", "--from", "21.11.2026"), "--from '21.11.2026': expected a local time"),
    (("simulate", "--from", "2026-11-21", "--to", "2026-11-21"), "must be after"),
    (("simulate", "--from", "1900-01-01", "--to", "1900-01-02"), "from 1970 on"),
    (("simulate", "--from", "2026-01-01", "--to", "2028-01-01"), "400 days"),
    (("remove", "night"), "no fieldrec runs"), (("clear",), "no fieldrec runs"),
    (("off", "night"), "no fieldrec runs"), (("on", "night"), "no fieldrec runs"),
    (("add", "x", "--when", "always", "--do", "start"), "no fieldrec runs"),
    (("add", "x", "--when", "always", "--do", "configure", "--camera", "a", "--camera", "b"),
     "name one for --do configure"),
    (("add", "x", "--when", "always", "--do", "configure", "--set", "Gain"), "Gain"),
    (("add", "x", "--when", "always", "--do", "start", "--meta", "x"), "expected key=value")])
def test_what_cannot_be_is_one_line(config: Path, arguments: tuple[str, ...], says: str) -> None:
    with pytest.raises(FieldrecError) as error:
        ran(*arguments, "--config", config)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def options(do: str, **given: Any) -> dict[str, Any]:
    """All options of `add` as click hands them over."""
    return {"do": do, "when": "w", "cameras": (), "recording_name": None, "meta": (), "values": (),
            "duration": None, "preset": None, "destination": None, "delete_after": False,
            "output": None, "value": None, "camera_relative": False} | given


@pytest.mark.parametrize(("given", "told"), [
    (options("start", cameras=("a", "b"), recording_name="bees", meta=("k=v",), duration="5s"),
     {"cameras": ["a", "b"], "name": "bees", "metadata": {"k": "v"}, "duration": "5s"}),
    (options("configure", cameras=("a",), values=("Gain=2.5", "Auto=true"), camera_relative=True),
     {"camera": "a", "values": {"Gain": "2.5", "Auto": "true"}, "camera_relative": True}),
    (options("output", output="L", value=False), {"output": "L", "value": False}),
    (options("copy_all", destination="usb", delete_after=True),
     {"destination": "usb", "delete_after": True})])
def test_options_as_keys(given: dict[str, Any], told: dict[str, Any]) -> None:
    assert _told(**given) == {"do": given["do"], "when": "w"} | told


def test_local_times_are_the_boxs() -> None:
    zone = ZoneInfo("Europe/Vienna")
    for text in ("2026-07-01 20:00", "2026-07-01T20:00", "2026-07-01 20:00:00"):
        assert _local(text, zone, "--from") == at("2026-07-01 18:00")
    with pytest.raises(UsageError, match="--to 'x'"):
        _local("x", zone, "--to")
