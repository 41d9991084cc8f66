"""The runs of one camera, one after the other: what its recorder's worker does (`recorder-<key>`).

Everything here blocks, for the camera, the disk or the memory of a ring, and is called by the
worker; the recorder reads :attr:`Runs.now` and :attr:`Runs.series` on the loop and says when they
are over. Calls of the camera never meet: while a run is under way its capture thread makes them.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from typing import Any, TypeVar

from fieldrec.camera.parameters import Parameter, Value
from fieldrec.config import RecordConfig
from fieldrec.core.errors import CameraLost, StateError
from fieldrec.core.model import FrameSpec
from fieldrec.record.listener import Listener
from fieldrec.record.making import Making
from fieldrec.record.outcome import Cause, Outcome
from fieldrec.record.place import Place
from fieldrec.record.series import Series
from fieldrec.record.settings import Settings
from fieldrec.record.storing import Storing

T = TypeVar("T")

STARTING_POLL_S = 0.1
"""How often a start that waits for the camera looks whether it was cancelled."""


class Runs:
    """Of one camera."""

    def __init__(self, making: Making, record: RecordConfig) -> None:
        self._making = making
        self._camera = making.camera
        self._record = record
        self._settings = Settings(making.camera)
        self.ring_max_bytes: Callable[[FrameSpec], int] = lambda _spec: record.ring_max_bytes
        self.spec: FrameSpec | None = None
        """What frames look like, once the camera was opened."""
        self.now: Storing | None = None
        """The run under way."""
        self.series: Series | None = None
        """What is being recorded in it."""
        self.ended: Storing | None = None
        """The last run; its capture thread may still hang in the camera's driver."""

    def over(self, run: Storing) -> None:
        """This run has ended."""
        self.now, self.ended = None, run

    def open(self, stop: threading.Event, listener: Listener) -> None:
        """Open the camera with what was set before; with a pre-roll, have it run. CameraError,
        StoreError (no memory); a run that did not come up is in :attr:`now`."""
        self.close_camera()
        try:
            self.spec, wrong = self._settings.set_again(self._camera.open())
        except BaseException:
            self._camera.close()
            raise
        if wrong:
            listener.event(f"camera {self._making.key}: {wrong}", "warning")
        self._stand_by(stop, listener)

    def _opened(self) -> FrameSpec:
        if self.spec is None:
            raise StateError(f"camera {self._making.key} is not open")
        return self.spec

    def close_camera(self) -> None:
        """Close the camera, unless a thread still hangs in its driver: calls must not meet."""
        if self.ended is not None:
            self.ended.join()
            if not self.ended.capture.join(self._making.patience.grab_s):
                raise CameraLost("the camera's driver does not answer; unplug the camera and plug "
                                 "it in again")
        self._camera.close()

    def _stand_by(self, stop: threading.Event, listener: Listener) -> None:
        """With a pre-roll: have the camera run. CameraError, StoreError when it does not."""
        if self._record.preroll_s > 0:
            spec = self._opened()
            run = self._making.run(spec, self._record, listener, stays=True, barrier=None,
                                   ring_max_bytes=self.ring_max_bytes(spec))
            self.now = run
            self._go(stop, run)

    def _go(self, stop: threading.Event, run: Storing) -> None:
        """Start a run's threads and wait until the camera runs."""
        run.start()
        while not run.capture.ready.wait(STARTING_POLL_S) and not stop.is_set():
            pass
        if not stop.is_set() and not run.capture.started:
            run.join()
            raise run.capture.error or CameraLost(f"camera {self._making.key} did not start")

    def begin(self, stop: threading.Event, listener: Listener, *, place: Place,
              user_metadata: dict[str, Any], barrier: threading.Barrier | None,
              record: RecordConfig, ring_max_bytes: int | None) -> None:
        """Begin a series, in the run there is or in one of its own.

        What it has made is in `now` and `series` before it can be cancelled: the caller ends it.
        """
        now_ns = self._making.clock.monotonic_ns()
        if self.ended is not None:
            self.ended.join()
        run = self.now
        own = run is None
        if run is None:
            spec = self._opened()
            run = self._making.run(spec, record, listener, stays=False, barrier=barrier,
                                   ring_max_bytes=self.ring_max_bytes(spec)
                                   if ring_max_bytes is None else ring_max_bytes)
        run.keep_from(now_ns)
        try:
            series = self._making.series(run, self._opened, record, place, user_metadata)
            series.begin()
        except BaseException:
            run.keep_from(None)
            raise
        self.now, self.series = run, series
        begun = run.begin(series)
        if own:
            self._go(stop, run)
            return
        if barrier is not None:  # the other cameras wait for all
            with contextlib.suppress(threading.BrokenBarrierError):
                barrier.wait(self._making.patience.together_s)
        try:
            begun.result()
        except CameraLost as error:
            series.finish(Outcome(Cause.CAMERA, f"camera lost: {error}", str(error)))
            raise

    def parameters(self) -> tuple[Parameter, ...]:
        """The camera's, with their values now. CameraError."""
        return self._in_its_thread(self._settings.parameters)

    def _in_its_thread(self, call: Callable[[], T]) -> T:
        """Do something with the camera that nobody else may meanwhile."""
        run = self.now
        if run is None:
            return call()
        return run.capture.ask(call, self._making.patience.ask_s)

    def configure(self, stop: threading.Event, values: Mapping[str, Value], listener: Listener
                  ) -> tuple[Parameter, ...]:
        """As :meth:`Recorder.configure`."""
        run = self.now
        try:
            return self._in_its_thread(lambda: self._change(values, run))
        except StateError:
            if run is None or self.series is not None:
                raise
        run.end()  # it only ran for its pre-roll: what came before would not fit what comes
        run.join()
        self.over(run)
        try:
            return self._change(values, None)
        finally:
            self._stand_by(stop, listener)

    def _change(self, values: Mapping[str, Value], run: Storing | None) -> tuple[Parameter, ...]:
        """Between two frames of `run`, if there is one."""
        spec, changes = self._settings.change(values, running=run is not None)
        self.spec = spec
        if run is not None:
            run.capture.expect(spec.nominal_hz)
            for change in changes:
                run.ask(partial(run.note, asdict(change)))
        return self._settings.parameters()
