"""The recorder: the state machine of one camera, on the event loop.

It decides when the camera opens, records and closes; the work is done elsewhere: blocking calls in
its Worker (`recorder-<key>`), frames in the threads `cap-`, `store-` and `sync-<key>` (capture.py,
storing.py, syncer.py). Verbs exclude each other, so that a stop given during a start stops what
was started. Keeps I3 (a new store per recording) and I9: it waits for nothing but its camera and
its disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from fieldrec.camera import Camera
from fieldrec.config import RecordConfig, StoreConfig
from fieldrec.core.clock import Anchor, Clock
from fieldrec.core.errors import CameraLost, FieldrecError, StateError
from fieldrec.core.model import CameraState, ClockQuality, FrameSpec, Heat
from fieldrec.core.snapshot import RecorderStatus
from fieldrec.core.states import CAMERA, step
from fieldrec.core.workers import Worker
from fieldrec.record.capture import Capture, Patience
from fieldrec.record.clock_quality import clock_quality
from fieldrec.record.place import Place
from fieldrec.record.ring import Ring, slots_for
from fieldrec.record.storing import Cause, Listener, Outcome, Storing
from fieldrec.record.syncer import Syncer
from fieldrec.store.api.new_store import recording_metadata
from fieldrec.store.writer import StoreWriter

log = logging.getLogger(__name__)

STARTING_POLL_S = 0.1
"""How often a start that waits for the camera looks whether it was cancelled."""


class Recorder:
    """One camera, its state and, while it records, its recording. All methods but the
    constructor are called on the event loop."""

    def __init__(self, key: str, camera: Camera, *, serial: str, store: StoreConfig,
                 record: RecordConfig, timezone: str, clock: Clock,
                 on_change: Callable[[], None], metadata: Mapping[str, Any] | None = None,
                 patience: Patience | None = None,
                 quality: Callable[[], ClockQuality] = clock_quality) -> None:
        self.key = key
        self.serial = serial
        self.metadata = dict(metadata or {})
        """User metadata of every recording of this camera."""
        self._camera = camera
        self._store = store
        self._record = record
        self._timezone = timezone
        self._clock = clock
        self._on_change = on_change
        self._patience = patience or Patience()
        self._quality = quality
        self._worker = Worker(f"recorder-{key}")
        self._control = asyncio.Lock()
        self._spec: FrameSpec | None = None
        self._storing: Storing | None = None
        self._ended: Storing | None = None
        self._on_event: Callable[[str, str], None] = _ignore_event
        self._on_ended: Callable[[Recorder, Outcome], None] = _ignore_end
        self._on_closed: Callable[[Recorder, str, int], None] = _ignore_closed
        self._last = RecorderStatus(key=key, serial=serial, state=CameraState.CLOSED)

    @property
    def state(self) -> CameraState:
        """The camera's state now."""
        return self._last.state

    @property
    def problem(self) -> str:
        """Why the camera is FAILED; "" otherwise."""
        return self._last.problem

    def listen(self, on_event: Callable[[str, str], None],
               on_ended: Callable[[Recorder, Outcome], None],
               on_closed: Callable[[Recorder, str, int], None] | None = None) -> None:
        """Tell `on_event(text, severity)` what people should know, `on_ended` of the end of every
        recording that had begun, and before it `on_closed(recorder, name, frame_count)` of each
        store with frames in it that has ended; all on the loop."""
        self._on_event = on_event
        self._on_ended = on_ended
        self._on_closed = on_closed or _ignore_closed

    def status(self) -> RecorderStatus:
        """The camera and its recording now; after a recording, its last figures. Cheap."""
        return self._last if self._storing is None else self._picture(self._storing)

    # -- verbs -------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Open the camera; no effect when it is open. FAILED with the problem instead of raising.

        Blocks the worker as long as the camera takes; cancelled, it closes the camera again.
        """
        async with self._control:
            if self.state in (CameraState.READY, CameraState.RECORDING):
                return
            self._step(CameraState.OPENING)
            try:
                self._spec = await self._worker.run(lambda _: self._open_camera())
            except asyncio.CancelledError:
                self._step(CameraState.CLOSED)
                await self._worker.run(lambda _: self._camera.close())
                raise
            except Exception as error:
                if not isinstance(error, FieldrecError):
                    log.exception("camera %s failed in a way it should not", self.key)
                self._step(CameraState.FAILED, str(error) or type(error).__name__)
            else:
                self._last = replace(self._last, spec=self._spec)
                self._step(CameraState.READY)

    async def start(self, place: Place, user_metadata: Mapping[str, Any],
                    barrier: threading.Barrier | None = None, *,
                    ring_max_bytes: int | None = None) -> None:
        """Record into a new store where `place` says; returns when the camera runs.

        StateError unless READY; StoreError, CameraError when store or camera do not start: then
        nothing is left of it. Cancelled, it stops what it began and leaves nothing running.
        `barrier`: shared by the cameras that shall start together; broken when this one fails.
        `ring_max_bytes`: this camera's share of the memory; None: all that the configuration gives.
        """
        try:
            async with self._control:
                await self._start(place, user_metadata, barrier, ring_max_bytes)
        except BaseException:
            if barrier is not None:
                barrier.abort()
            raise

    async def stop(self, reason: str = "stopped") -> None:
        """End the recording in order: capture, ring, store. No effect when there is none.

        Returns when the store is closed, also when cancelled (then with the cancellation).
        """
        if self._storing is not None:
            self._storing.request_stop(reason)
        async with self._control:
            await self._finish(reason)

    async def close(self) -> None:
        """Stop, close the camera and end the worker. Idempotent; the recorder is done for."""
        async with self._control:
            if self.state is CameraState.CLOSED and self._ended is None:
                self._worker.close()
                return
            await self._finish("stopped")
            try:
                await self._worker.run(lambda _: self._close_camera())
            except CameraLost as error:
                log.error("camera %s left as it is: %s", self.key, error)
            finally:
                self._ended = None
                if self.state is not CameraState.CLOSED:
                    self._step(CameraState.CLOSED)
                self._worker.close()

    # -- on the loop -------------------------------------------------------------------------------

    async def _start(self, place: Place, user_metadata: Mapping[str, Any],
                     barrier: threading.Barrier | None, ring_max_bytes: int | None) -> None:
        if self.state is not CameraState.READY:
            why = f": {self.problem}" if self.problem else ""
            raise StateError(f"camera {self.key} cannot record: it is {self.state.value}{why}")
        listener = self._listener(asyncio.get_running_loop())
        metadata = dict(user_metadata)
        try:
            await self._worker.run(
                lambda stop: self._begin(stop, place, metadata, barrier, listener,
                                         ring_max_bytes))
        except BaseException:
            await self._finish("start failed or was cancelled")
            raise
        if self._storing is not None:  # a short file may have ended already
            self._step(CameraState.RECORDING)

    async def _finish(self, reason: str) -> None:
        storing = self._storing
        if storing is None:
            return
        storing.request_stop(reason)
        try:
            await self._worker.run(lambda _: storing.join())
        finally:
            self._settle(storing)

    def _settle(self, storing: Storing) -> None:
        """The recording has ended, by whatever cause: keep its figures, give its ring back."""
        outcome = storing.outcome
        if self._storing is not storing or outcome is None:
            return
        self._last = replace(
            self._picture(storing), recording="" if storing.empty else storing.path.name,
            stop_reason=outcome.reason, ring_used=0, heat=Heat.NONE, measured_hz=0.0)
        self._storing, self._ended = None, storing
        failed = outcome.cause is Cause.CAMERA
        after = CameraState.FAILED if failed else CameraState.READY
        if self.state is not after:
            self._step(after, outcome.problem)
        if self._last.recording and storing.frame_count:
            self._on_closed(self, self._last.recording, storing.frame_count)
        if storing.capture.started:
            self._on_ended(self, outcome)
        self._on_change()

    def _picture(self, storing: Storing) -> RecorderStatus:
        ring = storing.ring_statistics()
        return replace(
            self._last, recording=storing.path.name, frame_count=storing.frame_count,
            dropped=storing.capture.dropped, lost=storing.lost, measured_hz=storing.measured_hz(),
            written_bytes=storing.written_bytes, heat=ring.heat, ring_slots=ring.slots,
            ring_used=ring.used, ring_peak=ring.peak, started_ns=storing.started_ns,
            last_frame_ns=storing.last_frame_ns, stop_reason="")

    def _step(self, new: CameraState, problem: str = "") -> None:
        state = step(CAMERA, self.state, new, f"camera {self.key}")
        self._last = replace(self._last, state=state, problem=problem)
        self._on_change()

    def _listener(self, loop: asyncio.AbstractEventLoop) -> Listener:
        """What the store thread may call: each hands over to the loop and returns."""
        def post(call: Callable[..., None], *arguments: Any) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is there to tell
                loop.call_soon_threadsafe(call, *arguments)

        return Listener(changed=lambda: post(self._on_change),
                        event=lambda text, severity: post(self._on_event, text, severity),
                        ended=lambda storing: post(self._settle, storing))

    # -- in the worker -----------------------------------------------------------------------------

    def _open_camera(self) -> FrameSpec:
        self._close_camera()
        try:
            return self._camera.open()
        except BaseException:
            self._camera.close()
            raise

    def _close_camera(self) -> None:
        """Close the camera, unless a thread still hangs in its driver: calls must not meet."""
        if self._ended is not None:
            self._ended.join()
            if not self._ended.capture.join(self._patience.grab_s):
                raise CameraLost("the camera's driver does not answer; unplug the camera and plug "
                                 "it in again")
        self._camera.close()

    def _begin(self, stop: threading.Event, place: Place, user_metadata: dict[str, Any],
               barrier: threading.Barrier | None, listener: Listener,
               ring_max_bytes: int | None) -> None:
        """Make ring and store, start the threads, wait until the camera runs.

        What it has made is in `_storing` before it can fail or be cancelled: the caller ends it.
        """
        spec = self._spec
        if spec is None:
            raise StateError(f"camera {self.key} is not open")
        most_bytes = self._record.ring_max_bytes if ring_max_bytes is None else ring_max_bytes
        ring = Ring(spec, slots_for(spec, self._record.ring_s, most_bytes))
        anchor = Anchor.take(self._clock)
        path = place.next_path(anchor.epoch_ns)
        writer = StoreWriter(path, spec, chunksize=self._store.chunksize,
                             user_metadata=self._all_metadata(path, spec, user_metadata),
                             timezone=self._timezone, created_epoch_ns=anchor.epoch_ns)
        capture = Capture(self.key, self._camera, ring, nominal_hz=spec.nominal_hz,
                          patience=self._patience, barrier=barrier)
        syncer = Syncer(self.key, writer, self._store.durability_s / 2)
        storing = self._storing = Storing(
            self.key, writer=writer, ring=ring, capture=capture, syncer=syncer, anchor=anchor,
            clock=self._clock, listener=listener, patience=self._patience)
        storing.start()
        while not capture.ready.wait(STARTING_POLL_S) and not stop.is_set():
            pass
        if not stop.is_set() and not capture.started:
            storing.join()
            raise capture.error or CameraLost(f"camera {self.key} did not start")

    def _all_metadata(self, path: Path, spec: FrameSpec, user_metadata: dict[str, Any]
                      ) -> dict[str, Any]:
        """The user's keys and ours; ours are not the user's to set."""
        ours = {"camera_serial": self.serial, "clock_quality": self._quality().value,
                "recording_name": path.name}
        return recording_metadata({**user_metadata, "fieldrec": ours}, spec, self._timezone)


def _ignore_event(_text: str, _severity: str) -> None:
    """Nobody listens."""


def _ignore_end(_recorder: Recorder, _outcome: Outcome) -> None:
    """Nobody listens."""


def _ignore_closed(_recorder: Recorder, _name: str, _frame_count: int) -> None:
    """Nobody listens."""
