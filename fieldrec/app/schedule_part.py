"""The schedule as a part of the box: made with it, opened when its folder is there, ended before
its recordings are. On the loop. In a process that keeps no schedule it does nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path

from fieldrec.app.foresight import left_bytes, rate_of
from fieldrec.app.schedule_verbs import ScheduleVerbs
from fieldrec.app.scheduled_recording import Say
from fieldrec.app.scheduling import Scheduling
from fieldrec.app.surroundings import Surroundings
from fieldrec.app.tasks import Tasks
from fieldrec.config import Config
from fieldrec.config.schedule import GPSD
from fieldrec.control import Control
from fieldrec.core.clock import Clock
from fieldrec.core.model import Recording
from fieldrec.core.notes import Kind, Note
from fieldrec.core.snapshot import ScheduleStatus
from fieldrec.jobs.forecast import Battery, Disk
from fieldrec.record.session import Session
from fieldrec.schedule.place import Place
from fieldrec.sensors import gpsd

TASK = "schedule"
PLACE_TASK = "place"
ASK_S = 90.0
"""A receiver that is cold needs a minute."""
AGAIN_S, MOVED_S = 600.0, 6 * 3600.0
"""gpsd is asked again so long after no answer, and after one: boxes are carried about."""

Catalogue = Callable[[], Awaitable[Sequence[Recording]]]


class SchedulePart:
    """See :mod:`fieldrec.app.scheduling` for what it does."""

    def __init__(self, config: Config, clock: Clock, *, kept: bool, say: Say, note: Note,
                 changed: Callable[[], None]) -> None:
        """`kept`: whether this process keeps to the schedule."""
        self._config = config
        self._clock = clock
        self._kept = kept
        self._say = say
        self._note = note
        self._changed = changed
        self._forget_held_back: Callable[[], None] = lambda: None
        self._scheduling: Scheduling | None = None
        self._tasks: Tasks | None = None

    @property
    def next_start_ns(self) -> int | None:
        """When the schedule begins to record next, epoch; None: not as far as can be seen."""
        return None if self._scheduling is None else self._scheduling.next_start_ns

    @property
    def next_moment_ns(self) -> int | None:
        """When anything of it is due next, epoch; None: nothing, as far as can be seen."""
        return None if self._scheduling is None else self._scheduling.next_moment_ns

    def next_start(self) -> tuple[int | None, str]:
        """The same, and the task's name."""
        status = self.status()
        return status.next_ns, status.next_task

    @property
    def windows_running(self) -> tuple[str, ...]:
        """Tasks whose windows the box is in and records for."""
        return () if self._scheduling is None else self._scheduling.windows_running

    def windows(self, after_ns: int, until_ns: int) -> Iterator[tuple[int, int]]:
        """(begins, ends) of the recordings that are planned in this time, epoch."""
        if self._scheduling is not None:
            for one in self._scheduling.calendar.windows(after_ns, until_ns):
                yield one.begins_ns, one.ends_ns

    def status(self) -> ScheduleStatus:
        """For the board."""
        return ScheduleStatus() if self._scheduling is None else self._scheduling.status()

    def wake(self) -> None:
        """Something that a recording needs has changed, or one has begun or ended."""
        if self._scheduling is not None:
            self._scheduling.wake()

    def stopped(self) -> None:
        """Somebody asked to stop recording: what power had cut does not come back either."""
        self._forget_held_back()
        if self._scheduling is not None:
            self._scheduling.stopped()

    async def open(self, private: Path, control: Control, session: Session | None,
                   recordings: Catalogue, forget_held_back: Callable[[], None],
                   surroundings: Surroundings,
                   battery: Callable[[], Battery | None] = lambda: None) -> None:
        """`private`: the folder of its files; `recordings` and `battery`: what forecasts are drawn
        from; `forget_held_back`: what power had cut does not come back by itself; `surroundings`
        are told of the next start. ConfigError for a task that cannot be."""
        self._forget_held_back = forget_held_back
        if not self._kept or session is None:
            return

        async def figures() -> tuple[Disk | None, Battery | None]:
            rate = rate_of(await recordings())
            left = left_bytes(session.storage_status(), self._config.storage)
            return None if rate is None else Disk(left, rate), battery()

        scheduling = Scheduling(
            self._config, private=private, control=control, session=session, clock=self._clock,
            say=self._say, note=self._note, changed=self._changed,
            forget_held_back=self._forget_held_back)
        self._scheduling = scheduling
        surroundings.next_start = self.next_start
        await scheduling.open()
        control.allowed = self.wake
        control.schedule = ScheduleVerbs(scheduling, self._clock, figures=figures)
        if self._config.record.autostart and scheduling.calendar.starts:
            self._say("record.autostart records all the time: scheduled recordings wait until it "
                      "is stopped", "warning")

    def spawn(self, tasks: Tasks) -> None:
        """Begin its tasks."""
        self._tasks = tasks
        if self._scheduling is None:
            return
        tasks.spawn(TASK, self._scheduling.run)
        if self._config.schedule.location == GPSD:
            tasks.spawn(PLACE_TASK, self._follow_place)

    async def end(self, why: str) -> None:
        """Before recordings are closed: nothing is begun any more, and why is written down."""
        if self._tasks is not None:
            await self._tasks.cancel(TASK, PLACE_TASK)
        if self._scheduling is not None:
            scheduling, self._scheduling = self._scheduling, None
            await scheduling.close(why)

    async def _follow_place(self) -> None:
        """Ask gpsd where the box is, for ever; what was known last holds meanwhile."""
        host, _, port = self._config.schedule.gpsd.rpartition(":")
        said = ""
        while self._scheduling is not None:
            found = await gpsd.ask(host, int(port), ASK_S)
            if isinstance(found, gpsd.Fix):
                place = Place(found.latitude, found.longitude)
                if self._scheduling.place_known(place):
                    self._say(f"schedule: gpsd says that the box is at {place}", "info")
                    self._note(Kind.PLACE, f"at {place}", latitude=found.latitude,
                               longitude=found.longitude, source=GPSD)
                said = ""
                await asyncio.sleep(MOVED_S)
                continue
            if found.reason != said:
                said = found.reason
                known = self._scheduling.place
                so = "no dawn or dusk until it answers" if known is None else \
                    f"dawn and dusk are those of {known}"
                self._say(f"gpsd at {self._config.schedule.gpsd}: {said}; {so}", "warning")
            await asyncio.sleep(AGAIN_S)
