"""The capture thread of one recording (`cap-<camera>`): frames from the camera into the ring.

It never waits for the store (I9): see ring.py. It counts what is missing: **dropped** are gaps in
the camera's own numbers, **lost** are frames that arrived and found the ring full; of those, first
and last number and time of each run are kept for the store's extra data. It ends when told to, or
with the camera's error; then it stops the camera and closes the ring, in this order.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import deque
from dataclasses import dataclass, replace

from fieldrec.camera import Camera
from fieldrec.core.errors import CameraError, CameraLost, CameraTimeout
from fieldrec.core.model import FrameHeader
from fieldrec.record.ring import Ring

log = logging.getLogger(__name__)


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


@dataclass(frozen=True, slots=True)
class LostRun:
    """Consecutive frames that were lost."""

    first_number: int
    last_number: int
    count: int
    first_monotonic_ns: int
    last_monotonic_ns: int


class Capture:
    """Grabs until :meth:`request_stop` or the camera fails; made for one recording."""

    def __init__(self, key: str, camera: Camera, ring: Ring, *, nominal_hz: float,
                 patience: Patience, barrier: threading.Barrier | None) -> None:
        self._camera = camera
        self._ring = ring
        self._barrier = barrier
        self._grab_s = patience.grab_s
        self._together_s = patience.together_s
        self._silence_s = max(patience.silence_s, 3 / nominal_hz if nominal_hz > 0 else 0.0)
        self._stopping = False
        self._last_number: int | None = None
        self._lost_run: LostRun | None = None
        self.lost_runs: deque[LostRun] = deque(maxlen=10_000)
        """Finished runs of lost frames; the store thread takes them from the left."""
        self.dropped = 0
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

    def _wait_for_others(self) -> None:
        """All cameras of a session start together; one that fails breaks the barrier for all."""
        if self._barrier is not None:
            with contextlib.suppress(threading.BrokenBarrierError):
                self._barrier.wait(self._together_s)

    def _grab_until_stopped(self) -> None:
        """The frame path: besides the grab about 2 µs per frame."""
        ring, grab, grab_s = self._ring, self._camera.grab, self._grab_s
        quiet_s = 0.0
        while not self._stopping:
            slot = ring.acquire()
            self.turns += 1
            try:
                header = grab(ring.pixels(slot), grab_s)
            except CameraTimeout:
                quiet_s += grab_s
                if quiet_s >= self._silence_s:
                    raise CameraLost(f"no frame for {quiet_s:.1f} s; check cable, power and "
                                     "trigger") from None
                continue
            quiet_s = 0.0
            self._count_dropped(header.number)
            if slot is not None:
                ring.commit(header)
            elif not ring.commit_spare(header):
                self._note_lost(header)
                continue
            if self._lost_run is not None:
                self._end_lost_run()

    def _count_dropped(self, number: int) -> None:
        """A gap in the numbers: the camera dropped. Numbers that run back: it began anew."""
        last = self._last_number
        self._last_number = number
        if last is not None and number > last + 1:
            self.dropped += number - last - 1

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
