"""The schedule as a person has it: the real daemon, its command line, a kill and a restart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fieldrec.catalogue.scan import scan
from tests.fakes.commands import Daemon, daemon, fieldrec, refused, write_config

CAMERAS = {"top": {"backend": "synthetic",
                   "options": {"width": 96, "height": 64, "hz": 25, "pixel_format": "MONO8"}}}
NOON = {"do": "start", "when": "0 12 * * *", "duration": "1s", "enabled": False}


def config(folder: Path, **schedule: Any) -> Path:
    return write_config(folder, cameras=CAMERAS, schedule=schedule,
                        system={"timezone": "Europe/Vienna"})


def refusal(box: Daemon, verb: str, **arguments: Any) -> tuple[int, str]:
    """(exit code, message) of a verb of the schedule that is refused."""
    reply = box.exchange(json.dumps({"verb": f"schedule_{verb}", "arguments": arguments}).encode())
    return reply["error"]["exit_code"], reply["error"]["message"]


def test_tasks_from_the_command_line_outlive_a_kill(tmp_path: Path) -> None:
    path = config(tmp_path, tasks={"noon": NOON})
    with daemon(path) as box:
        added = fieldrec("schedule", "add", "all", "--when", "always", "--do", "start",
                         "--meta", "lamp=infrared", "--preset", "Low", "--config", path)
        assert added.stdout.startswith("all: record as all, exported with Low later; next: "), added
        box.recorded(5)
        assert [task for task, _ in box.ask("snapshot")["schedule"]["running"]] == ["all"]
        rows = {row["name"]: row for row in box.ask("schedule_list")}
        assert (rows["all"]["from_config"], rows["all"]["active"]) == (False, True)
        assert rows["all"]["running_until_ns"] is not None
        assert rows["noon"]["note"] == "not enabled"
        always = {"do": "start", "when": "always"}
        for verb, arguments, code, text in (
                ("add", {"name": "x", "told": always | {"when": "0 25 * * *"}}, 3,
                 "field 2 of 5 (hour)"),
                ("add", {"name": "x", "told": always | {"when": "from dusk to dawn"}}, 3,
                 "need schedule.location"),
                ("add", {"name": "all", "told": always}, 3, "already"),
                ("remove", {"name": "noon"}, 6, "in the configuration"),
                ("remove", {"name": "al"}, 5, "did you mean all"),
                ("switch", {"name": "noon", "on": True}, 6, "schedule.tasks.noon.enabled"),
                ("simulate", {"since_ns": 5, "until_ns": 5}, 4, "must be after"),
                ("simulate", {"since_ns": 0, "until_ns": 2**62}, 4, "400 days")):
            refused_with, message = refusal(box, verb, **arguments)
            assert refused_with == code
            assert text in message
            assert "\n" not in message
        assert box.ask("snapshot")["recording"]
        box.kill()
    with daemon(path) as box:
        box.recorded(5)
        box.wait_said("fieldrec was killed, or power was cut")
        simulated = box.ask("schedule_simulate", since_ns=1_800_000_000 * 10**9,
                            until_ns=1_800_003_600 * 10**9)
        assert simulated["recorded"] == [[1_800_000_000 * 10**9, 1_800_003_600 * 10**9]]
        assert simulated["forecast"][0] == "recorded: 1 h in 1 recording"
        box.ask("stop")
        box.wait_said("nothing more until the next window")
        box.wait(lambda: not box.ask("snapshot")["recording"], "it is shown that nothing records")
        assert box.ask("schedule_clear") == "removed all; in the configuration, and left: noon"
        assert box.stop() == 0
        assert box.log.count("INFO recording all_") == 1
    memory = json.loads((tmp_path / "recordings" / ".fieldrec" / "schedule-memory.json")
                        .read_text())
    assert (memory["ended_by"], memory["entered"]) == ("fieldrec stopped", [])
    for recording in scan(tmp_path / "recordings"):
        assert recording.name.startswith("all_")
        assert recording.user_metadata["lamp"] == "infrared"
        assert recording.user_metadata["export_preset"] == "Low"


def test_a_wrong_schedule_is_one_line(tmp_path: Path) -> None:
    path = config(tmp_path, location={"latitude": 91, "longitude": 3}, tasks={"noon": NOON})
    refused(fieldrec("run", "--config", path), 3, f"{path}:", "schedule.location.latitude",
            "(got 91)")
