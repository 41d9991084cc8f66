"""One running fieldrec: builds the parts, owns their tasks, orders the shutdown.

Everything here runs on the event loop. The root holds only supervisors, so that no part's failure
reaches another (I9). `async with App(config, parts) as app:` is a running box; leaving the block is
the one orderly stop that SIGTERM, CRITICAL power, a finished command and tests share (I7).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from pathlib import Path

from fieldrec.app.beat import Beat
from fieldrec.app.beside import BesideRecording
from fieldrec.app.closing import Closing
from fieldrec.app.conditions import conditions_of, labels_of
from fieldrec.app.consoles import spawn_consoles
from fieldrec.app.deployment_log import DeploymentLog
from fieldrec.app.drive_part import DrivePart
from fieldrec.app.events import Events
from fieldrec.app.held_back import HeldBackFile
from fieldrec.app.machine import Machine, ThisMachine
from fieldrec.app.offload import Offload
from fieldrec.app.orderly_stop import through
from fieldrec.app.own_folders import OwnFolders
from fieldrec.app.parts import Parts
from fieldrec.app.planning import Planning
from fieldrec.app.power_following import PowerFollowing
from fieldrec.app.publishing import publish_on_change
from fieldrec.app.recorders import recorders_of
from fieldrec.app.recovery import Recovery, have_patience
from fieldrec.app.resources import Box, Resources
from fieldrec.app.schedule_part import SchedulePart
from fieldrec.app.sleep_part import Around, SleepPart
from fieldrec.app.surroundings import Surroundings
from fieldrec.app.switching_off import Ending, SwitchingOff, command_of
from fieldrec.app.tasks import Tasks
from fieldrec.catalogue.scan import Catalogues
from fieldrec.config import Config
from fieldrec.control import Control
from fieldrec.core.clock import Clock, SystemClock
from fieldrec.core.errors import FieldrecError
from fieldrec.core.model import Conditions, Drive, Job, PowerLevel, PowerState, Recording
from fieldrec.core.notes import JsonValue
from fieldrec.core.snapshot import Snapshot, StorageStatus
from fieldrec.core.workers import Worker
from fieldrec.drives.watcher import DriveWatcher
from fieldrec.export.encoder import Encoder
from fieldrec.export.own_presets import own_presets
from fieldrec.export.presets import preset
from fieldrec.jobs.exporting import names_wanted
from fieldrec.jobs.job_queue import JobQueue
from fieldrec.jobs.runner import JobRunner
from fieldrec.jobs.uploading import places_of
from fieldrec.power import watcher as power_watcher
from fieldrec.record.asked import AS_CONFIGURED, Asked
from fieldrec.record.folders import Folders
from fieldrec.record.session import Session
from fieldrec.status import control_socket, systemd, words
from fieldrec.status.board import Board

log = logging.getLogger(__name__)

DISK_BEATS = 5
"""A process without cameras looks at its disk at every fifth beat; with cameras the session does.
An idle box sleeps: every look is three wake-ups (loop, thread, loop)."""


class App:
    """One running box: `board` shows it, `control` commands it, `stop_requested` ends it;
    `ending`, where there is one, says that the machine is to be switched off after that."""

    control: Control

    def __init__(self, config: Config, parts: Parts, clock: Clock | None = None,
                 machine: Machine | None = None) -> None:
        self._presets = own_presets(config.export.presets)
        preset(config.export.preset, self._presets)
        self.config = config
        self.parts = parts
        self.clock = clock or SystemClock()
        self.machine = machine or ThisMachine()
        self.board = Board()
        self.events = Events(self.clock)
        self.stop_requested = asyncio.Event()
        self.on_stop: Callable[[], None] = lambda: None
        """Called when the orderly stop begins."""
        self._closing: Closing | None = None
        self._changed = asyncio.Event()
        self._replan = asyncio.Event()
        self._tasks = Tasks(self._part_changed)
        self._beside = BesideRecording(config.export)
        self._surroundings = Surroundings(config, self.clock)
        self._resources = Resources(config, self.clock, lasting=parts.automatic_jobs)
        self._exit = contextlib.AsyncExitStack()
        self._storage = StorageStatus()
        self._version = 0
        self._beat = Beat(lambda: () if self._session is None else self._session.status(),
                          lambda: words.describe_briefly(self.board.latest),
                          lambda stuck: self._tasks.changed("storing", stuck))
        self._stopping = False
        self._under_way: tuple[object, ...] = ()
        self._session: Session | None = None
        self._own = OwnFolders()
        self._worth_keeping = False
        """Whether something was done that the next start may want to know of."""
        self._folders = Folders((config.storage.directory, *config.storage.directories),
                                config.storage, on_event=self._say_from_anywhere,
                                claim=self._own.claim, readings=config.space.readings)
        self._schedule = SchedulePart(config, self.clock, kept=parts.schedule, say=self.say,
                                      note=self.note, changed=self.changed)
        self._log = DeploymentLog(config, self.clock, kept=parts.deployment_log,
                                  daemon=parts.automatic_jobs,
                                  say_from_anywhere=self._say_from_anywhere)
        self._drives = DrivePart(config, self.clock, self._log, lambda: self._queue.jobs(),
                                 faults=lambda: self._resources.faults, say=self.say,
                                 answers=lambda: self._runner.answers())
        self._off = SwitchingOff(config.power, self.clock, state=lambda: self._power.state,
                                 stop=self.stop_requested.set, say=self.say, note=self.note)
        self._sleep = SleepPart(config.sleep, self.machine, self.clock, Around(
            self._schedule, self.drives, self._drives.eject, self._off.to_sleep, self._woken,
            self.say, self.note), kept=parts.schedule)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._recovered = asyncio.Event()
        self._catalogue = Catalogues(self._folders.paths)
        self._catalogue_worker = Worker("catalogue")
        self._storage_worker = Worker("storage")
        self._recovery_worker = Worker("recovery")

    # -- life ------------------------------------------------------------------------------------

    async def __aenter__(self) -> App:
        try:
            await self._start()
        except BaseException:
            await self._shutdown()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._shutdown()

    async def _start(self) -> None:
        self._loop = asyncio.get_running_loop()
        private = await self._take_folders()
        self._exit.push_async_callback(self._log.close)
        await self._log.open(private)
        self._queue = JobQueue(private / "jobs.sqlite", on_change=lambda _job: self.changed(),
                               on_event=self.say, clock=self.clock,
                               history_count=self.config.jobs.history_count,
                               history_days=self.config.jobs.history_days)
        self._queue.subscribe(self._job_changed)
        self._queue.subscribe(self._log.job)
        await self._queue.open()
        self._build(private)
        await self._resources.open(private, Box(
            self._folders, self._queue, self.control, self._session, lambda: self._power.state,
            self.conditions, self.recordings, self._runner.wake, self._replan.set, self.changed,
            self.say), self._surroundings)
        if self._session is not None and self.parts.power:
            await self._power.recall()
        await self._schedule.open(private, self.control, self._session, self.recordings,
                                  self._power.forget_held_back, self._surroundings,
                                  self._resources.battery)
        self._resources.follow_schedule(self._schedule.windows)
        self.publish()
        self._tasks.spawn("recovery", self._recover)
        if self._session is not None:
            self._tasks.add(asyncio.create_task(self._session.open_all(), name="opening"))
        await self._exit.enter_async_context(
            control_socket.serve(private, self.control, self.board))
        self._storage = await self._storage_worker.run(lambda _stop: self._folders.refresh())
        await have_patience(self._recovered, lambda: self._recovery.left, self.say)
        if self._session is not None:
            await self._session.opened()
        self._supervise_all()
        self.publish()
        if self._session is not None and self.config.record.autostart \
                and not self._power.holds_back:
            await self._start_recording(AS_CONFIGURED)
        self._worth_keeping = self._worth_keeping or self._log.is_worth_keeping
        systemd.ready()

    async def _take_folders(self) -> Path:
        """Lock the folders, list what is to be recovered; the private folder of the first."""
        self._exit.callback(lambda: self._own.release(leave_trace=self._worth_keeping))
        home = await self._storage_worker.run(lambda _stop: self._folders.take())
        self._recovery = Recovery(self._own.paths, self._say_from_anywhere,
                                  lambda: self._post(self.changed))
        await self._storage_worker.run(lambda _stop: self._recovery.look())
        return self._own.private(home)

    async def _recover(self) -> None:
        """Complete what was interrupted, however long it takes; jobs wait for it."""
        wanted = names_wanted(self._queue.jobs(), self._presets)
        await self._recovery_worker.run(lambda _: self._recovery.sweep_exports(wanted))
        await self._recovery_worker.run(self._recovery.complete)
        self._recovered.set()
        self._replan.set()
        self._runner.wake()
        self.changed()

    def _build(self, private: Path) -> None:
        config = self.config
        if self.parts.cameras:
            self._session = Session(
                recorders_of(config, self.clock, self.changed), folders=self._folders,
                record=config.record, timezone=config.system.timezone, clock=self.clock,
                on_event=self.say)
        if self.parts.drives and config.drives.enabled:
            watcher = self._drives.watcher = DriveWatcher(
                config.drives, on_change=self._drives_changed, on_event=self.say,
                in_use=self._folders.paths)
            self._own.on_claim = lambda: self._post(watcher.folder_came)
        self.control = Control(
            recordings=self._folders.paths, session=self._session, queue=self._queue,
            drives=self._drives if self._drives.watcher else None, scan=self.recordings,
            snapshot=lambda: self.board.latest,
            destinations=tuple(config.destinations), default_preset=config.export.preset,
            changed=self.changed, started=self._keep_trace,
            stopped=self._schedule.stopped,
            exports_held=lambda: self._runner.exports_held(), own_presets=self._presets,
            allow_battery=config.export.allow_battery, say=self.say,
            uploads=places_of(config.destinations))
        self.control.new_deployment = self._log.begin_deployment
        self.control.room, self.control.trust = self._drives.room, self._drives.trust
        self._power = PowerFollowing(
            PowerState(PowerLevel.UNKNOWN if self.parts.power else PowerLevel.MAINS),
            session=self._session, kept=HeldBackFile(private), clock=self.clock,
            critical_leave_percent=config.power.critical_leave_percent, say=self.say,
            refuse_recording=self.control.refuse_recording, start=self._start_recording,
            switch_off=self._off.at_critical if command_of(config.power) else None)
        self._sleep.attend(self.control)
        self._runner = JobRunner(
            self._queue, catalogue=self.recordings, recordings=self._folders.paths,
            destinations=self._drives.destinations, make_encoder=Encoder,
            conditions=self.conditions, own_presets=self._presets,
            keep_free_bytes=config.storage.reserve_bytes,
            on_event=self.say, on_fault=self._resources.job_failed,
            evidence=self._resources.evidence, uploads=places_of(config.destinations))
        offload = Offload(
            config, self._queue, say=self.say, look=self._drives.room, eject=self._drives.eject,
            again=self._replan.set, own_presets=self._presets,
            elsewhere=self._drives.elsewhere, distrusted=self._drives.distrusted)
        self._drives.told = offload.told
        self._planning = Planning(
            offload, recordings=self.recordings, drives=self.drives, jobs=self._queue.jobs,
            replan=self._replan, make_room=self._resources.plan)

    def _supervise_all(self) -> None:
        self._tasks.spawn("beat", lambda: self._beat.run(self._look_at_disk))
        self._tasks.spawn("status", lambda: publish_on_change(
            self._changed, self.publish, lambda: self.board.latest.recording))
        self._tasks.spawn("deployment record", lambda: self._log.run(self.board))
        self._tasks.spawn("record at destinations", lambda: self._log.travel_on_change(
            self._drives.destinations, self._queue.jobs))
        self._tasks.spawn("jobs", self._runner.run)
        self._schedule.spawn(self._tasks)
        self._resources.spawn(self._tasks)
        self._sleep.spawn(self._tasks)
        if self._session is not None:
            self._tasks.spawn("recording", self._session.run)
        if self.parts.automatic_jobs:
            self._tasks.spawn("automatic jobs", self._planning.run)
        if self._drives.watcher is not None:
            self._tasks.spawn("drives", self._drives.watcher.run)
        if self.parts.power:
            self._tasks.spawn("power", lambda: power_watcher.run(self.config.power, self.clock,
                                                           self._power_changed))
        if self.parts.consoles:
            spawn_consoles(self._tasks, self.config.console, self.board, self.control, self.clock)

    async def _start_recording(self, asked: Asked) -> bool:
        """Begin it, or say why not; whether it has begun."""
        try:
            await self.control.start(
                asked.name, asked.metadata, asked.duration_s, asked.cameras,
                preroll_s=asked.preroll_s, split_after=asked.split_after, trigger=asked.trigger)
        except FieldrecError as error:
            self.say(f"recording not started: {error}", "error")
            return False
        return True

    async def _shutdown(self) -> None:
        """The one orderly stop, within its budget (closing.py); a signal does not cut it."""
        self._stopping = self._off.stopping = True
        off = self.ending
        built = hasattr(self, "control")
        if built:
            self.control.refuse_from_now("fieldrec is stopping")
        self._closing = Closing(
            self.config.system.shutdown_budget_s, self._tasks, self._publish_last, self.changed,
            self._exit, (self._catalogue_worker, self._storage_worker, self._recovery_worker),
            why=off.why if off else "fieldrec stopped",
            folders=self._own.paths, switches_off=off is not None, session=self._session,
            drives=self._drives.watcher, queue=self._queue if hasattr(self, "_queue") else None,
            before_all=(lambda: self._sleep.at_end(switched_off=off is not None),
                        lambda: self._schedule.end(self._closing.why if self._closing else ""),
                        *((self._power.written, self._drives.bring_due) if built else ())),
            at_last=(self._power.close, self._resources.close, self._sleep.close) if built
            else (self._sleep.close,))
        self.changed()  # who looks sees it stop while it waits for a disk or a drive
        systemd.stopping()
        self.on_stop()
        await through(self._closing.run())

    def _publish_last(self) -> None:
        self.publish()
        self._log.end(self.board.latest, self._closing.why if self._closing else "fieldrec stopped")
        systemd.status(words.describe_briefly(self.board.latest))

    # -- what other parts ask --------------------------------------------------------------------

    @property
    def ending(self) -> Ending | None:
        """How the machine ends with this life of the box; None: it does not."""
        return self._off.ending

    def say(self, text: str, severity: str = "info") -> None:
        """Note an event and show it."""
        self.events.add(text, severity)
        self.changed()

    def note(self, kind: str, text: str, **facts: JsonValue) -> None:
        """Put an entry into the deployment's record (:class:`~fieldrec.core.notes.Note`)."""
        self._log.note(kind, text, **facts)

    def changed(self) -> None:
        """Something that is shown has changed."""
        self._changed.set()

    async def recordings(self) -> tuple[Recording, ...]:
        """The catalogue, as the disk has it now."""
        found = await self._catalogue_worker.run(lambda _stop: self._catalogue.refresh())
        self._log.recordings(found)
        self._drives.recordings(found)
        return found

    def conditions(self) -> Conditions:
        """What admission may look at, now."""
        return self._surroundings.put_into(conditions_of(
            self.config, self._session, self._power.state, self.drives(), self._queue.jobs(),
            self._storage, stopping=self._stopping, recovering=not self._recovered.is_set(),
            export_share=self._beside.share))

    def drives(self) -> tuple[Drive, ...]:
        """All drives known now."""
        return self._drives.drives()

    async def recording_ended(self) -> list[str]:
        """Wait until the recording under way has ended, by itself or by command; its names."""
        if self._session is None:
            return []
        await self._session.wait_stopped()
        return list(self._session.last_names)

    async def settled(self) -> None:
        """Return once no unfinished job is left and none is about to be planned."""
        await self._planning.settled(self.board)

    def _say_from_anywhere(self, text: str, severity: str) -> None:
        """As :meth:`say`, from any thread; nobody hears it once the loop is closed."""
        self._post(lambda: self.say(text, severity))

    def _post(self, call: Callable[[], None]) -> None:
        with contextlib.suppress(RuntimeError):
            if self._loop is not None:
                self._loop.call_soon_threadsafe(call)

    # -- what other parts report -----------------------------------------------------------------

    def _part_changed(self, name: str, problem: str) -> None:
        if problem:
            self.events.add(f"{name}: {problem}", "error")
        self.changed()

    def _job_changed(self, job: Job) -> None:
        """Only an end makes another job wanted or ends a visit; planning reads the whole folder."""
        self._worth_keeping = True
        if job.state.finished:
            self._replan.set()

    def _drives_changed(self) -> None:
        self._queue.name_places(labels_of(self.drives()))
        self._replan.set()
        self._runner.wake()
        self.changed()

    def _keep_trace(self) -> None:
        self._worth_keeping = True

    def _power_changed(self, power: PowerState) -> None:
        self._runner.wake()
        self._schedule.wake()
        if self._power.take(power):
            self._tasks.spawn("power change", self._power.follow)
        self._resources.power_changed()
        self.changed()

    def _woken(self) -> None:
        """The machine has slept."""
        self._runner.wake()
        self._replan.set()
        self.changed()

    # -- supervised parts ------------------------------------------------------------------------

    async def _look_at_disk(self, beat: int) -> None:
        """Where no session does."""
        if self._session is None and beat % DISK_BEATS == 0:
            self._storage = await self._storage_worker.run(lambda _stop: self._folders.refresh())

    def publish(self) -> None:
        """Make a new picture and show it on every channel."""
        session = self._session
        if session is not None:
            self._storage = session.storage_status()
        recorders = () if session is None else session.status()
        recording = session is not None and session.recording
        # the session ends a moment after the last of its cameras has
        under_way = (recording, *((r.recording, r.state) for r in recorders))
        now_s = asyncio.get_running_loop().time()
        other_share = self._beside.look(recorders, recording, now_s)
        self._resources.look(recorders, recording)
        otherwise = self._surroundings.look()
        if under_way != self._under_way:  # a recording began or ended: other jobs may run now
            self._under_way = under_way
            self._replan.set()
            self._runner.wake()
            self._schedule.wake()
        elif other_share or otherwise:
            self._runner.wake()
        self._version += 1
        self.board.publish(Snapshot(
            version=self._version, time_ns=self.clock.epoch_ns(), name=self.config.system.name,
            recording=recording,
            recording_since_ns=None if session is None else session.recording_since_ns,
            recorders=recorders,
            jobs=self._queue.jobs()[:50], drives=self.drives(), power=self._power.state,
            storage=self._storage, parts=tuple(self._tasks.problems.items()),
            events=self.events.latest(), loop_lag_ms=self._beat.lag_ms, stopping=self._stopping,
            stuck=() if self._closing is None else self._closing.late,
            skew_ms=None if session is None else session.skew_ms,
            recovery=self._recovery.progress, schedule=self._schedule.status(),
            space=self._resources.space, temperature_c=self._resources.temperature_c))
        self._sleep.look(self.board.latest)
