"""What each kind of job does, step by step. Event loop; copies and deletions in thread ``copy``.

Keeps I5. Each step looks at the evidence first (the sidecar, the manifest at the destination, the
recording itself), so that a job that was interrupted anywhere may simply be performed again.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from fieldrec.core.errors import DestinationError, JobRefused, NotFoundError, StateError
from fieldrec.core.model import Export, Job, JobKind, JobState, Recording, RecordingState
from fieldrec.core.workers import Worker
from fieldrec.destinations import Destination
from fieldrec.jobs import transfer
from fieldrec.jobs.admission import describe_destination
from fieldrec.jobs.job_queue import JobQueue
from fieldrec.jobs.source import Stopped

T = TypeVar("T")

PROGRESS_S = 0.25
"""Progress is passed on at most this often."""

DestinationFactory = Callable[[], contextlib.AbstractContextManager[Destination]]
"""Called, entered and left on the loop without I/O: for a drive it holds the lease meanwhile."""
EncoderProgress = Callable[[str, int, int], None]
_NOT_YET = frozenset({RecordingState.OPENING, RecordingState.RECORDING, RecordingState.PAUSED,
                      RecordingState.CLOSING, RecordingState.INTERRUPTED,
                      RecordingState.RECOVERING})


class EncoderLike(Protocol):
    """What the runner needs of an export process."""

    async def run(self) -> Export:
        """Make the export; on cancel the process is gone before this returns."""
        ...

    def pause(self) -> None:
        """Hold it; never blocks."""
        ...

    def resume(self) -> None:
        """Let it go on; never blocks."""
        ...


MakeEncoder = Callable[[Path, str, Path, EncoderProgress], EncoderLike]
"""(store, preset, output folder, progress) -> encoder; FieldrecError for an unknown preset."""


class NotYet(Exception):
    """The recording is not ready for this job; asked again at the next change."""


class Held:
    """The handle by which a running job's process is held and let go; only exports have one."""

    def __init__(self, on_change: Callable[[], None]) -> None:
        self.verifying = False
        """Whether the export is encoded and is being compared with the raw."""
        self._encoder: EncoderLike | None = None
        self._is_held = False
        self._on_change = on_change

    def take(self, encoder: EncoderLike) -> None:
        """There is a process from now on; whoever decides is told to look again."""
        self._encoder = encoder
        self._on_change()

    def verifies(self) -> None:
        """The process said that it began to verify."""
        if not self.verifying:
            self.verifying = True
            self._on_change()

    def drop(self) -> bool:
        """The process has ended; whether it had been told to pause just then."""
        self._encoder = None
        was_held, self._is_held = self._is_held, False
        return was_held

    def hold(self) -> bool:
        """Pause the process; False when there is none. Idempotent."""
        if self._encoder is None:
            return False
        self._encoder.pause()
        self._is_held = True
        return True

    def let_go(self) -> bool:
        """Let a paused process go on; False when none is paused."""
        if self._encoder is None or not self._is_held:
            return False
        self._encoder.resume()
        self._is_held = False
        return True


class Performer:
    """Performs one job of each lane at a time, for the runner."""

    def __init__(self, queue: JobQueue, *,
                 catalogue: Callable[[], Awaitable[Sequence[Recording]]],
                 recordings: Sequence[Path],
                 destinations: Callable[[], Mapping[str, DestinationFactory]],
                 make_encoder: MakeEncoder) -> None:
        """`recordings`: all folders that recordings may lie in."""
        self._queue = queue
        self._catalogue = catalogue
        self._recordings = tuple(recordings)
        self._destinations = destinations
        self._make_encoder = make_encoder
        self._worker: Worker | None = None

    async def perform(self, job: Job, held: Held) -> None:
        """Do what the job asks for. On cancel it stops at a slice and can be performed again.

        Raises NotYet, Stopped, or the FieldrecError that says why not.
        """
        recording = await self._find(job)
        match job.kind:
            case JobKind.EXPORT:
                await self._export(job, recording, held)
            case JobKind.DELETE:
                await self._delete(job, recording)
            case JobKind.COPY | JobKind.MOVE:
                await self._offload(job, recording)

    def close(self) -> None:
        """End the thread; a later job starts a new one."""
        if self._worker is not None:
            self._worker.close()
            self._worker = None

    async def _export(self, job: Job, recording: Recording | None, held: Held) -> None:
        """Encode, unless that export is there; then delete the raw, if that was asked for."""
        if recording is None:
            raise NotFoundError(f"{job.item} is gone; there is nothing to export")
        preset = job.preset or ""
        if not _has_export(recording, preset):
            if not recording.has_raw:
                raise JobRefused(f"{job.item}: its raw is gone; there is nothing to export")
            _check_ready(recording, "exported")
            await self._encode(job, recording, preset, held)
            recording = await self._find(job)
        if job.delete_source and recording is not None and recording.has_raw:
            if not _has_export(recording, preset):
                raise JobRefused(f"{job.item}: the export is not there; the raw is kept")
            await self._queue.set_state(job.id, JobState.COMMITTING)
            await self._queue.set_state(job.id, JobState.DELETING_SOURCE)
            path = recording.path
            await self._blocking(lambda _stop: transfer.delete_raw(path))

    async def _encode(self, job: Job, recording: Recording, preset: str, held: Held) -> None:
        throttled = _throttled(lambda done, total: self._queue.progress(job.id, done, total))

        def on_progress(phase: str, done: int, total: int) -> None:
            if phase.startswith("verif"):
                held.verifies()
            throttled(done * recording.size_bytes // max(total, 1), recording.size_bytes)

        encoder = self._make_encoder(recording.path, preset, recording.path.parent, on_progress)
        held.take(encoder)
        try:
            await encoder.run()
        finally:
            was_held = held.drop()
        if was_held:
            await self._queue.set_state(job.id, JobState.RUNNING)

    async def _delete(self, job: Job, recording: Recording | None) -> None:
        """Delete what is there; of a recording that is gone a cut may have left a sidecar."""

        def delete(_stop: threading.Event) -> None:
            if recording is not None:
                transfer.delete_recording(recording)
            self._sweep_sidecars(job.item)

        await self._blocking(delete)

    async def _offload(self, job: Job, recording: Recording | None) -> None:
        """Copy or move to the job's destination; a moved recording that is gone is done."""
        factory = self._destinations().get(job.destination or "")
        if factory is None:
            raise DestinationError(f"{describe_destination(job.destination or '')} not present")
        if recording is not None:
            _check_ready(recording, "copied")
        with factory() as destination:
            if recording is None:
                await self._check_moved(job, destination)
                return
            await self._transfer(job, recording, destination)

    async def _check_moved(self, job: Job, destination: Destination) -> None:
        def look(_stop: threading.Event) -> bool:
            with contextlib.closing(destination):
                there = transfer.verified_copy_exists(destination, job.item, job.item_uuid)
                if there and job.kind is JobKind.MOVE:
                    self._sweep_sidecars(job.item)
                return there

        if not await self._blocking(look):
            raise NotFoundError(f"{job.item} is gone; there is nothing to {job.kind.value}")

    async def _transfer(self, job: Job, recording: Recording, destination: Destination) -> None:
        loop = asyncio.get_running_loop()
        work = transfer.move if job.kind is JobKind.MOVE else transfer.transfer

        def report(done: int, total: int) -> None:
            loop.call_soon_threadsafe(self._queue.progress, job.id, done, total)

        def on_phase(state: JobState) -> None:
            # waits for the loop: a job that was cancelled just now must not commit any more
            step = self._queue.set_state(job.id, state)
            asyncio.run_coroutine_threadsafe(step, loop).result()

        def call(stop: threading.Event) -> transfer.TransferResult:
            with contextlib.closing(destination):
                try:
                    return work(recording, destination, stop=stop, on_progress=_throttled(report),
                                on_phase=on_phase)
                except (Stopped, StateError):
                    if self._queue.job(job.id).state is JobState.CANCELLED:
                        transfer.discard_unfinished(recording, destination)
                    raise

        await self._blocking(call)

    def _sweep_sidecars(self, name: str) -> None:
        for folder in self._recordings:
            with contextlib.suppress(OSError):  # a dead disk must not fail the others' jobs
                transfer.sweep_sidecars(folder, name)

    async def _blocking(self, work: Callable[[threading.Event], T]) -> T:
        if self._worker is None:
            self._worker = Worker("copy")
        return await self._worker.run(work)

    async def _find(self, job: Job) -> Recording | None:
        """The job's recording, by uuid; None when it is gone."""
        for recording in await self._catalogue():
            if recording.uuid == job.item_uuid and recording.name == job.item:
                return recording
        return None


def _throttled(report: transfer.Progress) -> transfer.Progress:
    """Progress as often as people can read it, and at the end of each phase. Any one thread."""
    told_at = -PROGRESS_S

    def progress(done: int, total: int) -> None:
        nonlocal told_at
        now = time.monotonic()
        if done >= total or now - told_at >= PROGRESS_S:
            told_at = now
            report(done, total)

    return progress


def _has_export(recording: Recording, preset: str) -> bool:
    return any(export.preset.lower() == preset.lower()
               and (not recording.has_raw or export.frame_count == recording.frame_count)
               for export in recording.exports)


def _check_ready(recording: Recording, verb: str) -> None:
    """NotYet for a raw that will be complete later, JobRefused for one that will not."""
    if not recording.has_raw or recording.state is RecordingState.COMPLETE:
        return
    if recording.state in _NOT_YET:
        raise NotYet(f"{recording.name} is {recording.state.value}; it is {verb} once complete")
    raise JobRefused(f"{recording.name} is {recording.state.value}; run `fieldrec check` on it; "
                     f"only a complete recording is {verb}")
