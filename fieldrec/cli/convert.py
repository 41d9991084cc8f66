"""`fieldrec convert`: any store as a store of another format."""

from __future__ import annotations

from pathlib import Path

import click

from fieldrec.cli.out import echo
from fieldrec.cli.where import Where, new_path, where_options
from fieldrec.core.errors import StateError

SHOWN_SKIPPED = 20


@click.command("convert")
@click.argument("store")
@click.argument("store2", type=click.Path(path_type=Path))
@click.option("--format", "form", required=True,
              help="npy, png, tif, bmp, jpg, pgm, ppm; mjpeg/avi, h264/mkv, avc1/mp4.")
@click.option("--chunksize", type=click.IntRange(1, 1_000_000),
              help="Frames per chunk; default: as in STORE, or 200 of files, 10000 of video.")
@click.option("--encoding", metavar="CODE",
              help="Say that the frames are so encoded (cv_bayerbg, cv_rgb, …); or \"decoded\", to "
                   "store the pictures that they stand for. Default: as in STORE; lossy formats "
                   "get mosaics decoded.")
@click.option("--skip-damaged", is_flag=True, help="Leave out what cannot be read, and say what.")
@where_options
def convert_command(where: Where, store: str, store2: Path, form: str, chunksize: int | None,
                    encoding: str | None, skip_damaged: bool) -> None:
    """Make STORE2 from STORE, the name of a recording or any store's path, in another format.

    Numbers, times, metadata and extra data stay as they are. STORE2 is read back and compared with
    STORE frame by frame before it gets its name. STORE is only read.
    """
    from fieldrec.cli.long_work import Progress, stopped_by_signals
    from fieldrec.cli.save import check_format
    from fieldrec.status import words
    from fieldrec.store.convert import Wish, convert
    from fieldrec.store.layout import LOCK_NAME
    from fieldrec.store.reader import StoreReader

    target = new_path(store2)
    check_format(form)
    path = where.store(store)
    if (path / LOCK_NAME).exists():
        raise StateError(f"{path} is still being recorded or was cut off: stop it, or run "
                         f"`fieldrec recover {path}`, before it is converted")
    with StoreReader(path) as reader, \
            stopped_by_signals(f"nothing of {target} is left") as stop, Progress() as progress:
        made = convert(reader, target, Wish(form, chunksize, encoding, skip_damaged), stop=stop,
                       on_progress=progress)
    quality = ("every frame reads back exactly" if made.lossless else
               f"every frame reads back, PSNR {made.psnr_min_db:.1f} dB at least")
    echo(f"{target}: {words.plural(made.frame_count, 'frame')}, "
         f"{words.plural(made.extra_records, 'extra data record')}; {quality}")
    for note in made.notes:
        echo(words.safe_text(note, 500))
    for line in made.skipped[:SHOWN_SKIPPED]:
        echo(f"left out: {words.safe_text(line, 500)}")
    if len(made.skipped) > SHOWN_SKIPPED:
        echo(f"left out: {len(made.skipped)} in all")
