"""Room, energy and heat as one part of the box: what is watched, booked, and done about it. Made
with the box, opened when its folder is there, closed at its end. On the event loop."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fieldrec.app.books import Books
from fieldrec.app.conditions import proves_at
from fieldrec.app.drive_faults import DriveFaults
from fieldrec.app.energy_watch import EnergyWatch
from fieldrec.app.space_acting import SpaceActing
from fieldrec.app.space_watch import SpaceWatch, Windows
from fieldrec.app.surroundings import Surroundings
from fieldrec.app.tasks import Tasks
from fieldrec.app.temperature_watch import TemperatureWatch
from fieldrec.app.verified_watch import VerifiedWatch
from fieldrec.config import Config
from fieldrec.config.space import below_stop
from fieldrec.control import Control
from fieldrec.core.clock import Clock
from fieldrec.core.model import (
    Conditions,
    Job,
    JobState,
    PowerLevel,
    PowerState,
    Recording,
    SpaceState,
)
from fieldrec.core.snapshot import RecorderStatus
from fieldrec.jobs.forecast import Battery, Figure
from fieldrec.jobs.freeing import Evidence
from fieldrec.jobs.job_queue import JobQueue
from fieldrec.record.folders import Folders
from fieldrec.record.session import Session

_STANDING = (JobState.WAITING, JobState.DONE, JobState.FAILED, JobState.CANCELLED)
"""Jobs that want nothing of the processor now. One that waits for it to cool is too_warm's."""
REFUSAL = "space"
"""Whose word it is when recording is refused."""


@dataclass(frozen=True)
class Box:
    """What this part asks of the box."""

    folders: Folders
    queue: JobQueue
    control: Control
    session: Session | None
    power: Callable[[], PowerState]
    conditions: Callable[[], Conditions]
    recordings: Callable[[], Awaitable[Sequence[Recording]]]
    wake_jobs: Callable[[], None]
    replan: Callable[[], None]
    changed: Callable[[], None]
    say: Callable[[str, str], None]


class Resources:
    """Before :meth:`open` it knows nothing and holds up nothing."""

    def __init__(self, config: Config, clock: Clock, *, lasting: bool) -> None:
        """`lasting`: whether the process goes on, and what the disks will be in hours matters."""
        self._config = config
        self._lasting = lasting
        self._clock = clock
        self._box: Box | None = None
        self._is_too_warm: Callable[[], bool] = lambda: False

    async def open(self, private: Path, box: Box, surroundings: Surroundings) -> None:
        """`private`: the folder of the books; `surroundings` are told of room and heat."""
        config, self._box = self._config, box
        self._books = Books(private, box.say)
        await self._books.open()
        space = below_stop(config.space, config.storage.stop_percent)
        self._space = SpaceWatch(space, box.folders, self._clock, say=box.say,
                                 recorded=self._recorded, by_hours=self._lasting)
        self._energy = EnergyWatch(
            self._books, self._clock, power=box.power, note_used=box.queue.note_used,
            written_bytes=lambda: self._space.written_bytes)
        self._heat = TemperatureWatch(lambda _celsius: box.changed())
        self._verified = VerifiedWatch(self._books, recordings=box.recordings, say=box.say,
                                       noted=box.replan,
                                       proves=lambda name: proves_at(config, name))
        self._verified.recall(box.queue.jobs())
        self._acting = SpaceActing(
            space, self._space, box.queue, say=box.say, copies=lambda: self._books.copies,
            folders=box.folders, conditions=box.conditions, stop=self._stop_recording,
            refuse=lambda why: box.control.refuse_recording(why, REFUSAL), wake=box.wake_jobs)
        self._faults = DriveFaults(self._books, self._clock, say=box.say, changed=self._distrust,
                                   suspect_after=config.drives.suspect_after)
        self._is_too_warm = lambda: surroundings.is_too_warm
        surroundings.space = lambda: self._space.state
        surroundings.temperature_c = lambda: self._heat.celsius
        surroundings.export_on_battery = lambda: self._acting.export_on_battery
        box.queue.subscribe(self._energy.job_changed)
        box.queue.subscribe(self._verified.job_changed)

    def spawn(self, tasks: Tasks) -> None:
        """Begin to watch."""
        tasks.spawn("books", self._books.run)
        tasks.spawn("energy", self._energy.run)
        tasks.spawn("temperature", self._heat.run)
        tasks.spawn("verified copies", self._verified.run)

    async def close(self) -> None:
        """Book what is under way, write it. The tasks must have ended, the jobs' rows not."""
        if self._box is not None:
            self._energy.end()
            await self._books.close()

    @property
    def evidence(self) -> Evidence:
        """What is asked before a recording goes because it is verified elsewhere."""
        return Evidence(lambda: self._books.copies, lambda: self._books.touch(), self._is_proven)

    def _is_proven(self, destination: str) -> bool:
        return self._config.drives.unproven_moves or self._faults.capacity.is_proven(destination)

    @property
    def faults(self) -> DriveFaults | None:
        """Of drives; None before :meth:`open`."""
        return None if self._box is None else self._faults

    def job_failed(self, job: Job, error: BaseException) -> None:
        """A job has met an error: it may be the drive's."""
        if self._box is not None:
            self._faults.job_failed(job, error)

    def _distrust(self) -> None:
        if self._box is not None:
            self._box.replan()
            self._box.wake_jobs()
            self._box.changed()

    @property
    def space(self) -> SpaceState:
        """For the board."""
        return SpaceState() if self._box is None else self._space.state

    @property
    def temperature_c(self) -> float | None:
        """For the board."""
        return None if self._box is None else self._heat.celsius

    def follow_schedule(self, windows: Windows | None) -> None:
        """What is planned to be recorded; None: nothing."""
        self._space.windows = windows
        self._space.forget_plan()

    def look(self, recorders: Sequence[RecorderStatus], recording: bool) -> None:
        """Called with every picture of the box. Cheap."""
        if self._box is None:
            return
        self._energy.look(recorders, recording)
        self._heat.want(recording or self._is_too_warm() or any(
            job.state not in _STANDING for job in self._box.queue.jobs()))
        tier_changed = self._space.look(recorders, recording)
        if self._acting.settled() or tier_changed:
            self._box.replan()

    async def plan(self, recordings: Sequence[Recording]) -> None:
        """Called with everything else that the box gives itself to do."""
        await self._acting.plan(recordings)

    def power_changed(self) -> None:
        """There is a new judgement of the power."""
        if self._box is not None:
            self._energy.power_changed()

    def battery(self) -> Battery | None:
        """For a forecast; None while what it holds, or what the box draws, is not known."""
        if self._box is None:
            return None
        idle, book = self._books.energy.idle_mw(), self._books.energy
        left_mwh = charge_mwh(self._box.power(), self._config.energy.battery_wh)
        if left_mwh is None or idle is None:
            return None
        return Battery(left_mwh, idle, book.recording_mw() or Figure(
            0.0, 0.0, 0.0, "recording was not measured yet"))

    def _recorded(self) -> int | None:
        figure = self._books.energy.per_recorded_hour()
        return None if figure is None else figure.bytes_per_hour

    async def _stop_recording(self, why: str) -> None:
        if self._box is not None and self._box.session is not None and self._box.session.recording:
            await self._box.session.stop(why)


def charge_mwh(power: PowerState, battery_wh: float | None) -> float | None:
    """What is in the battery: of `battery_wh` as many percent as it says, else what lasts for the
    minutes that are left at the present power. None where neither is known."""
    if battery_wh is not None and power.charge_percent is not None:
        return battery_wh * 1000 * min(max(power.charge_percent, 0.0), 100.0) / 100
    if power.level in (PowerLevel.BATTERY, PowerLevel.LOW, PowerLevel.CRITICAL) \
            and power.minutes_left is not None and power.power_mw:
        return power.power_mw * power.minutes_left / 60
    return None
