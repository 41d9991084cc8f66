"""One store as another: any kind to any kind, numbers, times, metadata and extra data kept.

Blocking, one thread. The new store is made under an unfinished name, closed, read back and
compared, and only then gets its name (I4): whatever ends a conversion early leaves nothing. The
source is only read.
"""

from __future__ import annotations

import contextlib
import fcntl
import math
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fieldrec.core import durable
from fieldrec.core.errors import (
    FieldrecError,
    LockedError,
    StoreDamaged,
    StoreError,
    StoreFull,
    SyncFailed,
    UsageError,
    VerifyMismatch,
)
from fieldrec.core.model import FrameSpec
from fieldrec.store import encodings
from fieldrec.store.compare_pixels import PERFECT_DB, pixel_digest, psnr_db
from fieldrec.store.created import created
from fieldrec.store.extra_read import iter_extra_records
from fieldrec.store.frame_files import COLOUR_SUFFIX, frame_files, stored_format
from fieldrec.store.layout import LOCK_NAME, seconds_of
from fieldrec.store.metadata import VIDEO_FORMATS, StoreMetadata
from fieldrec.store.reader import StoreReader
from fieldrec.store.spec import ours_in, pixel_format
from fieldrec.store.visible import colour_code
from fieldrec.store.writer import StoreWriter

Pixels = NDArray[Any]
Progress = Callable[[str, int, int], None]
"""Told a phase ("converting", "comparing") and frames done of total."""

DECODED = "decoded"
"""In place of an encoding: frames are stored as the BGR pictures that they stand for."""
CHUNKSIZE, VIDEO_CHUNKSIZE = 200, 10_000
"""imgstore's own defaults."""
_PLACES = ("frame_time", "frame_number", "frame_index")


class ConversionStopped(StoreError):
    """The conversion was told to stop, and left nothing behind."""

    transient = True


@dataclass(frozen=True, slots=True)
class Wish:
    """What the new store shall be."""

    form: str
    chunksize: int | None = None
    """None: as the source's; from files to video or back VIDEO_CHUNKSIZE or CHUNKSIZE."""
    encoding: str | None = None
    """None: the source's, but lossy formats, which would spoil a mosaic, get it decoded. DECODED.
    Or the name of the encoding in which the source's frames are, whatever it says."""
    skip_damaged: bool = False
    """Leave out what cannot be read, instead of refusing."""


@dataclass(slots=True)
class Converted:
    """What was made."""

    path: Path
    frame_count: int = 0
    lossless: bool = True
    """Whether every frame reads back exactly as the source has it (decoded, where that was so)."""
    notes: list[str] = field(default_factory=list)
    """What is not as it was, one line each."""
    skipped: list[str] = field(default_factory=list)
    """What was left out, and why."""
    extra_records: int = 0
    psnr_min_db: float = PERFECT_DB
    """Of the worst frame, where not lossless."""


def convert(source: StoreReader, target: Path, wish: Wish, *, stop: threading.Event,
            on_progress: Progress) -> Converted:
    """Make the store `target`, which must not exist, of the frames of `source`. Blocks.

    StoreDamaged for a damaged source (unless they are to be skipped), StoreError for what the
    format cannot hold or a target that is there, UsageError for an unknown encoding, StoreFull,
    VerifyMismatch; ConversionStopped soon after `stop` is set. Nothing is left after any of them.
    """
    if target.exists() or target.is_symlink():
        raise StoreError(f"{target}: exists already; name another store")
    part = target.with_name(durable.PART_PREFIX + target.name)
    _sweep(part)
    work = _Work(source, part, wish, stop, on_progress)
    try:
        work.write()
        work.compare()
        if target.exists():
            raise StoreError(f"{target}: exists already; name another store")
        durable.rename(part, target)
    except BaseException as error:
        with contextlib.suppress(OSError, FieldrecError):
            durable.rmtree(part)
        if isinstance(error, OSError):
            raise StoreError(f"{target}: {error.strerror or error}") from error
        raise
    work.made.path = target
    return work.made


def _sweep(part: Path) -> None:
    """Remove what a killed conversion left. LockedError while one goes on."""
    if not part.exists():
        return
    with contextlib.suppress(FileNotFoundError):
        descriptor = os.open(part / LOCK_NAME, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise LockedError(f"{part}: another conversion makes this store") from error
        finally:
            os.close(descriptor)
    durable.rmtree(part)


class _Work:
    """One conversion under way."""

    def __init__(self, source: StoreReader, part: Path, wish: Wish, stop: threading.Event,
                 on_progress: Progress) -> None:
        self._source, self._part, self._wish = source, part, wish
        self._stop, self._on_progress = stop, on_progress
        self.made = Converted(part)
        self._code, self._decodes = _encoding(source, wish)
        self._kept: list[int] = []
        """Indexes in the source of the frames that were written."""
        self._digests: list[int] = []
        self._refuse_or_note(source.problems)

    def _refuse_or_note(self, problems: tuple[str, ...]) -> None:
        for problem in problems:
            if not self._wish.skip_damaged:
                raise StoreDamaged(f"{problem}; --skip-damaged leaves it out")
            self.made.skipped.append(problem)

    # --- writing ----------------------------------------------------------------------------------

    def write(self) -> None:
        """The whole store, closed."""
        records = _ByFrame(self._extra_records())
        writer = self._writer()
        try:
            index = self._source.index
            columns = index.numbers, index.times_ns, index.device_times_ns, index.times_s
            exact = seconds_of(columns[1]) == columns[3]
            _refuse_fractions(columns[0])
            self._add(writer, records.before_first())
            for at in range(index.count):
                if self._stop.is_set():
                    raise ConversionStopped("stopped")
                pixels = self._read(at)
                if pixels is not None:
                    number, time_ns, device_ns, time_s = (column[at].item() for column in columns)
                    self._append(writer, pixels, at, int(number), time_ns,
                                 device_ns if device_ns >= 0 else None,
                                 None if exact[at] else time_s)
                self._add(writer, records.at(at))
                self._on_progress("converting", at + 1, index.count)
            self._add(writer, records.rest())
            if index.count and not self._kept:
                raise StoreDamaged(f"{self._source.path}: not one frame of it can be read")
            writer.close()
            self.made.frame_count = writer.frame_count
        finally:
            writer.abandon()

    def _writer(self) -> StoreWriter:
        source, metadata = self._source, self._source.metadata
        shape = metadata.imgshape
        if self._decodes:
            shape = encodings.decoded_shape(shape, self._code)
        dtype = source.spec.dtype
        encoding = None if self._decodes else self._code
        began, zone = created(source.path, metadata, source.user_metadata)
        spec = FrameSpec(shape, dtype, pixel_format(shape, dtype, encoding), 0.0)
        form = stored_format(self._wish.form)
        return StoreWriter(
            self._part, spec, chunksize=self._wish.chunksize or _chunksize(metadata, form),
            user_metadata=_metadata(source, self._decodes), timezone=zone.key,
            created_epoch_ns=round(began.timestamp() * 1_000_000) * 1000, form=form,
            encoding=encoding, uniform=False)

    def _read(self, index: int) -> Pixels | None:
        """One frame as it is to be stored; None when it is left out."""
        try:
            pixels = self._source.read(index)
            if self._decodes and self._code is not None:
                pixels = encodings.decode(pixels, self._code)
        except (StoreDamaged, ValueError) as error:
            if self._wish.skip_damaged:
                self.made.skipped.append(f"frame {index}: {error}")
                return None
            raise StoreDamaged(f"frame {index} (number {self._source.numbers[index]}): {error}; "
                               "--skip-damaged leaves such frames out") from error
        return pixels

    def _append(self, writer: StoreWriter, pixels: Pixels, index: int, number: int, time_ns: int,
                device_ns: int | None, time_s: float | None) -> None:
        try:
            writer.append(pixels, number, time_ns, device_ns, time_s)
        except SyncFailed as error:
            raise StoreError(f"{error}; nothing was converted") from error
        except ValueError as error:
            raise StoreError(f"frame {index}: {error}") from error
        self._kept.append(index)
        self._digests.append(pixel_digest(pixels))

    def _extra_records(self) -> list[dict[str, Any]]:
        path = self._source.path
        try:
            return list(iter_extra_records(path))
        except FieldrecError as error:
            if not self._wish.skip_damaged:
                raise StoreDamaged(f"{error}; --skip-damaged leaves out what cannot be read of it"
                                   ) from error
            self.made.skipped.append(str(error))
            return list(iter_extra_records(path, ignore_corrupt=True))

    def _add(self, writer: StoreWriter, records: list[Mapping[str, Any]]) -> None:
        for record in records:
            writer.add_extra_data(**{key: value for key, value in record.items()
                                     if key not in _PLACES})
            self.made.extra_records += 1

    # --- comparing --------------------------------------------------------------------------------

    def compare(self) -> None:
        """Read the new store back. VerifyMismatch says what differs."""
        with StoreReader(self._part) as made:
            self._compare_columns(made)
            records = sum(1 for _ in iter_extra_records(self._part))
            if ours_in(made.user_metadata).get("extra_data_lost"):
                raise StoreFull(f"{self._part}: no room for the extra data; nothing was converted")
            if records != self.made.extra_records:
                raise self._mismatch(f"{records} extra data records of {self.made.extra_records}")
            self.made.lossless = (not made.metadata.is_video
                                  and frame_files(made.metadata).lossless)
            self._note(made.metadata)
            compare = self._same if self.made.lossless else self._near
            for place, index in enumerate(self._kept):
                if self._stop.is_set():
                    raise ConversionStopped("stopped")
                compare(made, place, index)
                self._on_progress("comparing", place + 1, len(self._kept))

    def _compare_columns(self, made: StoreReader) -> None:
        if made.problems or made.frame_count != len(self._kept):
            raise self._mismatch(f"{made.frame_count} of {len(self._kept)} frames are listed"
                                 + "".join(f"; {problem}" for problem in made.problems[:1]))
        there, source = made.index, self._source.index
        for name, new, old in (("number", there.numbers, source.numbers),
                               ("time", there.times_s, source.times_s),
                               ("time in ns", there.times_ns, source.times_ns),
                               ("device time", there.device_times_ns, source.device_times_ns)):
            differs = np.flatnonzero(new != old[self._kept])
            if len(differs):
                at = int(differs[0])
                raise self._mismatch(f"the {name} of frame {at} is {new[at]}, not "
                                     f"{old[self._kept[at]]}")

    def _same(self, made: StoreReader, place: int, _index: int) -> None:
        if pixel_digest(made.read(place)) != self._digests[place]:
            raise self._mismatch(f"frame {place} reads back as another picture")

    def _near(self, made: StoreReader, place: int, index: int) -> None:
        """The frame is there; how good it is, is told."""
        pixels = self._read(index)
        if pixels is not None:
            self.made.psnr_min_db = min(self.made.psnr_min_db, psnr_db(pixels, made.read(place)))

    def _mismatch(self, what: str) -> VerifyMismatch:
        return VerifyMismatch(f"{self._part}: read back, {what}; nothing was converted, the source "
                              "is as it was")

    def _note(self, made: StoreMetadata) -> None:
        """Say what is not as it was."""
        notes, source = self.made.notes, self._source.metadata
        if self._decodes:
            notes.append(f"{self._code} decoded to BGR")
        elif made.encoding != source.encoding:
            notes.append(f"said to be {made.encoding}")
        if made.is_video and made.imgshape[:2] != (source_shape := encodings.decoded_shape(
                source.imgshape, self._code if self._decodes else None))[:2]:
            notes.append(f"{source_shape[1]}x{source_shape[0]} cut to {made.imgshape[1]}x"
                         f"{made.imgshape[0]}: video has even sizes")
        if not self.made.lossless:
            notes.append(f"{made.format} is lossy: numbers, times and metadata are exact, pixels "
                         "are not")


def _encoding(source: StoreReader, wish: Wish) -> tuple[str | None, bool]:
    """The encoding of the source's frames, and whether they are decoded. UsageError."""
    told = str(ours_in(source.user_metadata).get("pixel_format") or "")
    known = colour_code(source.metadata.encoding, told)
    decodes = wish.form.endswith(COLOUR_SUFFIX) or not _can_be_lossless(wish.form)
    if wish.encoding is None:
        return (known, True) if decodes and known else (source.metadata.encoding, False)
    if wish.encoding == DECODED:
        return known, known is not None
    try:
        encodings.check(wish.encoding)
    except ValueError as error:
        raise UsageError(f"--encoding: {error}; or {DECODED}") from error
    return wish.encoding, decodes


def _chunksize(source: StoreMetadata, form: str) -> int:
    video = form in (*VIDEO_FORMATS, "mjpeg")
    if video == source.is_video:
        return source.chunksize
    return VIDEO_CHUNKSIZE if video else CHUNKSIZE


def _can_be_lossless(form: str) -> bool:
    return stored_format(form) != "jpg" and form not in (*VIDEO_FORMATS, "mjpeg")


def _metadata(source: StoreReader, decodes: bool) -> dict[str, Any]:
    """The user's metadata, and where the frames are from. A `fieldrec` key that is somebody
    else's stays as it is."""
    user = dict(source.user_metadata)
    ours = user.get("fieldrec", {})
    if isinstance(ours, dict):
        user["fieldrec"] = {**ours, "converted_from": source.uuid or source.path.name}
        if decodes and "pixel_format" in ours:
            user["fieldrec"]["pixel_format"] = pixel_format((1, 1, 3), source.spec.dtype)
    return user


def _refuse_fractions(numbers: NDArray[Any]) -> None:
    if numbers.dtype.kind == "f":
        at = int(np.flatnonzero(numbers != np.floor(numbers))[0])
        raise StoreError(f"the number of frame {at} is {numbers[at]}: only whole numbers are "
                         "written; convert it with imgstore")


class _ByFrame:
    """Extra data by the frame that it belongs to; a record without one belongs where the one
    before it does."""

    def __init__(self, records: list[dict[str, Any]]) -> None:
        self._records: dict[int, list[Mapping[str, Any]]] = {}
        last = -1
        for record in records:
            index = record.get("frame_index")
            if isinstance(index, int | float) and not math.isnan(index):
                last = max(int(index), -1)
            self._records.setdefault(last, []).append(record)

    def before_first(self) -> list[Mapping[str, Any]]:
        """Records from before the first frame."""
        return self._records.pop(-1, [])

    def at(self, index: int) -> list[Mapping[str, Any]]:
        """Records of this frame."""
        return self._records.pop(index, [])

    def rest(self) -> list[Mapping[str, Any]]:
        """Records of frames that the store does not have."""
        return [record for index in sorted(self._records) for record in self._records[index]]
