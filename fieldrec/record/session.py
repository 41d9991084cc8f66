"""The session: cameras that record together, when they may, and for how long. On the event loop.

:meth:`Session.run` is supervised by the app: once a second while recording (and when something
ended) it looks at the disk and the clock, and per camera it mends what failed: opens the camera
again with growing delays and, while the session still records, begins a new recording. Commands do
not wait for it.
One camera's failure never stops another (I9); a full disk stops all of them in order.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fieldrec.config import RecordConfig, StorageConfig
from fieldrec.core.clock import Clock
from fieldrec.core.errors import (
    CameraError,
    ConfigError,
    FieldrecError,
    NotFoundError,
    StateError,
    StoreFull,
    UsageError,
)
from fieldrec.core.model import CameraState
from fieldrec.core.snapshot import RecorderStatus, StorageStatus
from fieldrec.core.workers import Worker
from fieldrec.record.naming import check_name, recording_name, unused_name
from fieldrec.record.place import GivenPath
from fieldrec.record.recorder import Recorder
from fieldrec.record.storage import StorageGuard
from fieldrec.record.storing import Cause, Outcome

log = logging.getLogger(__name__)

LOOK_S = 1.0
"""Between two looks at disk and clock while recording."""
IDLE_LOOK_S = 5.0
"""The same while nothing is recorded: each look wakes the box from its sleep three times."""
OPEN_PATIENCE_S = 10.0
"""A start waits this long for cameras that are being opened just now; later ones join then."""
MEND_DELAYS_S = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Before each try to bring a camera back; the last one for ever."""
GOOD_NS = 60_000_000_000
"""A camera that ran this long since the last try begins with the shortest delay again."""
_NOT_YET_OPEN = (CameraState.CLOSED, CameraState.OPENING)
RESERVED = {"timezone", "acquisitionframerate", "acquisitionframerateenable", "fieldrec", "__store"}
"""Metadata keys that fieldrec or the format writes itself."""


@dataclass(slots=True)
class _Active:
    """What was asked for, from start to stop."""

    base: str
    metadata: Mapping[str, Any]
    with_serial: bool
    since_ns: int
    wanted: set[str]
    """Cameras that shall record; one that has played out leaves."""
    deadline_ns: int | None = None
    """By the monotonic clock."""
    over: str = ""
    """Why the session shall end, once something inside it ended it."""
    current: dict[str, str] = field(default_factory=dict)
    """Name of each camera's recording under way."""
    done: list[str] = field(default_factory=list)
    """Recordings that were closed, with at least one frame."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What :meth:`Session.start` was asked for: enough to ask again."""

    name: str | None = None
    metadata: Mapping[str, Any] | None = None
    duration_s: float | None = None
    cameras: Sequence[str] | None = None


class Session:
    """All cameras of the box. Every method is called on the event loop."""

    def __init__(self, recorders: Mapping[str, Recorder], *, directory: Path,
                 storage: StorageConfig, record: RecordConfig, timezone: str, clock: Clock,
                 on_event: Callable[[str, str], None],
                 mend_delays_s: Sequence[float] = MEND_DELAYS_S,
                 guard: StorageGuard | None = None) -> None:
        self._recorders = dict(recorders)
        self._directory = directory
        self._guard = guard or StorageGuard(directory, storage)
        self._record = record
        self._timezone = timezone
        self._clock = clock
        self._event = on_event
        self._mend_delays_s = tuple(mend_delays_s)
        self._worker = Worker("session")
        self._control = asyncio.Lock()
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._opened = asyncio.Event()
        self._opened.set()
        self._faults = {key: asyncio.Event() for key in recorders}
        self._active: _Active | None = None
        self._last_names: tuple[str, ...] = ()
        self._storage = StorageStatus(stop_percent=storage.stop_percent)
        for key, recorder in self._recorders.items():
            _check_metadata({**record.metadata, **recorder.metadata}, ConfigError, f"camera {key}")
            recorder.listen(on_event, self._on_ended)

    @property
    def recording(self) -> bool:
        """Whether a session is under way, also while its cameras are away."""
        return self._active is not None

    @property
    def recording_since_ns(self) -> int | None:
        """Epoch of the start; None when not recording."""
        return None if self._active is None else self._active.since_ns

    def status(self) -> tuple[RecorderStatus, ...]:
        """Every camera, in the order of the configuration. Cheap."""
        return tuple(recorder.status() for recorder in self._recorders.values())

    @property
    def last_names(self) -> tuple[str, ...]:
        """Recordings with frames that the last session made, those before a reconnect included."""
        return self._last_names

    def storage_status(self) -> StorageStatus:
        """The disk as of the last look; while :meth:`run` runs, about a second old at most when
        recording, five when not."""
        return self._storage

    # -- verbs -------------------------------------------------------------------------------------

    async def open_all(self) -> None:
        """Open every camera at the same time; one that fails is FAILED, said and tried again, one
        that takes its time joins the recording that has begun meanwhile."""
        self._opened.clear()
        try:
            await self._look_at_disk()
            async with asyncio.TaskGroup() as group:
                for recorder in self._recorders.values():
                    group.create_task(self._open_and_join(recorder))
        finally:
            self._opened.set()

    async def opened(self) -> None:
        """Wait until every camera has been opened or has failed, OPEN_PATIENCE_S at most."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(OPEN_PATIENCE_S):
                await self._opened.wait()

    async def start(self, name: str | None = None, metadata: Mapping[str, Any] | None = None,
                    duration_s: float | None = None, cameras: Sequence[str] | None = None
                    ) -> list[str]:
        """Begin recording with all (or the named) cameras; returns the recordings' names.

        A camera that is not ready or fails to start does not stop the others and joins when it is
        back. StateError when already recording, StoreFull with the numbers, StoreError for the
        folder, CameraError when no camera is ready, NotFoundError, UsageError. Cancelled, it stops
        what it began.
        """
        chosen = self._choose(cameras)
        if any(self._recorders[key].state in _NOT_YET_OPEN for key in chosen):
            await self.opened()
        async with self._control:
            if self._active is not None:
                raise StateError("already recording; stop it first")
            active = self._plan(name, metadata, chosen)
            length_s = _checked_duration(
                self._record.duration_s if duration_s is None else duration_s)
            await self._worker.run(lambda _: self._check_room())
            ready = self._ready(active)
            active.current = dict.fromkeys((recorder.key for recorder in ready), "")
            self._active = active
            self._idle.clear()
            try:
                failures = await self._start_together(active, ready)
            except BaseException:
                await self._end("start cancelled")
                raise
            if len(failures) == len(ready):
                await self._end("start failed")
                raise failures[0]
            if length_s is not None:
                active.deadline_ns = self._clock.monotonic_ns() + int(length_s * 1e9)
            names = sorted([*active.current.values(), *active.done])
            self._event(f"recording {', '.join(names)}", "info")
            self._wake.set()
            return names

    async def stop(self, reason: str = "stopped") -> list[str]:
        """End the session in order; returns the names of all recordings it made. [] when idle."""
        async with self._control:
            return await self._end(reason)

    async def suspend(self, reason: str) -> Asked | None:
        """As :meth:`stop`; returns what to start again with, None when nothing was under way."""
        async with self._control:
            active = self._active
            wanted = [] if active is None else [key for key in self._recorders
                                                if key in active.wanted]
            await self._end(reason)
            if active is None or not wanted:
                return None
            left_s = None if active.deadline_ns is None else max(
                0.1, (active.deadline_ns - self._clock.monotonic_ns()) / 1e9)
            return Asked(active.base, active.metadata, left_s, wanted)

    async def wait_stopped(self) -> None:
        """Until no session is under way (at once when none is); needs :meth:`run`."""
        await self._idle.wait()

    async def run(self) -> None:
        """Watch disk, duration and cameras until cancelled; the app supervises it."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch())
            for recorder in self._recorders.values():
                group.create_task(self._keep_going(recorder))

    async def close(self) -> None:
        """Stop, close every camera, end the workers. :meth:`run` must have ended."""
        await self.stop("closed")
        try:
            async with asyncio.TaskGroup() as group:
                for recorder in self._recorders.values():
                    group.create_task(recorder.close())
        finally:
            self._worker.close()

    # -- start and stop ----------------------------------------------------------------------------

    def _choose(self, cameras: Sequence[str] | None) -> list[str]:
        known = ", ".join(self._recorders) or "none configured"
        for key in cameras or ():
            if key not in self._recorders:
                raise NotFoundError(f"no camera {key!r}; known: {known}")
        chosen = list(self._recorders) if cameras is None else list(dict.fromkeys(cameras))
        if not chosen:
            raise CameraError(f"no camera to record from; known: {known}")
        return chosen

    def _plan(self, name: str | None, metadata: Mapping[str, Any] | None, chosen: Sequence[str]
              ) -> _Active:
        base = self._record.name if name is None else check_name(name)
        _check_metadata(metadata or {}, UsageError, "metadata")
        return _Active(base=base, metadata=dict(metadata or {}), with_serial=len(chosen) > 1,
                       since_ns=self._clock.epoch_ns(), wanted=set(chosen))

    def _check_room(self) -> None:
        """In the worker: whether a recording can begin at all."""
        self._guard.check_usable()
        refusal = self._guard.refusal()
        if refusal is not None:
            raise StoreFull(f"no room to record in {self._directory}: {refusal}; delete or move "
                            "recordings first")

    def _ready(self, active: _Active) -> list[Recorder]:
        chosen = [self._recorders[key] for key in self._recorders if key in active.wanted]
        ready = [recorder for recorder in chosen if recorder.state is CameraState.READY]
        if not ready:
            raise CameraError("no camera is ready: " + "; ".join(
                f"{r.key} is {r.state.value}" + (f" ({r.problem})" if r.problem else "")
                for r in chosen))
        return ready

    async def _start_together(self, active: _Active, ready: Sequence[Recorder]
                              ) -> list[FieldrecError]:
        """Start all; the failures, each already said and to be mended."""
        barrier = threading.Barrier(len(ready))
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._start_one(active, recorder, active.since_ns, barrier))
                     for recorder in ready]
        return [failure for task in tasks if (failure := task.result()) is not None]

    async def _start_one(self, active: _Active, recorder: Recorder, epoch_ns: int,
                         barrier: threading.Barrier | None = None) -> FieldrecError | None:
        serial = recorder.serial if active.with_serial else None
        name = recording_name(active.base, epoch_ns, self._timezone, serial)
        metadata = {**self._record.metadata, **recorder.metadata, **active.metadata}
        try:
            name = await self._worker.run(lambda _: unused_name(self._directory, name))
            active.current[recorder.key] = name
            await recorder.start(GivenPath(self._directory / name), metadata, barrier)
        except (FieldrecError, OSError) as error:
            if barrier is not None:
                barrier.abort()
            active.current.pop(recorder.key, None)
            failure = error if isinstance(error, FieldrecError) else CameraError(str(error))
            self._event(f"camera {recorder.key} does not record: {failure}", "error")
            self._faults[recorder.key].set()
            return failure
        return None

    async def _end(self, reason: str) -> list[str]:
        """Stop every camera and forget the session; holds the lock."""
        active = self._active
        if active is None:
            return []
        active.wanted.clear()  # from now on nothing is mended into recording again
        try:
            async with asyncio.TaskGroup() as group:
                for recorder in self._recorders.values():
                    group.create_task(recorder.stop(reason))
        finally:
            self._active = None
            self._last_names = tuple(sorted(active.done))
            self._idle.set()
            self._wake.set()
        names = list(self._last_names)
        self._event(f"recording ended ({reason}): {', '.join(names) or 'nothing recorded'}", "info")
        return names

    def _on_ended(self, recorder: Recorder, outcome: Outcome) -> None:
        """A recording was closed, by whatever cause."""
        active = self._active
        if outcome.cause in (Cause.CAMERA, Cause.STORE):
            self._event(f"camera {recorder.key}: {outcome.reason}", "error")
            self._faults[recorder.key].set()
        if active is None:
            return
        name = active.current.pop(recorder.key, None)
        if name is not None and recorder.status().frame_count:
            active.done.append(name)
        if outcome.cause is Cause.ENDED:
            active.wanted.discard(recorder.key)
            self._event(f"camera {recorder.key}: {outcome.reason}", "info")
            active.over = active.over or ("" if active.wanted else outcome.reason)
        elif outcome.cause is Cause.FULL:
            active.over = active.over or outcome.reason
        self._wake.set()

    # -- watching ----------------------------------------------------------------------------------

    async def _watch(self) -> None:
        while True:
            self._wake.clear()
            await self._look()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._pause_s()):
                    await self._wake.wait()

    def _pause_s(self) -> float:
        if self._active is None:
            return IDLE_LOOK_S
        deadline_ns = self._active.deadline_ns
        if deadline_ns is None:
            return LOOK_S
        return max(0.0, min(LOOK_S, (deadline_ns - self._clock.monotonic_ns()) / 1e9))

    async def _look(self) -> None:
        """End the session when its time is over, something ended it, or the disk is full."""
        refusal = await self._look_at_disk()
        active = self._active
        if active is None:
            return
        over = active.over
        if not over and refusal is not None:
            over = refusal
            self._event(f"recording stops: {refusal}", "error")
        if not over and active.deadline_ns is not None \
                and self._clock.monotonic_ns() >= active.deadline_ns:
            over = "duration over"
        if over:
            async with self._control:
                if self._active is active:
                    await self._end(over)

    async def _look_at_disk(self) -> str | None:
        """Refresh the storage status; while recording, why to stop, else None."""
        rate = sum(s.measured_hz * s.spec.frame_bytes for s in self.status() if s.spec is not None)
        self._storage, refusal = await self._worker.run(
            lambda _: (self._guard.status(rate), self._guard.refusal()))
        return refusal

    # -- mending -----------------------------------------------------------------------------------

    async def _open(self, recorder: Recorder) -> None:
        """Open a camera; said when it fails in a new way, and when it is back."""
        before = recorder.problem
        await recorder.open()
        if recorder.state is CameraState.FAILED:
            self._faults[recorder.key].set()
            if recorder.problem != before:
                self._event(f"camera {recorder.key} does not open: {recorder.problem}", "error")
        elif before:
            self._event(f"camera {recorder.key} is back", "info")

    async def _keep_going(self, recorder: Recorder) -> None:
        """One camera's mending, for ever: after each fault one try, later and later."""
        fault = self._faults[recorder.key]
        if recorder.state is CameraState.FAILED:
            fault.set()
        tries, last_ns = 0, self._clock.monotonic_ns()
        while True:
            await fault.wait()
            if self._clock.monotonic_ns() - last_ns > GOOD_NS:
                tries = 0
            await asyncio.sleep(self._mend_delays_s[min(tries, len(self._mend_delays_s) - 1)])
            fault.clear()
            tries += 1
            await self._mend(recorder)
            last_ns = self._clock.monotonic_ns()

    async def _mend(self, recorder: Recorder) -> None:
        """Open a failed camera; record again if the session still wants it to."""
        if recorder.state is CameraState.FAILED:
            await self._open(recorder)
        await self._join(recorder)

    async def _open_and_join(self, recorder: Recorder) -> None:
        await self._open(recorder)
        await self._join(recorder)

    async def _join(self, recorder: Recorder) -> None:
        """Record with a camera that is ready, if the session wants it to and it does not yet."""
        active = self._active
        if active is None or recorder.key not in active.wanted - active.current.keys() \
                or recorder.state is not CameraState.READY:
            return
        if await self._start_one(active, recorder, self._clock.epoch_ns()) is not None:
            return
        if recorder.key in active.wanted and active is self._active:
            self._event(f"recording {recorder.status().recording}", "info")
        else:  # the session ended meanwhile
            await recorder.stop("session ended")


def _checked_duration(duration_s: float | None) -> float | None:
    if duration_s is not None and not (math.isfinite(duration_s) and duration_s > 0):
        raise UsageError(f"duration {duration_s:g} s: use a number of seconds above 0")
    return duration_s


def _check_metadata(metadata: Mapping[str, Any], kind: type[FieldrecError], where: str) -> None:
    """Keys that would be overwritten are refused rather than lost."""
    for key in metadata:
        if not isinstance(key, str) or not key or key in RESERVED:
            raise kind(f"{where}: metadata key {key!r} is reserved or no text; use another name")
