"""A movie from the frames of a store: encoded in segments, joined, verified, committed. Blocking.

Exports and transcodes are both made here; what differs between them is in :class:`Wanted`. Order,
each step durable before the next: segments in the working folder, the joined movie as
``.part-<name>``, synced, read back and compared, renamed, its sidecar (I4); then the working folder
goes. A stop or a kill leaves the working folder, with which the next run goes on; any other failure
leaves nothing. The store is only read (I5).
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from fieldrec import __version__
from fieldrec.core import durable
from fieldrec.core.errors import FieldrecError, JobRefused, StoreDamaged
from fieldrec.core.model import Export
from fieldrec.export import sidecar, space, work_folder
from fieldrec.export.containers import Container
from fieldrec.export.encoding import MovieFormat, encode_segment
from fieldrec.export.join import INDEX_BYTES, INDEX_BYTES_PER_FRAME, SegmentsDiffer, join, positions
from fieldrec.export.opening import chosen_encoder, encoder_name, group_frames
from fieldrec.export.part import PartFile, discard, fresh_part, part_path, removed_on_failure
from fieldrec.export.pictures import Pixels, pictures_for
from fieldrec.export.prefetch import depth_for, prefetched
from fieldrec.export.presets import Preset
from fieldrec.export.reduced import Reduction
from fieldrec.export.segment_file import Segment, SegmentWriter, Unreadable, drop
from fieldrec.export.segments import Cuts, in_slices, time_borders, usual_frames
from fieldrec.export.stopped import ExportStopped
from fieldrec.export.timing import Rate, Ticks
from fieldrec.export.verify import Quality, expected, verify, written_digest
from fieldrec.store.reader import StoreReader

Progress = Callable[[str, int, int], None]
"""Told a phase ("encoding", "joining", "verifying", "committing") and frames done of total."""

MORE_PER_FRAME = INDEX_BYTES_PER_FRAME + space.SIDECAR_BYTES_PER_FRAME
"""Bytes in a movie for each frame, beside its packet."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What movie is to be made of what."""

    store: StoreReader
    name: str
    """Of the recording."""
    preset: Preset
    target: Path
    """Its name; that of slices has a number more (:func:`slice_path`)."""
    container: Container
    first: int
    end: int
    """Made of the frames `first` … `end` - 1 of the store."""
    reduction: Reduction
    """From stored frames to those that the preset's pictures are made of."""
    nominal_hz: float
    """0: the frames' times say it."""
    tags: Mapping[str, str]
    form: str
    """Of the sidecar: what kind of movie it is."""
    check_place: Callable[[Path], None]
    """Raises where the movie must not take the place of what is there."""
    committed: Callable[[Path, int], Export | None]
    """The movie at a path, if it was made of so many frames before and is whole."""


@dataclass(frozen=True, slots=True)
class Made:
    """A movie that is there, verified frame by frame."""

    export: Export
    quality: Quality | None
    """None: it was made before."""
    moved: int
    """Frames shown one tick later, as their time was not after that of the frame before."""


def slice_path(target: Path, number: int) -> Path:
    """"bees.high.mp4" has the slices "bees.high.001.mp4"…; 0: no slice."""
    return target.with_name(f"{target.stem}.{number:03d}{target.suffix}") if number else target


def ignore_size(_size_bytes: int) -> None:
    """For whom the size so far does not matter."""


class Making:
    """One movie, or its slices, under way."""

    def __init__(self, wanted: Wanted, *, stop: threading.Event, on_progress: Progress,
                 on_size: Callable[[int], None] = ignore_size) -> None:
        """JobRefused for what no movie can be made of. `on_size` is told the bytes so far."""
        self._wanted, self._stop = wanted, stop
        self._on_progress, self._on_size = on_progress, on_size
        self._pictures = pictures_for(wanted.reduction.spec, wanted.preset)
        self._times_ns = wanted.store.times_ns[wanted.first:wanted.end]
        self._count = wanted.end - wanted.first
        self._rate = Rate(self._times_ns, wanted.nominal_hz, wanted.preset.rate, wanted.container)
        self._form = MovieFormat(
            wanted.preset, self._pictures.width, self._pictures.height,
            self._pictures.pixel_format, self._pictures.colours, self._rate.shown_hz, wanted.tags,
            wanted.container)
        self._cuts = self._rules_of_cutting()
        self._depth = depth_for(max(wanted.store.spec.frame_bytes,
                                    self._pictures.width * self._pictures.height * 3 // 2))

    def run(self) -> list[Made]:
        """Make it. Blocks for the whole time. See :mod:`fieldrec.export.run` for the errors."""
        target = self._wanted.target
        with work_folder.working_folder(target) as folder, _removed_unless_stopped(target):
            space.check_before(target, self._expected_bytes(), self._count, self._wanted.preset,
                               work_folder.size_bytes(folder))
            try:
                return self._make_all(folder)
            except SegmentsDiffer:  # an encoder of the machine's hardware may have its moods
                work_folder.clear(folder)
                return self._make_all(folder)

    def _make_all(self, folder: Path) -> list[Made]:
        work_folder.begin(folder, self._plan())
        segments = self._encode(folder)
        if not any(len(segment.table) for segment in segments):
            raise JobRefused(f"{self._wanted.name}: none of its {self._count} frames can be read: "
                             f"{segments[0].unreadable[0].reason}")
        slices = in_slices(segments, self._cuts, MORE_PER_FRAME, self._more(segments[:1]))
        is_sliced = self._wanted.preset.slice_s or self._wanted.preset.slice_bytes
        made = [self._make(part, number if is_sliced else 0, len(slices) if is_sliced else 0)
                for number, part in enumerate(slices, 1)]
        with contextlib.suppress(OSError, FieldrecError):  # it is made; the next start sweeps
            work_folder.remove(self._wanted.target)
        return made

    # --- encoding ---------------------------------------------------------------------------------

    def _rules_of_cutting(self) -> Cuts:
        preset = self._wanted.preset
        group = group_frames(preset, self._rate.encoded_hz)
        borders = time_borders(self._times_ns, preset.slice_s) if preset.slice_s else ()
        usual = usual_frames(self._pictures.width * self._pictures.height, group)
        return Cuts(self._count, group, usual, borders, preset.slice_bytes,
                    self._expected_bytes() / self._count)

    def _expected_bytes(self) -> float:
        """What such a movie typically has."""
        pixels = self._pictures.width * self._pictures.height * self._count
        return self._wanted.preset.typical_bits_per_pixel * pixels / 8

    def _plan(self) -> dict[str, Any]:
        """What must be the same for segments to be of this movie."""
        wanted = self._wanted
        chosen = chosen_encoder(wanted.preset, self._form)[0]
        return {
            "fieldrec": __version__, "store": wanted.store.uuid,
            "frames": [wanted.first, wanted.end],
            "times_ns": [int(self._times_ns[0]), int(self._times_ns[-1])],
            "preset": wanted.preset.to_request(), "container": wanted.container.extension,
            "encoder": encoder_name(wanted.preset, chosen),
            "pictures": [self._pictures.width, self._pictures.height, self._pictures.pixel_format],
            "rules": {**self._pictures.rules(), **wanted.reduction.rules}}

    def _encode(self, folder: Path) -> list[Segment]:
        """All segments: those that are there already, then the others."""
        segments = work_folder.found_segments(folder, self._count)
        if segments:
            self._on_size(sum(segment.size_bytes for segment in segments))
            self._on_progress("encoding", _end(segments), self._count)
        most = self._count
        while _end(segments) < self._count:
            most = self._encode_on(folder, segments, most)
        return segments

    def _encode_on(self, folder: Path, segments: list[Segment], most: int) -> int:
        """Add segments, the first of `most` frames. Until the end, or until one is too large for a
        slice: then it is not added, and the result says of how many frames the next try is."""
        first = _end(segments)
        with prefetched(self._read_pictures(first), "export-read", self._depth) as ahead:
            while first < self._count:
                before = segments[-1] if segments else None
                end = min(self._cuts.end_of(first, before), first + most)
                segment = self._encode_one(folder, segments, end, ahead)
                if self._is_too_large(segment):
                    drop(segment)
                    return self._cuts.halved(first, end) - first
                if before is not None and not _same_head(before, segment):
                    raise SegmentsDiffer(f"{segment.path}: its encoder was set up otherwise")
                segments.append(segment)
                self._on_size(sum(each.size_bytes for each in segments))
                space.check_during(self._wanted.target, segments, self._count)
                first, most = end, self._count
        return most

    def _encode_one(self, folder: Path, before: Sequence[Segment], end: int,
                    ahead: Iterator[av.VideoFrame | Unreadable]) -> Segment:
        first, size_bytes = _end(before), sum(segment.size_bytes for segment in before)
        with SegmentWriter(folder, first, end) as writer:

            def on_frame(position: int) -> None:
                self._on_size(size_bytes + writer.size_bytes)
                self._on_progress("encoding", position + 1, self._count)

            own = (next(ahead) for _ in range(first, end))
            return encode_segment(writer, own, self._form, self._rate.encoded_hz, stop=self._stop,
                                  on_frame=on_frame)

    def _is_too_large(self, segment: Segment) -> bool:
        """For a slice, and can be helped."""
        most, frames = self._cuts.slice_bytes, segment.end - segment.first
        return (most is not None and frames > self._cuts.group
                and segment.size_bytes + MORE_PER_FRAME * frames + self._more([segment]) > most)

    # --- the frames -------------------------------------------------------------------------------

    def _read_pictures(self, first: int) -> Iterator[av.VideoFrame | Unreadable]:
        """The pictures from a position on; their `pts` is their position."""
        spec = self._wanted.store.spec
        place = np.empty(spec.shape, spec.dtype)  # one for all: a picture is a copy
        for position in range(first, self._count):
            try:
                pixels = self._pixels(position, place)
            except (StoreDamaged, OSError) as error:
                self._raise_unless_only_this(error)
                yield Unreadable(position, str(error).replace(f"{self._wanted.store.path}/", ""))
                continue
            picture = self._pictures.convert(pixels)
            picture.pts = position
            yield picture

    def _pixels(self, position: int, place: Pixels | None = None) -> Pixels:
        """A raw frame, checked against the digest taken when it was recorded, and reduced; in
        `place`, where that is given and can be."""
        pixels = self._wanted.store.read(self._wanted.first + position, place)
        return self._wanted.reduction.apply(pixels)

    def _raise_unless_only_this(self, error: StoreDamaged | OSError) -> None:
        """One frame that is not there is left out; a disk that is not there is an error."""
        if isinstance(error, OSError) and error.errno != errno.EIO:
            raise error
        try:
            self._wanted.store.frame_path(0).parent.stat()
        except OSError:
            raise error from None

    # --- one movie of the segments ----------------------------------------------------------------

    def _make(self, segments: Sequence[Segment], number: int, of: int) -> Made:
        """Join, verify and commit one slice, or the only movie."""
        target = slice_path(self._wanted.target, number)
        done = self._wanted.committed(target, segments[-1].end - segments[0].first)
        if done is not None:
            return Made(done, None, 0)
        kept = positions(segments)
        pts, moved = self._rate.ticks(kept)
        told = self._told(segments, number, of, moved)
        part = part_path(target)
        with removed_on_failure(part):
            digest = self._join(part, segments, pts, sidecar.text(told))
            quality = self._verify(part, digest, pts, kept)
            export = Export(
                path=target, preset=self._wanted.preset.name, frame_count=len(kept),
                size_bytes=part.stat().st_size, digest=digest, verified_at_ns=time.time_ns(),
                slice_number=number, slice_count=of,
                unreadable=sum(len(segment.unreadable) for segment in segments))
            self._commit(part, export, told, quality)
        return Made(export, quality, moved)

    def _told(self, segments: Sequence[Segment], number: int, of: int, moved: int
              ) -> dict[str, Any]:
        """What is embedded, and most of the sidecar."""
        wanted = self._wanted
        source = sidecar.source_of(wanted.store, wanted.name, wanted.first + segments[0].first,
                                   wanted.first + segments[-1].end)
        unreadable = [
            sidecar.Unreadable(wanted.first + row.position,
                               wanted.store.numbers[wanted.first + row.position].item(), row.reason)
            for segment in segments for row in segment.unreadable]
        rules = {**self._pictures.rules(), **wanted.reduction.rules, **self._rate.rules(),
                 "times_moved": moved}
        return sidecar.content(
            source, preset=wanted.preset, pictures=self._pictures, rules=rules,
            encoder=chosen_encoder(wanted.preset, self._form)[0], unreadable=unreadable,
            slice_number=number, slice_count=of, form=wanted.form)

    def _more(self, segments: Sequence[Segment]) -> int:
        """Bytes of a slice that are not of its frames."""
        tags = sum(len(value.encode()) for value in self._form.metadata.values())
        return INDEX_BYTES + tags + len(sidecar.text(self._told(segments, 1, 1, 0)))

    def _join(self, part: Path, segments: Sequence[Segment], pts: Ticks, content: bytes) -> str:
        """Write the part file, durably; the digest of its bytes."""
        descriptor = fresh_part(part)
        try:
            join(PartFile(part, descriptor), segments, pts, self._form, self._rate.encoded_hz,
                 content=content, stop=self._stop, on_packet=self._report("joining", len(pts)))
            return written_digest(part, descriptor, self._stop)
        finally:
            os.close(descriptor)

    def _verify(self, part: Path, digest: str, pts: Ticks, kept: NDArray[np.int64]) -> Quality:
        frames = map(self._pixels, kept.tolist())
        with prefetched(expected(self._pictures, frames), "export-read", self._depth) as ahead:
            return verify(part, digest, pts, ahead, pictures=self._pictures,
                          preset=self._wanted.preset, stop=self._stop,
                          on_frame=self._report("verifying", len(pts)),
                          container=self._wanted.container)

    def _commit(self, part: Path, export: Export, told: dict[str, Any], quality: Quality) -> None:
        """From here on nothing stops: rename, then the sidecar, which makes it a movie of ours."""
        self._on_progress("committing", export.frame_count, export.frame_count)
        self._wanted.check_place(export.path)
        beside = sidecar.sidecar_path(export.path)
        if beside.exists():  # it belongs to what was there before
            durable.unlink(beside)
        try:
            durable.rename(part, export.path)
            sidecar.commit(export, told, quality)
        except BaseException:
            if not part.exists():
                discard(beside)
                discard(export.path)
            raise

    def _report(self, phase: str, total: int) -> Callable[[int], None]:
        return lambda index: self._on_progress(phase, index + 1, total)


def _end(segments: Sequence[Segment]) -> int:
    return segments[-1].end if segments else 0


def _same_head(one: Segment, other: Segment) -> bool:
    return not (len(one.table) and len(other.table)) or one.extradata == other.extradata


@contextlib.contextmanager
def _removed_unless_stopped(target: Path) -> Iterator[None]:
    """Only a stop leaves the segments for the next run: what failed would fail again with them,
    and a full disk needs the room."""
    try:
        yield
    except ExportStopped:
        raise
    except BaseException:
        with contextlib.suppress(OSError, FieldrecError):
            work_folder.remove(target)
        raise
