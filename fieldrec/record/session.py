"""The session: cameras that record together, when they may, and for how long. On the event loop.

:meth:`Session.run` is supervised by the app: once a second while recording (and when something
ended) it looks at the folders and the clock; what failed is mended (mending.py). Commands do not
wait for it. One camera's failure never stops another (I9); a full disk sends all to the next
folder, and stops all of them in order when there is none.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from fieldrec.camera.parameters import Parameter, Value
from fieldrec.config import RecordConfig
from fieldrec.core.clock import Clock
from fieldrec.core.errors import ConfigError, FieldrecError, StateError, UsageError
from fieldrec.core.model import CameraState
from fieldrec.core.snapshot import RecorderStatus, StorageStatus
from fieldrec.core.workers import Worker
from fieldrec.record.asked import (
    AS_CONFIGURED,
    Active,
    Asked,
    check_metadata,
    checked_duration,
    chosen_cameras,
)
from fieldrec.record.folders import Folders
from fieldrec.record.mending import MEND_DELAYS_S, Mending
from fieldrec.record.outcome import Cause, Outcome
from fieldrec.record.recorder import Recorder
from fieldrec.record.ring_budget import StandingRings, slot_bytes
from fieldrec.record.starting import Starting
from fieldrec.record.upkeep import leave_full_folders, note_skew

LOOK_S = 1.0
"""Between two looks at disk and clock while recording."""
IDLE_LOOK_S = 5.0
"""The same while nothing is recorded: each look wakes the box from its sleep three times."""
DOUBT_LOOK_S = 0.2
"""The same while a disk said something that is not believed yet: full, or nothing at all."""
FIRST_LOOKS_S = 0.1
"""The same while the cameras that were started together have not all given their first frame…"""
FIRST_LOOKS_NS = 5_000_000_000
"""…for this long after the start."""
OPEN_PATIENCE_S = 10.0
"""A start waits this long for cameras that are being opened just now; later ones join then."""
MOST_NAMED = 8
"""Recordings that an event lists by name."""
ALL = "all"
"""In place of a camera's name: every camera."""
_NOT_YET_OPEN = (CameraState.CLOSED, CameraState.OPENING)


class Session:
    """All cameras of the box. Every method is called on the event loop."""

    def __init__(self, recorders: Mapping[str, Recorder], *, folders: Folders,
                 record: RecordConfig, timezone: str, clock: Clock,
                 on_event: Callable[[str, str], None],
                 mend_delays_s: Sequence[float] = MEND_DELAYS_S) -> None:
        self._recorders = dict(recorders)
        self._folders = folders
        self._record = record
        self._clock = clock
        self._event = on_event
        self._worker = Worker("session")
        self._folder_worker = Worker("folders")  # a dead disk may hold it up
        self._control = asyncio.Lock()
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._opened = asyncio.Event()
        self._opened.set()
        self._folder_failed = asyncio.Event()
        self._mending = Mending(recorders, clock=clock, on_event=on_event, join=self._join,
                                delays_s=mend_delays_s)
        self._starting = Starting(
            self._recorders, folders=folders, record=record, timezone=timezone, clock=clock,
            on_event=on_event, on_fault=self._mending.fault)
        self._active: Active | None = None
        self._last_names: tuple[str, ...] = ()
        self._storage = folders.status()
        self._first_folder = str(folders.paths[0])
        standing = StandingRings(self._recorders, record.ring_s, record.preroll_s,
                                 record.ring_max_bytes)
        for key, recorder in self._recorders.items():
            check_metadata({**record.metadata, **recorder.metadata}, ConfigError, f"camera {key}")
            recorder.listen(on_event, self._on_ended, self._on_closed)
            recorder.share_memory(partial(standing.share, key))

    @property
    def recording(self) -> bool:
        """Whether a session is under way, also while its cameras are away."""
        return self._active is not None

    @property
    def recording_since_ns(self) -> int | None:
        """Epoch of the start; None when not recording."""
        return None if self._active is None else self._active.since_ns

    @property
    def skew_ms(self) -> float | None:
        """Between the first frames of the cameras started together; None while not known."""
        active = self._active
        return None if active is None or active.skew is None else active.skew.spread_ns / 1e6

    def status(self) -> tuple[RecorderStatus, ...]:
        """Every camera, in the order of the configuration. Cheap."""
        return tuple(self._status(recorder) for recorder in self._recorders.values())

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
                    group.create_task(self._mending.open(recorder))
        finally:
            self._opened.set()

    async def opened(self) -> None:
        """Wait until every camera has been opened or has failed, OPEN_PATIENCE_S at most."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(OPEN_PATIENCE_S):
                await self._opened.wait()

    async def start(self, asked: Asked = AS_CONFIGURED) -> list[str]:
        """Begin recording with all (or the named) cameras; returns the names of the recordings
        that have begun (none yet where a trigger decides).

        A camera that is not ready or fails to start does not stop the others and joins when it is
        back. StateError when already recording, StoreFull with the numbers, StoreError for the
        folder, CameraError when no camera is ready, NotFoundError, UsageError. Cancelled, it stops
        what it began.
        """
        chosen = chosen_cameras(self._recorders, asked.cameras)
        if any(self._recorders[key].state in _NOT_YET_OPEN for key in chosen):
            await self.opened()
        async with self._control:
            if self._active is not None:
                raise StateError("already recording; stop it first")
            active = self._starting.plan(asked, chosen)
            length_s = checked_duration(
                self._record.duration_s if asked.duration_s is None else asked.duration_s)
            await self._worker.run(lambda _: self._folders.check_room())
            ready = self._starting.ready(active)
            self._active = active
            self._idle.clear()
            try:
                failures = await self._starting.together(active, ready)
            except BaseException:
                await self._end("start cancelled")
                raise
            if len(failures) == len(ready):
                await self._end("start failed")
                raise failures[0]
            if length_s is not None:
                active.deadline_ns = self._clock.monotonic_ns() + int(length_s * 1e9)
            names = self._names_now(active)
            self._event(f"recording {', '.join(names)}" if names
                        else "armed: motion begins a recording", "info")
            self._wake.set()
            return names

    async def stop(self, reason: str = "stopped") -> list[str]:
        """End the session in order; returns the names of all recordings it made. [] when idle."""
        async with self._control:
            return await self._end(reason)

    def to_ask_again(self) -> Asked | None:
        """What to start with so that the session under way goes on as it was asked for, with what
        is left of its duration; None when nothing is under way, all has played out, or the
        schedule begins it again by itself."""
        active = self._active
        if active is None or not active.wanted or active.asked.by_schedule:
            return None
        left_s = None if active.deadline_ns is None else max(
            0.1, (active.deadline_ns - self._clock.monotonic_ns()) / 1e9)
        wanted = [key for key in self._recorders if key in active.wanted]
        return replace(active.asked, duration_s=left_s, cameras=wanted)

    async def suspend(self, reason: str) -> Asked | None:
        """As :meth:`stop`; returns what to start again with, None when nothing was under way."""
        async with self._control:
            again = self.to_ask_again()
            await self._end(reason)
            return again

    async def pause(self) -> list[str]:
        """Keep no more frames until :meth:`resume`; the recordings stay open. The cameras."""
        keys = await self._each(Recorder.pause)
        if self._active is not None:
            self._active.paused = True
        return keys

    async def resume(self) -> list[str]:
        """Go on after :meth:`pause`; cameras that came back meanwhile join."""
        keys = await self._each(Recorder.resume)
        active = self._active
        if active is not None:
            active.paused = False
            for key in active.wanted - active.running:
                self._mending.fault(key)
        return keys

    async def step(self, frames: int) -> list[str]:
        """While paused: keep the next `frames` frames of each camera."""
        if frames < 1:
            raise UsageError(f"step {frames}: use a number of frames above 0")
        return await self._each(lambda recorder: recorder.step(frames))

    async def split(self) -> list[str]:
        """Go on in new recordings without losing a frame; the cameras."""
        return await self._each(Recorder.split)

    async def configure(self, camera: str, values: Mapping[str, Value]
                        ) -> dict[str, tuple[Parameter, ...]]:
        """Set parameters of a camera, or of ALL cameras; all of its parameters then, by camera.
        With no `values` it only looks. UsageError, StateError, CameraError name the camera and
        those that were set already; NotFoundError."""
        keys = list(self._recorders) if camera == ALL else chosen_cameras(self._recorders, [camera])
        found: dict[str, tuple[Parameter, ...]] = {}
        for key in keys:
            recorder = self._recorders[key]
            try:
                found[key] = await (recorder.configure(values) if values
                                    else recorder.parameters())
            except FieldrecError as error:
                done = f"; set already on {', '.join(found)}" if found and values else ""
                raise type(error)(f"camera {key}: {error}{done}") from error
        return found

    async def join(self, cameras: Sequence[str] | None) -> list[str]:
        """Let further cameras (None: all) record with the session under way, each as soon as it is
        ready; those that are new to it. [] when nothing is under way. NotFoundError."""
        async with self._control:
            active = self._active
            chosen = chosen_cameras(self._recorders, cameras)
            new = [] if active is None else [key for key in chosen if key not in active.wanted]
            if active is not None:
                active.wanted.update(new)
            for key in new:
                self._mending.fault(key)
            return new

    async def wait_stopped(self) -> None:
        """Until no session is under way (at once when none is); needs :meth:`run`."""
        await self._idle.wait()

    async def run(self) -> None:
        """Watch disk, duration and cameras until cancelled; the app supervises it."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch())
            group.create_task(self._try_failed_folders())
            for recorder in self._recorders.values():
                group.create_task(self._mending.keep_going(recorder))

    async def close(self) -> None:
        """Stop, close every camera, end the workers. :meth:`run` must have ended."""
        await self.stop("closed")
        try:
            async with asyncio.TaskGroup() as group:
                for recorder in self._recorders.values():
                    group.create_task(recorder.close())
        finally:
            self._worker.close()
            self._folder_worker.close()

    # -- start and stop ----------------------------------------------------------------------------

    def _names_now(self, active: Active) -> list[str]:
        """Recordings that this session has made or is making."""
        now = [status.recording for status in self.status()
               if status.key in active.running and status.recording and not status.armed]
        return sorted({*now, *active.done})

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
        self._event(f"recording ended ({reason}): {_listed(names) or 'nothing recorded'}", "info")
        return names

    def _on_closed(self, _recorder: Recorder, name: str, _frame_count: int) -> None:
        """A recording with frames in it was closed."""
        if self._active is not None:
            self._active.done.append(name)

    def _on_ended(self, recorder: Recorder, outcome: Outcome) -> None:
        """A camera's recordings are over, by whatever cause."""
        active = self._active
        if outcome.cause in (Cause.CAMERA, Cause.STORE):
            self._event(f"camera {recorder.key}: {outcome.reason}", "error")
            self._mending.fault(recorder.key)
        if active is None:
            return
        active.forget(recorder.key)
        if outcome.cause is Cause.ENDED:
            active.wanted.discard(recorder.key)
            self._event(f"camera {recorder.key}: {outcome.reason}", "info")
            active.over = active.over or ("" if active.wanted else outcome.reason)
        elif outcome.cause is Cause.FULL:
            active.over = active.over or outcome.reason
        self._wake.set()

    async def _each(self, act: Callable[[Recorder], Awaitable[None]]) -> list[str]:
        """Do it with every camera that records; those for which it went well. The failures of the
        others are said; raised when all failed."""
        async with self._control:
            active = self._active
            if active is None:
                raise StateError("nothing is being recorded; start it first")
            failures: list[FieldrecError] = []
            done = []
            for key in [key for key in self._recorders if key in active.running]:
                try:
                    await act(self._recorders[key])
                except FieldrecError as error:
                    failures.append(error)
                    self._event(f"camera {key}: {error}", "error")
                else:
                    done.append(key)
            if failures and not done:
                raise failures[0]
            return done

    # -- watching ----------------------------------------------------------------------------------

    def _status(self, recorder: Recorder) -> RecorderStatus:
        """The folder only where it is not the first; the ring's memory, its spare frame counted."""
        status = recorder.status()
        if status.spec is not None and status.ring_slots:
            status = replace(status, ring_bytes=(status.ring_slots + 1) * slot_bytes(status.spec))
        if self._active is not None and recorder.key in self._active.wanted:
            status = replace(status, wanted=True)
        return replace(status, folder="") if status.folder == self._first_folder else status

    async def _watch(self) -> None:
        while True:
            self._wake.clear()
            await self._look()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._pause_s()):
                    await self._wake.wait()

    def _pause_s(self) -> float:
        active = self._active
        if active is None:
            return IDLE_LOOK_S
        look_s = DOUBT_LOOK_S if self._folders.in_doubt else LOOK_S
        if active.skew is None and len(active.together) > 1 \
                and self._clock.epoch_ns() - active.since_ns < FIRST_LOOKS_NS:
            look_s = FIRST_LOOKS_S
        if active.deadline_ns is None:
            return look_s
        return max(0.0, min(look_s, (active.deadline_ns - self._clock.monotonic_ns()) / 1e9))

    async def _look(self) -> None:
        """End the session when its time is over, something ended it, or every disk is full."""
        refusal = await self._look_at_disk()
        active = self._active
        if active is None:
            return
        note_skew(active, self._recorders, self._event)
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
        else:
            await leave_full_folders(active, self._recorders, self._folders)

    async def _look_at_disk(self) -> str | None:
        """Refresh the storage status; while recording, why to stop, else None."""
        rate = sum(s.measured_hz * s.spec.frame_bytes for s in self.status() if s.spec is not None)
        self._storage, refusal = await self._worker.run(
            lambda _: (self._folders.refresh(rate), self._folders.refusal()))
        if self._folders.some_failed:
            self._folder_failed.set()
        return refusal

    async def _try_failed_folders(self) -> None:
        """A folder that has failed is tried after each look, in a worker of its own."""
        while True:
            await self._folder_failed.wait()
            self._folder_failed.clear()
            await self._folder_worker.run(lambda _: self._folders.look())

    async def _join(self, recorder: Recorder) -> None:
        """Record with a camera that is ready, if the session wants it to and it does not yet."""
        active, key = self._active, recorder.key
        if active is None or key not in active.wanted - active.running or active.paused \
                or recorder.state is not CameraState.READY:
            return
        if not self._folders.usable:
            await self._folder_worker.run(lambda _: self._folders.look())
        if await self._starting.late(active, recorder) is not None:
            return
        if key in active.wanted and active is self._active:
            self._event(f"recording {recorder.status().recording}", "info")
        else:  # the session ended meanwhile
            await recorder.stop("session ended")


def _listed(names: Sequence[str]) -> str:
    """Names for one line: a night of splits has hundreds."""
    if len(names) <= MOST_NAMED:
        return ", ".join(names)
    return f"{len(names)} recordings, {names[0]} to {names[-1]}"
