"""`fieldrec transcode`: a store as a movie, with its own frame rate and true times."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from fieldrec.cli.out import echo
from fieldrec.cli.where import Where, new_path, where_options
from fieldrec.core.errors import StateError, UsageError

if TYPE_CHECKING:
    from fieldrec.store.reader import StoreReader


@click.command("transcode")
@click.argument("store")
@click.argument("out", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--preset", "preset_name", default="High", show_default=True,
              help="High, Medium, Low, HEVC, VP9.")
@click.option("--from", "begin", metavar="INDEX|TIME", default="0",
              help="First frame: 1500, +1:30 (from the start), 07:30, 2026-11-21T07:30.")
@click.option("--to", "end", metavar="INDEX|TIME", help="Up to this frame, and not this one.")
@where_options
def transcode_command(where: Where, store: str, out: Path, preset_name: str, begin: str,
                      end: str | None) -> None:
    """Make the movie OUT (.mp4 or .mkv) of STORE: the name of a recording or any store's path.

    Every frame is shown at its own time and compared with the raw one. Numbers, exact times, extra
    data and metadata are in OUT.json beside it.
    """
    from fieldrec.cli.long_work import Progress, stopped_by_signals
    from fieldrec.export.presets import preset
    from fieldrec.export.transcode import container_of, transcode
    from fieldrec.status import words
    from fieldrec.store.reader import StoreReader

    row = preset(preset_name)
    out = new_path(out)
    container_of(out)
    path = where.store(store)
    _refuse_unfinished(path)
    with StoreReader(path) as reader:
        first, until = _part(reader, begin, end)
        with stopped_by_signals(f"nothing of {out.name} is left") as stop, Progress() as progress:
            made = transcode(reader, out, row, first=first, end=until, stop=stop,
                             on_progress=progress)
    echo(f"{out}: {words.plural(made.frame_count, 'frame')}, {made.length_s:.3f} s, "
         f"{words.size(made.size_bytes)}, every frame verified "
         f"(PSNR {made.quality.psnr_min_db:.1f} dB at least); times to {made.tick_s * 1e3:.3g} ms, "
         f"exactly in {made.sidecar.name}")
    if made.moved:
        echo(f"{words.plural(made.moved, 'frame')} shown one tick later: their times are not after "
             "those of the frames before")


def _refuse_unfinished(path: Path) -> None:
    from fieldrec.store.layout import LOCK_NAME

    if (path / LOCK_NAME).exists():
        raise StateError(f"{path} is still being recorded or was cut off: stop it, or run "
                         f"`fieldrec recover {path}`, before it is transcoded")


def _part(reader: StoreReader, begin: str, end: str | None) -> tuple[int, int]:
    """First index and the one after the last. UsageError when nothing is between them."""
    from fieldrec.catalogue.moments import place
    from fieldrec.cli.local_time import zone

    times_ns, at = reader.times_ns, zone(reader.timezone)
    first = place(begin, times_ns, at)
    until = reader.frame_count if end is None else place(end, times_ns, at)
    if first >= until and reader.frame_count:
        raise UsageError(f"no frame from {begin} (index {first}) to "
                         f"{'the end' if end is None else end} (index {until})")
    return first, until
