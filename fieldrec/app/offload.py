"""The jobs that the box gives itself, and the visits of drives. On the loop only.

Called whenever a recording, a job or a drive changes; asks the pure functions of jobs/automation
and puts what they want into the queue, which drops what it already has.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence

from fieldrec.config import Config
from fieldrec.core.errors import FieldrecError
from fieldrec.core.model import Drive, DriveState, Job, JobState, Recording
from fieldrec.jobs import automation
from fieldrec.jobs.job_queue import JobQueue

Say = Callable[[str, str], None]


def drive_destination(drive: Drive) -> str:
    """Name of a drive as a job's destination."""
    return f"drive:{drive.fs_uuid}"


class Offload:
    """Automatic exports and copies, and eject when a drive has got all it lacks."""

    def __init__(self, config: Config, queue: JobQueue, *, say: Say,
                 eject: Callable[[str], Awaitable[None]]) -> None:
        self._config = config
        self._queue = queue
        self._say = say
        self._eject = eject
        self._visiting: dict[str, int] = {}
        """fs_uuid of each drive being served -> jobs given to it."""
        self._ended: set[str] = set()
        """Drives that were served and are still plugged in."""

    async def plan(self, recordings: Sequence[Recording]) -> None:
        """Queue the exports and copies that the configuration asks for."""
        export = self._config.export
        if export.automatic:
            await self._add(automation.exports_wanted(recordings, export.preset))
        for name, destination in self._config.destinations.items():
            if destination.automatic:
                first = export.preset if export.automatic else None
                await self._add(
                    automation.copies_wanted(recordings, name, exported_first=first))

    async def _add(self, wanted: Iterable[automation.Wanted]) -> int:
        finished = {(j.kind, j.item_uuid, j.destination, j.preset): j.state
                    for j in self._queue.jobs() if j.state.finished}
        count = 0
        for want in wanted:
            key = (want.kind, want.item_uuid, want.destination, want.preset)
            if key in finished:
                continue  # done, or failed or cancelled: a person may retry it
            await self._queue.add(want.kind, want.item, want.item_uuid,
                                  destination=want.destination, preset=want.preset)
            count += 1
        return count

    # -- drives ----------------------------------------------------------------------------------

    async def drives_changed(self, drives: Sequence[Drive], recordings: Sequence[Recording]
                             ) -> None:
        """Begin a visit for each drive that has become READY; forget those that are gone."""
        present = {drive.fs_uuid for drive in drives if drive.state is not DriveState.ABSENT}
        self._ended &= present
        for gone in set(self._visiting) - present:
            del self._visiting[gone]
        if self._config.drives.on_insert != "copy":
            return
        for drive in drives:
            known = drive.fs_uuid in self._visiting or drive.fs_uuid in self._ended
            if drive.state is DriveState.READY and not known:
                await self._begin(drive, recordings)

    async def _begin(self, drive: Drive, recordings: Sequence[Recording]) -> None:
        wanted = automation.copies_wanted(recordings, drive_destination(drive))
        for want in wanted:
            await self._queue.add(want.kind, want.item, want.item_uuid,
                                  destination=want.destination)
        self._visiting[drive.fs_uuid] = len(wanted)
        self._say(f"drive {drive.label or drive.fs_uuid}: looking at {len(wanted)} recordings",
                  "info")

    async def end_visits(self, drives: Sequence[Drive]) -> None:
        """Eject each visited drive whose jobs have all ended."""
        for drive in drives:
            if drive.fs_uuid not in self._visiting or drive.state is not DriveState.READY:
                continue
            jobs = [j for j in self._queue.jobs() if j.destination == drive_destination(drive)]
            if any(not job.state.finished for job in jobs):
                continue
            del self._visiting[drive.fs_uuid]
            self._ended.add(drive.fs_uuid)
            self._report(drive, jobs)
            try:
                await self._eject(drive.fs_uuid)
            except FieldrecError as error:
                self._say(f"drive {drive.label or drive.fs_uuid}: {error}", "error")

    def _report(self, drive: Drive, jobs: Sequence[Job]) -> None:
        failed = {job.item: job.reason for job in jobs if job.state is JobState.FAILED}
        for item, reason in failed.items():
            self._say(f"drive {drive.label or drive.fs_uuid}: {item} not copied: {reason}",
                      "error")
