"""One store, of any format, from one source and without a session: what `fieldrec save` does.

Blocking, in the caller's thread. A video file is read frame by frame, as fast as the store takes
them, each with its own time: none is lost. A live camera gets the capture, store and sync threads
of a recording, so that a slow disk or encoder loses known frames instead of stalling it. However it
ends, the store is closed in order, or removed when not one frame came.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from fieldrec.camera import Camera, Pixels, blank
from fieldrec.config import RecordConfig, StoreConfig
from fieldrec.core import durable
from fieldrec.core.clock import Anchor, SystemClock
from fieldrec.core.errors import (
    CameraEnded,
    CameraLost,
    CameraTimeout,
    FieldrecError,
    StoreError,
    StoreFull,
    SyncFailed,
)
from fieldrec.core.model import FrameHeader, FrameSpec
from fieldrec.record.capture import Capture, Patience
from fieldrec.record.listener import Listener
from fieldrec.record.outcome import Cause
from fieldrec.record.place import GivenPath
from fieldrec.record.ring import Ring, slots_for
from fieldrec.record.series import Series
from fieldrec.record.storing import Storing
from fieldrec.store import encodings
from fieldrec.store.api.new_store import new_store, recording_metadata
from fieldrec.store.convert import CHUNKSIZE, VIDEO_CHUNKSIZE
from fieldrec.store.frame_files import frame_files
from fieldrec.store.metadata import VIDEO_FORMATS
from fieldrec.store.video.packet_form import packet_form
from fieldrec.store.writer import StoreWriter

GRAB_S = 0.5
"""One wait for a frame: how late a stop is seen."""
LOOK_S = 0.2

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be made."""

    path: Path
    form: str | None
    """None: as the source gives it, raw, or the video format of the packets that it sends."""
    chunksize: int | None
    """None: what is usual for the format."""
    metadata: Mapping[str, Any]
    timezone: str
    frames: int | None = None
    """At most so many."""
    nominal_hz: float = 0.0
    """Frames per second, where the source's own word for it is not good enough; else 0."""


@dataclass(frozen=True, slots=True)
class Saved:
    """What was made."""

    frame_count: int
    dropped: int
    """Gaps in the source's numbers: frames that a camera skipped, or that could not be decoded."""
    lost: int
    """Frames that arrived and found our ring full."""
    reason: str
    """What ended it."""


def save_played(camera: Camera, plan: Plan, start_ns: int, stop: threading.Event,
                on_progress: Progress, expected: int = 0) -> Saved:
    """Every frame of a source that waits for us, such as a file; its first frame is at `start_ns`.

    CameraError, StoreError before there is a store. After an error of either the store is closed
    with the frames before it, and the error raised again with their number.
    """
    camera = _Adapted(camera, plan)
    try:
        spec = camera.open()
        camera.start()
        pixels = blank(spec)
        header = _next(camera, pixels, stop)  # before the store: without a frame there is none
        if header is None:
            raise CameraEnded("interrupted before the first frame; nothing was saved")
        played = _Played(_writer(plan, spec, start_ns), header, start_ns, plan, stop)
        return played.run(camera, pixels, header, on_progress, plan.frames or expected)
    finally:
        camera.stop()
        camera.close()


def _next(camera: Camera, into: Pixels, stop: threading.Event) -> FrameHeader | None:
    """The next frame, however long it takes; None once `stop` is set."""
    while not stop.is_set():
        with contextlib.suppress(CameraTimeout):
            return camera.grab(into, GRAB_S)
    return None


class _Played:
    """A store that is filled from a source that waits for us."""

    def __init__(self, writer: StoreWriter, first: FrameHeader, start_ns: int, plan: Plan,
                 stop: threading.Event) -> None:
        self._writer, self._plan, self._stop = writer, plan, stop
        self._origin_ns = start_ns - _file_time_ns(first)
        self._next_number = first.number
        self._dropped = 0

    def run(self, camera: Camera, into: Pixels, first: FrameHeader, on_progress: Progress,
            expected: int) -> Saved:
        """Append until the source, the plan or somebody ends it; close the store in order."""
        writer, header = self._writer, first
        reason = f"{self._plan.frames} frames"
        try:
            while True:
                self._append(header, into)
                on_progress("saving", writer.frame_count, expected)
                if writer.frame_count == self._plan.frames:
                    break
                found = _next(camera, into, self._stop)
                if found is None:
                    reason = "interrupted"
                    break
                header = found
        except CameraEnded as error:
            reason = f"source ended: {error}"
        except (FieldrecError, OSError, ValueError) as error:
            self._close(str(error))
            raise self._with_count(error) from error
        except BaseException:
            self._close("interrupted")
            raise
        self._close(reason)
        return Saved(writer.frame_count, self._dropped, writer.lost, reason)

    def _append(self, header: FrameHeader, pixels: Pixels) -> None:
        self._dropped += max(0, header.number - self._next_number)
        self._next_number = header.number + 1
        time_ns = self._origin_ns + _file_time_ns(header)
        try:
            self._writer.append(pixels, header.number, time_ns, header.device_time_ns)
        except SyncFailed:  # the frame is written; its chunk is not to be trusted
            self._writer.next_chunk_after_sync_failure()

    def _close(self, reason: str) -> None:
        """In order; a store without a frame is removed."""
        if self._writer.first_time_ns is None:
            self._writer.abandon()
            with contextlib.suppress(FieldrecError, OSError):
                durable.rmtree(self._writer.path)
        else:
            self._writer.close({"dropped": self._dropped, "lost": 0, "stop_reason": reason})

    def _with_count(self, error: Exception) -> FieldrecError:
        """The same kind of error, saying what was kept."""
        kept = _kept(self._writer.frame_count, self._plan.path)
        if isinstance(error, FieldrecError):
            return type(error)(f"{error}{kept}")
        return StoreError(f"{self._plan.path}: {error}{kept}")


def _kept(frame_count: int, path: Path) -> str:
    if not frame_count:
        return "; nothing was saved"
    return f"; the {frame_count} frames before are in {path}, closed in order"


def is_video(form: str) -> bool:
    """Whether a format is one of videos."""
    return form in (*VIDEO_FORMATS, "mjpeg")


def _form(plan: Plan, spec: FrameSpec) -> str:
    """The format of the store. StoreError: packets are stored as they are, or not at all."""
    packets = packet_form(spec.pixel_format)
    if packets is None or plan.form in (None, packets):
        return plan.form or packets or "npy"
    raise StoreError(f"{plan.path}: the camera gives packets of {spec.pixel_format}, which are "
                     f"stored as {packets}, not as {plan.form}; leave the format out, or let the "
                     "camera give frames (store: frames)")


def _writer(plan: Plan, spec: FrameSpec, start_ns: int) -> StoreWriter:
    """StoreError when there can be no such store, or no such frame in it."""
    form = _form(plan, spec)
    chunksize = plan.chunksize or (VIDEO_CHUNKSIZE if is_video(form) else CHUNKSIZE)
    new = new_store(plan.path, spec, chunksize=chunksize, timezone=plan.timezone,
                    created_epoch_ns=start_ns, form=form, encoding=_encoding(spec))
    if not new.metadata.is_video:
        pixels = blank(spec)
        try:
            frame_files(new.metadata).buffers(
                pixels if new.decode_as is None else encodings.decode(pixels, new.decode_as))
        except ValueError as error:
            raise StoreError(f"{plan.path}: {error}") from error
    return StoreWriter(
        plan.path, spec, chunksize=chunksize, timezone=plan.timezone,
        created_epoch_ns=start_ns, form=form, encoding=_encoding(spec),
        user_metadata=recording_metadata(plan.metadata, spec, plan.timezone))


def _encoding(spec: FrameSpec) -> str | None:
    try:
        return encodings.from_pylon(spec.pixel_format)
    except ValueError:
        return None


def _file_time_ns(header: FrameHeader) -> int:
    """The time in the file; of a camera that has none, its virtual time."""
    return header.monotonic_ns if header.device_time_ns is None else header.device_time_ns


# --- live cameras -----------------------------------------------------------------------------

def save_live(camera: Camera, plan: Plan, stop: threading.Event, on_progress: Progress, *,
              store: StoreConfig, record: RecordConfig) -> Saved:
    """Frames of a camera that waits for nobody, until `stop`, the plan or the camera ends it.

    CameraError, StoreError when nothing was saved; otherwise the store is closed in order, and
    the error that ended it is raised with the number of frames that were saved.
    """
    camera = _Adapted(camera, plan)
    try:
        spec = camera.open()
        storing, series, ended = _live(camera, plan, spec, store, record)
        storing.start()
        while not ended.wait(LOOK_S):
            on_progress("saving", series.frame_count, plan.frames or 0)
            if stop.is_set():
                storing.request_stop("interrupted")
        storing.join()
        return _outcome(storing, series, plan.path)
    finally:
        camera.close()


def _live(camera: Camera, plan: Plan, spec: FrameSpec, store: StoreConfig, record: RecordConfig
          ) -> tuple[Storing, Series, threading.Event]:
    """A run, its one series, and what is set at its end."""
    clock, patience, ended = SystemClock(), Patience(), threading.Event()
    listener = Listener(changed=lambda: None, event=lambda _text, _severity: None,
                        closed=lambda _name, _frames: None, series_ended=lambda: None,
                        ended=ended.set)
    ring = Ring(spec, slots_for(spec, record.ring_s, record.ring_max_bytes))
    capture = Capture("save", camera, ring, nominal_hz=spec.nominal_hz, patience=patience,
                      barrier=None)
    storing = Storing("save", ring=ring, capture=capture, clock=clock, listener=listener,
                      patience=patience)
    series = Series("save", place=GivenPath(plan.path), capture=capture, ring=ring, clock=clock,
                    new_writer=lambda _path, epoch_ns, _said: _writer(plan, spec, epoch_ns),
                    anchor=Anchor.take(clock), listener=listener,
                    sync_interval_s=store.durability_s / 2)
    series.begin()
    storing.begin(series)
    return storing, series, ended


def _outcome(storing: Storing, series: Series, path: Path) -> Saved:
    outcome = series.outcome
    reason = "" if outcome is None else outcome.reason
    saved = Saved(series.frame_count, storing.capture.dropped, series.lost, reason)
    if outcome is None or outcome.cause in (Cause.STOPPED, Cause.ENDED):
        return saved
    kinds: dict[Cause, type[FieldrecError]] = {Cause.FULL: StoreFull, Cause.CAMERA: CameraLost}
    raise kinds.get(outcome.cause, StoreError)(reason + _kept(saved.frame_count, path))


class _Adapted:
    """A camera as this store wants it: it ends after the frames that are planned, and where the
    format would spoil a mosaic, gives BGR."""

    def __init__(self, camera: Camera, plan: Plan) -> None:
        self._camera = camera
        form = plan.form or ""
        self._spoils = form.startswith("jpg") or is_video(form)
        self._planned = self._left = plan.frames
        self._nominal_hz = plan.nominal_hz
        self._code: str | None = None
        self._mosaic: Pixels = np.zeros(0)
        self.start, self.stop, self.close = camera.start, camera.stop, camera.close

    def open(self) -> FrameSpec:
        """As the camera's; what it says is what :meth:`grab` gives."""
        spec = self._camera.open()
        spec = replace(spec, nominal_hz=self._nominal_hz or spec.nominal_hz)
        code = _encoding(spec)
        if code is None or not self._spoils:
            return spec
        self._code, self._mosaic = code, blank(spec)
        return replace(spec, shape=encodings.decoded_shape(spec.shape, code), pixel_format="BGR8")

    def grab(self, into: Pixels, timeout_s: float) -> FrameHeader:
        """As the camera's, until the frames are used up."""
        if self._left == 0:
            raise CameraEnded(f"{self._planned} frames")
        if self._code is None:
            header = self._camera.grab(into, timeout_s)
        else:
            header = self._camera.grab(self._mosaic, timeout_s)
            np.copyto(into, encodings.decode(self._mosaic, self._code))
        if self._left is not None:
            self._left -= 1
        return header
