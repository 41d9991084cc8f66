"""The verbs as one typed object: CLI, console and socket call this and nothing deeper.

Lives on the event loop; every method is called from tasks and does its blocking work in Workers.
Errors are FieldrecErrors with one line for the operator. It holds no policy: whether a job may run
now is admission's to say, whether a disk is too full is the session's.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

from fieldrec.camera.parameters import Parameter, Value
from fieldrec.config.loopy import LoopyConfig
from fieldrec.config.recording import SplitConfig
from fieldrec.core.errors import NotFoundError, StateError, UsageError
from fieldrec.core.model import Drive, Job, JobKind, Recording, RecordingState
from fieldrec.core.snapshot import Snapshot
from fieldrec.export.presets import Preset
from fieldrec.export.presets import preset as find_preset
from fieldrec.jobs import offers
from fieldrec.jobs.all_at_once import UNKNOWN_BYTES, AllAtOnce, chosen
from fieldrec.jobs.automation import exportable, uploadable
from fieldrec.jobs.drive_room import Room
from fieldrec.jobs.job_queue import JobQueue
from fieldrec.jobs.named import (
    check_complete,
    check_exportable,
    check_ready,
    drive_named,
    folder_named,
    is_complete,
    listed,
    named,
)
from fieldrec.jobs.offers import Offer
from fieldrec.jobs.proofs import has_export
from fieldrec.jobs.remembered import preset_for
from fieldrec.logbook.deployments import check_deployment
from fieldrec.power.awake import AwakeStatus, Sleep
from fieldrec.record.asked import Asked
from fieldrec.record.naming import check_name
from fieldrec.record.session import Session

T = TypeVar("T")



class Drives(Protocol):
    """What control needs of the drive watcher."""

    def drives(self) -> tuple[Drive, ...]:
        """All drives known now."""
        ...

    async def eject(self, drive: str) -> None:
        """Make a drive safe to remove."""
        ...


class Control:
    """One box's commands. Built by the app; `session` and `drives` are None where a process has
    no cameras or watches no drives (a command on a folder without a daemon)."""

    def __init__(self, *, recordings: Sequence[Path], session: Session | None, queue: JobQueue,
                 drives: Drives | None, scan: Callable[[], Awaitable[Sequence[Recording]]],
                 snapshot: Callable[[], Snapshot], destinations: Sequence[str],
                 default_preset: str, changed: Callable[[], None],
                 started: Callable[[], None] = lambda: None,
                 stopped: Callable[[], None] = lambda: None,
                 exports_held: Callable[[], AbstractAsyncContextManager[None]] = nullcontext,
                 own_presets: Mapping[str, Preset] | None = None, allow_battery: bool = False,
                 uploads: Mapping[str, LoopyConfig] | None = None,
                 say: Callable[[str, str], None] = lambda _text, _severity: None) -> None:
        """`recordings`: every folder that they may lie in. `started` hears of every start, and of
        jobs that were queued; `stopped` that somebody asked to stop, whether or not anything
        recorded. Recording begins inside `exports_held`; `own_presets` are the configuration's,
        and so is whether exports may run on battery without being told; `uploads`: those of the
        `destinations` that take uploads, and only these; `say` notes (text, severity)."""
        self._recordings = tuple(recordings)
        self._session = session
        self._queue = queue
        self._drives = drives
        self._scan = scan
        self._snapshot = snapshot
        self._destinations = tuple(destinations)
        self._default_preset = default_preset
        self._changed = changed
        self._started = started
        self._stopped = stopped
        self._exports_held = exports_held
        self._own_presets = own_presets or {}
        self._allow_battery = allow_battery
        self._uploads = uploads or {}
        self._all_at_once = AllAtOnce(queue, default_preset, self._own_presets,
                                      allow_battery=allow_battery)
        self._say = say
        self._refusal = ""
        self._no_recording: dict[str, str] = {}
        self.schedule: object | None = None
        """The schedule's verbs; given by who runs one."""
        self.allowed: Callable[[], None] = lambda: None
        """Called when a part takes back that it refuses recording."""
        self.sleep: Sleep | None = None
        """Verbs about sleeping; given by who may put the machine to sleep."""
        self.attended: Callable[[], None] = lambda: None
        """Called when a person gives a command."""
        self.room: Callable[[str], Awaitable[Room]] | None = None
        """Looks at the room at a destination; given by who can."""
        self.trust: Callable[[str], Awaitable[str]] | None = None
        """Takes back what is held against a drive; given by who keeps that."""
        self.new_deployment: Callable[[str], Awaitable[None]] | None = None
        """Begins another deployment's record; given by who keeps one."""

    def refuse_from_now(self, why: str) -> None:
        """Called first at shutdown: every later verb that changes anything gets this answer."""
        self._refusal = why

    def refuse_recording(self, why: str, whose: str = "power") -> None:
        """Refuse to start recording with this reason; "" takes back what the same part (`whose`)
        refused (power came back, there is room again)."""
        before, self._no_recording[whose] = self._no_recording.get(whose), why
        if before and not why:
            self.allowed()

    # -- looking ---------------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """The latest picture of the box."""
        return self._snapshot()

    async def recordings(self) -> tuple[Recording, ...]:
        """Every recording in the folder, by name."""
        return tuple(await self._scan())

    async def recording(self, name: str) -> Recording:
        """One recording; NotFoundError names a near match."""
        return (await self._pick([name]))[0]

    def jobs(self) -> tuple[Job, ...]:
        """Unfinished jobs in order, then finished ones, newest first."""
        return self._queue.jobs()

    def the_schedule(self) -> object:
        """The schedule's verbs; StateError where none runs."""
        if self.schedule is None:
            raise StateError("no schedule runs here: start the daemon with `fieldrec run`")
        return self.schedule

    async def begin_deployment(self, name: str) -> None:
        """From now on the record is another deployment's. StateError where none is kept, or while
        recording; UsageError for a name that cannot be one."""
        check_deployment(name)
        if self.new_deployment is None:
            raise StateError("no deployment record is kept here: start the daemon with "
                             "`fieldrec run`")
        if self._session is not None and self._session.recording:
            raise StateError("a recording is under way; stop it before another deployment begins")
        await self.new_deployment(name)

    def awake(self) -> AwakeStatus:
        """Who keeps the box awake, and what wakes it."""
        return self._the_sleep().status()

    def stay_awake(self, seconds: float) -> str:
        """Keep the box awake for so long from now; 0: no longer. Says what was done."""
        return self._the_sleep().stay_awake(seconds)

    # -- recording -------------------------------------------------------------------------------

    async def start(self, name: str | None = None, metadata: Mapping[str, Any] | None = None,
                    duration_s: float | None = None, cameras: Sequence[str] | None = None, *,
                    preroll_s: float | None = None, split_after: SplitConfig | None = None,
                    trigger: Literal["none", "motion"] | None = None) -> list[str]:
        """Start recording; returns the names given, none yet where a trigger decides. What is None
        is as configured. StoreFull, CameraError, StateError refuse."""
        return await self.begin(Asked(name, metadata, duration_s, cameras, preroll_s, split_after,
                                      trigger))

    async def begin(self, asked: Asked) -> list[str]:
        """As :meth:`start`, for who has it all in one; no verb of the socket."""
        session = self._may_record("start the daemon with `fieldrec run`")
        if why := "; ".join(filter(None, self._no_recording.values())):
            raise StateError(f"recording refused: {why}")
        if asked.name is not None:
            check_name(asked.name)
        async with self._exports_held():
            names = await session.start(asked)
        self._started()
        self._changed()
        return names

    async def pause(self) -> list[str]:
        """Keep no more frames until `resume`; the cameras that are paused. StateError when nothing
        is being recorded."""
        return await self._changing(self._may_record("nothing records").pause())

    async def resume(self) -> list[str]:
        """Go on after `pause`; the cameras."""
        return await self._changing(self._may_record("nothing records").resume())

    async def step(self, frames: int = 1) -> list[str]:
        """While paused: keep the next `frames` frames of each camera; the cameras. UsageError."""
        return await self._changing(self._may_record("nothing records").step(frames))

    async def split(self) -> list[str]:
        """Go on in new recordings without losing a frame; the cameras."""
        return await self._changing(self._may_record("nothing records").split())

    async def configure(self, camera: str, values: Mapping[str, Value] | None = None
                        ) -> dict[str, tuple[Parameter, ...]]:
        """Set a camera's parameters ("all": every camera's), or look at them; all of them then, by
        camera. NotFoundError and UsageError name near matches and the allowed range."""
        session = self._may_record("start the daemon with `fieldrec run`")
        return await self._changing(session.configure(camera, values or {}))

    async def stop(self, reason: str = "stopped") -> list[str]:
        """Stop recording in order; returns the names of what was closed. No error when idle."""
        if self._session is None:
            raise StateError("no cameras here: nothing records")
        self._stopped()
        names = await self._session.stop(reason)
        self._changed()
        return names

    # -- jobs ------------------------------------------------------------------------------------

    async def export(self, names: Sequence[str] | None, preset: str | None = None, *,
                     allow_battery: bool = False, destination: str | None = None,
                     delete_raw: bool = False) -> list[Job]:
        """Queue exports of `names` (None: all complete recordings without one); those that are
        exported with that preset already are left out, and said.

        To this system, or straight to `destination`, where what is there is found out when it is
        done. `delete_raw`: when the export was verified. UsageError for an unknown preset lists
        the valid ones.
        """
        self._check_open()
        usual = find_preset(preset or self._default_preset, self._own_presets).name
        where = None if destination is None else self._resolve(destination)
        jobs: list[Job] = []
        already: dict[str, list[str]] = {}
        for recording in await self._pick(names):
            chosen = usual if preset else preset_for(recording, usual, self._own_presets)
            if where is None and has_export(recording, chosen) \
                    and not (delete_raw and recording.has_raw):
                already.setdefault(chosen, []).append(recording.name)
                continue
            if names is not None:
                check_exportable(recording)
            if exportable(recording):
                jobs.append(await self._queue.add(
                    JobKind.EXPORT, recording.name, recording.uuid, preset=chosen,
                    destination=where, delete_source=delete_raw,
                    allow_battery=allow_battery or self._allow_battery))
        for chosen, those in already.items():
            self._say(f"already exported with {chosen}: {listed(those)}", "info")
        self._changed()
        return jobs

    async def copy(self, names: Sequence[str] | None, destination: str) -> list[Job]:
        """Queue copies (raw and exported) of `names` (None: all complete recordings)."""
        return await self._offload(JobKind.COPY, names, destination)

    async def move(self, names: Sequence[str] | None, destination: str) -> list[Job]:
        """As :meth:`copy`; the source is deleted after its copy was read back and matched (I5)."""
        return await self._offload(JobKind.MOVE, names, destination)

    async def upload(self, names: Sequence[str] | None, destination: str) -> list[Job]:
        """Queue uploads of what `destination` takes of `names` (None: of all complete recordings
        that have it). What is there already is left out when it is done."""
        self._check_open()
        place = self._uploads.get(destination)
        if place is None:
            known = ", ".join(self._uploads) or "none configured (type: loopy)"
            raise NotFoundError(f"no destination {destination!r} for uploads; known: {known}")
        jobs = []
        for recording in await self._pick(names):
            if names is not None:
                check_complete(recording, "upload")
            if is_complete(recording) and (names or uploadable(recording, place.upload)):
                jobs.append(await self._queue.add(JobKind.UPLOAD, recording.name, recording.uuid,
                                                  destination=destination))
        self._changed()
        return jobs

    async def copy_all(self, destination: str, names: Sequence[str] | None = None,
                       cameras: Sequence[str] = (), since_ns: int | None = None,
                       dry_run: bool = False) -> Offer:
        """COPY ALL: queue copies of everything complete (or of `names`, of these cameras' serials,
        since then) that fits there whole, oldest first; what it comes to."""
        return await self._all(offers.COPY, destination, chosen(
            await self._pick(names), cameras, since_ns), dry_run)

    async def move_all(self, destination: str, names: Sequence[str] | None = None,
                       cameras: Sequence[str] = (), since_ns: int | None = None,
                       dry_run: bool = False) -> Offer:
        """MOVE ALL: the same; each is deleted here when its copy was read back and matched (I5)."""
        return await self._all(offers.MOVE, destination, chosen(
            await self._pick(names), cameras, since_ns), dry_run)

    async def export_all(self, destination: str, names: Sequence[str] | None = None,
                         cameras: Sequence[str] = (), since_ns: int | None = None,
                         dry_run: bool = False, preset: str | None = None) -> Offer:
        """EXPORT ALL: each raw is exported straight to the destination, what is exported already
        moved there; then the raw is deleted for the movie that was verified there (I5)."""
        return await self._all(offers.EXPORT, destination, chosen(
            await self._pick(names), cameras, since_ns), dry_run, preset)

    async def trust_drive(self, drive: str) -> str:
        """Hold nothing against a drive (label, UUID, device) any more; says what was held."""
        if self.trust is None:
            raise StateError("no drives are known here")
        return await self._changing(self.trust(drive))

    async def delete(self, names: Sequence[str]) -> list[Job]:
        """Queue the deletion of recordings with their exports. The one being recorded: refused."""
        self._check_open()
        jobs = []
        for recording in await self._pick(names):
            if recording.state in (RecordingState.RECORDING, RecordingState.OPENING):
                raise StateError(f"{recording.name} is being recorded; stop it first")
            jobs.append(await self._queue.add(JobKind.DELETE, recording.name, recording.uuid))
        self._changed()
        return jobs

    async def cancel(self, job_id: int) -> Job:
        """Cancel an unfinished job; StateError once it is committing."""
        job = await self._queue.cancel(job_id)
        self._changed()
        return job

    async def pause_job(self, job_id: int) -> Job:
        """Hold a job, over restarts too, until :meth:`resume_job`; an export keeps its memory and
        its files, a copy stops at a slice. StateError once it is committing."""
        self._check_open()
        return await self._changing(self._queue.set_paused(job_id, True))

    async def resume_job(self, job_id: int) -> Job:
        """Let a paused job go on, when it may run."""
        self._check_open()
        return await self._changing(self._queue.set_paused(job_id, False))

    async def job_first(self, job_id: int) -> Job:
        """Let an unfinished job go before the others that wait for the same place."""
        self._check_open()
        return await self._changing(self._queue.put_first(job_id))

    async def retry(self, job_id: int) -> Job:
        """Queue a failed or cancelled job again."""
        self._check_open()
        job = await self._queue.retry(job_id)
        self._changed()
        return job

    # -- drives ----------------------------------------------------------------------------------

    async def eject(self, drive: str | None = None) -> str:
        """Make a drive (label, UUID or device; None: the only one) safe to remove; says so."""
        if self._drives is None:
            raise StateError("no drives are watched here: start the daemon with `fieldrec run`")
        present = [d for d in self._drives.drives() if d.mount_point is not None]
        if drive is None:
            if len(present) != 1:
                names = ", ".join(d.label or d.fs_uuid for d in present)
                raise UsageError(f"say which drive to eject; in use: {names}" if names else
                                 "no drive is in use: nothing to eject")
            drive = present[0].device  # ids may be cloned
        await self._drives.eject(drive)
        label = next((d.label or d.fs_uuid for d in reversed(self._drives.drives())  # newest first
                      if drive in (d.fs_uuid, d.label, d.device)), drive)
        return f"SAFE TO REMOVE {label}"

    # -- inside ----------------------------------------------------------------------------------

    def _the_sleep(self) -> Sleep:
        if self.sleep is None:
            raise StateError("nothing sleeps here: start the daemon with `fieldrec run`")
        return self.sleep

    def _may_record(self, hint: str) -> Session:
        self._check_open()
        if self._session is None:
            raise StateError(f"no cameras here: {hint}")
        return self._session

    async def _changing(self, act: Awaitable[T]) -> T:
        done = await act
        self._changed()
        return done

    def _check_open(self) -> None:
        if self._refusal:
            raise StateError(self._refusal)

    async def _offload(self, kind: JobKind, names: Sequence[str] | None, destination: str
                       ) -> list[Job]:
        self._check_open()
        where = self._resolve(destination)
        jobs = []
        for recording in await self._pick(names):
            if names is not None:
                check_complete(recording, kind.value)
            if is_complete(recording):
                jobs.append(await self._queue.add(
                    kind, recording.name, recording.uuid, destination=where,
                    delete_source=kind is JobKind.MOVE))
        self._changed()
        return jobs

    async def _all(self, what: str, destination: str, some: Sequence[Recording], dry_run: bool,
                   preset: str | None = None) -> Offer:
        self._check_open()
        where = self._resolve(destination)
        drives = self._drives.drives() if self._drives is not None else ()
        check_ready(where, drives)
        label = next((drive.label for drive in drives if where == f"drive:{drive.fs_uuid}"), "")
        there = Room(UNKNOWN_BYTES) if self.room is None else await self.room(where)
        found = await self._all_at_once.do(what, some, where, label or destination, there,
                                           export_preset=preset, dry_run=dry_run)
        if found.stays and not dry_run:
            self._say(found.text[1], "warning")
        return found

    def _resolve(self, destination: str) -> str:
        """A configured name, `drive:<uuid>` for a drive's label or for "drive" (the only one), or
        an absolute folder. UsageError for a place that only takes uploads."""
        if destination in self._uploads:
            raise UsageError(f"{destination} takes uploads: nothing can be read back from it, so "
                             "that a copy there could not be verified; `fieldrec upload --to "
                             f"{destination}`")
        if destination in self._destinations:
            return destination
        drives = self._drives.drives() if self._drives is not None else ()
        if (drive := drive_named(destination, drives)) is not None:
            return drive
        if destination.startswith("/"):
            return str(folder_named(Path(destination), self._recordings))
        known = ", ".join(self._destinations) or "none configured"
        raise NotFoundError(f"no destination {destination!r}; known: {known}; or give a folder as "
                            "a path with a '/', or the label of a drive that is present")

    async def _pick(self, names: Sequence[str] | None) -> list[Recording]:
        recordings = await self._scan()
        return list(recordings) if names is None else named(recordings, names)
