"""The visits of drives: what each gets when it is put in, and when it may be taken out. Event loop.

A visit is one insertion of a drive. It begins when the drive is READY: the drive is looked at (in a
thread of its own; a slow one keeps no other waiting), what fits is planned by whole recordings
before the first byte, and each of them becomes a job. It ends, with eject, when its jobs have
ended; a drive that stays in use is given what is recorded later too. What did not fit has no job:
the next drive, or this one with more room, is given it. A drive that is suspect gets nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from fieldrec.app import visit_words
from fieldrec.app.visit_words import Tally
from fieldrec.config import Config
from fieldrec.core.errors import DriveGone, FieldrecError, StateError
from fieldrec.core.model import Drive, DriveState, Job, JobKind, JobState, Recording
from fieldrec.drives import link
from fieldrec.drives.accept import Serving, doubted, serving
from fieldrec.export.presets import Preset, preset
from fieldrec.jobs import automation, order, room
from fieldrec.jobs.all_at_once import needed_bytes
from fieldrec.jobs.automation import Wanted
from fieldrec.jobs.drive_room import Fit, Room, describe_stays, fit, in_order
from fieldrec.jobs.job_queue import JobQueue
from fieldrec.jobs.remembered import preset_for

log = logging.getLogger(__name__)
Say = Callable[[str, str], None]
Look = Callable[[str, Collection[str]], Coroutine[object, object, Room]]
"""(destination, items that an earlier try may have begun) -> what is there."""
Elsewhere = Callable[[Recording, str], bool]
"""Whether a recording has a verified copy at another destination than this one."""
EJECT_AGAIN_S = 30.0
"""Before a refused eject is tried again: somebody has a file of the drive open."""
LOOK_S = 2.0
"""How long planning waits for a drive to be looked at; a slower one is planned when it has been."""
_HERE_FOR = (JobKind.COPY, JobKind.MOVE, JobKind.EXPORT)


def drive_destination(drive: Drive) -> str:
    """Name of a drive as a job's destination."""
    return f"drive:{drive.fs_uuid}"


@dataclass(slots=True)
class _Visit:
    """One insertion of a drive that is served."""

    gets: Serving
    known: frozenset[str]
    """Recordings that had begun when the drive came: one that ends before the visit does goes
    along; later ones would make a visit endless."""
    began_s: float
    given: set[tuple[str, ...]] = field(default_factory=set)
    jobs: set[int] = field(default_factory=set)
    bytes_of: dict[str, int] = field(default_factory=dict)
    """What each recording that was planned will write there, by its name."""
    stays: dict[str, int] = field(default_factory=dict)
    """What each that did not fit would need."""
    looking: asyncio.Task[Room] | None = None
    free_bytes: int = 0
    """When it was looked at last."""
    served: bool = False
    """Its jobs have ended: nothing more is given to it."""
    reported: bool = False
    """What came of it was said, once at least."""
    ejection: asyncio.Task[None] | None = None
    note: str = ""
    """What whoever takes the drive out should know; "" when there is nothing to say."""
    refusal: str = ""
    """Why the last eject was refused, so that it is said once."""

    def tasks(self) -> list[asyncio.Task[Any]]:
        """What is under way."""
        return [task for task in (self.ejection, self.looking) if task is not None]


class Visits:
    """Owned by :class:`~fieldrec.app.offload.Offload`, which calls it whenever it plans."""

    def __init__(self, config: Config, queue: JobQueue, *, say: Say, look: Look,
                 eject: Callable[[str, str], Awaitable[None]], again: Callable[[], None],
                 own_presets: Mapping[str, Preset], elsewhere: Elsewhere,
                 eject_again_s: float) -> None:
        """`eject` takes a drive's device and what to say beside SAFE; `again` asks the owner to
        plan anew."""
        self._config = config
        self._queue = queue
        self._say = say
        self._look = look
        self._eject = eject
        self._again = again
        self._own_presets = own_presets
        self._elsewhere = elsewhere
        self._eject_again_s = eject_again_s
        self._visits: dict[int, _Visit] = {}
        """By the drive's insertion."""

    async def close(self) -> None:
        """End the ejections under way, each drive is READY again or safe; and the looks."""
        tasks = [task for visit in self._visits.values() for task in visit.tasks()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def told(self, drive: Drive) -> str:
        """What a drive is given now and how far that is, in words; "" where it has no visit."""
        visit = self._visits.get(drive.insertion)
        if visit is None or drive.state is not DriveState.READY:
            return ""
        return visit_words.progress(self._tally(visit))

    async def serve(self, drives: Sequence[Drive], recordings: Sequence[Recording]) -> None:
        """Begin a visit for each drive that has become READY, end those whose jobs have ended."""
        there = {drive.insertion for drive in drives if drive.state is not DriveState.ABSENT}
        for gone in self._visits.keys() - there:
            for task in self._visits.pop(gone).tasks():
                task.cancel()
        for drive in drives:
            if drive.state is not DriveState.READY:
                continue
            visit = self._visits.get(drive.insertion)
            if visit is None:
                visit = self._visits[drive.insertion] = await self._begin(drive, recordings)
            if drive.suspect:
                await self._turn_away(drive, visit)
            if visit.gets.on_insert != "nothing" and not visit.served:
                await self._give(drive, visit, recordings)
            if visit.gets.on_insert != "nothing" or drive.suspect:
                self._end_if_served(drive, visit)

    # -- giving ----------------------------------------------------------------------------------

    async def _begin(self, drive: Drive, recordings: Sequence[Recording]) -> _Visit:
        gets = serving(self._config.drives, drive)
        visit = _Visit(gets, frozenset(recording.uuid for recording in recordings),
                       asyncio.get_running_loop().time())
        if gets.on_insert == "nothing":
            self._say(f"drive {_name(drive)} gets nothing by itself ({gets.why})", "info")
            return visit
        doubt = doubted(self._config.drives, drive) if drive.known else ""
        asked = serving(self._config.drives.model_copy(update={"unproven_moves": True}),
                        replace(drive, known=True)).on_insert
        if asked != gets.on_insert or (gets.on_insert == "export" and (doubt or not drive.known)):
            self._say(f"drive {_name(drive)}: {visit_words.asked_less(gets, drive, doubt)}",
                      "warning")
        await self._drop_what_went(drive, recordings)
        visit.jobs.update(job.id for job in self._unfinished(drive))  # left from an earlier visit
        return visit

    async def _drop_what_went(self, drive: Drive, recordings: Sequence[Recording]) -> None:
        """Jobs that waited for this drive while another one got the recording."""
        here = {(recording.uuid, recording.name) for recording in recordings}
        went = {(job.item_uuid, job.item): job for job in self._queue.jobs()
                if job.delete_source and job.state is JobState.DONE
                and job.destination not in (None, drive_destination(drive))}
        for job in self._jobs_for(drive):
            other = went.get((job.item_uuid, job.item))
            if other is not None and (job.item_uuid, job.item) not in here:
                await self._cancel(job, "it went to "
                                   f"{other.destination_label or other.destination} meanwhile")

    async def _give(self, drive: Drive, visit: _Visit, recordings: Sequence[Recording]) -> None:
        """Plan what is not given yet, once it is known what room there is."""
        await self._hand_back(drive, visit)
        wanted = self._wanted(drive, visit, recordings)
        if not self._is_news(drive, visit, wanted):
            return
        if visit.looking is None or _went(visit.looking):
            visit.looking = asyncio.create_task(
                self._look(drive_destination(drive), self._begun(drive)),
                name=f"look at {drive.device}")
        looking = visit.looking
        await asyncio.wait({looking}, timeout=LOOK_S)
        if not looking.done():
            looking.remove_done_callback(self._looked)
            looking.add_done_callback(self._looked)
            return
        if _went(looking):  # its visit ends when udev has said so
            return
        visit.looking = None
        if not looking.cancelled():
            await self._plan(drive, visit, wanted, self._room(drive, visit, looking))

    def _looked(self, _looking: asyncio.Task[Room]) -> None:
        self._again()

    def _room(self, drive: Drive, visit: _Visit, looking: asyncio.Task[Room]) -> Room:
        """What the look found, less what is promised to jobs that have not written it yet; where it
        failed, what the drive table says: the jobs will say what is wrong."""
        error = looking.exception()
        if error is not None and not isinstance(error, FieldrecError | OSError):
            raise error
        visit.free_bytes = drive.free_bytes
        if error is not None:
            self._say(f"drive {_name(drive)} cannot be looked at: {error}", "warning")
            return Room(max(drive.free_bytes - visit.gets.keep_free_bytes, 0),
                        takes_tars=visit.gets.raw_as == "tar", total_bytes=drive.size_bytes)
        promised = sum(visit.bytes_of.get(job.item, 0) for job in self._jobs_for(drive)
                       if job.id in visit.jobs)
        found = looking.result()
        return replace(found, free_bytes=max(found.free_bytes - promised, 0),
                       total_bytes=drive.size_bytes)

    def _wanted(self, drive: Drive, visit: _Visit, recordings: Sequence[Recording]
                ) -> dict[tuple[str, ...], tuple[Recording, Wanted]]:
        """What the drive is to get and was not given yet, by what it is."""
        stays_in = not visit.gets.eject
        some = [one for one in recordings if (stays_in or one.uuid in visit.known)
                and visit.gets.takes(one.camera_serial)]
        by_uuid = {(one.uuid, one.name): one for one in some}
        found = {}
        for want in self._all_wanted(drive, visit.gets, some):
            recording = by_uuid[want.item_uuid, want.item]
            key: tuple[str, ...] = (recording.uuid, recording.name)
            if stays_in:
                key += tuple(sorted(export.path.name for export in recording.exports))
            if key not in visit.given:
                found[key] = (recording, want)
        return found

    def _all_wanted(self, drive: Drive, gets: Serving, some: Sequence[Recording]) -> list[Wanted]:
        where = drive_destination(drive)
        match gets.on_insert:
            case "move":
                return automation.moves_wanted(some, where, self._exporting())
            case "export":
                return automation.exports_there_wanted(some, where, self._preset_of,
                                                       deletes=drive.known
                                                       and not doubted(self._config.drives, drive))
        return automation.copies_wanted(some, where)

    def _is_news(self, drive: Drive, visit: _Visit, wanted: Collection[tuple[str, ...]]) -> bool:
        """Whether there is anything that was not planned in vain already with the room there is."""
        if visit.looking is not None:
            return True
        new = [key for key in wanted if key[1] not in visit.stays]
        least = min(visit.stays.values(), default=0)
        return bool(new) or (bool(wanted) and drive.free_bytes - visit.free_bytes >= least > 0)

    async def _plan(self, drive: Drive, visit: _Visit,
                    wanted: Mapping[tuple[str, ...], tuple[Recording, Wanted]], there: Room
                    ) -> None:
        where = drive_destination(drive)
        first = {job.item: job.first for job in self._jobs_for(drive)}
        some = in_order((recording for recording, _ in wanted.values()), first=first,
                        elsewhere=lambda one: self._elsewhere(one, where),
                        cameras=visit.gets.cameras)
        by_name = {recording.name: (key, want) for key, (recording, want) in wanted.items()}
        found = fit(some, there, lambda one, room_: needed_bytes(
            by_name[one.name][1], one, room_, self._queue.samples, self._own_presets))
        visit.bytes_of.update(found.bytes_of)
        visit.stays = {one.name: found.bytes_of[one.name] for one in found.stays}
        for one in found.fits:
            key, want = by_name[one.name]
            visit.given.add(key)
            visit.jobs.add((await self._put(want)).id)
        await self._give_up(drive, found)
        self._tell_plan(drive, visit, found)

    async def _give_up(self, drive: Drive, found: Fit) -> None:
        """Jobs of an earlier visit that do not fit any more are for the next drive."""
        stay = {one.name for one in found.stays}
        for job in self._jobs_for(drive):
            if job.item in stay:
                await self._cancel(job, f"does not fit on drive {_name(drive)}: "
                                   "it goes to the next drive")

    def _tell_plan(self, drive: Drive, visit: _Visit, found: Fit) -> None:
        name, where = _name(drive), drive_destination(drive)
        size = found.size_of(found.new)
        seconds = visit_words.seconds_for(size, self._queue.rate(where, "write"),
                                          self._queue.rate(where, "read"), drive.link_mbps)
        if size and link.is_slow(drive.link_mbps):
            self._say(f"drive {name} is {link.warning(drive.link_mbps or 0, size)}", "warning")
        self._say(f"drive {name}: " + visit_words.plan(
            visit.gets, len(found.new), size, len(found.fits) - len(found.new), seconds), "info")
        if stays := describe_stays(found):
            self._say(f"drive {name}: {stays}", "warning")

    async def _put(self, want: Wanted) -> Job:
        may = want.kind is JobKind.EXPORT and self._config.export.allow_battery
        return await self._queue.add(want.kind, want.item, want.item_uuid, allow_battery=may,
                                     destination=want.destination, preset=want.preset,
                                     delete_source=want.delete_source)

    # -- taking back -----------------------------------------------------------------------------

    async def _hand_back(self, drive: Drive, visit: _Visit) -> None:
        """What turned out not to fit, because it is larger than reckoned or somebody else has
        filled the drive, is for the next one."""
        for job in self._jobs_for(drive):
            if job.id in visit.jobs and room.waits_for_room(job):
                visit.given = {key for key in visit.given if key[1] != job.item}
                visit.stays[job.item] = max(job.total_bytes, visit.bytes_of.get(job.item, 0))
                self._say(f"drive {_name(drive)}: {job.item} does not fit: {job.reason}; use "
                          "another drive", "warning")
                await self._cancel(job, f"{job.reason}; it goes to the next drive")

    async def _turn_away(self, drive: Drive, visit: _Visit) -> None:
        """A suspect drive: whatever waits for it is taken back, and it may be taken out."""
        if visit.looking is not None:
            visit.looking.cancel()
            visit.looking = None
        for job in self._jobs_for(drive):
            await self._cancel(job, f"drive {_name(drive)} is suspect: {drive.suspect}")
        if not visit.served:
            visit.served = True
            visit.note = "suspect, do not use it: replace it"
            self._say(f"drive {_name(drive)} is suspect and gets nothing: {drive.suspect}", "error")

    async def _cancel(self, job: Job, reason: str) -> None:
        try:
            await self._queue.set_state(job.id, JobState.CANCELLED, reason)
        except StateError:  # it commits just now: it will end by itself
            return

    # -- ending ----------------------------------------------------------------------------------

    def _end_if_served(self, drive: Drive, visit: _Visit) -> None:
        if self._unfinished(drive) or visit.ejection is not None or visit.looking is not None:
            return
        if not visit.served and (visit.jobs or not visit.reported):
            visit.served, visit.reported = visit.gets.eject, True
            self._report(drive, visit)
        if visit.gets.eject or drive.suspect:
            visit.ejection = asyncio.create_task(self._end(drive, visit),
                                                 name=f"eject {drive.device}")

    async def _end(self, drive: Drive, visit: _Visit) -> None:
        """Eject; refused, say so once and try again after a while. A task of its own: a slow drive
        must not keep another one waiting."""
        try:
            await self._eject(drive.device, visit.note)
        except Exception as error:  # whatever it is, the drive must become safe in the end
            if not isinstance(error, FieldrecError | OSError):
                log.exception("eject of %s", drive.device)
            if str(error) != visit.refusal:
                visit.refusal = str(error)
                self._say(f"drive {_name(drive)} is not safe yet: {error}", "error")
            await asyncio.sleep(self._eject_again_s)
        visit.ejection = None
        self._again()

    def _report(self, drive: Drive, visit: _Visit) -> None:
        """Say what came of the visit; of one that goes on, what came of it since the last time."""
        tally = self._tally(visit)
        for job in tally.failed[:visit_words.MOST_LISTED]:
            self._say(f"drive {_name(drive)}: {job.item} not {visit_words.DONE_WORDS[job.kind]}: "
                      f"{job.reason or job.state.value}", "error")
        if done := visit_words.done(tally, asyncio.get_running_loop().time() - visit.began_s):
            self._say(f"drive {_name(drive)}: {done}", "info")
        visit.note = visit_words.note(tally)
        if not visit.gets.eject:
            visit.jobs.clear()
            visit.began_s = asyncio.get_running_loop().time()

    # -- looking ---------------------------------------------------------------------------------

    def _tally(self, visit: _Visit) -> Tally:
        jobs = [job for job in self._queue.jobs() if job.id in visit.jobs]
        return Tally(visit.gets, tuple(jobs), visit.bytes_of, visit.stays)

    def _jobs_for(self, drive: Drive) -> list[Job]:
        """Unfinished jobs that bring something to a drive."""
        return [job for job in self._queue.jobs() if job.destination == drive_destination(drive)
                and not job.state.finished and job.kind in _HERE_FOR]

    def _unfinished(self, drive: Drive) -> list[Job]:
        """Raw that waits for other jobs on it, or for its export to come along, keeps no drive, nor
        does what waits for room; raw whose turn comes when the one before it is deleted does."""
        return [job for job in self._queue.jobs()
                if job.destination == drive_destination(drive) and not job.state.finished
                and ((job.kind, job.state) != (JobKind.DELETE_RAW, JobState.WAITING)
                     or order.waits_its_turn(job)) and not room.waits_for_room(job)]

    def _begun(self, drive: Drive) -> list[str]:
        """Names of items that an earlier visit may have left unfinished there."""
        return sorted({job.item for job in self._queue.jobs()
                       if job.destination == drive_destination(drive)
                       and job.kind in (JobKind.COPY, JobKind.MOVE)
                       and job.state is not JobState.DONE})

    def _exporting(self) -> set[str]:
        """Recordings that exports are still to be made of, by uuid."""
        return {job.item_uuid for job in self._queue.jobs()
                if job.kind is JobKind.EXPORT and not job.state.finished}

    def _preset_of(self, recording: Recording) -> str:
        usual = preset(self._config.export.preset, self._own_presets).name
        return preset_for(recording, usual, self._own_presets)


def _went(looking: asyncio.Task[Room]) -> bool:
    """Whether the drive was pulled out while it was looked at."""
    return (looking.done() and not looking.cancelled()
            and isinstance(looking.exception(), DriveGone))


def _name(drive: Drive) -> str:
    return drive.label or drive.fs_uuid
