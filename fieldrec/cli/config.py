"""`fieldrec config check FILE`: is the configuration right? Needs no hardware."""

from __future__ import annotations

from pathlib import Path

import click


@click.group("config")
def config_command() -> None:
    """Check a configuration file."""


@config_command.command("check")
@click.argument("file", type=click.Path(path_type=Path))
def check(file: Path) -> None:
    """Validate FILE; an error names the line, the key and what was expected."""
    from fieldrec.camera.configured import check_cameras
    from fieldrec.config import load_document
    from fieldrec.export.presets import preset

    document, config = load_document(file)
    check_cameras(document, config)
    preset(config.export.preset)
    click.echo(f"{file}: all right: {len(config.cameras)} cameras "
               f"({', '.join(config.cameras) or 'none'}), recordings in "
               f"{config.storage.directory}")
