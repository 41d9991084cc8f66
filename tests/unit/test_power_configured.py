"""Sources by module name: what there is, what the configuration may say, and where it is wrong."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from fieldrec.config import Document, PowerConfig
from fieldrec.config.models import Config
from fieldrec.core.clock import SystemClock
from fieldrec.core.errors import ConfigError
from fieldrec.core.model import PowerLevel
from fieldrec.core.power_reading import PowerReading
from fieldrec.power.configured import check_sources, make_sources, with_absolute_paths
from fieldrec.power.discovery import options_model, source_class, source_names


def checked(text: str) -> PowerConfig:
    document = Document("box.yaml", text)
    config = document.validate(Config)
    check_sources(document, config)
    return config.power


def test_all_sources_are_found_and_have_what_a_source_needs() -> None:
    assert source_names() == ["command", "fixed", "hwmon", "nut", "sysfs"]
    for name in source_names():
        assert options_model(name).model_config["extra"] == "forbid"
        assert {"start", "read", "close", "every_s"} <= set(dir(source_class(name))) | {"every_s"}


@pytest.mark.parametrize(("power", "names"), [
    ("{}", ["sysfs"]), ("{source: sysfs}", ["sysfs"]), ("{source: mains}", ["fixed"]),
    ("{sources: [{type: sysfs}, {type: nut, options: {ups: box}}]}",
     ["sysfs", "nut box@127.0.0.1"]),
    ("{source: sysfs, sources: [{type: fixed, options: {percent: 80}}]}", ["fixed"]),
])
def test_what_is_configured_is_made(power: str, names: list[str]) -> None:
    sources = make_sources(checked(f"power: {power}"), SystemClock())
    assert [source.name for source in sources] == names
    for source in sources:
        source.close()


@pytest.mark.parametrize(("text", "said"), [
    ("power:\n  source: sysfss\n", "box.yaml:2: power.source: no power source 'sysfss'; did you "
     "mean 'sysfs'? there are: command, fixed, hwmon, nut, sysfs, mains"),
    ("power:\n  source: nut\n", "box.yaml:2: power.source.ups: this key is required"),
    ("power:\n  sources:\n    - type: fxed\n", "box.yaml:3: power.sources.0.type: no power source "
     "'fxed'; did you mean 'fixed'? there are: command, fixed, hwmon, nut, sysfs, mains"),
    ("power:\n  sources:\n    - type: sysfs\n    - type: nut\n      options:\n        ups: a\n"
     "        prt: 1\n", "box.yaml:7: power.sources.1.options.prt: unknown key; did you mean "
     "'port'?"),
    ("power:\n  sources:\n    - type: nut\n      options:\n        ups: a\n        port: 70000\n",
     "box.yaml:6: power.sources.0.options.port: input should be less than or equal to 65535 "
     "(got 70000)"),
    ("power:\n  sources:\n    - type: fixed\n", "box.yaml:3: power.sources.0.options: expected "
     "level or percent"),
    ("power:\n  sources:\n    - type: mains\n", "box.yaml:3: power.sources.0.type: mains stands "
     "alone, as power.source: mains; beside other sources it would hide them"),
    ("power:\n  source: mains\n  sources:\n    - type: sysfs\n",
     "box.yaml:2: power.source: give source or sources, not both"),
    ("power:\n  sources:\n    - typ: sysfs\n", "box.yaml:3: power.sources.0.type: this key is "
     "required\nbox.yaml:3: power.sources.0.typ: unknown key; did you mean 'type'?"),
    ("power:\n  mains_if: some\n", "box.yaml:2: power.mains_if: input should be 'any' or 'all' "
     "(got 'some')"),
    ("power:\n  poweroff_command: halt\n", "box.yaml:2: power.poweroff_command: expected a list, "
     "such as [a, b] (got 'halt')"),
])
def test_what_is_wrong_is_said_with_its_line(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        checked(text)
    assert str(error.value) == said


@pytest.mark.parametrize(("written", "means"), [
    ("none", ()), ("[]", ()), ("null", ()), ("[halt, -p]", ("halt", "-p"))])
def test_the_power_off_command(written: str, means: tuple[str, ...]) -> None:
    assert checked(f"power: {{poweroff_command: {written}}}").poweroff_command == means
    assert PowerConfig().poweroff_command == ("systemctl", "poweroff")


def test_paths_are_beside_the_configuration(tmp_path: Path) -> None:
    power = checked("power:\n  sources:\n    - type: nut\n      options:\n        ups: a\n"
                    "        user: anna\n        password_file: secret\n")
    options = with_absolute_paths(power, tmp_path).sources[0].options
    assert options["password_file"] == str(tmp_path / "secret")
    assert options["ups"] == "a"


@pytest.mark.parametrize(("options", "reading"), [
    ("level: mains", PowerReading(True, None, None, None, None, "configured")),
    ("level: low", PowerReading(False, None, None, None, None, "configured", says=PowerLevel.LOW)),
    ("percent: 80", PowerReading(False, 80.0, None, None, None, "configured")),
])
def test_fixed(options: str, reading: PowerReading) -> None:
    source, = make_sources(
        checked(f"power: {{sources: [{{type: fixed, options: {{{options}}}}}]}}"), SystemClock())
    assert asyncio.run(source.read()) == reading
