"""One export from store to committed file. Blocking; runs in the export process.

Order, each step durable before the next: encode to ``.part-<name>``, sync, read back and compare,
rename, sidecar (I4). A kill anywhere leaves a ``.part-`` file, or a whole movie without sidecar
that the next run replaces; never a partial file under a final name. The raw is only read (I5).
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from fieldrec.core import durable
from fieldrec.core.errors import (
    JobRefused,
    NotFoundError,
    StateError,
    StoreDamaged,
    StoreFull,
)
from fieldrec.core.model import Export
from fieldrec.export import sidecar
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
from fieldrec.export.presets import Preset, export_name
from fieldrec.export.timing import TICKS_PER_SECOND, Ticks, ticks
from fieldrec.export.verify import Quality, expected, verify, written_digest
from fieldrec.store.reader import StoreReader

Progress = Callable[[str, int, int], None]
"""Told a phase ("encoding", "verifying", "committing") and frames done of total."""

_SIDECAR_BYTES_PER_FRAME = 40


def run_export(store_path: Path, preset: Preset, *, output_folder: Path, stop: threading.Event,
               on_progress: Progress) -> Export:
    """Export the store at `store_path` into `output_folder`, or find that it was done before.

    Blocks for the whole time. ExportStopped soon after `stop` is set, until the commit begins.
    StateError for a store still being written, JobRefused for one that cannot be exported,
    StoreFull where the result would not fit, EncoderFailed, VerifyMismatch; the store's own
    errors. After any of them nothing unfinished is left.
    """
    if (store_path / ".lock").exists():
        raise StateError(f"{store_path} is still being recorded or was cut off: stop it, or run "
                         "`fieldrec recover`, before it is exported")
    if not output_folder.is_dir():
        raise NotFoundError(f"{output_folder}: no such folder: create it, or name another")
    with StoreReader(store_path) as store:
        work = _Work(store, store_path.name, preset, output_folder, stop, on_progress)
        return work.run()


class _Work:
    """One export under way: what its steps share."""

    def __init__(self, store: StoreReader, name: str, preset: Preset, output_folder: Path,
                 stop: threading.Event, on_progress: Progress) -> None:
        self.store, self.name, self.preset, self.stop = store, name, preset, stop
        self.target = output_folder / export_name(name, preset)
        self.part = part_path(self.target)
        self.on_progress = on_progress
        if store.frame_count == 0:
            raise JobRefused(f"{name} has no frames: there is nothing to export")
        if store.problems:
            raise StoreDamaged(f"an export would lack frames: {store.problems[0]}")

    def run(self) -> Export:
        pictures = pictures_for(self.store.spec, self.preset)
        pts, moved = ticks(self.store.times_ns)
        with errors_in_one_line(self.part):
            done = sidecar.committed(self.target, self.store.uuid, self.preset.name,
                                     self.store.frame_count, self.stop)
            if done is not None:
                return done
            self._refuse_if_full()
            with removed_on_failure(self.part):
                digest = self._encode(pictures, pts)
                quality = self._verify(pictures, pts, digest)
                return self._commit(digest, quality, _rules(pictures, moved))

    def _refuse_if_full(self) -> None:
        """A rough bound: half of what such a recording typically needs must be free."""
        spec, count = self.store.spec, self.store.frame_count
        bits = self.preset.typical_bits_per_pixel * spec.shape[0] * spec.shape[1] * count
        needed = round(bits / 8 / 2) + _SIDECAR_BYTES_PER_FRAME * count
        free = shutil.disk_usage(self.target.parent).free
        if free < needed:
            raise StoreFull(f"{self.target.parent}: {self.preset.name} of {self.name} needs at "
                            f"least {needed / 1e6:.1f} MB and {free / 1e6:.1f} MB are free: "
                            "make room, or export with a lower preset")

    def _encode(self, pictures: Pictures, pts: Ticks) -> str:
        """Write the part file, durably; returns the digest of its bytes."""
        descriptor = fresh_part(self.part)
        try:
            converted = (pictures.convert(pixels) for pixels in self._frames())
            with prefetched(converted, "export-read") as ahead:
                encode(PartFile(self.part, descriptor), ahead, pts, self._form(pictures),
                       stop=self.stop, on_frame=self._report("encoding"))
            return written_digest(self.part, descriptor, self.stop)
        finally:
            os.close(descriptor)

    def _verify(self, pictures: Pictures, pts: Ticks, digest: str) -> Quality:
        with prefetched(expected(pictures, self._frames()), "export-read") as ahead:
            return verify(self.part, digest, pts, ahead, pictures=pictures, preset=self.preset,
                          stop=self.stop, on_frame=self._report("verifying"))

    def _commit(self, digest: str, quality: Quality, rules: dict[str, Any]) -> Export:
        """From here on nothing stops: rename, then the sidecar, which makes it an export."""
        count = self.store.frame_count
        self.on_progress("committing", count, count)
        if sidecar.sidecar_path(self.target).exists():  # it belongs to what was there before
            durable.unlink(sidecar.sidecar_path(self.target))
        export = Export(path=self.target, preset=self.preset.name, frame_count=count,
                        size_bytes=self.part.stat().st_size, digest=digest,
                        verified_at_ns=time.time_ns())
        try:
            durable.rename(self.part, self.target)
            sidecar.write(export, self._source(), preset=self.preset, quality=quality,
                          rules=rules)
        except BaseException:
            if not self.part.exists():
                discard(sidecar.sidecar_path(self.target))
                discard(self.target)
            raise
        return export

    def _frames(self) -> Iterator[Pixels]:
        """The raw frames in order, each checked against the digest taken when it was recorded."""
        return map(self.store.read, range(self.store.frame_count))

    def _report(self, phase: str) -> Callable[[int], None]:
        total = self.store.frame_count
        return lambda index: self.on_progress(phase, index + 1, total)

    def _form(self, pictures: Pictures) -> MovieFormat:
        seconds, rest = divmod(int(self.store.times_ns[0]), 1_000_000_000)
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
        return MovieFormat(
            self.preset, pictures.width, pictures.height, pictures.pixel_format, pictures.colours,
            self.store.spec.nominal_hz,
            {"creation_time": f"{moment}.{rest // 1000:06d}Z", "title": self.name,
             "comment": f"fieldrec recording {self.store.uuid}"})

    def _source(self) -> sidecar.Source:
        store = self.store
        return sidecar.Source(name=self.name, uuid=store.uuid, created_utc=store.created_utc,
                              timezone=store.timezone, spec=store.spec,
                              user_metadata=dict(store.user_metadata), numbers=store.numbers,
                              times_ns=store.times_ns)


def _rules(pictures: Pictures, moved: int) -> dict[str, Any]:
    return {**pictures.rules(), "time_base": f"1/{TICKS_PER_SECOND}",
            "times_moved": moved,
            "times_rule": "first frame 0; a time not after the one before it is put one tick later"}
