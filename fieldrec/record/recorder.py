"""The recorder: the state machine of one camera, on the event loop.

It decides when the camera opens, runs, records and closes; the work is done elsewhere: blocking
calls in its Worker (`recorder-<key>`), frames in the threads `cap-`, `store-`, `sync-` and
`turn-<key>` (capture.py, storing.py, syncer.py, turning.py). Verbs that start and stop exclude each
other, so that a stop given during a start stops what was started; those for a recording under way
(pause, split…) are done by the store thread between two frames and wait for nothing else. With
`record.preroll_s` the camera runs, and costs its energy, all the time from READY on. Keeps I3 (a
new store per recording) and I9: it waits for nothing but its camera and its disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from fieldrec.camera import Camera
from fieldrec.camera.parameters import Parameter, Value
from fieldrec.config import RecordConfig, StoreConfig
from fieldrec.core.clock import Clock
from fieldrec.core.errors import CameraLost, FieldrecError, StateError
from fieldrec.core.model import CameraState, ClockQuality, FrameSpec, Heat
from fieldrec.core.snapshot import RecorderStatus
from fieldrec.core.states import CAMERA, step
from fieldrec.core.workers import Worker
from fieldrec.record.capture import Patience
from fieldrec.record.clock_quality import clock_quality
from fieldrec.record.listener import Listener
from fieldrec.record.making import Making
from fieldrec.record.outcome import Cause, Outcome
from fieldrec.record.place import Place
from fieldrec.record.runs import Runs
from fieldrec.record.series import Series
from fieldrec.record.storing import Storing
from fieldrec.record.trigger import NewTrigger

log = logging.getLogger(__name__)


class Recorder:
    """One camera, its state and, while it records, its recording. All methods but the
    constructor are called on the event loop."""

    def __init__(self, key: str, camera: Camera, *, serial: str, store: StoreConfig,
                 record: RecordConfig, timezone: str, clock: Clock,
                 on_change: Callable[[], None], metadata: Mapping[str, Any] | None = None,
                 patience: Patience | None = None,
                 quality: Callable[[], ClockQuality] = clock_quality,
                 trigger: NewTrigger | None = None) -> None:
        """`trigger`: instead of the one that the configuration names, where it names one."""
        self.key = key
        self.serial = serial
        self.metadata = dict(metadata or {})
        """User metadata of every recording of this camera."""
        self._record = record
        self._on_change = on_change
        making = Making(key, serial, camera, store, timezone, clock, patience or Patience(),
                        quality, trigger)
        self._worker = Worker(f"recorder-{key}")
        self._control = asyncio.Lock()
        self._runs = Runs(making, record)
        self._on_event: Callable[[str, str], None] = _ignore
        self._on_ended: Callable[[Recorder, Outcome], None] = _ignore
        self._on_closed: Callable[[Recorder, str, int], None] = _ignore
        self._last = RecorderStatus(key=key, serial=serial, state=CameraState.CLOSED)

    @property
    def state(self) -> CameraState:
        """The camera's state now."""
        return self._last.state

    @property
    def problem(self) -> str:
        """Why the camera is FAILED; "" otherwise."""
        return self._last.problem

    def share_memory(self, ring_max_bytes: Callable[[FrameSpec], int]) -> None:
        """What says this camera's share of the memory for rings, for one that begins without being
        given another: by :meth:`start`, or, for the pre-roll, when the camera opens. Called by its
        worker."""
        self._runs.ring_max_bytes = ring_max_bytes

    def listen(self, on_event: Callable[[str, str], None],
               on_ended: Callable[[Recorder, Outcome], None],
               on_closed: Callable[[Recorder, str, int], None] | None = None) -> None:
        """Tell `on_event(text, severity)` what people should know, `on_ended` of the end of all
        that was recorded between a start and its stop, or of a camera that failed while it only ran
        for its pre-roll, and before it `on_closed(recorder, name, frame_count)` of each store with
        frames in it that has ended, in order or INTERRUPTED; all on the loop."""
        self._on_event = on_event
        self._on_ended = on_ended
        self._on_closed = on_closed or _ignore

    def status(self) -> RecorderStatus:
        """The camera and its recording now; after a recording, its last figures. Cheap."""
        run = self._runs.now
        if run is None:
            return self._last
        if self._runs.series is not None:
            return self._picture(run, self._runs.series)
        ring = run.ring_statistics()
        return replace(self._last, preroll_frames=run.held_count, ring_slots=ring.slots)

    # -- verbs: start and stop ---------------------------------------------------------------------

    async def open(self) -> None:
        """Open the camera; no effect when it is open. FAILED with the problem instead of raising.

        Blocks the worker as long as the camera takes; cancelled, it closes the camera again.
        """
        async with self._control:
            if self.state in (CameraState.READY, CameraState.RECORDING):
                return
            self._step(CameraState.OPENING)
            listener = self._listener()
            try:
                await self._worker.run(lambda stop: self._runs.open(stop, listener))
            except asyncio.CancelledError:
                await self._end_run()
                self._step(CameraState.CLOSED)
                await self._worker.run(lambda _: self._runs.close_camera())
                raise
            except Exception as error:
                if not isinstance(error, FieldrecError):
                    log.exception("camera %s failed in a way it should not", self.key)
                await self._end_run()
                self._step(CameraState.FAILED, str(error) or type(error).__name__)
            else:
                self._last = replace(self._last, spec=self._runs.spec)
                self._step(CameraState.READY)

    async def start(self, place: Place, user_metadata: Mapping[str, Any],
                    barrier: threading.Barrier | None = None, *,
                    ring_max_bytes: int | None = None, record: RecordConfig | None = None) -> None:
        """Record into new stores where `place` says; returns when the camera runs and the first
        store is there (with a trigger: when the camera runs).

        StateError unless READY; StoreError, CameraError when store or camera do not start: then
        nothing is left of it. Cancelled, it stops what it began and leaves nothing running.
        `barrier`: shared by the cameras that shall start together; broken when this one fails.
        `ring_max_bytes`: of a ring that is not there yet; None: as :meth:`share_memory`
        said. `record`:
        split_after, trigger and pre-roll where they are not as configured; a camera that runs
        already has the pre-roll that it has.
        """
        begin = partial(self._runs.begin, place=place, user_metadata=dict(user_metadata),
                        barrier=barrier, record=record or self._record,
                        ring_max_bytes=ring_max_bytes)
        try:
            async with self._control:
                await self._start(begin)
        except BaseException:
            if barrier is not None:
                barrier.abort()
            raise

    async def stop(self, reason: str = "stopped") -> None:
        """End the recording in order: capture (unless it runs on for the next pre-roll), ring,
        stores. No effect when there is none.

        Returns when all stores are closed, also when cancelled (then with the cancellation).
        """
        if self._runs.now is not None and self._runs.series is not None:
            self._runs.series.stop_reason = self._runs.series.stop_reason or reason
            self._runs.now.request_stop(reason)
        async with self._control:
            await self._finish(reason)

    async def close(self) -> None:
        """Stop, close the camera and end the worker. Idempotent; the recorder is done for."""
        async with self._control:
            if self.state is CameraState.CLOSED and self._runs.ended is None:
                self._worker.close()
                return
            await self._finish("stopped")
            await self._end_run()
            try:
                await self._worker.run(lambda _: self._runs.close_camera())
            except CameraLost as error:
                log.error("camera %s left as it is: %s", self.key, error)
            finally:
                self._runs.ended = None
                if self.state is not CameraState.CLOSED:
                    self._step(CameraState.CLOSED)
                self._worker.close()

    # -- verbs: a recording under way --------------------------------------------------------------

    async def pause(self) -> None:
        """Leave frames out from now on, in the same store; they are neither dropped nor lost.
        StateError when nothing is being recorded. No effect when paused."""
        await self._ask(Storing.pause)

    async def resume(self) -> None:
        """Keep frames again. StateError unless paused."""
        await self._ask(Storing.resume)

    async def step(self, frames: int) -> None:
        """While paused: keep exactly the next `frames` frames (1 or more), then be paused again.
        Returns when they begin. StateError unless paused, and during a step."""
        await self._ask(lambda run: run.step(frames))

    async def split(self) -> None:
        """Have the recording go on in a new store, without a frame lost or repeated. Returns when
        that is being made; an event tells when it is used. StateError when there is nothing to
        split."""
        await self._ask(Storing.split)

    def add_extra_data(self, **values: Any) -> None:
        """Keep a record beside the newest frame of the recording; without one it goes nowhere."""
        if self._runs.now is not None and self._runs.series is not None:
            self._runs.now.ask(partial(self._runs.now.note, values))

    # -- verbs: parameters -------------------------------------------------------------------------

    async def parameters(self) -> tuple[Parameter, ...]:
        """The camera's parameters with their values now; () when it has none. StateError unless it
        is open, CameraError."""
        async with self._control:
            self._check_open()
            return await self._worker.run(lambda _: self._runs.parameters())

    async def configure(self, values: Mapping[str, Value]) -> tuple[Parameter, ...]:
        """Set parameters, all or, if one is wrong, none; they are set again whenever the camera is
        opened later. All parameters then. While recording each change is in the extra data.

        UsageError with what is allowed, StateError for one that cannot be changed while recording,
        CameraError. A camera that only runs for its pre-roll is stopped for those."""
        async with self._control:
            self._check_open()
            listener = self._listener()
            found = await self._worker.run(lambda stop: self._runs.configure(
                stop, values, listener))
            self._last = replace(self._last, spec=self._runs.spec)
            self._on_change()
            return found

    # -- on the loop -------------------------------------------------------------------------------

    async def _start(self, begin: Callable[[threading.Event, Listener], None]) -> None:
        if self.state is not CameraState.READY:
            why = f": {self.problem}" if self.problem else ""
            raise StateError(f"camera {self.key} cannot record: it is {self.state.value}{why}")
        listener = self._listener()
        try:
            await self._worker.run(lambda stop: begin(stop, listener))
        except BaseException:
            await self._finish("start failed or was cancelled")
            raise
        if self._runs.series is not None:  # a short file may have ended already
            self._step(CameraState.RECORDING)

    async def _finish(self, reason: str) -> None:
        run, series = self._runs.now, self._runs.series
        if run is None or series is None:
            return
        series.stop_reason = series.stop_reason or reason
        run.request_stop(reason)
        try:
            await self._worker.run(lambda _: series.join() if run.stays else run.join())
        finally:
            self._settle_series(series)
            self._settle_run(run)

    async def _end_run(self) -> None:
        """Stop a camera that runs for its pre-roll."""
        run = self._runs.now
        if run is not None:
            run.end()
            try:
                await self._worker.run(lambda _: run.join())
            finally:
                self._settle_run(run)

    def _settle_run(self, run: Storing) -> None:
        """The camera has stopped, by whatever cause: give its ring back."""
        outcome = run.outcome
        if self._runs.now is not run or outcome is None:
            return
        if self._runs.series is not None:
            self._settle_series(self._runs.series)
        self._runs.over(run)
        if outcome.cause is Cause.CAMERA and self.state is CameraState.READY:
            self._step(CameraState.FAILED, outcome.problem)
            self._on_ended(self, outcome)

    def _settle_series(self, series: Series) -> None:
        """The recording has ended, by whatever cause, and is closed: keep its figures."""
        run, outcome = self._runs.now, series.outcome
        if self._runs.series is not series or outcome is None or run is None:
            return
        self._last = replace(
            self._picture(run, series), recording=series.name if series.last_frame_ns else "",
            stop_reason=outcome.reason, ring_used=0, heat=Heat.NONE, measured_hz=0.0, paused=False,
            armed=False, preroll_frames=0)
        self._runs.series = None
        if not run.stays:
            self._runs.over(run)
        after = CameraState.FAILED if outcome.cause is Cause.CAMERA else CameraState.READY
        if self.state is not after:
            self._step(after, outcome.problem)
        if run.capture.started:
            self._on_ended(self, outcome)
        self._on_change()

    def _picture(self, run: Storing, series: Series) -> RecorderStatus:
        ring = run.ring_statistics()
        return replace(
            self._last, recording=series.name, folder=series.folder,
            frame_count=series.frame_count, dropped=series.dropped, lost=series.lost,
            lost_runs=series.lost_runs, measured_hz=series.measured_hz(),
            written_bytes=series.written_bytes, heat=ring.heat, ring_slots=ring.slots,
            ring_used=ring.used, ring_peak=ring.peak, started_ns=series.started_ns,
            first_frame_ns=series.first_frame_ns, last_frame_ns=series.last_frame_ns,
            paused=series.paused, armed=series.armed, preroll_frames=run.held_count, stop_reason="")

    def _step(self, new: CameraState, problem: str = "") -> None:
        state = step(CAMERA, self.state, new, f"camera {self.key}")
        self._last = replace(self._last, state=state, problem=problem)
        self._on_change()

    async def _ask(self, call: Callable[[Storing], None]) -> None:
        run = self._runs.now
        if run is None or self._runs.series is None:
            raise StateError(f"camera {self.key} is not recording")
        await asyncio.wrap_future(run.ask(lambda: call(run)))

    def _check_open(self) -> None:
        if self.state not in (CameraState.READY, CameraState.RECORDING):
            why = f": {self.problem}" if self.problem else ""
            raise StateError(f"camera {self.key} is not open: it is {self.state.value}{why}")

    def _listener(self) -> Listener:
        """What the threads of a run may call: each hands over to the loop and returns."""
        loop = asyncio.get_running_loop()

        def post(call: Callable[..., None], *arguments: Any) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is there to tell
                loop.call_soon_threadsafe(call, *arguments)

        return Listener(
            changed=lambda: post(self._on_change),
            event=lambda text, severity: post(self._on_event, text, severity),
            closed=lambda name, frames: post(self._on_closed, self, name, frames),
            series_ended=lambda: post(self._look_at_ends), ended=lambda: post(self._look_at_ends))

    def _look_at_ends(self) -> None:
        """Something has ended."""
        run, series = self._runs.now, self._runs.series
        if run is not None and series is not None and (run.stays or run.outcome is not None):
            self._settle_series(series)
        if run is not None:
            self._settle_run(run)


def _ignore(*_: Any) -> None:
    """Nobody listens."""
