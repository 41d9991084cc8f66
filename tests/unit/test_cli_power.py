"""`fieldrec power`: what each source says, what all mean together, and what the exit code is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from fieldrec.cli.power import in_words, power_command
from fieldrec.core.errors import ConfigError, PowerError
from fieldrec.core.model import PowerLevel
from fieldrec.core.power_reading import PowerReading


def box(folder: Path, sources: str) -> Path:
    file = folder / "box.yaml"
    file.write_text(f"storage: {{directory: .}}\npower:\n  sources:\n{sources}")
    return file


def run(file: Path, *arguments: str) -> tuple[str, Exception | None]:
    done = CliRunner().invoke(power_command, ["--config", str(file), *arguments])
    error = done.exception
    assert error is None or isinstance(error, Exception)
    return done.output, error


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    battery = tmp_path / "supplies" / "BAT0"
    battery.mkdir(parents=True)
    for attribute, value in {"type": "Battery", "status": "Discharging", "capacity": 64,
                             "voltage_now": 11_400_000, "power_now": 5_700_000,
                             "energy_now": 11_400_000, "energy_full": 20_000_000}.items():
        (battery / attribute).write_text(f"{value}\n")
    return tmp_path


def test_what_each_says_and_all_together(tree: Path) -> None:
    told, error = run(box(tree, "    - {type: sysfs, options: {path: supplies}}\n"
                                "    - {type: fixed, options: {percent: 40}}\n"))
    assert error is None
    rows = [" ".join(line.split()) for line in told.splitlines()]
    assert ("sysfs on battery, 64 %, discharging, 11.40 V, 5.7 W, 11.4 of 20.0 Wh at each change, "
            "and every 60 s") in rows
    assert "fixed on battery, 40 % once" in rows
    assert rows[-2:] == [
        "together: battery 40 %",
        "why: charge 40 % on battery; sysfs: BAT0 64 %, configured 40 %: they disagree, the lowest "
        "counts"]


def test_one_that_cannot_be_read_is_the_exit_code(tree: Path) -> None:
    told, error = run(box(tree, "    - {type: sysfs, options: {path: supplies}}\n"
                                "    - {type: command, options: {argv: ['false']}}\n"))
    assert "cannot be read: exit code 1, mains unknown" in told
    assert "together: battery 64 %, 2 h left (1 h 32 min to 2 h 36 min)\n" in told
    assert isinstance(error, PowerError)
    assert error.exit_code == 50
    assert str(error) == "1 of 2 power sources cannot be read: command false: exit code 1"


def test_as_json(tree: Path) -> None:
    told, error = run(box(tree, "    - {type: fixed, options: {level: low}}\n"), "--json")
    assert error is None
    said = json.loads(told)
    assert said["sources"][0]["says"] == "low"
    assert (said["together"]["level"], said["together"]["reason"]) == (
        "low", "on battery: configured itself says low")


def test_wrong_sources_are_errors_of_the_configuration(tree: Path) -> None:
    _, error = run(box(tree, "    - {type: nut}\n"))
    assert isinstance(error, ConfigError)
    assert str(error).endswith("box.yaml:4: power.sources.0.options.ups: this key is required")


@pytest.mark.parametrize(("reading", "words"), [
    (PowerReading(True, None, None, None, None, "none"), "no battery found: taken as mains"),
    (PowerReading(True, 90.0, None, None, True, "nut", note="the battery wants replacing"),
     "on mains, 90 %, charging (the battery wants replacing)"),
    (PowerReading(False, 18.0, 12_340, None, False, "nut", runtime_s=600,
                  says=PowerLevel.CRITICAL, forced=True),
     "on battery, 18 %, discharging, 12.34 V, 10 min left by its own reckoning, calls it critical, "
     "is about to cut the power"),
    (PowerReading(None, 50.0, None, None, None, "hwmon", energy_mwh=50_000),
     "mains unknown, 50 %, 50.0 Wh"),
])
def test_in_words(reading: PowerReading, words: str) -> None:
    assert in_words(reading) == words
