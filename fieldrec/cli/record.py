"""`fieldrec record`: one recording without a daemon."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from fieldrec.cli.recording_verbs import how_options, parse_split
from fieldrec.cli.verbs import parse_metadata
from fieldrec.cli.where import Where, where_options
from fieldrec.core.errors import CameraError


@click.command("record")
@click.option("--camera", "specs", multiple=True, required=True, metavar="SPEC",
              help="synthetic, synthetic:1280x1024@60,mono8, file:PATH, opencv:/dev/video0, "
                   "basler:SERIAL, or a camera of the configuration. Repeat for more.")
@click.option("--duration", "duration_s", required=True,
              type=click.FloatRange(min=0, min_open=True), help="Seconds.")
@click.option("--output", type=click.Path(path_type=Path), help="Existing folder to record into.")
@click.option("--name", help="First part of the recording's name.")
@click.option("--meta", "meta", multiple=True, metavar="K=V", help="User metadata.")
@click.option("--preroll", "preroll_s", type=click.FloatRange(min=0, max=60),
              help="Seconds before each motion event that are kept too.")
@how_options
@where_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def record_command(where: Where, specs: tuple[str, ...], duration_s: float, output: Path | None,
                   name: str | None, meta: tuple[str, ...], preroll_s: float | None,
                   split_after: str | None, trigger: str | None, as_json: bool) -> None:
    """Record from cameras for some seconds into imgstore directory stores."""
    from fieldrec.cli.link import run
    from fieldrec.cli.tables import RECORDING_COLUMNS, print_json, print_table, recording_rows
    from fieldrec.record.naming import check_name
    from fieldrec.status.control_socket import RECORDINGS

    if name is not None:
        check_name(name)
    metadata = parse_metadata(meta)
    if output is not None:
        where = Where(where.config_file, None) if where.config_file else Where(None, output)
    config = _as_asked(with_cameras(where.load(), specs, output), preroll_s, split_after, trigger)
    recordings, silent = run(lambda: _record(config, name, metadata, duration_s))
    if as_json:
        print_json(RECORDINGS.dump_python(recordings, mode="json"))
    else:
        print_table("", RECORDING_COLUMNS, recording_rows(recordings))
    if silent:
        raise CameraError("; ".join(silent))


def with_cameras(config: Any, specs: tuple[str, ...], output: Path | None) -> Any:
    """The configuration with just the cameras that the SPECs name, recording into `output`."""
    from fieldrec.camera.spec import parse_specs
    from fieldrec.config import CameraConfig

    keys = [spec for spec in specs if spec in config.cameras]
    cameras = {key: config.cameras[key] for key in keys}
    for spec in parse_specs([spec for spec in specs if spec not in config.cameras]):
        cameras[spec.key] = CameraConfig(backend=spec.backend, serial=spec.serial,
                                         options=dict(spec.options))
    storage = config.storage
    if output is not None:
        storage = storage.model_copy(update={"directory": output.expanduser().resolve(),
                                             "directories": ()})
    record = config.record.model_copy(update={"autostart": False})
    return config.model_copy(update={"cameras": cameras, "storage": storage, "record": record})


def _as_asked(config: Any, preroll_s: float | None, split_after: str | None, trigger: str | None
              ) -> Any:
    """The configuration with what the command line asks for."""
    from fieldrec.config.recording import SplitConfig
    from fieldrec.record.asked import Asked

    split = None if split_after is None else SplitConfig.model_validate(parse_split(split_after))
    asked = Asked(preroll_s=preroll_s, split_after=split, trigger=trigger)  # type: ignore[arg-type]
    return config.model_copy(update={"record": asked.over(config.record)})


async def _record(config: Any, name: str | None, metadata: dict[str, str], duration_s: float
                  ) -> tuple[Any, list[str]]:
    """What was recorded, and which cameras recorded nothing."""
    from fieldrec.app import ONE_RECORDING, App
    from fieldrec.cli.watching import shown

    async with App(config, ONE_RECORDING) as app:
        await app.control.start(name, metadata, duration_s)  # refused: said once, by the command
        async with shown(app.board, app.publish):
            names = await app.recording_ended()
        found = {recording.name: recording for recording in await app.recordings()}
        silent = [f"camera {status.key} did not record: {status.problem}"
                  for status in app.board.latest.recorders
                  if status.recording not in found and config.record.trigger == "none"]
        return tuple(found[n] for n in names if n in found), silent
