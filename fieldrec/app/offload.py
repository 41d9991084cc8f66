"""The jobs that the box gives itself, and the visits of drives. On the loop only.

Called whenever a recording, a job or a drive changes; asks the pure functions of jobs/automation
and puts what they want into the queue, which drops what it already has. A visit is one insertion of
a drive: it begins when the drive is READY and ends, with eject, when all its jobs have ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from fieldrec.config import Config
from fieldrec.core.errors import FieldrecError
from fieldrec.core.model import Drive, DriveState, Job, JobKind, JobState, Recording
from fieldrec.export.presets import Preset, preset
from fieldrec.jobs import automation, order
from fieldrec.jobs.automation import Wanted
from fieldrec.jobs.job_queue import JobQueue
from fieldrec.jobs.remembered import by_preset

Say = Callable[[str, str], None]
EJECT_AGAIN_S = 30.0
"""Before a refused eject is tried again: somebody has a file of the drive open."""


def drive_destination(drive: Drive) -> str:
    """Name of a drive as a job's destination."""
    return f"drive:{drive.fs_uuid}"


@dataclass(slots=True)
class _Visit:
    """One insertion of a drive that is served."""

    known: frozenset[str]
    """Recordings that had begun when the drive came: one that ends before the visit does goes
    along; later ones would make a visit endless."""
    given: set[str] = field(default_factory=set)
    jobs: set[int] = field(default_factory=set)
    served: bool = False
    """Its jobs have ended: nothing more is given to it."""
    ejection: asyncio.Task[None] | None = None
    note: str = ""
    """What whoever takes the drive out should know; "" when it got all."""
    refusal: str = ""
    """Why the last eject was refused, so that it is said once."""


class Offload:
    """Automatic exports and copies, and eject when a drive has got all it lacks."""

    def __init__(self, config: Config, queue: JobQueue, *, say: Say,
                 eject: Callable[[str, str], Awaitable[None]], again: Callable[[], None],
                 own_presets: Mapping[str, Preset] | None = None,
                 eject_again_s: float = EJECT_AGAIN_S) -> None:
        """`eject` takes a drive's device and what to say beside SAFE; `again` asks the owner to
        plan anew."""
        self._config = config
        self._own_presets = own_presets or {}
        self._preset = preset(config.export.preset, self._own_presets).name
        self._queue = queue
        self._say = say
        self._eject = eject
        self._again = again
        self._eject_again_s = eject_again_s
        self._visits: dict[int, _Visit] = {}
        """By the drive's insertion."""
        self._given: set[tuple[object, ...]] = set()
        """What was queued since the start. The queue forgets old jobs; asking for what it has
        forgotten would go on for ever with more recordings than it remembers."""

    async def close(self) -> None:
        """End the ejections under way; each drive is READY again or safe."""
        ejections = [v.ejection for v in self._visits.values() if v.ejection is not None]
        for ejection in ejections:
            ejection.cancel()
        if ejections:
            await asyncio.wait(ejections)

    async def plan(self, recordings: Sequence[Recording]) -> None:
        """Queue the exports and copies that the configuration asks for, each recording's with the
        preset that is remembered with it."""
        for its_preset, some in by_preset(recordings, self._preset, self._own_presets).items():
            await self._plan_with(its_preset, some)

    async def _plan_with(self, its_preset: str, recordings: Sequence[Recording]) -> None:
        export = self._config.export
        if export.automatic:
            await self._add(automation.exports_wanted(recordings, its_preset))
        for name, destination in self._config.destinations.items():
            if not destination.automatic:
                continue
            await self._add(automation.copies_wanted(
                recordings, name, exported_first=its_preset if export.automatic else None))
            # What cannot be exported is copied all the same: the raw is what counts.
            await self._add(automation.copies_wanted(
                self._not_exportable(recordings, its_preset), name))
        await self._add(self._raw_to_delete(recordings, its_preset))

    def _raw_to_delete(self, recordings: Sequence[Recording], its_preset: str) -> list[Wanted]:
        """As the policy says. What it takes for proven is proven again when it is done."""
        match self._config.export.raw:
            case "delete_verified":
                return automation.raw_to_delete(recordings, its_preset)
            case "delete_when_offloaded":
                copied: dict[tuple[str, str], int] = {}
                for job in self._queue.jobs():
                    if job.kind is JobKind.COPY and job.state is JobState.DONE:
                        key = (job.item_uuid, job.destination or "")
                        copied[key] = max(job.changed_ns, copied.get(key, 0))
                return automation.raw_to_delete_offloaded(recordings, its_preset, copied)
        return []

    def _not_exportable(self, recordings: Sequence[Recording], its_preset: str
                        ) -> list[Recording]:
        """Recordings whose automatic export failed or was cancelled."""
        given_up = {job.item_uuid for job in self._queue.jobs() if job.kind is JobKind.EXPORT
                    and job.preset == its_preset
                    and job.state in (JobState.FAILED, JobState.CANCELLED)}
        return [recording for recording in recordings if recording.uuid in given_up]

    async def _add(self, wanted: Iterable[Wanted]) -> None:
        finished = {(j.kind, j.item_uuid, j.destination, j.preset)
                    for j in self._queue.jobs() if j.state.finished}
        for want in wanted:
            key = (want.kind, want.item_uuid, want.destination, want.preset)
            if key in finished or key in self._given:
                continue  # done, or failed or cancelled: a person may retry it
            self._given.add(key)
            await self._put(want)

    async def _put(self, want: Wanted) -> Job:
        may = want.kind is JobKind.EXPORT and self._config.export.allow_battery
        return await self._queue.add(want.kind, want.item, want.item_uuid, allow_battery=may,
                                     destination=want.destination, preset=want.preset)

    # -- drives ----------------------------------------------------------------------------------

    async def serve(self, drives: Sequence[Drive], recordings: Sequence[Recording]) -> None:
        """Begin a visit for each drive that has become READY, end those whose jobs have ended."""
        there = {drive.insertion for drive in drives if drive.state is not DriveState.ABSENT}
        for gone in self._visits.keys() - there:
            del self._visits[gone]
        if self._config.drives.on_insert != "copy":
            return
        for drive in drives:
            if drive.state is not DriveState.READY:
                continue
            visit = self._visits.get(drive.insertion)
            if visit is None:
                visit = await self._begin(drive, recordings)
            elif not visit.served:
                await self._give(drive, visit, recordings)
            self._end_if_served(drive, visit)

    async def _begin(self, drive: Drive, recordings: Sequence[Recording]) -> _Visit:
        visit = _Visit(frozenset(recording.uuid for recording in recordings))
        visit.jobs.update(job.id for job in self._unfinished(drive))  # left from an earlier visit
        self._visits[drive.insertion] = visit
        await self._give(drive, visit, recordings)
        count = len(visit.given)
        self._say(f"drive {_name(drive)}: looking at {count} recording{'' if count == 1 else 's'}",
                  "info")
        return visit

    async def _give(self, drive: Drive, visit: _Visit, recordings: Sequence[Recording]) -> None:
        for want in automation.copies_wanted(recordings, drive_destination(drive)):
            if want.item_uuid in visit.known and want.item_uuid not in visit.given:
                visit.given.add(want.item_uuid)
                visit.jobs.add((await self._put(want)).id)

    def _unfinished(self, drive: Drive) -> list[Job]:
        """Raw that waits for other jobs on it, or for its export to come along, keeps no drive; raw
        whose turn comes when the one before it is deleted does."""
        return [job for job in self._queue.jobs()
                if job.destination == drive_destination(drive) and not job.state.finished
                and ((job.kind, job.state) != (JobKind.DELETE_RAW, JobState.WAITING)
                     or order.waits_its_turn(job))]

    def _end_if_served(self, drive: Drive, visit: _Visit) -> None:
        if self._unfinished(drive) or visit.ejection is not None:
            return
        if not visit.served:
            visit.served = True
            self._report(drive, visit)
        visit.ejection = asyncio.create_task(self._end(drive, visit), name=f"eject {drive.device}")

    async def _end(self, drive: Drive, visit: _Visit) -> None:
        """Eject; refused, say so once and try again after a while. A task of its own: a slow drive
        must not keep another one waiting."""
        try:
            await self._eject(drive.device, visit.note)
        except (FieldrecError, OSError) as error:
            if str(error) != visit.refusal:
                visit.refusal = str(error)
                self._say(f"drive {_name(drive)} is not safe yet: {error}", "error")
            await asyncio.sleep(self._eject_again_s)
        visit.ejection = None
        self._again()

    def _report(self, drive: Drive, visit: _Visit) -> None:
        jobs = [job for job in self._queue.jobs() if job.id in visit.jobs]
        failed = [job for job in jobs if job.state is not JobState.DONE]
        for job in failed:
            self._say(f"drive {_name(drive)}: {job.item} not copied: "
                      f"{job.reason or job.state.value}", "error")
        if failed:
            visit.note = f"{len(failed)} of {len(jobs)} not copied, see jobs"


def _name(drive: Drive) -> str:
    return drive.label or drive.fs_uuid
