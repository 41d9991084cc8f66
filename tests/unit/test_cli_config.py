"""`fieldrec config show`: what is used, whole, and nothing secret."""

from __future__ import annotations

from pathlib import Path

import yaml
from click.testing import CliRunner

from fieldrec.cli.config import config_command
from fieldrec.config import Config

SECRETS = ("s3cret-of-loopy", "s3cret-of-camera")
TEXT = f"""
cameras:
  gate: {{backend: network, options: {{url: "rtsp://guest:{SECRETS[1]}@192.0.2.7/stream"}}}}
storage: {{directory: rec}}
destinations:
  loopy: {{type: loopy, url: "https://loopy.example", api_key: {SECRETS[0]}}}
"""


def shown(*words: str, **environment: str) -> str:
    done = CliRunner().invoke(config_command, ["show", *words], env=environment)
    assert done.exit_code == 0, done.output
    return done.output


def test_every_key_is_shown_and_nothing_secret(tmp_path: Path) -> None:
    file = tmp_path / "box.yaml"
    file.write_text(TEXT)
    text = shown(str(file))
    assert not [secret for secret in SECRETS if secret in text]
    assert "***" in text
    values = yaml.safe_load(text)
    assert values.keys() == Config.model_fields.keys()
    assert values["storage"]["directory"] == str(tmp_path / "rec")
    assert values["drives"]["on_insert"] == "copy", "what was not said"


def test_it_is_the_one_that_commands_use(tmp_path: Path) -> None:
    file = tmp_path / "box.yaml"
    file.write_text(TEXT)
    text = shown(str(file))
    assert shown("--config", str(file)) == text == shown(FIELDREC_CONFIG=str(file))
    other = tmp_path / "other.yaml"
    other.write_text("system: {name: pond}")
    assert "name: pond" in shown(str(other), FIELDREC_CONFIG=str(file))
