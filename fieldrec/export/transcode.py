"""One store, or a part of it, as a movie that somebody named: native rate, true times, verified.

Blocking; in the thread of a command. Unlike an export it takes every kind of store, may be Matroska
and is nobody's evidence: no raw is ever deleted for it. Numbers, exact times and extra data are in
a sidecar beside it, written last as an export's is; after any failure neither is there.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fieldrec.core import durable
from fieldrec.core.errors import (
    FieldrecError,
    JobRefused,
    StoreDamaged,
    StoreError,
    StoreFull,
    UsageError,
)
from fieldrec.core.model import Export
from fieldrec.export import sidecar
from fieldrec.export.containers import CONTAINERS, Container
from fieldrec.export.encoding import MovieFormat, PartFile, encode
from fieldrec.export.part import (
    discard,
    errors_in_one_line,
    fresh_part,
    part_path,
    removed_on_failure,
)
from fieldrec.export.pictures import Pictures, Pixels, pictures_for
from fieldrec.export.prefetch import prefetched
from fieldrec.export.presets import PRESETS, Preset, export_name
from fieldrec.export.reduced import Reduction, reduction
from fieldrec.export.stopped import ExportStopped
from fieldrec.export.timing import mean_hz, ticks
from fieldrec.export.verify import Quality, expected, verify, written_digest
from fieldrec.store.extra_data import jsonable
from fieldrec.store.extra_read import iter_extra_records
from fieldrec.store.layout import seconds_of
from fieldrec.store.reader import StoreReader
from fieldrec.store.spec import ours_in

log = logging.getLogger(__name__)

Progress = Callable[[str, int, int], None]
"""Told a phase ("looking", "encoding", "verifying") and frames done of total."""

TAG_BYTES = 64_000
"""User metadata larger than this is in the sidecar only."""
NOMINAL_OFF = 0.05
"""A nominal rate this far from that of the times is not believed."""


@dataclass(frozen=True, slots=True)
class Transcoded:
    """A movie that was made, and verified frame by frame."""

    path: Path
    sidecar: Path
    frame_count: int
    size_bytes: int
    length_s: float
    quality: Quality
    moved: int
    """Frames shown one tick later, as their time was not after that of the frame before."""
    tick_s: float
    """How exactly the movie says its times; the sidecar has them exactly."""


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

    ExportStopped soon after `stop` is set. UsageError, StoreError for a target that cannot be, or
    is there already; JobRefused, StoreDamaged for a store that no movie can be made of; StoreFull,
    EncoderFailed, VerifyMismatch.
    """
    work = _Work(store, target, preset, first, store.frame_count if end is None else end, stop,
                 on_progress)
    with errors_in_one_line(work.part):
        return work.run()


class _Work:
    """One movie under way: what its steps share."""

    def __init__(self, store: StoreReader, target: Path, preset: Preset, first: int, end: int,
                 stop: threading.Event, on_progress: Progress) -> None:
        self.store, self.target, self.preset, self.stop = store, target, preset, stop
        self.first, self.end = first, end
        self.on_progress = on_progress
        self.container = container_of(target)
        self.part = part_path(target)
        _refuse_target(target, store.path.absolute().name)
        if first >= end:
            raise JobRefused(f"{store.path.name}: there is no frame to make a movie of")
        if store.problems:
            raise StoreDamaged(f"a movie would lack frames: {store.problems[0]}")
        self.times_ns = store.times_ns[first:end]
        self.pts, self.moved = ticks(self.times_ns, self.container)

    def run(self) -> Transcoded:
        self.reduction = self._reduction()
        pictures = pictures_for(self.reduction.spec, self.preset)
        self._refuse_if_full()
        with removed_on_failure(self.part):
            digest = self._encode(pictures)
            quality = self._verify(pictures, digest)
            self._commit(digest, quality, pictures)
        return Transcoded(
            self.target, sidecar.sidecar_path(self.target), len(self.pts),
            self.target.stat().st_size, (int(self.times_ns[-1]) - int(self.times_ns[0])) / 1e9,
            quality, self.moved, 1 / self.container.ticks_per_second)

    def _reduction(self) -> Reduction:
        told = str(ours_in(self.store.user_metadata).get("pixel_format") or "")
        return reduction(self.store.metadata, self.store.spec, told, self._looked_at)

    def _looked_at(self) -> Iterator[Pixels]:
        for index, pixels in enumerate(self._stored()):
            if self.stop.is_set():
                raise ExportStopped("stopped")
            yield pixels
            self.on_progress("looking", index + 1, len(self.pts))

    def _frames(self) -> Iterator[Pixels]:
        return map(self.reduction.apply, self._stored())

    def _stored(self) -> Iterator[Pixels]:
        """As they lie in the store, each checked against its digest where it has one."""
        return map(self.store.read, range(self.first, self.end))

    def _refuse_if_full(self) -> None:
        """A rough bound: half of what such a movie typically needs must be free."""
        height, width = self.reduction.spec.shape[:2]
        needed = round(self.preset.typical_bits_per_pixel * height * width * len(self.pts) / 16)
        free = shutil.disk_usage(self.target.absolute().parent).free
        if free < needed:
            raise StoreFull(f"{self.target}: at least {needed / 1e6:.1f} MB are needed and "
                            f"{free / 1e6:.1f} MB are free: make room, or use a lower preset")

    def _encode(self, pictures: Pictures) -> str:
        descriptor = fresh_part(self.part)
        try:
            converted = (pictures.convert(pixels) for pixels in self._frames())
            with prefetched(converted, "transcode-read") as ahead:
                encode(PartFile(self.part, descriptor), ahead, self.pts, self._form(pictures),
                       stop=self.stop, on_frame=self._report("encoding"))
            return written_digest(self.part, descriptor, self.stop)
        finally:
            os.close(descriptor)

    def _verify(self, pictures: Pictures, digest: str) -> Quality:
        with prefetched(expected(pictures, self._frames()), "transcode-read") as ahead:
            return verify(self.part, digest, self.pts, ahead, pictures=pictures,
                          preset=self.preset, stop=self.stop, on_frame=self._report("verifying"),
                          container=self.container)

    def _commit(self, digest: str, quality: Quality, pictures: Pictures) -> None:
        """From here on nothing stops: rename, then the sidecar."""
        made = Export(path=self.target, preset=self.preset.name, frame_count=len(self.pts),
                      size_bytes=self.part.stat().st_size, digest=digest,
                      verified_at_ns=time.time_ns())
        more = self._more()
        _refuse_target(self.target, "")
        try:
            durable.rename(self.part, self.target)
            sidecar.write(made, self._source(), preset=self.preset, quality=quality,
                          rules=self._rules(pictures), form=sidecar.TRANSCODE_FORMAT, more=more)
        except BaseException:
            if not self.part.exists():
                discard(sidecar.sidecar_path(self.target))
                discard(self.target)
            raise

    def _report(self, phase: str) -> Callable[[int], None]:
        return lambda index: self.on_progress(phase, index + 1, len(self.pts))

    # --- what is told of the movie ----------------------------------------------------------------

    def _form(self, pictures: Pictures) -> MovieFormat:
        seconds, rest = divmod(int(self.times_ns[0]), 1_000_000_000)
        tags = {"title": self.store.path.absolute().name,
                "comment": f"fieldrec recording {self.store.uuid}"}
        try:
            moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
            tags["creation_time"] = f"{moment}.{rest // 1000:06d}Z"
        except (OverflowError, ValueError):
            log.warning("%s: no calendar has the time of its first frame", self.store.path)
        told = json.dumps(jsonable(self.store.user_metadata), ensure_ascii=False)
        if len(told.encode(errors="replace")) <= TAG_BYTES:
            tags["description"] = told
        return MovieFormat(self.preset, pictures.width, pictures.height,
                           pictures.pixel_format, pictures.colours, self._nominal_hz(), tags,
                           self.container)

    def _nominal_hz(self) -> float:
        """What the metadata says, unless the times say something else: then 0, and they count."""
        nominal_hz = self.store.spec.nominal_hz
        true_hz = mean_hz(self.pts, 0.0, self.container)
        near = abs(nominal_hz - true_hz) <= NOMINAL_OFF * true_hz or len(self.pts) < 2
        return nominal_hz if near else 0.0

    def _source(self) -> sidecar.Source:
        store = self.store
        return sidecar.Source(
            name=store.path.absolute().name, uuid=store.uuid, created_utc=store.created_utc,
            timezone=store.timezone, spec=store.spec, user_metadata=jsonable(store.user_metadata),
            numbers=store.numbers[self.first:self.end], times_ns=self.times_ns)

    def _rules(self, pictures: Pictures) -> dict[str, Any]:
        return {**pictures.rules(), **self.reduction.rules,
                "time_base": f"1/{self.container.ticks_per_second}", "times_moved": self.moved,
                "times_rule": "first frame 0; a time not after the one before it is put one tick "
                              "later"}

    def _more(self) -> dict[str, Any]:
        """What the sidecar of an export does not have."""
        index = self.store.index
        more: dict[str, Any] = {"part": {
            "first_index": self.first, "end_index": self.end, "of": self.store.frame_count}}
        frames: dict[str, Any] = {}
        times_s = index.times_s[self.first:self.end]
        if not np.array_equal(times_s, seconds_of(self.times_ns)):
            frames["time_s"] = times_s.tolist()
        device_ns = index.device_times_ns[self.first:self.end]
        if (device_ns >= 0).any():
            frames["device_time_ns"] = device_ns.tolist()
        more["frames"] = frames
        extra = self._extra_data()
        if extra:
            more["extra_data"] = jsonable(extra)
        return more

    def _extra_data(self) -> list[dict[str, Any]]:
        """The records that belong to these frames; what is damaged of them is left out."""
        try:
            records = list(iter_extra_records(self.store.path, ignore_corrupt=True))
        except (FieldrecError, ImportError) as error:
            log.warning("%s: extra data left out: %s", self.store.path, error)
            return []
        whole = self.first == 0 and self.end == self.store.frame_count
        return [record for record in records
                if whole or self.first <= _integer(record.get("frame_index")) < self.end]


def _integer(value: Any) -> int:
    return value if isinstance(value, int) else -1


def _refuse_target(target: Path, store_name: str) -> None:
    """A movie never takes the place of anything, nor a name that is an export's."""
    folder = target.absolute().parent
    if not folder.is_dir():
        raise StoreError(f"{folder}: no such folder; make it, or name another")
    for path in (target, sidecar.sidecar_path(target)):
        if path.exists() or path.is_symlink():
            raise StoreError(f"{path}: exists already; name another file")
    if target.name in [export_name(store_name, preset) for preset in PRESETS]:
        raise UsageError(f"{target.name} is the name of an export: make it with `fieldrec "
                         f"export {store_name}`, or name another file")
