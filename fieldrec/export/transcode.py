"""One store, or a part of it, as a movie that somebody named: native rate, true times, verified.

Blocking; in the thread of a command. Unlike an export it takes every kind of store, chooses its
container by its name, and is nobody's evidence: no raw is ever deleted for it. Numbers, exact times
and extra data are in a sidecar beside it, written last as an export's is; after any failure, and
after a stop, neither is there. How a movie is made is in :mod:`fieldrec.export.making`.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fieldrec.core.errors import JobRefused, StoreDamaged, StoreError, UsageError
from fieldrec.export import sidecar, work_folder
from fieldrec.export.containers import CONTAINERS, Container, container_for
from fieldrec.export.making import Made, Making, Progress, Wanted, slice_path
from fieldrec.export.part import errors_in_one_line, part_path
from fieldrec.export.pictures import Pixels
from fieldrec.export.presets import PRESETS, Preset, export_name
from fieldrec.export.reduced import Reduction, reduction
from fieldrec.export.run import calendar_tag
from fieldrec.export.stopped import ExportStopped
from fieldrec.export.timing import native_hz
from fieldrec.export.verify import Quality
from fieldrec.store.extra_data import jsonable
from fieldrec.store.reader import StoreReader
from fieldrec.store.spec import ours_in

log = logging.getLogger(__name__)

TAG_BYTES = 64_000
"""User metadata larger than this is in the sidecar only."""
NOMINAL_OFF = 0.05
"""A nominal rate this far from that of the times is not believed."""


@dataclass(frozen=True, slots=True)
class Transcoded:
    """A movie that was made, and verified frame by frame."""

    path: Path
    """Of its first slice where the preset slices."""
    sidecar: Path
    frame_count: int
    """Of all slices, as all the rest."""
    size_bytes: int
    length_s: float
    quality: Quality
    """Of the slice with the worst frame."""
    moved: int
    """Frames shown one tick later, as their time was not after that of the frame before."""
    tick_s: float
    """How exactly the movie says its times; the sidecar has them exactly."""
    unreadable: int = 0
    """Frames that could not be read and are left out; the sidecar names them."""
    slice_count: int = 0
    """0: one movie."""


def container_of(target: Path) -> Container:
    """The kind of movie that a file name asks for. UsageError naming the ones there are."""
    for container in CONTAINERS:
        if target.suffix.lower() == container.extension:
            return container
    known = " or ".join(container.extension for container in CONTAINERS)
    raise UsageError(f"{target}: a movie's name ends in {known}")


def transcode(store: StoreReader, target: Path, preset: Preset, *, first: int = 0,
              end: int | None = None, stop: threading.Event, on_progress: Progress) -> Transcoded:
    """Make the movie `target` of the frames `first` … `end` - 1. Blocks for the whole time.

    `on_progress` is told "looking" too, where a store does not say how deep its pixels are.
    ExportStopped soon after `stop` is set. UsageError, StoreError for a target that cannot be, or
    is there already; JobRefused, StoreDamaged for a store that no movie can be made of; StoreFull,
    EncoderFailed, VerifyMismatch.
    """
    end = store.frame_count if end is None else end
    with errors_in_one_line(part_path(target)):
        wanted = _wanted(store, target, preset, first, end, stop, on_progress)
        try:
            made = Making(wanted, stop=stop, on_progress=on_progress).run()
        except ExportStopped:
            work_folder.remove(target)
            raise
    times_ns = store.times_ns[first:end]
    return _transcoded(made, (int(times_ns[-1]) - int(times_ns[0])) / 1e9, wanted.container)


def _wanted(store: StoreReader, target: Path, preset: Preset, first: int, end: int,
            stop: threading.Event, on_progress: Progress) -> Wanted:
    _refuse_target(target, store.path.absolute(), preset)
    container_of(target)
    name = store.path.absolute().name
    if first >= end:
        raise JobRefused(f"{name}: there is no frame to make a movie of")
    if store.problems:
        raise StoreDamaged(f"a movie would lack frames: {store.problems[0]}")
    nominal_hz = _nominal_hz(store.spec.nominal_hz, store.times_ns[first:end])
    container = container_for(preset, target.suffix, nominal_hz or store.spec.nominal_hz)

    def looked_at() -> Iterator[Pixels]:
        for index in range(first, end):
            if stop.is_set():
                raise ExportStopped("stopped")
            try:
                yield store.read(index)
            except StoreDamaged as error:
                log.warning("left out: %s", error)
            on_progress("looking", index + 1 - first, end - first)

    told = str(ours_in(store.user_metadata).get("pixel_format") or "")
    reduced = reduction(store.metadata, store.spec, told, looked_at, lossless=preset.lossless)
    return Wanted(
        store=store, name=name, preset=preset, target=target, container=container, first=first,
        end=end, nominal_hz=nominal_hz, tags=_tags(store, int(store.times_ns[first])),
        reduction=_shaped(reduced, preset),
        form=sidecar.TRANSCODE_FORMAT, committed=lambda _path, _count: None,
        check_place=lambda path: _refuse_taken(path))


def _shaped(reduced: Reduction, preset: Preset) -> Reduction:
    """With the preset's crop, scale and turns after it."""
    if preset.geometry is None:
        return reduced
    from fieldrec.export.geometry import geometry

    shape = geometry(reduced.spec, preset.geometry)
    return Reduction(shape.spec, lambda pixels: shape.apply(reduced.apply(pixels)),
                     {**reduced.rules, **shape.rules})


def _tags(store: StoreReader, first_ns: int) -> dict[str, str]:
    tags = {"title": store.path.absolute().name, "comment": f"fieldrec recording {store.uuid}"}
    try:
        tags.update(calendar_tag(first_ns))
    except (OverflowError, ValueError):
        log.warning("%s: no calendar has the time of its first frame", store.path)
    told = json.dumps(jsonable(store.user_metadata), ensure_ascii=False)
    if len(told.encode(errors="replace")) <= TAG_BYTES:
        tags["description"] = told
    return tags


def _nominal_hz(nominal_hz: float, times_ns: NDArray[np.int64]) -> float:
    """What the metadata says, unless the times say something else: then 0, and they count."""
    true_hz = native_hz(times_ns, 0.0)
    near = abs(nominal_hz - true_hz) <= NOMINAL_OFF * true_hz or len(times_ns) < 2
    return nominal_hz if near else 0.0


def _transcoded(made: list[Made], length_s: float, container: Container) -> Transcoded:
    exports = [movie.export for movie in made]
    quality = min((movie.quality for movie in made if movie.quality is not None),
                  key=lambda found: found.psnr_min_db)
    return Transcoded(
        exports[0].path, sidecar.sidecar_path(exports[0].path),
        sum(export.frame_count for export in exports),
        sum(export.size_bytes for export in exports), length_s, quality,
        sum(movie.moved for movie in made), 1 / container.ticks_per_second,
        sum(export.unreadable for export in exports), exports[0].slice_count)


def _refuse_target(target: Path, store: Path, preset: Preset) -> None:
    """A movie never takes the place of anything, nor of an export beside the store."""
    folder = target.absolute().parent
    if not folder.is_dir():
        raise StoreError(f"{folder}: no such folder; make it, or name another")
    is_sliced = preset.slice_s or preset.slice_bytes
    for path in (target, slice_path(target, 1)) if is_sliced else (target,):
        _refuse_taken(path)
    if folder == store.parent and \
            target.name in [export_name(store.name, preset) for preset in PRESETS]:
        raise UsageError(f"{target.name} is the name of an export: make it with `fieldrec "
                         f"export {store.name}`, or name another file")


def _refuse_taken(target: Path) -> None:
    for path in (target, sidecar.sidecar_path(target)):
        if path.exists() or path.is_symlink():
            raise StoreError(f"{path}: exists already; name another file")
