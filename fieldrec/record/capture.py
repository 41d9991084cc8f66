"""The capture thread of one recording (`cap-<camera>`): frames from the camera into the ring.

It never waits for the store (I9): see ring.py. It counts what is missing: **dropped** are gaps in
the camera's own numbers, **lost** are frames that arrived and found the ring full; of those, first
and last number and time of each run are kept for the store's extra data. It ends when told to, or
with the camera's error; then it stops the camera and closes the ring, in this order. Whoever wants
something of the camera meanwhile has this thread do it between two grabs (:meth:`Capture.ask`).
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from fieldrec.camera import Camera, Pixels
from fieldrec.core.errors import CameraError, CameraLost, CameraTimeout
from fieldrec.core.model import FrameHeader
from fieldrec.record.ring import Ring

log = logging.getLogger(__name__)
T = TypeVar("T")

MOST_GAPS = 10_000
"""Gaps that are kept apart while nobody takes them; further ones are added to the last."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long the threads of a recording wait for what; tests give shorter ones."""

    grab_s: float = 0.5
    """One wait for a frame; also how late a silent camera sees that it shall stop."""
    silence_s: float = 5.0
    """Without a frame for this long (or three frame periods) the camera counts as lost."""
    hang_s: float = 10.0
    """A camera call that does not come back for this long is given up."""
    together_s: float = 5.0
    """How long the cameras of a session wait for each other before they start."""
    take_s: float = 0.5
    """One wait of the store thread for a frame."""
    ask_s: float = 5.0
    """How long somebody who asks for something between two grabs waits for it."""


@dataclass(frozen=True, slots=True)
class LostRun:
    """Consecutive frames that were lost."""

    first_number: int
    last_number: int
    count: int
    first_monotonic_ns: int
    last_monotonic_ns: int


@dataclass(frozen=True, slots=True)
class Gap:
    """Numbers that the camera left out: frames that it dropped."""

    first_number: int
    last_number: int
    count: int
    monotonic_ns: int
    """Of the frame after the gap."""


class Capture:
    """Grabs until :meth:`request_stop` or the camera fails; made for one start of the camera."""

    def __init__(self, key: str, camera: Camera, ring: Ring, *, nominal_hz: float,
                 patience: Patience, barrier: threading.Barrier | None) -> None:
        self._camera = camera
        self._ring = ring
        self._barrier = barrier
        self._grab_s = patience.grab_s
        self._together_s = patience.together_s
        self._least_silence_s = patience.silence_s
        self.expect(nominal_hz)
        self._stopping = False
        self._asked: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._over = False
        self._last_number: int | None = None
        self._lost_run: LostRun | None = None
        self.lost_runs: deque[LostRun] = deque(maxlen=10_000)
        """Finished runs of lost frames; the store thread takes them from the left."""
        self.gaps: deque[Gap] = deque()
        """What the camera dropped; the store thread takes them from the left."""
        self.dropped = 0
        self.digest_of: Callable[[Pixels], int] | None = None
        """What the store thread wants to know of each frame that it is going to write. Taken here
        because a frame that was copied just now lies in the processor's cache: on the store's side
        it takes a second time what the copying took. None: nobody needs it."""
        self.turns = 0
        """Goes up whenever the camera has answered: standing still, it hangs."""
        self.ready = threading.Event()
        """Set when the camera runs, or when it never will (then :attr:`error` says why)."""
        self.started = False
        """Whether the camera ran at all."""
        self.error: CameraError | None = None
        """What ended the capture; None when it was asked to stop."""
        self._thread = threading.Thread(target=self._run, name=f"cap-{key}")

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def request_stop(self) -> None:
        """Ask the thread to end; it does within one grab. Any thread, any number of times."""
        self._stopping = True
        if self._barrier is not None:
            self._barrier.abort()

    def expect(self, nominal_hz: float) -> None:
        """How many frames a second are to come: a slow camera is given more time. Any thread."""
        self._silence_s = max(self._least_silence_s, 3 / nominal_hz if nominal_hz > 0 else 0.0)

    def ask(self, call: Callable[[], T], timeout_s: float) -> T:
        """What `call` returns, or raises, when this thread runs it between two grabs.

        Any other thread; blocks for one grab and the call. CameraTimeout after `timeout_s` (then
        it will not be called any more, unless the camera hangs in it), CameraLost when the camera
        has stopped running.
        """
        answer: Future[T] = Future()
        self._asked.append((answer, call))
        if self._over:
            self._refuse_asked()
        try:
            return answer.result(timeout_s)
        except FutureTimeout:
            taken_back = answer.cancel()
            raise CameraTimeout(
                f"the camera did not answer within {timeout_s:g} s"
                + ("" if taken_back else "; whether it did what was asked is not known")) from None

    def join(self, timeout_s: float | None = None) -> bool:
        """Wait for the thread's end; whether it has ended."""
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self._wait_for_others()
            if self._stopping:
                return
            self._camera.start()
            try:
                self.started = True
                self.ready.set()
                self._grab_until_stopped()
            finally:
                self._camera.stop()
        except CameraError as error:
            self.error = error
        except Exception as error:
            log.exception("camera failed in a way it should not")
            self.error = CameraError(f"{type(error).__name__}: {error}")
        finally:
            self._end_lost_run()
            self._ring.close()
            self.ready.set()
            self._over = True
            self._refuse_asked()

    def _wait_for_others(self) -> None:
        """All cameras of a session start together; one that fails breaks the barrier for all."""
        if self._barrier is not None:
            with contextlib.suppress(threading.BrokenBarrierError):
                self._barrier.wait(self._together_s)

    def _grab_until_stopped(self) -> None:
        """The frame path: besides the grab about 2 µs per frame."""
        ring, grab, grab_s = self._ring, self._camera.grab, self._grab_s
        quiet_s = 0.0
        asked = self._asked
        while not self._stopping:
            if asked:
                self._answer()
                grab = self._camera.grab  # what was asked may have changed how frames are made
            slot = ring.acquire()
            pixels = ring.pixels(slot)
            self.turns += 1
            try:
                header = grab(pixels, grab_s)
            except CameraTimeout:
                quiet_s += grab_s
                if quiet_s >= self._silence_s:
                    raise CameraLost(f"no frame for {quiet_s:.1f} s; check cable, power and "
                                     "trigger") from None
                continue
            quiet_s = 0.0
            self._count_dropped(header)
            if self._lost_run is not None and (slot is not None or ring.acquire() is not None):
                self._end_lost_run()  # before the frame behind it is handed over
            if slot is not None:
                digest_of = self.digest_of
                ring.commit(header, None if digest_of is None else digest_of(pixels))
            elif not ring.commit_spare(header):
                self._note_lost(header)

    def _answer(self) -> None:
        """Do one thing that was asked for. What it raises belongs to who asked."""
        answer, call = self._asked.popleft()
        if not answer.set_running_or_notify_cancel():
            return
        try:
            answer.set_result(call())
        except Exception as error:  # noqa: BLE001 - the camera's next grab tells what is wrong here
            answer.set_exception(error)

    def _refuse_asked(self) -> None:
        with contextlib.suppress(IndexError):  # the deque is emptied, perhaps by two threads
            while True:
                answer, _ = self._asked.popleft()
                if answer.set_running_or_notify_cancel():
                    answer.set_exception(CameraLost("the camera has stopped running meanwhile"))

    def _count_dropped(self, header: FrameHeader) -> None:
        """A gap in the numbers: the camera dropped. Numbers that run back: it began anew."""
        last, number = self._last_number, header.number
        self._last_number = number
        if last is not None and number > last + 1:
            self._note_gap(last + 1, number - 1, header.monotonic_ns)

    def _note_gap(self, first: int, last: int, monotonic_ns: int) -> None:
        count, gaps = last - first + 1, self.gaps
        self.dropped += count
        if len(gaps) >= MOST_GAPS:
            with contextlib.suppress(IndexError):  # the store thread has just taken them all
                before = gaps.pop()
                first, count = before.first_number, before.count + count
        gaps.append(Gap(first, last, count, monotonic_ns))

    def _note_lost(self, header: FrameHeader) -> None:
        run = self._lost_run
        number, at_ns = header.number, header.monotonic_ns
        self._lost_run = (
            LostRun(number, number, 1, at_ns, at_ns) if run is None
            else replace(run, last_number=number, count=run.count + 1, last_monotonic_ns=at_ns))

    def _end_lost_run(self) -> None:
        if self._lost_run is not None:
            self.lost_runs.append(self._lost_run)
            self._lost_run = None
