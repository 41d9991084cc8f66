"""`fieldrec transcode`: stores as movies, with their own frame rates and true times.

The command's thread waits for those that make the movies (side_by_side.py). All that can be seen
to be wrong before the first movie is begun is refused then, for all of them.
"""

from __future__ import annotations

import dataclasses
import threading
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fieldrec.cli.out import echo
from fieldrec.cli.where import Where, expanded, new_path, where_options
from fieldrec.core.errors import FieldrecError, StateError, UsageError

if TYPE_CHECKING:
    from fieldrec.cli.side_by_side import Failure, Progress
    from fieldrec.export.presets import Preset
    from fieldrec.store.reader import StoreReader


class SomeFailed(FieldrecError):
    """Several stores were asked for, and not all could be done; ends as the first of them did."""

    def __init__(self, text: str, exit_code: int) -> None:
        super().__init__(text)
        self.exit_code = exit_code


@dataclass(frozen=True)
class Wish:
    """What is made of every store."""

    preset: Preset
    begin: str
    end: str | None
    to_store: bool


@click.command("transcode")
@click.argument("stores", nargs=-1, required=True, metavar="STORE...")
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--preset", "preset_name", default="High", show_default=True,
              help="How to encode: one of the presets, or of the configuration's own.")
@click.option("--container", type=click.Choice(["mp4", "mkv", "avi"]),
              help="Kind of file, where OUT is a folder. Default: the preset's.")
@click.option("--fps", "rate", metavar="true|native|HZ",
              help="Show every frame at its own time, or evenly spaced at the camera's nominal "
                   "rate or at so many a second. Default: the preset's, mostly true.")
@click.option("--from", "--start", "begin", metavar="INDEX|TIME", default="0",
              help="First frame: 1500, +1:30 (from the start), 07:30, 2026-11-21T07:30.")
@click.option("--to", "--end", "end", metavar="INDEX|TIME",
              help="Up to this frame, and not this one.")
@click.option("--to-store", is_flag=True,
              help="Make a video store that imgstore reads, not a movie; whole, of H.264 or "
                   "Lossless.")
@click.option("--jobs", type=click.IntRange(1, 64), metavar="N",
              help="Stores at a time. Default: half the cores, as far as memory allows.")
@where_options
def transcode_command(where: Where, stores: tuple[str, ...], out: Path, preset_name: str,
                      container: str | None, rate: str | None, begin: str, end: str | None,
                      to_store: bool, jobs: int | None) -> None:
    """Make the movie OUT (.mp4, .mkv or .avi) of STORE: the name of a recording or any store's
    path.

    Where OUT is a folder, every STORE becomes a movie in it, named STORE.PRESET.mp4; one that fails
    does not stop the others. With --to-store OUT is the new store, or the folder for
    STORE.PRESET.

    Every frame is shown at its own time and compared with the raw one. Numbers, exact times, extra
    data and metadata are in OUT.json beside it. Ctrl-C leaves nothing; after a power cut the same
    command goes on where it was.
    """
    from fieldrec.cli.long_work import stopped_by_signals
    from fieldrec.cli.side_by_side import Piece, at_a_time, side_by_side
    from fieldrec.status import words

    if to_store:
        _refuse_for_stores(container=container, fps=rate, start=begin != "0", end=end)
    wish = Wish(_preset(where, preset_name, container, rate), begin, end, to_store)
    targets = _targets([where.store(store) for store in stores], expanded(out), wish, container)

    def piece(store: Path, target: Path) -> Piece:
        def work(stop: threading.Event, on_progress: Progress) -> str:
            make = make_store if wish.to_store else make_movie
            return make(store, target, wish, stop, on_progress)
        return Piece(target.name if len(targets) == 1 else store.absolute().name, work)

    left = (f"nothing of {out.name} is left" if len(targets) == 1 else
            "what was said to be made is whole, nothing of the rest is left")
    with stopped_by_signals(left) as stop:
        failures = side_by_side([piece(*both) for both in targets.items()],
                                jobs or at_a_time(len(targets)), stop)
        if len(targets) == 1 and failures:
            raise failures[0].error
    if failures:
        raise _some_failed(failures, len(targets))
    if len(targets) > 1:
        echo(f"{words.plural(len(targets), 'store' if to_store else 'movie')} made")


def make_movie(path: Path, target: Path, wish: Wish, stop: threading.Event,
               on_progress: Progress) -> str:
    """One movie, and what is to be said of it. Blocks; raises what the library does."""
    from fieldrec.export.transcode import transcode
    from fieldrec.status import words
    from fieldrec.store.reader import StoreReader

    _refuse_unfinished(path)
    with StoreReader(path) as reader:
        first, until = _part(reader, wish.begin, wish.end)
        made = transcode(reader, target, wish.preset, first=first, end=until, stop=stop,
                         on_progress=on_progress)
    quality = ("every frame verified, exact to the bit" if made.quality.exact else
               f"every frame verified (PSNR {made.quality.psnr_min_db:.1f} dB at least)")
    said = (f"{target}: {words.plural(made.frame_count, 'frame')}, {made.length_s:.3f} s, "
            f"{words.size(made.size_bytes)}, {quality}; times to {made.tick_s * 1e3:.3g} ms, "
            f"exactly in {made.sidecar.name}")
    if made.slice_count:
        said += f"\nin {words.plural(made.slice_count, 'slice')}, from {made.path.name} on"
    if made.unreadable:
        said += (f"\n{words.plural(made.unreadable, 'frame')} left out: not readable; "
                 f"{made.sidecar.name} names them")
    if made.moved:
        said += (f"\n{words.plural(made.moved, 'frame')} shown one tick later: their times are not "
                 "after those of the frames before")
    return said


def make_store(path: Path, target: Path, wish: Wish, stop: threading.Event,
               on_progress: Progress) -> str:
    """One video store, and what is to be said of it. Blocks; raises what the library does."""
    from fieldrec.export.to_store import export_to_store
    from fieldrec.status import words

    made = export_to_store(path, target, wish.preset, stop=stop, on_progress=on_progress)
    quality = ("exact to the bit" if made.is_exact else
               f"PSNR {made.psnr_min_db:.1f} dB at least")
    said = [f"{target}: {words.plural(made.frame_count, 'frame')}, {words.size(made.size_bytes)}, "
            f"every frame verified ({quality})", *(words.safe_text(n, 500) for n in made.notes)]
    if made.unreadable:
        said.append(f"{words.plural(made.unreadable, 'frame')} left out: not readable")
    return "\n".join(said)


def preset_of(where: Where, name: str) -> Preset:
    """The preset of that name. The configuration is read only for one that is not built in."""
    from fieldrec.export.own_presets import own_presets
    from fieldrec.export.presets import built_in_names, preset

    is_built_in = name.strip().lower() in built_in_names()
    return preset(name, {} if is_built_in else own_presets(where.load().export.presets))


def _preset(where: Where, name: str, container: str | None, rate: str | None) -> Preset:
    """The preset with what the command line says otherwise."""
    row = preset_of(where, name)
    if container is not None:
        row = dataclasses.replace(row, container=f".{container}")
    if rate is not None:
        row = dataclasses.replace(row, rate=_rate(rate))
    return row


def _rate(text: str) -> str:
    """As a preset says it; UsageError for what is no rate."""
    from fieldrec.export.presets import NATIVE_RATE, TRUE_TIMES

    if text in (NATIVE_RATE, TRUE_TIMES):
        return text
    try:
        if 0 < float(text) <= 100_000:
            return text
    except ValueError:
        pass
    raise UsageError(f"--fps {text}: expected true, native, or frames a second, as 29.97")


def _refuse_for_stores(**given: object) -> None:
    """UsageError for options that are of movies only."""
    for name, value in given.items():
        if value:
            raise UsageError(f"--{name} is of movies: a store is made whole, at a whole rate, with "
                             "the true times in its index; leave it or --to-store away")


def _targets(stores: list[Path], out: Path, wish: Wish, container: str | None) -> dict[Path, Path]:
    """What becomes what. UsageError, StoreError for what can be seen to be wrong beforehand."""
    if out.is_dir():
        targets = {store: out / _name(store.absolute().name, wish) for store in stores}
    elif len(stores) > 1:
        raise UsageError(f"{out}: no such folder; {len(stores)} stores need one for what is made "
                         "of them: make it, or name another")
    else:
        targets = {stores[0]: out}
        if container is not None and out.suffix.lower() != f".{container}":
            raise UsageError(f"{out}: its name does not end in .{container}, which --container "
                             "asks for: name another, or leave the option away")
    twice = [name for name, count in Counter(targets.values()).items() if count > 1]
    if twice:
        raise UsageError(f"{twice[0]} would be made of two stores of the same name: transcode "
                         "them one by one")
    for target in targets.values():
        _check(new_path(target), wish)
    return targets


def _name(store_name: str, wish: Wish) -> str:
    from fieldrec.export.presets import export_name

    if wish.to_store:
        return f"{store_name}.{wish.preset.name.lower()}"
    return export_name(store_name, wish.preset)


def _check(target: Path, wish: Wish) -> None:
    """UsageError where no movie of that preset can have that name."""
    from fieldrec.export.containers import container_for
    from fieldrec.export.presets import NATIVE_RATE
    from fieldrec.export.transcode import container_of

    if wish.to_store:
        return
    container_of(target)
    if wish.preset.rate != NATIVE_RATE:  # that of the store, which AVI goes by
        container_for(wish.preset, target.suffix, 0.0)


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


def _some_failed(failures: list[Failure], count: int) -> SomeFailed:
    from fieldrec.status import words

    names = ", ".join(words.safe_text(failure.name) for failure in failures[:10])
    more = f" and {len(failures) - 10} more" if len(failures) > 10 else ""
    return SomeFailed(f"{len(failures)} of {count} failed: {names}{more}",
                      failures[0].error.exit_code)
