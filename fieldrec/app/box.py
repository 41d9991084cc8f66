"""One running fieldrec: builds the parts, owns their tasks, orders the shutdown.

Everything here runs on the event loop. The root holds only supervisors, so that no part's failure
reaches another (I9). `async with App(config, parts) as app:` is a running box; leaving the block is
the one orderly stop that SIGTERM, CRITICAL power, a finished command and tests share (I7).
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from fieldrec.app.conditions import conditions_of, destinations_of
from fieldrec.app.console_verbs import ConsoleVerbs
from fieldrec.app.events import Events
from fieldrec.app.health import Alive, Progress
from fieldrec.app.offload import Offload
from fieldrec.app.recovery import recover_folder
from fieldrec.camera.configured import configured_camera
from fieldrec.catalogue.scan import Catalogue
from fieldrec.config import Config, ConsoleConfig
from fieldrec.control import Control
from fieldrec.core.clock import Clock, SystemClock
from fieldrec.core.errors import FieldrecError, ShutdownStuck
from fieldrec.core.folder import FolderLock
from fieldrec.core.model import (
    CameraState,
    Conditions,
    Drive,
    Job,
    PowerLevel,
    PowerState,
    Recording,
)
from fieldrec.core.snapshot import Snapshot, StorageStatus
from fieldrec.core.workers import Worker, supervise
from fieldrec.drives.watcher import DriveWatcher
from fieldrec.export.encoder import Encoder
from fieldrec.export.presets import preset
from fieldrec.jobs.job_queue import JobQueue
from fieldrec.jobs.perform import DestinationFactory
from fieldrec.jobs.runner import JobRunner
from fieldrec.power import watcher as power_watcher
from fieldrec.record.recorder import Recorder
from fieldrec.record.session import Asked, Session
from fieldrec.record.storage import StorageGuard
from fieldrec.status import console, control_socket, systemd, words
from fieldrec.status.board import Board

log = logging.getLogger(__name__)

PUBLISH_PAUSE_S = 0.1
"""At most ten snapshots a second."""
PUBLISH_IDLE_S = 5.0
"""A snapshot at least this often while nothing changes (one a second while something runs)."""
BEAT_S = 1.0
DISK_BEATS = 5
"""A process without cameras looks at its disk at every fifth beat; with cameras the session does.
An idle box sleeps: every look is three wake-ups (loop, thread, loop)."""
LAG_REPORTED_MS = 100.0
"""A loop that was late by this much is reported (design: who runs where)."""


@dataclass(frozen=True)
class Parts:
    """Which parts a process runs."""

    cameras: bool
    drives: bool
    consoles: bool
    power: bool
    automatic_jobs: bool
    """Whether it gives itself exports and copies, as configured."""


DAEMON = Parts(cameras=True, drives=True, consoles=True, power=True, automatic_jobs=True)
ONE_RECORDING = Parts(cameras=True, drives=False, consoles=False, power=False,
                      automatic_jobs=False)
FOLDER_ONLY = Parts(cameras=False, drives=False, consoles=False, power=True,
                    automatic_jobs=False)
"""A command on a folder where no daemon runs."""


class App:
    """One running box: `board` shows it, `control` commands it, `stop_requested` ends it."""

    control: Control

    def __init__(self, config: Config, parts: Parts, clock: Clock | None = None) -> None:
        preset(config.export.preset)
        self.config = config
        self.parts = parts
        self.clock = clock or SystemClock()
        self.folder = config.storage.directory
        self.board = Board()
        self.events = Events(self.clock)
        self.stop_requested = asyncio.Event()
        self.poweroff_wanted = False
        self._changed = asyncio.Event()
        self._replan = asyncio.Event()
        self._problems: dict[str, str] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._exit = contextlib.AsyncExitStack()
        self._power = PowerState(PowerLevel.UNKNOWN if parts.power else PowerLevel.MAINS)
        self._held_back: Asked | None = None
        """The recording that CRITICAL power cut, to go on when power is back."""
        self._following_power = asyncio.Lock()
        self._storage = StorageStatus()
        self._lag_ms = 0.0
        self._version = 0
        self._progress = Progress()
        self._alive = Alive()
        self._stopping = False
        self._under_way: tuple[tuple[str, CameraState], ...] = ()
        self._session: Session | None = None
        self._drives: DriveWatcher | None = None
        self._guard = StorageGuard(self.folder, config.storage)
        self._catalogue = Catalogue(self.folder)
        self._catalogue_worker = Worker("catalogue")
        self._storage_worker = Worker("storage")

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
        lock = await self._storage_worker.run(lambda _stop: self._take_folder())
        self._exit.callback(lock.release)
        say = self._say_later()
        await self._storage_worker.run(lambda _stop: recover_folder(self.folder, say))
        self._queue = JobQueue(lock.private / "jobs.sqlite", on_change=lambda _job: self.changed(),
                               on_event=self.say, clock=self.clock)
        self._queue.subscribe(self._job_changed)
        await self._queue.open()
        self._build()
        self.publish()
        if self._session is not None:
            self._tasks.append(asyncio.create_task(self._session.open_all(), name="opening"))
        await self._exit.enter_async_context(
            control_socket.serve(lock.private, self.control, self.board))
        self._storage = await self._storage_worker.run(lambda _stop: self._guard.status())
        if self._session is not None:
            await self._session.opened()
        self._supervise_all()
        self.publish()
        if self._session is not None and self.config.record.autostart:
            await self._start_recording(Asked())
        systemd.ready()

    def _take_folder(self) -> FolderLock:
        self._guard.check_usable()
        return FolderLock(self.folder)

    def _build(self) -> None:
        config = self.config
        if self.parts.cameras:
            self._session = Session(
                {key: self._recorder(key) for key in config.cameras}, directory=self.folder,
                storage=config.storage, record=config.record, timezone=config.system.timezone,
                clock=self.clock, on_event=self.say)
        if self.parts.drives and config.drives.enabled:
            self._drives = DriveWatcher(config.drives, on_change=self._drives_changed,
                                        on_event=self.say, in_use=self.folder)
        self.control = Control(
            recordings=self.folder, session=self._session, queue=self._queue, drives=self._drives,
            scan=self.recordings, snapshot=lambda: self.board.latest,
            destinations=tuple(config.destinations), default_preset=config.export.preset,
            changed=self.changed, stopped=self._forget_held_back)
        self._runner = JobRunner(
            self._queue, catalogue=self.recordings, recordings=(self.folder,),
            destinations=self._destinations, make_encoder=Encoder, conditions=self.conditions,
            on_event=self.say)
        self._offload = Offload(config, self._queue, say=self.say, eject=self._eject,
                                again=self._replan.set)

    def _recorder(self, key: str) -> Recorder:
        camera = self.config.cameras[key]
        return Recorder(key, configured_camera(key, camera), serial=camera.serial or key,
                        store=self.config.store, record=self.config.record,
                        timezone=self.config.system.timezone, clock=self.clock,
                        on_change=self.changed, metadata=camera.metadata)

    def _supervise_all(self) -> None:
        self._spawn("beat", self._beat)
        self._spawn("status", self._publish_on_change)
        self._spawn("jobs", self._runner.run)
        if self._session is not None:
            self._spawn("recording", self._session.run)
        if self.parts.automatic_jobs:
            self._spawn("automatic jobs", self._plan_on_change)
        if self._drives is not None:
            self._spawn("drives", self._drives.run)
        if self.parts.power:
            self._spawn("power", lambda: power_watcher.run(self.config.power, self.clock,
                                                           self._power_changed))
        if self.parts.consoles:
            for config in self.config.console:
                self._spawn(f"console {config.device}", lambda c=config: self._console(c))  # type: ignore[misc]

    async def _console(self, config: ConsoleConfig) -> None:
        name = f"console {config.device}"
        await console.run(config, self.board, ConsoleVerbs(self.control), self.clock,
                          on_problem=lambda problem: self._part_changed(name, problem))

    def _spawn(self, name: str, part: Callable[[], Awaitable[None]]) -> None:
        self._tasks = [task for task in self._tasks if not task.done()]
        self._tasks.append(asyncio.create_task(
            supervise(name, part, on_change=self._part_changed), name=name))

    async def _start_recording(self, asked: Asked) -> None:
        try:
            await self.control.start(asked.name, asked.metadata, asked.duration_s, asked.cameras)
        except FieldrecError as error:
            self.say(f"recording not started: {error}", "error")

    async def _shutdown(self) -> None:
        """Top to bottom, within the budget; after it, names what is stuck and goes on."""
        self._stopping = True
        self.changed()  # who looks sees it stop while it waits for a disk or a drive
        systemd.stopping()
        # A task of its own: a Worker that waits for a dead disk does not let a cancel through.
        stopping = asyncio.create_task(self._stop_in_order(), name="orderly stop")
        done, _ = await asyncio.wait({stopping}, timeout=self.config.system.shutdown_budget_s)
        if not done:
            stuck = ", ".join(t.get_name() for t in self._tasks if not t.done()) or "a disk"
            raise ShutdownStuck(
                f"the orderly stop took over {self.config.system.shutdown_budget_s:g} s; stuck: "
                f"{stuck}; leaving as it is, the next start recovers it")
        stopping.result()

    async def _stop_in_order(self) -> None:
        if hasattr(self, "control"):
            self.control.refuse_from_now("fieldrec is stopping")
        if self._session is not None:
            await self._session.stop("fieldrec stopped")
            await self._cancel("opening", "recording")
            await self._session.close()
        await self._cancel("jobs", "automatic jobs")
        if self._drives is not None:
            await self._cancel("drives")
            await self._drives.close()
        if self._tasks:
            self.publish()
        await self._cancel(*(task.get_name() for task in self._tasks))
        await self._exit.aclose()
        if hasattr(self, "_queue"):
            await self._queue.close()
        self._catalogue_worker.close()
        self._storage_worker.close()

    async def _cancel(self, *names: str) -> None:
        ending = [task for task in self._tasks if task.get_name() in names]
        for task in ending:
            task.cancel()
        if ending:
            await asyncio.wait(ending)

    # -- what other parts ask --------------------------------------------------------------------

    def say(self, text: str, severity: str = "info") -> None:
        """Note an event and show it."""
        self.events.add(text, severity)
        self.changed()

    def changed(self) -> None:
        """Something that is shown has changed."""
        self._changed.set()

    async def recordings(self) -> tuple[Recording, ...]:
        """The catalogue, as the disk has it now."""
        return await self._catalogue_worker.run(lambda _stop: self._catalogue.refresh())

    def conditions(self) -> Conditions:
        """What admission may look at, now."""
        return conditions_of(self.config, self._session, self._power, self.drives(),
                             self._queue.jobs(), self._storage, stopping=self._stopping)

    def drives(self) -> tuple[Drive, ...]:
        """All drives known now."""
        return () if self._drives is None else self._drives.drives()

    async def recording_ended(self) -> list[str]:
        """Wait until the recording under way has ended, by itself or by command; its names."""
        if self._session is None:
            return []
        await self._session.wait_stopped()
        return list(self._session.last_names)

    async def settled(self) -> None:
        """Return once no unfinished job is left and none is about to be planned."""
        version = -1
        while True:
            await self._plan()
            if all(job.state.finished for job in self._queue.jobs()):
                return
            version = (await self.board.wait_changed(version, 1.0)).version

    def _destinations(self) -> Mapping[str, DestinationFactory]:
        return destinations_of(self.config, self._drives, self._queue.jobs())

    def _say_later(self) -> Callable[[str, str], None]:
        loop = asyncio.get_running_loop()
        return lambda text, severity: void(loop.call_soon_threadsafe(self.say, text, severity))

    # -- what other parts report -----------------------------------------------------------------

    def _part_changed(self, name: str, problem: str) -> None:
        if problem and problem != self._problems.get(name):
            self.events.add(f"{name}: {problem}", "error")
        self._problems[name] = problem
        self.changed()

    def _job_changed(self, job: Job) -> None:
        """Only an end makes another job wanted or ends a visit; planning reads the whole folder."""
        if job.state.finished:
            self._replan.set()

    def _drives_changed(self) -> None:
        self._replan.set()
        self._runner.wake()
        self.changed()

    async def _eject(self, device: str, note: str) -> None:
        if self._drives is not None:
            await self._drives.eject(device, note=note)

    def _forget_held_back(self) -> None:
        """The operator stopped: what power had cut does not come back by itself."""
        self._held_back = None

    def _power_changed(self, power: PowerState) -> None:
        before, self._power = self._power, power
        self._runner.wake()
        if power.level is not before.level:
            severity = "warning" if power.level in (PowerLevel.LOW, PowerLevel.CRITICAL) else "info"
            self.say(f"power {power.level.value}: {power.reason}", severity)
            self.control.refuse_recording(
                f"battery critical: {power.reason}" if power.level is PowerLevel.CRITICAL else "")
            self._spawn("power change", self._follow_power)
        self.changed()

    async def _follow_power(self) -> None:
        """CRITICAL: close recordings in order, then stop the box if so configured; a recording
        that was cut by it goes on, as a new one, when power is back."""
        if self._session is None:
            return
        async with self._following_power:
            await self._follow_power_now(self._session)

    async def _follow_power_now(self, session: Session) -> None:
        if self._power.level is PowerLevel.CRITICAL:
            self._held_back = await session.suspend("battery critical") or self._held_back
            still = self._power.level is PowerLevel.CRITICAL
            if still and self.config.power.poweroff_command:
                self.poweroff_wanted = True
                self.stop_requested.set()
        elif self._held_back is not None:
            held_back, self._held_back = self._held_back, None
            await self._start_recording(held_back)

    # -- supervised parts ------------------------------------------------------------------------

    async def _beat(self) -> None:
        """Measure the loop's lag; feed the watchdog; look at the disk where no session does."""
        loop = asyncio.get_running_loop()
        for beat in itertools.count(1):
            due = loop.time() + BEAT_S
            await asyncio.sleep(BEAT_S)
            self._lag_ms = max(0.0, (loop.time() - due) * 1000)
            if self._lag_ms >= LAG_REPORTED_MS:
                log.warning("event loop was %.0f ms late", self._lag_ms)
            self._tell_systemd(loop.time())
            if self._session is None and beat % DISK_BEATS == 0:
                self._storage = await self._storage_worker.run(lambda _stop: self._guard.status())

    def _tell_systemd(self, now_s: float) -> None:
        """Feed the watchdog only while frames reach the disk; keep the line of `systemctl status`
        up to date."""
        stuck = self._progress.problem(
            () if self._session is None else self._session.status(), now_s)
        if stuck != self._problems.get("storing", ""):
            self._part_changed("storing", stuck)
        if not stuck:
            self._alive.tell(words.describe_briefly(self.board.latest), now_s)

    async def _publish_on_change(self) -> None:
        while True:
            busy = self.board.latest.recording
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0 if busy else PUBLISH_IDLE_S):
                    await self._changed.wait()
            self._changed.clear()
            self.publish()
            await asyncio.sleep(PUBLISH_PAUSE_S)

    async def _plan_on_change(self) -> None:
        try:
            while True:
                self._replan.clear()
                await self._plan()
                await self._replan.wait()
        finally:
            await self._offload.close()

    async def _plan(self) -> None:
        if not self.parts.automatic_jobs:
            return
        recordings = await self.recordings()
        await self._offload.plan(recordings)
        await self._offload.serve(self.drives(), recordings)

    def publish(self) -> None:
        """Make a new picture and show it on every channel."""
        session = self._session
        if session is not None:
            self._storage = session.storage_status()
        recorders = () if session is None else session.status()
        under_way = tuple((r.recording, r.state) for r in recorders)
        if under_way != self._under_way:  # a recording began or ended: other jobs may run now
            self._under_way = under_way
            self._replan.set()
            self._runner.wake()
        self._version += 1
        self.board.publish(Snapshot(
            version=self._version, time_ns=self.clock.epoch_ns(), name=self.config.system.name,
            recording=session is not None and session.recording,
            recording_since_ns=None if session is None else session.recording_since_ns,
            recorders=recorders,
            jobs=self._queue.jobs()[:50], drives=self.drives(), power=self._power,
            storage=self._storage, parts=tuple(self._problems.items()),
            events=self.events.latest(), loop_lag_ms=self._lag_ms, stopping=self._stopping))


def void(_: object) -> None:
    """Drop a result."""

