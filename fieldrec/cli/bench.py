"""`fieldrec bench`: what this machine can do, measured on it; the figures are nobody else's."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fieldrec.cli.out import echo
from fieldrec.cli.where import Where, where_options
from fieldrec.core.errors import JobError, StoreError, UsageError

if TYPE_CHECKING:
    from fieldrec.cli.bench_energy import Meter
    from fieldrec.cli.bench_export import Measured, NotMeasured
    from fieldrec.export.presets import Preset

COLUMNS = ("preset", "fps#", "CPU-s/1000#", "bit/px#", "PSNR#", "SSIM#", "MB#", "h/h#",
           "CPU-h/h#", "Wh/h#")


@click.group("bench")
def bench_command() -> None:
    """Measure this machine."""


@bench_command.command("export")
@click.argument("store", required=False)
@click.option("--preset", "names", multiple=True, metavar="PRESET",
              help="Only this one; may be given more than once. Default: all.")
@click.option("--frames", default=120, show_default=True, type=click.IntRange(2, 10_000),
              help="Frames to export with each preset.")
@click.option("--size", default="1280x1024", show_default=True, metavar="WIDTHxHEIGHT",
              help="Of the built-in pictures.")
@click.option("--colour", is_flag=True, help="Built-in pictures in colour, not grey.")
@click.option("--watts", type=click.FloatRange(min=0.01), metavar="W",
              help="What the machine takes while it exports, for the energy; default: measured "
                   "where the machine can.")
@click.option("--directory", type=click.Path(path_type=Path, file_okay=False, exists=True),
              help="Where to write the frames and movies. Default: a temporary folder in /var/tmp.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@where_options
def bench_export_command(where: Where, store: str | None, names: tuple[str, ...], frames: int,
                         size: str, colour: bool, watts: float | None, directory: Path | None,
                         as_json: bool) -> None:
    """Export the same frames with each preset, and say what that costs here: frames a second,
    processor time, size, quality, and what it means for an hour of recording.

    The frames are those of STORE, from its middle, or a built-in moving pattern with the noise of a
    sensor. Own scenes need more or less: measure with a STORE of yours. A preset that takes longer
    than a minute and a half is given up.
    """
    from fieldrec.cli import bench_export
    from fieldrec.cli.bench_energy import meter
    from fieldrec.cli.link import run
    from fieldrec.cli.tables import print_json

    rows, shape = _presets(where, names), _shape(size)
    energy = None if watts is not None else meter()
    with _folder(directory) as name:
        folder = Path(name)
        sample = folder / "sample"
        if store is None:
            hz = bench_export.built_in(sample, frames, *shape, "BGR8" if colour else "MONO8")
        else:
            hz = bench_export.part_of(where.store(store), sample, frames)
        results = run(lambda: _measure_all(sample, rows, folder, energy))
    if as_json:
        print_json({"nominal_hz": hz, "presets": [_as_json(result, hz, watts)
                                                  for result in results]})
    else:
        _show(results, store or "built-in pattern", hz, watts, energy)
    if all(not hasattr(result, "frames") for result in results):
        raise JobError("no preset could be measured")


async def _measure_all(sample: Path, rows: Sequence[Preset], folder: Path, energy: Meter | None
                       ) -> list[Measured | NotMeasured]:
    from fieldrec.cli.bench_export import measure

    return [await measure(sample, row, folder, energy) for row in rows]


def _presets(where: Where, names: tuple[str, ...]) -> list[Preset]:
    from fieldrec.cli.transcode import preset_of
    from fieldrec.export.presets import PRESETS

    return [preset_of(where, name) for name in names] or list(PRESETS)


def _shape(size: str) -> tuple[int, int]:
    width, _, height = size.lower().partition("x")
    if width.isdecimal() and height.isdecimal() and 64 <= int(width) <= 8192 \
            and 64 <= int(height) <= 8192:
        return int(width), int(height)
    raise UsageError(f"--size {size}: expected WIDTHxHEIGHT from 64x64 to 8192x8192")


def _folder(directory: Path | None) -> tempfile.TemporaryDirectory[str]:
    wanted = directory or Path("/var/tmp")
    try:
        return tempfile.TemporaryDirectory(prefix="fieldrec-bench-", ignore_cleanup_errors=True,
                                           dir=wanted if wanted.is_dir() else None)
    except OSError as error:
        raise StoreError(f"{wanted}: {error.strerror}; name a folder with --directory") from error


# --- what is shown -------------------------------------------------------------------------------

def hours_per_hour(result: Measured, hz: float) -> float:
    """Hours of exporting, verification included, for one hour recorded at `hz`."""
    return hz * result.total_s / result.frames


def watt_hours(result: Measured, hz: float, watts: float | None) -> float | None:
    """Energy for one recorded hour; None where nobody told and nothing measures it."""
    if watts is not None:
        return watts * hours_per_hour(result, hz)
    return None if result.joules is None else result.joules * hz / result.frames


def _show(results: Sequence[Measured | NotMeasured], what: str, hz: float, watts: float | None,
          energy: Meter | None) -> None:
    from fieldrec.cli.bench_export import Measured
    from fieldrec.cli.tables import print_table
    from fieldrec.status import words

    measured = [result for result in results if isinstance(result, Measured)]
    if measured:
        first = measured[0]
        print_table(f"{first.frames} frames of {words.safe_text(what)}",
                    COLUMNS, [_cells(result, hz, watts) for result in measured])
    for result in results:
        if not isinstance(result, Measured):
            echo(f"{result.preset}: not measured: {words.safe_text(result.why, 500)}")
    echo(f"h/h, CPU-h/h, Wh/h: hours, hours of one core and watt hours to export one hour of\n"
         f"recording at {hz:.4g} Hz. CPU-s/1000: for so many frames. MB: the most memory. All\n"
         "with verification.")
    if watts is not None:
        echo(f"Wh: taken from --watts {watts:g}, not measured.")
    elif energy is not None:
        echo(f"Wh: {energy.source}.")
    else:
        echo("Wh: this machine does not say what it takes; measure that while it exports, and "
             "give it\nas --watts W.")


def _cells(result: Measured, hz: float, watts: float | None) -> list[str]:
    energy = watt_hours(result, hz, watts)
    return [result.preset, f"{result.frames / result.total_s:.1f}",
            f"{result.cpu_s * 1000 / result.frames:.1f}",
            f"{result.size_bytes * 8 / result.pixels:.3f}",
            "exact" if result.exact else f"{result.psnr_mean_db:.1f}",
            "1" if result.exact else f"{result.ssim_mean:.3f}" if result.ssim_mean else "-",
            f"{result.peak_bytes / 1e6:.0f}", f"{hours_per_hour(result, hz):.2f}",
            f"{result.cpu_s * hz / result.frames:.2f}", "-" if energy is None else f"{energy:.2f}"]


def _as_json(result: Measured | NotMeasured, hz: float, watts: float | None) -> dict[str, object]:
    from fieldrec.cli.bench_export import Measured

    told = dataclasses.asdict(result)
    if isinstance(result, Measured):
        told |= {"hours_per_hour": hours_per_hour(result, hz),
                 "watt_hours_per_hour": watt_hours(result, hz, watts)}
    return told
