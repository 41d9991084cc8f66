"""`fieldrec save`: a video file, or a camera, as a store of any format."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fieldrec.cli.out import echo
from fieldrec.cli.verbs import parse_metadata
from fieldrec.cli.where import Where, new_path, where_options
from fieldrec.core.errors import StoreError

if TYPE_CHECKING:
    from fieldrec.camera import Camera
    from fieldrec.record.saving import Plan, Saved


@click.command("save")
@click.option("--source", required=True, metavar="FILE|CAMERA",
              help="A video file; or a camera: synthetic:640x480@25,mono8, opencv:/dev/video0, "
                   "basler:SERIAL, or one of the configuration.")
@click.option("--format", "form",
              help="npy (the default), png, tif, bmp, jpg, pgm, ppm; mjpeg/avi, h264/mkv, "
                   "avc1/mp4. The packets of a network camera (store=packets) stay as they are.")
@click.option("--chunksize", type=click.IntRange(1, 1_000_000),
              help="Frames per chunk; default 200, of video 10000.")
@click.option("--frames", type=click.IntRange(min=1), help="At most so many.")
@click.option("--metadata", "--meta", "meta", multiple=True, metavar="K=V", help="User metadata.")
@click.argument("store", type=click.Path(path_type=Path))
@where_options
def save_command(where: Where, source: str, form: str | None, chunksize: int | None,
                 frames: int | None, meta: tuple[str, ...], store: Path) -> None:
    """Save a video file, every frame with its own time, or a camera into the new STORE.

    Times of a file begin at its creation_time, else at the time at which it was last written less
    its length. A camera is saved until Ctrl-C, or for --frames; one of the configuration as that
    says (`prepare`, packets).
    """
    from fieldrec.cli.long_work import Progress, stopped_by_signals
    from fieldrec.record.saving import Plan
    from fieldrec.status import words
    from fieldrec.store.created import local_timezone

    store = new_path(store)
    if form is not None:
        check_format(form)
    plan = Plan(store, form, chunksize, dict(parse_metadata(meta)), local_timezone(), frames)
    with stopped_by_signals(f"{store} was closed in order") as stop, Progress() as progress:
        saved, note = _save(where, source, plan, stop, progress)
    echo(f"{store}: {words.plural(saved.frame_count, 'frame')}, {saved.dropped} dropped, "
         f"{saved.lost} lost ({words.safe_text(saved.reason)}){note}")


def check_format(form: str) -> None:
    """StoreError, naming those there are, for a format that cannot be written."""
    from fieldrec.store.frame_files import directory_formats
    from fieldrec.store.metadata import VIDEO_FORMATS

    known = (*directory_formats(), *VIDEO_FORMATS)
    if form not in (*known, "mjpeg"):
        raise StoreError(f"--format {form}: cannot be written; there are {', '.join(known)}")


def _save(where: Where, source: str, plan: Plan, stop: Any, progress: Any) -> tuple[Saved, str]:
    """What was saved, and what there is to say about its times."""
    from fieldrec.record.saving import save_live, save_played

    path = Path(source.removeprefix("file:")) if source.startswith("file:") else Path(source)
    if source.startswith("file:") or path.is_file():
        return _save_file(path, plan, stop, progress)
    config = where.load()
    camera, options = _camera(config, source)
    if getattr(options, "paced", True):
        return save_live(camera, plan, stop, progress, store=config.store,
                         record=config.record), ""
    from fieldrec.core.clock import SystemClock

    return save_played(camera, plan, SystemClock().epoch_ns(), stop, progress), ""


def _save_file(path: Path, plan: Plan, stop: Any, progress: Any) -> tuple[Saved, str]:
    import dataclasses

    from fieldrec.camera.discovery import make_camera
    from fieldrec.camera.file import file_facts
    from fieldrec.cli.local_time import local_time, zone_label
    from fieldrec.record.saving import save_played

    facts = file_facts(path)
    grey = plan.form == "pgm" or facts.pixel_format == "MONO8"  # pgm has no colours
    camera = make_camera("file", path.name, {
        "path": path, "paced": False, "drop_when_late": False,
        "pixel_format": "MONO8" if grey else "BGR8"})
    metadata = {**plan.metadata, "fieldrec": {"source": path.name, "times_from": facts.began_by}}
    plan = dataclasses.replace(plan, metadata=metadata, nominal_hz=facts.mean_hz)
    saved = save_played(camera, plan, facts.began_ns, stop, progress, facts.frame_count)
    return saved, (f"; times from {local_time(facts.began_ns, plan.timezone)} "
                   f"{zone_label(facts.began_ns, plan.timezone)}, {facts.began_by}")


def _camera(config: Any, source: str) -> tuple[Camera, Any]:
    """A closed camera of the configuration, or of a SPEC, and its options."""
    from fieldrec.camera.configured import configured_camera
    from fieldrec.camera.discovery import make_camera
    from fieldrec.camera.spec import parse_spec
    from fieldrec.record.preparing import prepared

    if source in config.cameras:
        entry = config.cameras[source]
        camera = configured_camera(source, entry)
        return prepared(camera, entry.prepare), getattr(camera, "options", None)
    spec = parse_spec(source)
    camera = make_camera(spec.backend, spec.serial, spec.options)
    return camera, getattr(camera, "options", None)
