"""Who uses energy when: follows recordings and jobs, reads the meters, and has it booked. One task
on the event loop, which wakes once a minute while anything is under way, and on battery (to learn
what idling draws); not at all on mains while nothing happens."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence

from fieldrec.app.books import Books
from fieldrec.core.clock import Clock
from fieldrec.core.model import CameraState, Job, JobState, PowerLevel, PowerState
from fieldrec.core.snapshot import RecorderStatus
from fieldrec.jobs.energy_book import Meters
from fieldrec.jobs.meters import CpuMeters

LOOK_S = 60.0
"""Less than :data:`fieldrec.jobs.energy_book.MOST_STEP_S`."""
_ON_BATTERY = (PowerLevel.BATTERY, PowerLevel.LOW, PowerLevel.CRITICAL)
"""Where the power that is read is what the box draws: on mains it is what charges the battery."""
_AT_WORK = (JobState.RUNNING, JobState.VERIFYING, JobState.COMMITTING, JobState.DELETING_SOURCE)


class EnergyWatch:
    """Owned by the app."""

    def __init__(self, books: Books, clock: Clock, *, power: Callable[[], PowerState],
                 written_bytes: Callable[[], int],
                 note_used: Callable[[int, float, float | None], None],
                 cpu: CpuMeters | None = None) -> None:
        """`power` and `written_bytes` are asked on the loop; `note_used` puts a job's figures into
        its row."""
        self._books = books
        self._clock = clock
        self._power = power
        self._written_bytes = written_bytes
        self._note_used = note_used
        self._cpu = cpu or CpuMeters()
        self._recording: tuple[str, ...] = ()
        self._working: set[int] = set()
        self._changed = asyncio.Event()

    def look(self, recorders: Sequence[RecorderStatus], recording: bool) -> None:
        """Called with every picture of the box: which cameras record now. Cheap."""
        cameras = tuple(sorted(one.key for one in recorders
                               if one.state is CameraState.RECORDING)) if recording else ()
        if cameras == self._recording:
            return
        self._recording = cameras
        self._books.energy.recording_ended(self._meters(), self._clock.epoch_ns())
        if cameras:
            self._books.energy.recording_began(cameras, self._meters())
        self._follow()

    def job_changed(self, job: Job) -> None:
        """Called at every new state of a job, before anybody else sees its end."""
        book = self._books.energy
        if job.state in _AT_WORK:
            if job.id not in self._working:
                self._working.add(job.id)
                book.job_began(job, self._meters())
                self._follow()
        elif job.id in self._working or (job.state.finished and book.used(job.id) is not None):
            self._working.discard(job.id)
            book.job_held(job, self._meters())
            used = book.used(job.id)
            if used is not None:
                self._note_used(job.id, *used)
            if job.state.finished:
                book.job_ended(job, self._meters(), self._clock.epoch_ns())
            self._follow()

    def power_changed(self) -> None:
        """A power state is there: what was drawn up to it is booked with it."""
        self._books.energy.update(self._meters(), self._clock.epoch_ns())
        self._changed.set()

    async def run(self) -> None:
        """Read the meters now and then until cancelled."""
        self._books.energy.update(self._meters())
        while True:
            self._changed.clear()
            pause_s = self._pause_s()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._changed.wait()
                    continue  # how long to pause is another question now
            self._books.energy.update(self._meters(), self._clock.epoch_ns())
            if self._books.energy.new:
                self._books.touch()

    def end(self) -> None:
        """Book what is under way; called at the orderly stop."""
        self.look((), recording=False)
        for job_id in self._working:
            used = self._books.energy.used(job_id)
            if used is not None:
                self._note_used(job_id, *used)

    def _follow(self) -> None:
        self._changed.set()
        self._books.touch()

    def _pause_s(self) -> float | None:
        watched = self._books.energy.busy or self._power().level in _ON_BATTERY
        return LOOK_S if watched else None

    def _meters(self) -> Meters:
        power = self._power()
        return Meters(
            self._clock.monotonic_ns(),
            power.power_mw if power.level in _ON_BATTERY else None,
            self._cpu.daemon_s(), self._cpu.job_threads_s(), self._cpu.children_s(),
            self._written_bytes())
