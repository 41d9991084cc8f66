"""`fieldrec config check FILE`: is the configuration right? Needs no hardware."""

from __future__ import annotations

from pathlib import Path

import click

from fieldrec.cli.out import echo


@click.group("config")
def config_command() -> None:
    """Check a configuration file."""


@config_command.command("check")
@click.argument("file", type=click.Path(path_type=Path))
def check(file: Path) -> None:
    """Validate FILE; an error names the line, the key and what was expected."""
    from fieldrec.cli.where import checked_with_files

    config, taken, unused = checked_with_files(file)
    echo(f"{file}: all right: {len(config.cameras)} cameras "
         f"({', '.join(config.cameras) or 'none'}), recordings in "
         f"{config.storage.directory}")
    for key, source in taken.items():
        echo(f"{source}: taken for camera {key}")
    for path in unused:
        echo(f"{path}: not used: no camera has the serial {path.stem}")
