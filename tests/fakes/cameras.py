"""Cameras and clocks that do what the test says, when it says so: no timing, no sleeps."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable

from fieldrec.camera import Pixels
from fieldrec.core.errors import CameraEnded, CameraError, CameraTimeout
from fieldrec.core.model import FrameHeader, FrameSpec

SPEC = FrameSpec(shape=(48, 64), dtype="uint8", pixel_format="MONO8", nominal_hz=10.0)
SECOND_NS = 1_000_000_000
LONG_S = 30.0
"""Longer than anything in a passing test takes."""


class ManualClock:
    """Both clocks stand still until the test moves them; the wall clock may step."""

    def __init__(self) -> None:
        self.monotonic = 1_000 * SECOND_NS
        self.epoch = 1_795_000_000 * SECOND_NS

    def monotonic_ns(self) -> int:
        return self.monotonic

    def epoch_ns(self) -> int:
        return self.epoch

    def forward(self, seconds: float) -> None:
        """Time passes on both clocks."""
        self.monotonic += int(seconds * SECOND_NS)
        self.epoch += int(seconds * SECOND_NS)

    def step_wall(self, seconds: float) -> None:
        """Somebody sets the wall clock."""
        self.epoch += int(seconds * SECOND_NS)


class ScriptedCamera:
    """Hands out frames, or fails, only as told by :meth:`give` and :meth:`fail`.

    Every frame is filled with its number modulo 251. Calls that meet each other, which the
    protocol forbids, fail the camera.
    """

    def __init__(self, clock: ManualClock, spec: FrameSpec = SPEC) -> None:
        self.clock = clock
        self.spec = spec
        self.opened = self.started = False
        self.opens = 0
        self.open_error: CameraError | None = None
        """Raised by open until the test takes it away."""
        self.start_error: CameraError | None = None
        self.may_open, self.may_start, self.may_answer = (threading.Event() for _ in range(3))
        for gate in (self.may_open, self.may_start, self.may_answer):
            gate.set()
        self.in_open, self.in_start, self.in_hang, self.stopped = (
            threading.Event() for _ in range(4))
        self._script: deque[FrameHeader | Exception] = deque()
        self._changed = threading.Condition()
        self._waiting = False
        self._busy = threading.Lock()

    # -- for the test ------------------------------------------------------------------------------

    def give(self, number: int, after_s: float = 1.0) -> int:
        """One frame, `after_s` seconds of the clock after what was before; its epoch time."""
        self.clock.forward(after_s)
        self._add(FrameHeader(number, self.clock.monotonic_ns(), device_time_ns=number * 1000))
        return self.clock.epoch_ns()

    def fail(self, error: Exception) -> None:
        """The grab after the frames given so far raises."""
        self._add(error)

    def end(self) -> None:
        """The source has played out."""
        self.fail(CameraEnded("all frames are played"))

    def wait_taken(self) -> None:
        """Until every frame given is in the ring, or lost, and the next grab waits."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._waiting and not self._script, LONG_S):
                raise TimeoutError("the capture thread does not take the frames")

    def _add(self, item: FrameHeader | Exception) -> None:
        with self._changed:
            self._script.append(item)
            self._changed.notify_all()

    # -- the protocol ------------------------------------------------------------------------------

    def open(self) -> FrameSpec:
        with self._exclusive():
            self.opens += 1
            self.in_open.set()
            self.may_open.wait(LONG_S)
            if self.open_error is not None:
                raise self.open_error
            self.opened = True
            return self.spec

    def start(self) -> None:
        with self._exclusive():
            self.in_start.set()
            self.may_start.wait(LONG_S)
            if self.start_error is not None:
                raise self.start_error
            self.started = True

    def grab(self, into: Pixels, timeout_s: float) -> FrameHeader:
        with self._exclusive():
            if not self.may_answer.is_set():
                self.in_hang.set()
                self.may_answer.wait(LONG_S)
            with self._changed:
                self._waiting = True
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._script, timeout_s)
                if not self._script:
                    raise CameraTimeout(f"no frame within {timeout_s} s")
                item = self._script.popleft()
                self._waiting = False
            if isinstance(item, Exception):
                raise item
            into.fill(item.number % 251)
            return item

    def stop(self) -> None:
        with self._exclusive():
            self.started = False
            self._script.clear()
            self.stopped.set()

    def close(self) -> None:
        with self._exclusive():
            self.opened = self.started = False

    def _exclusive(self) -> threading.Lock:
        if self._busy.locked():
            raise RuntimeError("two calls of one camera met")
        return self._busy


class NotedBarrier(threading.Barrier):
    """A barrier that says when somebody waits at it."""

    def __init__(self, parties: int) -> None:
        super().__init__(parties)
        self.arrived = threading.Event()

    def wait(self, timeout: float | None = None) -> int:
        self.arrived.set()
        return super().wait(timeout)


class Watching:
    """What a recorder or session says, and a way to wait until it is so."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []
        self.changes = 0
        self._changed = asyncio.Event()

    def on_change(self) -> None:
        self.changes += 1
        self._changed.set()

    def on_event(self, text: str, severity: str) -> None:
        self.events.append((text, severity))
        self._changed.set()

    def look_again(self) -> None:
        """Something that is waited for may be so now, though nobody said that it changed."""
        self._changed.set()

    def said(self, part: str) -> bool:
        """Whether an event holds `part`."""
        return any(part in text for text, _ in self.events)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for changes until `condition` holds."""
        async with asyncio.timeout(LONG_S):
            while not condition():
                self._changed.clear()
                await self._changed.wait()
