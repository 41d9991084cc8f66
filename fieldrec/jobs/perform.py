"""What each kind of job does, step by step. Event loop; copies run in threads ``copy PLACE``, one
for each destination, deletions in thread ``delete``.

Keeps I5. Each step looks at the evidence first (the sidecar, the manifest at the destination, the
recording itself), so that a job that was interrupted anywhere may simply be performed again.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from fieldrec.config.loopy import LoopyConfig
from fieldrec.core.errors import (
    DestinationError,
    DestinationFull,
    DriveGone,
    JobRefused,
    NotFoundError,
    StateError,
    VerifyMismatch,
)
from fieldrec.core.model import Job, JobKind, JobState, Recording
from fieldrec.destinations import Destination
from fieldrec.export.presets import Preset
from fieldrec.jobs import export_moves, transfer
from fieldrec.jobs.admission import describe_place
from fieldrec.jobs.byte_pace import DELETE, READ, WRITE
from fieldrec.jobs.exporting import Exporting, MakeEncoder
from fieldrec.jobs.freeing import Evidence, Found
from fieldrec.jobs.held import Held
from fieldrec.jobs.job_queue import JobQueue
from fieldrec.jobs.places import DestinationFactory, check_ready, opened, went
from fieldrec.jobs.room import NoRoom
from fieldrec.jobs.source import Stopped
from fieldrec.jobs.space_freeing import size_of
from fieldrec.jobs.telling import HERE, Telling, phases_of
from fieldrec.jobs.threads import at, in_thread
from fieldrec.jobs.uploading import Uploading
from fieldrec.record.storage import size_text


class Performer:
    """Performs jobs for the runner, several at a time: one on each resource (order.py)."""

    def __init__(self, queue: JobQueue, *,
                 catalogue: Callable[[], Awaitable[Sequence[Recording]]],
                 recordings: Sequence[Path],
                 destinations: Callable[[], Mapping[str, DestinationFactory]],
                 make_encoder: MakeEncoder,
                 own_presets: Mapping[str, Preset] | None = None,
                 keep_free_bytes: int = 0, evidence: Evidence | None = None,
                 uploads: Mapping[str, LoopyConfig] | None = None) -> None:
        """`recordings`: all folders that recordings may lie in, `own_presets`: of the
        configuration; `keep_free_bytes` of the recordings' disks are not for exports; `evidence`
        is asked before a recording goes because it is verified elsewhere: without it, none does;
        `uploads`: the destinations that take uploads."""
        self._queue = queue
        self._catalogue = catalogue
        self._recordings = tuple(recordings)
        self._destinations = destinations
        self._evidence = evidence
        self.exporting = Exporting(
            queue, find=self._find, destinations=destinations, make_encoder=make_encoder,
            own_presets=own_presets or {}, recordings=self._recordings,
            keep_free_bytes=keep_free_bytes)
        self._uploading = Uploading(queue, uploads or {})

    async def perform(self, job: Job, held: Held) -> str:
        """Do what the job asks for; what came of it in words, where that is worth saying. On
        cancel it stops at a slice and can be performed again.

        Raises NotYet, Stopped, or the FieldrecError that says why not.
        """
        recording = await self._find(job)
        match job.kind:
            case JobKind.EXPORT:
                return await self.exporting.export(job, recording, held)
            case JobKind.DELETE_RAW:
                self._uploading.check_raw_is_free(job)
                return await self.exporting.delete_raw(job, recording)
            case JobKind.DELETE:
                return await self._delete(job, recording)
            case JobKind.UPLOAD:
                return await self._uploading.upload(job, recording)
            case JobKind.COPY | JobKind.MOVE:
                await self._offload(job, recording)
        return ""

    async def _delete(self, job: Job, recording: Recording | None) -> str:
        """Delete what is there; of a recording that is gone a cut may have left a sidecar. With a
        destination only if that has it, verified (I5); what was found, in words."""
        telling = None if recording is None else \
            Telling(self._queue, job, phases_of(job, recording, self._queue))
        size = 0 if recording is None else recording.size_bytes
        found = None
        if recording is not None and telling is not None and job.destination is not None:
            found = await self._prove(job, recording, telling)

        def on_removed(done: int, folders: int) -> None:
            if telling is not None:
                telling.progress(DELETE, size * done // folders, size)

        def delete(_stop: threading.Event) -> None:
            if recording is not None:
                on_removed(0, 1)
                transfer.delete_recording(recording, on_removed,
                                          only=None if found is None else found.names)
            self._sweep_sidecars(job.item)

        await in_thread("delete", delete)
        if telling is not None:
            await telling.remember(job.destination or HERE, here=(DELETE,))
        return "" if found is None or recording is None else _freed(recording, found)

    async def _prove(self, job: Job, recording: Recording, telling: Telling) -> Found:
        """The recording is at the job's destination; NotVerified, VerifyMismatch: it is kept."""
        if self._evidence is None:
            raise JobRefused(f"that {job.item} is verified elsewhere cannot be looked at here; it "
                             "is kept")
        check_ready(recording, "deleted for its copy")
        await self._queue.set_state(job.id, JobState.VERIFYING)
        found = await self._evidence.look(
            job, recording, self._destinations().get(job.destination or ""),
            lambda done, total: telling.progress(READ, done, total))
        await self._queue.set_state(job.id, JobState.COMMITTING)
        await self._queue.set_state(job.id, JobState.DELETING_SOURCE)
        return found

    async def _offload(self, job: Job, recording: Recording | None) -> None:
        """Copy or move to the job's destination; a moved recording that is gone is done."""
        place = opened(self._destinations(), job.destination or "")
        if recording is not None:
            check_ready(recording, "copied")
        with place as destination:
            if recording is None:
                await self._check_moved(job, destination)
                return
            try:
                await self._transfer(job, recording, destination)
            except (VerifyMismatch, DestinationError) as error:
                if await went(self._destinations, job.destination or ""):
                    raise DriveGone(f"{describe_place(job)} was pulled out; put it back and the "
                                    f"{job.kind.value} goes on") from error
                if isinstance(error, DestinationFull):
                    raise NoRoom(str(error)) from error
                raise

    async def _check_moved(self, job: Job, destination: Destination) -> None:
        def look(_stop: threading.Event) -> bool:
            with contextlib.closing(destination):
                there = transfer.verified_copy_exists(destination, job.item, job.item_uuid)
                if there and job.kind is JobKind.MOVE:
                    self._sweep_sidecars(job.item)
                return there

        if not await at(destination, look):
            raise NotFoundError(f"{job.item} is gone; there is nothing to {job.kind.value}")

    async def _transfer(self, job: Job, recording: Recording, destination: Destination) -> None:
        loop = asyncio.get_running_loop()
        telling = Telling(self._queue, job, phases_of(job, recording, self._queue))
        phase, kept = WRITE, 0

        def report(done: int, total: int) -> None:
            telling.progress(phase, done, total, kept if phase == WRITE else 0)

        def on_kept(count_bytes: int) -> None:
            nonlocal kept
            kept += count_bytes

        def on_phase(state: JobState) -> None:
            nonlocal phase
            # waits for the loop: a job that was cancelled just now must not commit any more
            step = self._queue.set_state(job.id, state)
            asyncio.run_coroutine_threadsafe(step, loop).result()
            phase = DELETE if state is JobState.DELETING_SOURCE else READ

        unknown = (job.kind is JobKind.COPY and job.preset is None
                   and self._evidence is not None and not self._evidence.knows(job))

        def call(stop: threading.Event) -> None:
            work = export_moves.bring(job.kind, job.preset)
            with contextlib.closing(destination):
                try:
                    if unknown and destination.proves:  # its end will be noted as verified
                        work = partial(work, recheck_present=True)
                    work(recording, destination, stop=stop, on_progress=report,
                         on_phase=on_phase, on_kept=on_kept)
                except (Stopped, StateError):
                    if self._queue.job(job.id).state is JobState.CANCELLED:
                        transfer.discard_unfinished(recording, destination)
                    raise

        await at(destination, call)
        await telling.remember(job.destination or "", here=(DELETE,))

    def _sweep_sidecars(self, name: str) -> None:
        for folder in self._recordings:
            with contextlib.suppress(OSError):  # a dead disk must not fail the others' jobs
                transfer.sweep_sidecars(folder, name)

    async def _find(self, job: Job) -> Recording | None:
        """The job's recording, by uuid; None when it is gone."""
        for recording in await self._catalogue():
            if recording.uuid == job.item_uuid and recording.name == job.item:
                return recording
        return None


def _freed(recording: Recording, found: Found) -> str:
    """What the deletion of items came to."""
    going = [export for export in recording.exports if export.path.name in found.names]
    size = size_of(dataclasses.replace(recording, exports=tuple(going)))
    stay = len(recording.exports) - len(going)
    words = f"{size_text(size)} freed; {found.words}"
    return f"{words}; exports made since then stay: {stay}" if stay else words
