"""`fieldrec config check FILE`: is the configuration right? `config show`: which one is used, with
all that was not said. Need no hardware."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fieldrec.cli.out import echo
from fieldrec.cli.where import Where, where_options

if TYPE_CHECKING:
    from fieldrec.config.exporting import OwnPresetConfig


@click.group("config")
def config_command() -> None:
    """Check a configuration file, or show what is used."""


@config_command.command("check")
@click.argument("file", type=click.Path(path_type=Path))
def check(file: Path) -> None:
    """Validate FILE; an error names the line, the key and what was expected."""
    from fieldrec.cli.where import checked_with_files

    config, taken, unused = checked_with_files(file)
    _try_presets(file, config.export.presets)
    echo(f"{file}: all right: {len(config.cameras)} cameras "
         f"({', '.join(config.cameras) or 'none'}), recordings in "
         f"{config.storage.directory}")
    for key, source in taken.items():
        echo(f"{source}: taken for camera {key}")
    for path in unused:
        echo(f"{path}: not used: no camera has the serial {path.stem}")


@config_command.command("show")
@click.argument("file", required=False, type=click.Path(path_type=Path))
@where_options
def show(where: Where, file: Path | None) -> None:
    """Print every key of FILE, or of the configuration that commands use, as YAML.

    Defaults are filled in and paths are whole. Passwords and keys are shown as ***, in addresses
    too.
    """
    from fieldrec.app.about_box import config_text

    used = where if file is None else Where(file, None)
    echo(config_text(used.load())[1], nl=False)


def _try_presets(file: Path, told: Mapping[str, OwnPresetConfig]) -> None:
    """Have the encoders try the options that presets give them. Half a second for each."""
    from fieldrec.core.errors import ConfigError
    from fieldrec.export import hardware
    from fieldrec.export.own_presets import own_presets

    for name, preset in own_presets(told).items():
        reason = hardware.objection(preset) if preset.options else ""
        if reason:
            raise ConfigError(f"{file}: export.presets.{name}.options: {reason}")
