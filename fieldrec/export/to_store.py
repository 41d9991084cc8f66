"""A recording as a video store that imgstore and its users read: encoded, verified, in one go.

Blocking; in the thread of a command. Each chunk is a movie of its own, made and compared with the
raw as any movie is (making.py), but evenly spaced at a whole rate, as imgstore's readers seek by
counting; the true times are in the indexes. All is made in ``.part-<name>`` beside the target and
renamed when it is whole; after a stop or a failure nothing is left. The source is only read.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np

from fieldrec.core import durable
from fieldrec.core.errors import (
    FieldrecError,
    JobRefused,
    LockedError,
    StateError,
    StoreDamaged,
    StoreError,
    UsageError,
    VerifyMismatch,
)
from fieldrec.core.model import FrameSpec
from fieldrec.export import sidecar
from fieldrec.export.containers import container_for
from fieldrec.export.geometry import geometry
from fieldrec.export.making import Making, Progress, Wanted
from fieldrec.export.part import errors_in_one_line
from fieldrec.export.presets import Geometry, Preset
from fieldrec.export.reduced import Reduction, reduction
from fieldrec.export.stopped import ExportStopped
from fieldrec.export.timing import native_hz
from fieldrec.store.chunk_paths import ChunkPaths, chunk_paths
from fieldrec.store.created import created
from fieldrec.store.extra_log import records_bytes
from fieldrec.store.layout import Columns, index_bytes
from fieldrec.store.metadata import METADATA_NAME, VIDEO_CLASS, metadata_text, store_mapping
from fieldrec.store.movie.content import sidecar_path
from fieldrec.store.reader import StoreReader
from fieldrec.store.spec import ours_in

CHUNK_FRAMES = 10_000
"""imgstore's own default for video."""
FASTEST_HZ = 200
"""Whole rates up to here were tried with imgstore on all OpenCV versions in use."""
_FORMATS = {"h264": ("avc1/mp4", ".mp4"), "ffv1": ("ffv1/mkv", ".mkv")}
"""By codec: the format that the store says, and its files. Others are not known to be read back
frame by frame."""


@dataclass(frozen=True, slots=True)
class StoreMade:
    """A video store that is there, every frame compared with the raw."""

    path: Path
    frame_count: int
    size_bytes: int
    is_exact: bool
    psnr_min_db: float
    """Of the worst frame."""
    unreadable: int
    """Frames of the raw that could not be read and are left out."""
    notes: tuple[str, ...]
    """What is not as it was, one line each."""


def export_to_store(store_path: Path, target: Path, preset: Preset, *, stop: threading.Event,
                    on_progress: Progress, chunk_frames: int = CHUNK_FRAMES) -> StoreMade:
    """Make the video store `target`, which must not exist, of the store at `store_path`. Blocks.

    `preset`: of H.264 or lossless; its rate, container and slices do not count here. ExportStopped
    soon after `stop` is set. StoreError for a target that cannot be; StateError for a store that is
    still written; UsageError, JobRefused for what no such store can hold; StoreDamaged, StoreFull,
    EncoderFailed, VerifyMismatch.
    """
    if (store_path / ".lock").exists():
        raise StateError(f"{store_path} is still being recorded or was cut off: stop it, or run "
                         "`fieldrec recover`, before it is exported")
    if target.exists() or target.is_symlink():
        raise StoreError(f"{target}: exists already; name another store")
    if not target.absolute().parent.is_dir():
        raise StoreError(f"{target.absolute().parent}: no such folder; make it, or name another")
    part = target.with_name(durable.PART_PREFIX + target.name)
    with StoreReader(store_path) as source, errors_in_one_line(part):
        work = _Work(source, preset, part, stop, on_progress, chunk_frames)
        with _fresh(part):
            try:
                made = work.run()
                durable.rename(part, target)
            except BaseException:
                with contextlib.suppress(OSError, FieldrecError):  # the error under way says more
                    durable.rmtree(part)
                raise
    return dataclasses.replace(made, path=target)


@contextlib.contextmanager
def _fresh(part: Path) -> Iterator[None]:
    """The folder, empty, and held by a flock until the block ends. LockedError when another process
    makes the same store; what a killed one left is removed."""
    if part.exists():
        with _held(part):
            durable.rmtree(part)
    durable.make_directory(part)
    with _held(part):
        yield


@contextlib.contextmanager
def _held(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise LockedError(f"{folder}: another process is making this store") from error
    finally:
        os.close(descriptor)


class _Work:
    """One store under way."""

    def __init__(self, source: StoreReader, preset: Preset, part: Path, stop: threading.Event,
                 on_progress: Progress, chunk_frames: int) -> None:
        self._source, self._part = source, part
        self._stop, self._on_progress = stop, on_progress
        self._name = source.path.absolute().name
        if preset.codec not in _FORMATS:
            raise UsageError(f"preset {preset.name}: video stores hold H.264 or lossless FFV1: use "
                             "a preset of these")
        self._form, self._extension = _FORMATS[preset.codec]
        if source.problems:
            raise StoreDamaged(f"a store would lack frames: {source.problems[0]}")
        if source.frame_count < 2:
            raise JobRefused(f"{self._name} has fewer than two frames, which imgstore cannot read "
                             "from a video: copy the raw recording instead")
        hz = native_hz(source.times_ns, source.spec.nominal_hz)
        self._hz = min(max(round(hz), 1), FASTEST_HZ)
        self._preset = dataclasses.replace(
            preset, container=self._extension, rate=str(self._hz), slice_s=None, slice_bytes=None)
        self._borders = chunk_borders(source.frame_count, chunk_frames)
        self._chunk_frames = chunk_frames
        self._notes: list[str] = []
        self._reduction = self._reduced()

    def run(self) -> StoreMade:
        """Everything but the rename."""
        store = self._mapping()
        durable.write_atomic(self._part / METADATA_NAME,
                             metadata_text(store, self._user()).encode())
        count, unreadable, worst_db = 0, 0, []
        for number, (first, end) in enumerate(self._borders):
            paths = chunk_paths(self._part, number, self._extension)
            made = Making(self._wanted(paths, first, end), stop=self._stop,
                          on_progress=self._placed(first)).run()[0]
            if made.quality is not None:
                worst_db.append(made.quality.psnr_min_db)
            unreadable += made.export.unreadable
            self._index(paths, store, count)
            count += made.export.frame_count
        self._check(count)
        return StoreMade(
            self._part, count, sum(path.stat().st_size for path in self._part.iterdir()),
            self._preset.lossless, min(worst_db), unreadable, tuple(self._notes))

    # --- what the frames become -------------------------------------------------------------------

    def _reduced(self) -> Reduction:
        """The preset's geometry, and even sizes where the codec halves its chroma: imgstore knows
        of no padding, an odd last row or column is left out."""
        source = self._source
        told = str(ours_in(source.user_metadata).get("pixel_format") or "")
        reduced = reduction(source.metadata, source.spec, told, self._looked_at,
                            lossless=self._preset.lossless)
        if self._preset.geometry is not None:
            reduced = _then(reduced, geometry(reduced.spec, self._preset.geometry))
        if self._preset.lossless:
            if reduced.spec.dtype != "uint8" or "depth" in reduced.rules:
                raise JobRefused(f"{self._name}: video stores hold 8 bits a pixel, not "
                                 f"{source.spec.pixel_format}: use a lossless movie instead")
            return reduced
        lines, columns = (extent & -2 for extent in reduced.spec.shape[:2])
        if (lines, columns) != reduced.spec.shape[:2]:
            self._notes.append(f"{reduced.spec.shape[1]}x{reduced.spec.shape[0]} cut to {columns}x"
                               f"{lines}: video has even sizes")
            reduced = _then(reduced, geometry(reduced.spec,
                                              Geometry(crop=(0, 0, columns, lines))))
        return reduced

    def _looked_at(self) -> Iterator[Any]:
        count = self._source.frame_count
        for index in range(count):
            if self._stop.is_set():
                raise ExportStopped("stopped")
            yield self._source.read(index)
            self._on_progress("looking", index + 1, count)

    def _shown(self) -> FrameSpec:
        """What a reader gets: the frames themselves, or grey or BGR."""
        spec = self._reduction.spec
        is_grey = spec.pixel_format.startswith("MONO") or (
            self._preset.lossless and len(spec.shape) == 2)
        if is_grey:
            return FrameSpec(spec.shape[:2], "uint8",
                             spec.pixel_format if self._preset.lossless else "MONO8",
                             spec.nominal_hz)
        return FrameSpec((*spec.shape[:2], 3), "uint8", "BGR8", spec.nominal_hz)

    # --- one chunk --------------------------------------------------------------------------------

    def _wanted(self, paths: ChunkPaths, first: int, end: int) -> Wanted:
        return Wanted(
            store=self._source, name=self._name, preset=self._preset, target=paths.frames,
            container=container_for(self._preset, self._extension, self._hz), first=first, end=end,
            reduction=self._reduction, nominal_hz=float(self._hz), tags={},
            form=sidecar.TRANSCODE_FORMAT, check_place=lambda _: None,
            committed=lambda _path, _count: None)

    def _placed(self, first: int) -> Progress:
        total = self._source.frame_count
        return lambda phase, done, _total: self._on_progress(phase, first + done, total)

    def _index(self, paths: ChunkPaths, store: Mapping[str, Any], before: int) -> None:
        """Numbers, times and extra data of a chunk, from what its movie tells; then its sidecar
        goes. `before`: frames in the chunks before."""
        with StoreReader(paths.frames) as movie:
            if movie.frame_count < 2:
                raise JobRefused(f"{self._name}: all but one frame of a chunk cannot be read")
            columns = Columns(movie.numbers, movie.times_ns, movie.device_times_ns, None,
                              movie.index.times_s)
            records = [] if movie.movie is None else list(movie.movie.records())
        if records:
            texts = [json.dumps({**record, "frame_index": record.get("frame_index", -1) + before})
                     for record in records]
            durable.write_atomic(paths.extra, records_bytes(texts))
        durable.write_atomic(paths.index, index_bytes(columns, store))
        durable.unlink(sidecar_path(paths.frames))

    # --- the store --------------------------------------------------------------------------------

    def _mapping(self) -> dict[str, Any]:
        source, shown = self._source, self._shown()
        began, zone = created(source.path, source.metadata, source.user_metadata)
        is_mosaic = self._preset.lossless and len(shown.shape) == 2
        return store_mapping(
            shown.shape, "uint8", chunksize=self._chunk_frames, timezone=zone.key,
            created_epoch_ns=round(began.timestamp() * 1_000_000) * 1000, uuid=uuid4().hex,
            class_name=VIDEO_CLASS, form=self._form, extension=self._extension,
            encoding=(sidecar.kept_encoding(source.metadata.encoding, self._reduction.spec)
                      if is_mosaic else None))

    def _user(self) -> dict[str, Any]:
        """The user's metadata, with where it is from."""
        user = dict(self._source.user_metadata)
        ours = user.get("fieldrec", {})
        if isinstance(ours, dict):
            user["fieldrec"] = {
                **ours, "pixel_format": self._shown().pixel_format, "preset": self._preset.name,
                "converted_from": self._source.uuid or self._name}
        return user

    def _check(self, count: int) -> None:
        """Read the indexes back as any reader does."""
        with StoreReader(self._part) as made:
            kept = made.numbers
            if made.problems or len(kept) != count or not np.isin(kept, self._source.numbers).all():
                raise VerifyMismatch(f"{self._part}: read back, it lists {len(kept)} of {count} "
                                     "frames; nothing was exported")


def _then(first: Reduction, second: Reduction) -> Reduction:
    def apply(pixels: Any) -> Any:
        return second.apply(first.apply(pixels))

    combined: Callable[[Any], Any] = apply
    return Reduction(second.spec, combined, {**first.rules, **second.rules})


def chunk_borders(count: int, chunk_frames: int) -> list[tuple[int, int]]:
    """(first, end) of each chunk of `count` ≥ 2 frames; none has just one, which imgstore cannot
    seek in: the one before then gives up its last. UsageError for chunks of fewer than 3."""
    if chunk_frames < 3:
        raise UsageError(f"chunks of {chunk_frames} frames are too small: 3 at least")
    ends = [*range(chunk_frames, count, chunk_frames), count]
    if len(ends) > 1 and ends[-1] - ends[-2] == 1:
        ends[-2] -= 1
    return list(zip([0, *ends[:-1]], ends, strict=True))
