"""The writing half of a store object: checks what it is given, writes it, and closes the store come
what may.

Blocking for the disk; one thread at a time, beside a sync thread of its own (I8). What cannot be
stored is refused before anything of it is on disk; what the disk refuses is an OSError.
"""

from __future__ import annotations

import contextlib
import logging
import math
import operator
import os
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fieldrec.core import durable
from fieldrec.core.errors import FieldrecError, SyncFailed
from fieldrec.core.model import FrameSpec
from fieldrec.store import encodings
from fieldrec.store.api import sought
from fieldrec.store.api.api_writer import ApiWriter
from fieldrec.store.api.imgstore_errors import (
    FrameRefused,
    MetadataRefused,
    StoreClosed,
    StoreExists,
    WrongArgument,
    WrongType,
    write_error,
)
from fieldrec.store.api.sync_thread import SyncThread
from fieldrec.store.constants import STORE_MD_KEY
from fieldrec.store.created import local_timezone
from fieldrec.store.layout import NO_DEVICE_TIME, Columns
from fieldrec.store.metadata import StoreMetadata, metadata_text, store_mapping
from fieldrec.store.spec import pixel_format

log = logging.getLogger(__name__)

DEFAULT_DURABILITY_S = 1.0
_ANY_STORE = store_mapping((1, 1), "uint8", chunksize=1, timezone="UTC", created_epoch_ns=0,
                           uuid="")


def open_writing(path: Path, *, format: Any = None, imgshape: Any = None,
                 imgdtype: Any = np.uint8, chunksize: Any = None, metadata: Any = None,
                 encoding: Any = None, durability_s: float | None = DEFAULT_DURABILITY_S
                 ) -> StoreWriting:
    """A new store at `path`, where there is none: its directory and missing parents are made.

    WrongArgument, WrongType, MetadataRefused for what cannot be; StoreExists, DiskFull,
    WriteFailed. Then nothing was made, and nothing changed.
    """
    if any(needed is None for needed in (imgshape, imgdtype, chunksize, format)):
        raise WrongArgument("imgshape, imgdtype, chunksize and format must be given")
    if not isinstance(imgshape, Iterable):
        raise WrongType(f"imgshape is an array shape (h, w) or (h, w, d), not {imgshape!r}")
    shape = tuple(_positive("imgshape", extent) for extent in imgshape)
    dtype = np.dtype(imgdtype).name
    if not 2 <= len(shape) <= 4:
        raise WrongArgument(f"imgshape is an array shape (h, w) or (h, w, d), not {imgshape!r}")
    if encoding and encoding not in encodings.codes():
        raise WrongArgument(f"encoding {encoding!r} is not known; known are "
                            f"{', '.join(sorted(encodings.codes()))}")
    user = _user_metadata(metadata)
    size = _positive("chunksize", chunksize)
    spec = FrameSpec(shape, dtype, pixel_format(shape, dtype, encoding), 0.0)
    with _as_oserrors():
        durable.make_directories(path.parent)
        writer = ApiWriter(path, spec, chunksize=size, user_metadata=user,
                           timezone=local_timezone(), created_epoch_ns=time.time_ns(),
                           form=str(format), encoding=encoding or None, uniform=False,
                           may_exist=True)
    return StoreWriting(writer, user, shape if not encoding else (*shape[:2], 3), durability_s)


def _positive(name: str, value: Any) -> int:
    """A plain int of it: numpy's are fine, 4.0 too, "4" is not."""
    try:
        number = int(value) if isinstance(value, float) and value.is_integer() else (
            operator.index(value))
    except TypeError:
        raise WrongType(f"{name}: {value!r} is not a whole number") from None
    if number < 1:
        raise WrongArgument(f"{name}: {value!r} is not positive")
    return number


def _user_metadata(metadata: Any) -> dict[Any, Any]:
    """The user's metadata as it will be stored; imgstore's own key in it has no meaning."""
    if metadata is None:
        return {}
    if not isinstance(metadata, Mapping):
        raise WrongArgument("metadata must be a dictionary")
    user = {key: value for key, value in metadata.items() if key != STORE_MD_KEY}
    try:
        metadata_text(_ANY_STORE, user)
    except ValueError as error:
        raise MetadataRefused(str(error)) from error
    return user


@contextmanager
def _as_oserrors() -> Iterator[None]:
    """What a disk or a taken name makes of writing, as errors that are OSErrors too."""
    try:
        yield
    except FieldrecError as error:
        if isinstance(error.__cause__, FileExistsError):
            raise StoreExists(str(error)) from error
        raise write_error(error) from error


class StoreWriting:
    """A store that is open for writing."""

    def __init__(self, writer: ApiWriter, user: dict[Any, Any], image_shape: tuple[int, ...],
                 durability_s: float | None) -> None:
        self.user_metadata = user
        self.image_shape = image_shape
        self.problems: tuple[str, ...] = ()
        self._writer = writer
        self._process = os.getpid()
        self._closed = False
        self._begin()
        self._syncs = None if durability_s is None else SyncThread(
            writer.path.name, writer, durability_s / 2)

    def _begin(self) -> None:
        self.frame_number: Any = math.nan
        self.frame_time: Any = math.nan
        self.frame_min = self.frame_max = math.nan
        self.frame_time_min = self.frame_time_max = time.time()

    @property
    def metadata(self) -> StoreMetadata:
        """What the store's metadata.yaml says of it."""
        return self._writer.metadata

    @property
    def frame_count(self) -> int:
        """Frames that are in the store."""
        return self._writer.frame_count

    @property
    def chunks(self) -> list[int]:
        """The chunks that are finished."""
        return list(range(self._writer.chunks_finished))

    @property
    def syncs_here(self) -> bool:
        """Whether the calling thread is the store's sync thread."""
        return self._syncs is not None and self._syncs.is_current

    # --- frames ---------------------------------------------------------------------------------

    def add_image(self, img: Any, frame_number: Any, frame_time: Any) -> None:
        """Store one image; on any error it is not in the store."""
        number, time_s = sought.new_number(frame_number), sought.new_time(frame_time)
        pixels = img if type(img) is np.ndarray else _array(img)
        if self._syncs is not None and self._syncs.failure is not None:
            self._settle(self._syncs)
        try:
            self._writer.append(pixels, number, sought.nanoseconds(time_s), None, time_s)
        except SyncFailed as error:  # the frame is written; its chunk is not to be trusted
            self._go_on_after(error)
        except (FieldrecError, ValueError) as error:
            raise self._refusal(error) from error
        self._note(number, time_s, frame_number, frame_time)

    def _note(self, number: int, time_s: float, given_number: Any, given_time: Any) -> None:
        self.frame_number, self.frame_time = given_number, given_time
        if math.isnan(self.frame_min):
            self.frame_min = self.frame_max = float(number)
            self.frame_time_min = time_s
        elif number < self.frame_min:
            self.frame_min = float(number)
        elif number > self.frame_max:
            self.frame_max = float(number)
        self.frame_time_max = time_s

    def _refusal(self, error: Exception) -> Exception:
        if self._closed:
            return StoreClosed(f"{self._writer.path}: the store is closed")
        if isinstance(error, FieldrecError):
            return write_error(error)
        return FrameRefused(f"{self._writer.path}: {error}")

    def _settle(self, syncs: SyncThread) -> None:
        """The sync thread has met an error: frames before the next one may be lost."""
        failure = syncs.failure
        if failure is None:
            return
        if not isinstance(failure, SyncFailed):
            syncs.failure = None
            raise write_error(failure) from failure
        self._go_on_after(failure)
        syncs.failure = None

    def _go_on_after(self, failure: SyncFailed) -> None:
        """End the chunk that cannot be trusted with what reads back right."""
        lost = self._writer.lost
        with _as_oserrors():
            self._writer.next_chunk_after_sync_failure()
        given_up = self._writer.lost - lost
        self.problems += (f"{failure}; {given_up} frames were lost, writing went on in a new "
                          "chunk",)

    def add_extra_data(self, values: Mapping[str, Any]) -> None:
        """Keep these values beside the frame written last; never fails for a value."""
        if self._closed:
            raise StoreClosed(f"{self._writer.path}: the store is closed")
        self._writer.add_extra_data(**values)

    def show_extra_data(self) -> None:
        """Have it where readers of extra data look."""
        if not self._closed:
            self._writer.journal_extra()

    # --- the store ------------------------------------------------------------------------------

    def empty(self) -> None:
        """Remove all that was stored and begin anew."""
        self._need_open()
        with _as_oserrors():
            self._writer.clear()
        self._begin()

    def insert_video(self, video: Path, numbers: Sequence[Any], times_s: Sequence[Any],
                     move: bool) -> None:
        """Make a finished video file the next chunk."""
        self._need_open()
        columns = _columns([sought.new_number(number) for number in numbers],
                           [sought.new_time(time_s) for time_s in times_s])
        with _as_oserrors():
            self._writer.insert_video(video, columns, move=move)
        for number, time_s in zip(columns.numbers.tolist(), columns.seconds().tolist(),
                                  strict=True):
            self._note(number, time_s, number, time_s)

    def _need_open(self) -> None:
        if self._closed:
            raise StoreClosed(f"{self._writer.path}: the store is closed")

    def close(self) -> None:
        """Complete the store. Idempotent; no effect in a process that was forked from the one
        that writes."""
        if self._closed or os.getpid() != self._process:
            return
        self._closed = True
        if self._syncs is not None:
            self._syncs.stop()
        with _as_oserrors():
            self._writer.close()


def close_forgotten(writing: StoreWriting) -> None:
    """Complete a store whose object is gone, at the latest when Python ends."""
    if writing.syncs_here:  # collected in the midst of a sync, which holds what closing needs
        threading.Thread(target=close_forgotten, args=(writing,), name="close-forgotten").start()
        return
    try:
        writing.close()
    except Exception:
        log.exception("a store that nobody closed cannot be completed; recover it")


def _array(img: Any) -> NDArray[Any]:
    """The image as an array. WrongType for what is none."""
    with contextlib.suppress(TypeError, ValueError):
        pixels = np.asarray(img)
        if pixels.dtype.kind in "biuf":
            return pixels
    raise WrongType(f"an image is an array of numbers, not {type(img).__name__}")


def _columns(numbers: list[int], times_s: list[float]) -> Columns:
    count = len(numbers)
    times_ns = np.array([sought.nanoseconds(time_s) for time_s in times_s], np.int64)
    return Columns(np.array(numbers, np.int64), times_ns, np.full(count, NO_DEVICE_TIME, np.int64),
                   None, np.array(times_s, np.float64))
