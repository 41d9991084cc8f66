"""Which configuration, which folder: the order of option, environment, system and default."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from fieldrec.cli import where
from fieldrec.cli.where import Where, where_options
from fieldrec.core.errors import ConfigError, StoreError, UsageError


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory; no system configuration but the test's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(where, "SYSTEM_CONFIG", tmp_path / "etc.yaml")
    for name in ("FIELDREC_CONFIG", "FIELDREC_RECORDINGS"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@click.command()
@where_options
@click.option("--colour", default="red")
def command(where: Where, colour: str) -> None:
    click.echo(f"{where.config_file} {where.recordings} {colour}")


@pytest.mark.parametrize(("arguments", "config", "recordings", "expected"), [
    ("", "", "", "None None"),
    ("", "e.yaml", "", "e.yaml None"),
    ("", "", "er", "None er"),
    ("", "e.yaml", "er", "e.yaml er"),
    ("--config c.yaml", "e.yaml", "er", "c.yaml None"),
    ("--recordings r", "e.yaml", "er", "None r"),
    ("--config c.yaml --recordings r", "", "", "c.yaml r"),
])
def test_the_line_wins_over_the_environment(arguments: str, config: str, recordings: str,
                                            expected: str) -> None:
    environment = {"FIELDREC_CONFIG": config or None, "FIELDREC_RECORDINGS": recordings or None}
    done = CliRunner().invoke(command, arguments, env=environment)
    assert done.output == f"{expected} red\n"


def test_both_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not both"):
        Where(Path("a"), Path("b")).load()


def test_the_default_is_a_folder_here_unless_there_is_a_system_configuration(
        tmp_path: Path) -> None:
    assert Where(None, None).load().storage.directory == tmp_path / "recordings"
    (tmp_path / "etc.yaml").write_text("storage: {directory: /srv/bees}\n")
    assert Where(None, None).load().storage.directory == Path("/srv/bees")
    assert Where(None, Path("here")).load().storage.directory == tmp_path / "here"


def test_paths_in_a_configuration_are_relative_to_it(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "c.yaml").write_text(
        "storage: {directory: r}\n"
        "cameras: {clip: {backend: file, options: {path: a.mp4}}}\n")
    config = Where(Path("sub/c.yaml"), None).load()
    assert config.storage.directory == tmp_path / "sub" / "r"
    assert config.cameras["clip"].options["path"] == str(tmp_path / "sub" / "a.mp4")


@pytest.mark.parametrize(("text", "says"), [
    ("export: {preset: Hihg}", "c.yaml:1: export.preset: unknown preset 'Hihg'"),
    ("cameras: {a: {backend: nosuch}}", "c.yaml:1: cameras.a.backend: no camera backend"),
])
def test_what_only_other_floors_know_is_checked_too(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(ConfigError, match=says):
        Where(Path("c.yaml"), None).load()


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=f"no recordings folder {tmp_path / 'r'}"):
        Where(None, Path("r")).folder()
    (tmp_path / "r").mkdir()
    assert Where(None, Path("r")).folder() == tmp_path / "r"
