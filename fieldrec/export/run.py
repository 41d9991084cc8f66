"""One export from store to committed file, or files. Blocking; runs in the export process.

What it takes is stricter than what a transcode does: a complete recording, in a format that needs
no guesses. How a movie is made of it is in :mod:`fieldrec.export.making`.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fieldrec.core.errors import JobRefused, NotFoundError, StateError, StoreDamaged
from fieldrec.core.model import Export
from fieldrec.export import sidecar, work_folder
from fieldrec.export.containers import container_for
from fieldrec.export.making import Making, Progress, Wanted, ignore_size, slice_path
from fieldrec.export.part import errors_in_one_line, part_path
from fieldrec.export.presets import Preset, export_name
from fieldrec.export.reduced import Reduction
from fieldrec.store.movie.content import read_head
from fieldrec.store.reader import StoreReader


def run_export(store_path: Path, preset: Preset, *, output_folder: Path, stop: threading.Event,
               on_progress: Progress, on_size: Callable[[int], None] = ignore_size) -> Export:
    """Export the store at `store_path` into `output_folder`, or find that it was done before.

    Gives the export; where the preset slices, the first of its slices, all of which are there.
    Blocks for the whole time. ExportStopped soon after `stop` is set, until the commit begins: what
    was encoded is kept in the working folder, and the next call goes on with it. StateError for a
    store still being written, JobRefused for one that cannot be exported, StoreFull where the
    result would not fit, EncoderFailed, VerifyMismatch; the store's own errors: after any of them
    nothing unfinished is left.
    """
    if (store_path / ".lock").exists():
        raise StateError(f"{store_path} is still being recorded or was cut off: stop it, or run "
                         "`fieldrec recover`, before it is exported")
    if not output_folder.is_dir():
        raise NotFoundError(f"{output_folder}: no such folder: create it, or name another")
    target = output_folder / export_name(store_path.name, preset)
    with StoreReader(store_path) as store, errors_in_one_line(part_path(target)):
        wanted = _wanted(store, store_path.name, preset, target, stop)
        done = _done(wanted)
        if done is not None:
            work_folder.remove(target)  # of a run that was killed when it was done
            return done
        made = Making(wanted, stop=stop, on_progress=on_progress, on_size=on_size).run()
        return made[0].export


def _wanted(store: StoreReader, name: str, preset: Preset, target: Path, stop: threading.Event
            ) -> Wanted:
    if store.frame_count == 0:
        raise JobRefused(f"{name} has no frames: there is nothing to export")
    if store.problems:
        raise StoreDamaged(f"an export would lack frames: {store.problems[0]}")
    return Wanted(
        store=store, name=name, preset=preset, target=target,
        container=container_for(preset, preset.container, store.spec.nominal_hz),
        first=0, end=store.frame_count,
        reduction=_reduction(store, preset), nominal_hz=store.spec.nominal_hz,
        tags={**calendar_tag(int(store.times_ns[0])), "title": name,
              "comment": f"fieldrec recording {store.uuid}"},
        form=sidecar.FORMAT, check_place=lambda _: None,
        committed=functools.partial(_committed, store.uuid, preset.name, stop))


def _reduction(store: StoreReader, preset: Preset) -> Reduction:
    """Nothing but the preset's crop, scale and turns: what is stored is what the camera gave."""
    plain = Reduction(store.spec, lambda pixels: pixels, {})
    if preset.geometry is None:
        return plain
    from fieldrec.export.geometry import geometry

    return geometry(store.spec, preset.geometry)


def calendar_tag(time_ns: int) -> dict[str, str]:
    """When the first frame was taken, in UTC; OverflowError, ValueError for no year of a calendar.
    """
    seconds, rest = divmod(time_ns, 1_000_000_000)
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return {"creation_time": f"{moment}.{rest // 1000:06d}Z"}


# --- made before --------------------------------------------------------------------------------

def _committed(uuid: str, preset: str, stop: threading.Event, path: Path, frame_count: int
               ) -> Export | None:
    return sidecar.committed(path, uuid, preset, frame_count, stop)


def _done(wanted: Wanted) -> Export | None:
    """The whole export, if it is there: its file, or all of its slices."""
    if not (wanted.preset.slice_s or wanted.preset.slice_bytes):
        return wanted.committed(wanted.target, wanted.end)
    made = []
    for number in range(1, _slice_count(slice_path(wanted.target, 1)) + 1):
        path = slice_path(wanted.target, number)
        made.append(wanted.committed(path, _raw_frames(path)))
    if not made or None in made:
        return None
    whole = [export for export in made if export is not None]
    count = sum(export.frame_count + export.unreadable for export in whole)
    return whole[0] if count == wanted.end and whole[0].slice_count == len(whole) else None


def _slice_count(path: Path) -> int:
    return int((_head(path).get("slice") or {}).get("of", 0))


def _raw_frames(path: Path) -> int:
    """Frames of the raw that a movie is of, by its sidecar; 0 without one."""
    head = _head(path)
    return int(head.get("frame_count", 0)) + int(head.get("unreadable_count", 0))


def _head(path: Path) -> Mapping[str, Any]:
    try:
        return read_head(sidecar.sidecar_path(path))
    except (OSError, ValueError):
        return {}
