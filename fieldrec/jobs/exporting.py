"""What an export job does, and the deletion of the raw it stands for. Event loop; what blocks runs
in threads ``export-check``.

Keeps I4 and I5. Each step looks at the evidence first (sidecars here and at the destination), so
that a job that was interrupted anywhere may simply be performed again. An export straight to a
destination is made in the destination's own folder, read back from that medium, and only then does
the raw go, if that was asked for.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import re
import threading
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path

from fieldrec.core import durable
from fieldrec.core.errors import (
    DestinationAway,
    DriveGone,
    FieldrecError,
    JobRefused,
    NotFoundError,
    StoreFull,
    UsageError,
    VerifyMismatch,
)
from fieldrec.core.model import Export, ExportProgress, Job, JobKind, JobState, Recording
from fieldrec.destinations.folder import FolderDestination
from fieldrec.export import work_folder
from fieldrec.export.presets import Preset, export_name, preset
from fieldrec.jobs import raw, room, transfer
from fieldrec.jobs.admission import describe_destination
from fieldrec.jobs.byte_pace import DELETE, READ
from fieldrec.jobs.held import EncoderLike, Held
from fieldrec.jobs.history import predicted, time_left_s
from fieldrec.jobs.job_queue import JobQueue
from fieldrec.jobs.pace import Pace
from fieldrec.jobs.places import DestinationFactory, NotYet, check_ready, opened, went
from fieldrec.jobs.proofs import exports_with, has_export, why_raw_stays
from fieldrec.jobs.telling import HERE, PROGRESS_S, Telling, phases_of
from fieldrec.jobs.threads import at, in_thread
from fieldrec.record.storage import size_text

_THREAD = "export-check"
_OPENED = re.compile(r"/proc/(self|[0-9]+)/fd/[0-9]+")
EncoderProgress = Callable[[str, int, int], None]
MakeEncoder = Callable[[Path, Preset, Path, EncoderProgress], EncoderLike]
"""(store, preset, output folder, progress) -> encoder."""
Find = Callable[[Job], Awaitable[Recording | None]]


def names_wanted(jobs: Iterable[Job], own_presets: Mapping[str, Preset],
                 destination: str | None = None) -> set[str]:
    """Names of the exports that unfinished jobs make (here, or at a destination): their working
    folders are not swept."""
    wanted = set()
    for job in jobs:
        if job.kind is JobKind.EXPORT and job.destination == destination \
                and not job.state.finished:
            with contextlib.suppress(UsageError):  # a preset that is gone: the job will say so
                wanted.add(export_name(job.item, preset(job.preset or "", own_presets)))
    return wanted


class Exporting:
    """Performs exports and deletions of raw for the runner."""

    def __init__(self, queue: JobQueue, *, find: Find,
                 destinations: Callable[[], Mapping[str, DestinationFactory]],
                 make_encoder: MakeEncoder, own_presets: Mapping[str, Preset],
                 recordings: Sequence[Path], keep_free_bytes: int = 0) -> None:
        """`find` gives a job's recording as the disk has it now; `keep_free_bytes` are left on the
        disks of the folders `recordings`."""
        self._queue = queue
        self._find = find
        self._destinations = destinations
        self._make_encoder = make_encoder
        self._own_presets = own_presets
        self._recordings = tuple(recordings)
        self._keep_free_bytes = keep_free_bytes
        self._ran_full: dict[str, int] = {}
        """How often the disk was too small for the export of a recording, by its uuid."""

    def preset_of(self, job: Job) -> Preset:
        """JobRefused where the configuration does not have it any more."""
        try:
            return preset(job.preset or "", self._own_presets)
        except UsageError as error:
            raise JobRefused(f"{error}; put {job.preset} back into the configuration and retry, "
                             "or export with another") from error

    # -- exports ---------------------------------------------------------------------------------

    async def export(self, job: Job, recording: Recording | None, held: Held) -> str:
        """Make the export, unless it is there, then delete the raw if that was asked for; what
        came of it, in words."""
        row = self.preset_of(job)
        if job.destination is not None:
            return await self._straight(job, recording, row, held)
        if recording is None:
            raise NotFoundError(f"{job.item} is gone; there is nothing to export")
        said = "exported already"
        if has_export(recording, row.name):
            await _discard_in([recording.path.parent], job, row)  # a run was killed when done
        else:
            _check_exportable(recording)
            said = ""
            await self._make_here(job, recording, row, held)
            recording = await self._find(job)
        if job.delete_source and recording is not None and recording.has_raw:
            freed = await self._delete_for(job, recording, row.name)
            said = "; ".join(filter(None, (said, freed)))
        return said

    async def _make_here(self, job: Job, recording: Recording, row: Preset, held: Held) -> None:
        folder = recording.path.parent
        await self._check_room(recording, row, folder, str(folder),
                               lambda: room.free_bytes(folder, self._keep_free_bytes))
        pace = await self._encode(job, recording, row, folder, held)
        after = await self._find(job)
        if after is not None:
            await self._remember(pace, recording, row, exports_with(after, row.name))

    async def _check_room(self, recording: Recording, row: Preset, folder: Path, where: str,
                          free_bytes: Callable[[], int]) -> None:
        """NoRoom; what an earlier run has written counts as room. One that the disk was too small
        for must have twice as much as before: it would encode in vain again and again."""
        working = work_folder.work_path(folder / export_name(recording.name, row))
        free = await in_thread(_THREAD, lambda _: free_bytes() + room.held_bytes(working))
        told = predicted(self._queue.samples, recording, row)
        if told is not None:
            told = dataclasses.replace(told, size_bytes=told.size_bytes
                                       << self._ran_full.get(recording.uuid, 0))
        room.check(told, row, free, where)

    async def _straight(self, job: Job, recording: Recording | None, row: Preset, held: Held
                        ) -> str:
        """The same, into the destination's folder. A drive is leased meanwhile."""
        where = job.destination or ""
        with opened(self._destinations(), where) as destination:
            if not isinstance(destination, FolderDestination):
                raise JobRefused(f"{describe_destination(where)} takes no exports straight; export "
                                 "here, then copy")
            folder = destination
            try:
                return await self._make_there(job, recording, row, folder, held)
            except FieldrecError as error:
                if not isinstance(error, DriveGone) and await went(self._destinations, where):
                    raise DriveGone(f"{describe_destination(where)} was pulled out; put it back "
                                    "and the export goes on") from error
                raise
            finally:
                with contextlib.suppress(DestinationAway):  # it hangs: let it hang
                    await at(folder, lambda _: folder.close())

    async def _make_there(self, job: Job, recording: Recording | None, row: Preset,
                          folder: FolderDestination, held: Held) -> str:
        if recording is None or not recording.has_raw:
            if await self._there(job, row, folder):
                return f"exported to {folder.name} already; the raw is gone"
            raise NotFoundError(f"the raw of {job.item} is gone; there is nothing to export")
        if job.delete_source:
            await at(folder, lambda stop: transfer.check_proves(folder, stop))
        uuid = recording.uuid
        there = exports_with(
            dataclasses.replace(recording, exports=await self._there(job, row, folder)), row.name)
        said = f"exported to {folder.name} already" if there else ""
        place = await at(folder, lambda _: folder.opened())
        wanted = names_wanted(self._queue.jobs(), self._own_presets, job.destination)
        if there:
            wanted.discard(export_name(job.item, row))  # what a drive's pull left of its making
        await at(folder, lambda _: work_folder.sweep(place, wanted))
        if not there:
            _check_exportable(recording)
            await self._check_room(recording, row, place, folder.name, folder.free_bytes)
            pace = await self._encode(job, recording, row, place, held)
            there = await self._there(job, row, folder)
            await self._confirm(job, folder, there, uuid)
            await self._remember(pace, recording, row, there)
        if not job.delete_source:
            return said
        if why := why_raw_stays(dataclasses.replace(recording, exports=there), row.name):
            raise JobRefused(why)
        if said:  # it may lie there for long; what is wrong with it stays to be looked at
            await self._queue.set_state(job.id, JobState.VERIFYING)
            await at(folder, lambda stop: raw.check_there(folder, there, uuid, stop))
        telling = Telling(self._queue, job, phases_of(job, recording, self._queue))
        return "; ".join(filter(None, (said, await self._delete(job, recording, telling))))

    async def _there(self, job: Job, row: Preset, folder: FolderDestination
                     ) -> tuple[Export, ...]:
        return await at(folder,
            lambda _: raw.exports_at(folder, job.item, job.item_uuid, row.name))

    async def _confirm(self, job: Job, folder: FolderDestination, exports: tuple[Export, ...],
                       uuid: str) -> None:
        """Read it back from the medium once more, now that all of it is there; what is not right
        goes, sidecar first (I4)."""
        await self._queue.set_state(job.id, JobState.VERIFYING)

        def confirm(stop: threading.Event) -> None:
            folder.sync(job.item)
            try:
                raw.compare_there(folder, exports, uuid, stop)
            except VerifyMismatch:
                raw.remove(folder, exports)
                raise

        await in_thread(_THREAD, confirm)
        if not exports:
            raise VerifyMismatch(f"{job.item}: the export cannot be seen at {folder.name} after it "
                                 "was made; the raw is kept; check that medium")

    async def _encode(self, job: Job, recording: Recording, row: Preset, folder: Path, held: Held
                      ) -> Pace:
        loop = asyncio.get_running_loop()
        pace = Pace(loop.time)
        told_at = -PROGRESS_S

        def on_progress(phase: str, done: int, total: int) -> None:
            nonlocal told_at
            if phase.startswith("verif"):
                held.verifies()
            pace.progress(phase, done)
            now_s = loop.time()
            if done >= total or now_s - told_at >= PROGRESS_S:
                told_at = now_s
                self._queue.progress(
                    job.id, done * recording.size_bytes // max(total, 1), recording.size_bytes,
                    time_left_s(phase, done, total, pace.frame_s, self._queue.samples),
                    ExportProgress(phase, done, total, pace.frames_per_second(phase),
                                   encoder.size_bytes))

        encoder = self._make_encoder(recording.path, row, folder, on_progress)
        held.take(encoder, pace.hold)
        try:
            await encoder.run()
        except StoreFull as error:
            if predicted(self._queue.samples, recording, row) is None:
                raise  # nothing tells how much it needs: tried a few times
            self._ran_full[recording.uuid] = self._ran_full.get(recording.uuid, 0) + 1
            raise room.NoRoom(f"{_named(error, job)}; goes on when there is room") from error
        except FieldrecError as error:
            if job.destination is None:
                raise
            raise type(error)(_named(error, job)) from error
        finally:
            was_held = held.drop()
        if was_held:
            await self._queue.set_state(job.id, JobState.RUNNING)
        return pace

    async def _remember(self, pace: Pace, recording: Recording, row: Preset,
                        exports: tuple[Export, ...]) -> None:
        sample = pace.sample(recording, row.name, exports)
        if sample is not None:
            await self._queue.remember(sample)

    async def discard(self, job: Job) -> None:
        """Remove what an export that was cancelled, or failed, left. Nothing where the preset is
        not known any more, or the drive is away: that is swept another time."""
        try:
            row = self.preset_of(job)
        except JobRefused:
            return
        if job.destination is None:
            await _discard_in(self._recordings, job, row)
            return
        name = export_name(job.item, row)
        with contextlib.suppress(FieldrecError), \
                opened(self._destinations(), job.destination) as destination:
            if isinstance(destination, FolderDestination):
                folder = destination
                await at(folder, lambda _: _discard_at(folder, name))

    # -- raw -------------------------------------------------------------------------------------

    async def delete_raw(self, job: Job, recording: Recording | None) -> str:
        """Delete the raw for the export with the job's preset; with a destination only if that
        has the export too. What came of it, in words."""
        if recording is None:
            raise NotFoundError(f"{job.item} is gone")
        if not recording.has_raw:
            return "the raw is gone already"
        check_ready(recording, "freed of its raw")
        name = job.preset or ""
        if job.destination is None:
            return await self._delete_for(job, recording, name)
        _check_raw(recording, name)
        exports = exports_with(recording, name)
        with opened(self._destinations(), job.destination) as destination:
            place = destination

            def look(stop: threading.Event) -> None:
                try:
                    raw.check_there(place, exports, recording.uuid, stop)
                finally:
                    place.close()

            await self._queue.set_state(job.id, JobState.VERIFYING)
            try:
                await at(place, look)
            except raw.NotThere as error:
                raise NotYet(f"{error} yet; the raw goes when it is") from error
        return await self._delete_for(job, recording, name)

    async def _delete_for(self, job: Job, recording: Recording, name: str) -> str:
        """Delete the raw if the export beside it is, on the medium, what was verified."""
        _check_raw(recording, name)
        exports = exports_with(recording, name)
        await self._queue.set_state(job.id, JobState.VERIFYING)
        telling = Telling(self._queue, job, phases_of(job, recording, self._queue))
        total, done = sum(export.size_bytes for export in exports), 0

        def on_bytes(count_bytes: int) -> None:
            nonlocal done
            done += count_bytes
            telling.progress(READ, done, total)

        await in_thread(_THREAD, lambda stop: raw.check_here(exports, recording.uuid, stop,
                                                             on_bytes))
        return await self._delete(job, recording, telling)

    async def _delete(self, job: Job, recording: Recording, telling: Telling) -> str:
        await self._queue.set_state(job.id, JobState.COMMITTING)
        await self._queue.set_state(job.id, JobState.DELETING_SOURCE)
        path, size = recording.path, recording.size_bytes

        def on_removed(folders: int, of: int) -> None:
            telling.progress(DELETE, size * folders // of, size)

        def delete(_stop: threading.Event) -> None:
            telling.progress(DELETE, 0, size)
            transfer.delete_raw(path, on_removed)

        await in_thread(_THREAD, delete)
        await telling.remember(HERE)
        return f"raw deleted, {size_text(recording.size_bytes)} freed"


async def _discard_in(folders: Iterable[Path], job: Job, row: Preset) -> None:
    name = export_name(job.item, row)
    await in_thread("export-sweep", lambda _: _discard(folders, name))


def _discard(folders: Iterable[Path], name: str) -> None:
    """The working folder of an export, and the movie that was not committed."""
    for folder in folders:
        with contextlib.suppress(OSError, FieldrecError):  # the next start sweeps it
            work_folder.remove(folder / name)
            durable.unlink(folder / (durable.PART_PREFIX + name), missing_ok=True)


def _discard_at(folder: FolderDestination, name: str) -> None:
    with contextlib.closing(folder):
        _discard([folder.opened()], name)


def _named(error: FieldrecError, job: Job) -> str:
    """What is said of a destination names the place, not the way it was opened."""
    return _OPENED.sub(job.destination or "", str(error)) if job.destination else str(error)


def _check_exportable(recording: Recording) -> None:
    if not recording.has_raw:
        raise JobRefused(f"{recording.name}: its raw is gone; there is nothing to export")
    check_ready(recording, "exported")


def _check_raw(recording: Recording, preset_name: str) -> None:
    if why := why_raw_stays(recording, preset_name):
        raise JobRefused(why)
