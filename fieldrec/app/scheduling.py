"""The schedule at work: one task on the event loop that sleeps until the calendar, the wall clock
or the box has something for it.

It asks schedule/deciding.py what is to be done now, writes down what it must remember, and does it
by the verbs of the control, as a person would: recordings through app/scheduled_recording.py,
everything else through app/scheduled_tasks.py. Files are read and written in a worker of its own
(`schedule`). A schedule that cannot be written down, or a task that fails, stops nothing else (I9).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from zoneinfo import ZoneInfo

from fieldrec.app.alarm import Alarm, alarm_for
from fieldrec.app.schedule_telling import Telling
from fieldrec.app.scheduled_recording import Say, ScheduledRecording, Wish
from fieldrec.app.scheduled_tasks import perform
from fieldrec.config import Config
from fieldrec.control import Control
from fieldrec.core.clock import Clock, SystemClock
from fieldrec.core.errors import FieldrecError
from fieldrec.core.model import ClockQuality
from fieldrec.core.notes import Note
from fieldrec.core.snapshot import ScheduleStatus
from fieldrec.core.workers import Worker
from fieldrec.record.clock_quality import clock_quality
from fieldrec.record.session import Session
from fieldrec.schedule.calendar import SECOND_NS, Calendar, Planned
from fieldrec.schedule.clock_sense import ClockSense
from fieldrec.schedule.deciding import Deciding, Enter, Fire, Leave, Missed, Prolong, Step
from fieldrec.schedule.keeping import (
    MEMORY_NAME,
    TASKS_NAME,
    Kept,
    configured_place,
    remembered_place,
)
from fieldrec.schedule.memory import Memory
from fieldrec.schedule.place import Place
from fieldrec.schedule.relative import Relative
from fieldrec.schedule.rows import local
from fieldrec.schedule.table import Table
from fieldrec.schedule.tasks import Task
from fieldrec.status import words

ALIVE_NS = 600 * SECOND_NS
"""That the box is awake is written down this often: how exactly a power cut can be told."""
SOONEST_WRITE_NS = 10 * SECOND_NS
"""Between two writes for moments that are done; a task of every second must not wear out a disk."""
MOVED_DEGREES = 0.02
"""Five seconds of the sun's time; two kilometres."""
ALWAYS = "clock"
"""Name, in place of a task's, of what is recorded while the clock is wrong."""


class Scheduling:
    """The schedule of one box. `open` first, then `run` under supervision, `close` at the end."""

    def __init__(self, config: Config, *, private: Path, control: Control, session: Session,
                 clock: Clock, say: Say, note: Note, changed: Callable[[], None],
                 forget_held_back: Callable[[], None] = lambda: None,
                 alarm: Alarm | None = None,
                 synchronised: Callable[[], bool] | None = None) -> None:
        """`private`: folder of its files. `changed` is called when what is shown has changed.
        ConfigError for a task that cannot be."""
        self.table = Table(config)
        self.zone = ZoneInfo(config.system.timezone)
        self.place = configured_place(config)
        self._config = config.schedule
        self._control = control
        self._session = session
        self._clock = clock
        self._say = say
        self._telling = Telling(self.zone, clock, say, note)
        self._changed = changed
        self._alarm = alarm or alarm_for(clock)
        self._synchronised = synchronised or (
            _kernel_says_so if isinstance(clock, SystemClock) else lambda: False)
        self._worker = Worker("schedule")
        self._tasks_file = Kept(private / TASKS_NAME)
        self._memory_file = Kept(private / MEMORY_NAME)
        self._recording = ScheduledRecording(
            config, control=control, session=session, clock=clock, say=say, note=note,
            forget_held_back=forget_held_back)
        self._relative = Relative()
        self._wake = asyncio.Event()
        self._deciding = Deciding(self._calendar(), Memory(), late=self._config.late)
        self._sense = ClockSense(None, self._synchronised)
        self._away = ""
        """Why the schedule did not look for a while; "" when it did."""
        self._clock_problem = ""
        self._always_ended = False
        """The operator stopped what is recorded without a clock."""
        self._written_ns = 0
        """When the memory was written last, by the monotonic clock."""
        self._urgent = True
        """Whether it is to be written before anything is done."""
        self._unwritable = ""
        self._next: Planned | None = None
        self._next_moment_ns: int | None = None
        self._place_said = ""

    # -- what others ask ---------------------------------------------------------------------------

    @property
    def next_start_ns(self) -> int | None:
        """When the schedule begins to record next, epoch; None: not as far as can be seen."""
        return None if self._next is None else self._next.begins_ns

    @property
    def next_moment_ns(self) -> int | None:
        """When anything of the schedule is due next, epoch; None: nothing, as far as can be
        seen."""
        return self._next_moment_ns

    @property
    def windows_running(self) -> tuple[str, ...]:
        """Tasks whose windows the box is in and records for."""
        return tuple(one.task for one in self._deciding.wanted)

    def status(self) -> ScheduleStatus:
        """For the board; cheap."""
        now_ns, window = self._clock.epoch_ns(), self._next
        running = tuple((one.task, one.ends_ns) for one in self._deciding.wanted)
        if window is None:
            return ScheduleStatus(running=running, clock_problem=self._clock_problem)
        return ScheduleStatus(
            next_task=window.task, next_ns=window.begins_ns,
            next_at=local(window.begins_ns, self.zone, now_ns), running=running,
            clock_problem=self._clock_problem)

    @property
    def calendar(self) -> Calendar:
        """The active tasks, at the place known."""
        return self._deciding.calendar

    @property
    def deciding(self) -> Deciding:
        """For listing."""
        return self._deciding

    # -- what others report ------------------------------------------------------------------------

    def wake(self) -> None:
        """Something that a recording needs has changed: a camera, power, room; or one ended."""
        self._wake.set()

    def stopped(self) -> None:
        """Somebody asked to stop recording: if not the schedule itself, it was the operator."""
        if self._recording.stopping:
            return
        self._always_ended = bool(self._clock_problem)
        self._recording.ended_by_hand(self._deciding.end_by_hand(), self.calendar.task)
        self._urgent = True
        self._wake.set()

    def tasks_changed(self) -> None:
        """The table was changed; windows of tasks that are gone are left."""
        before = self.calendar
        self._deciding.calendar = self._calendar()
        gone = [one for name in self._deciding.memory.entered.keys()
                - {task.name for task in self.table.active}
                if (one := self._deciding.forget(name)) is not None and not one.ended_by_hand]
        self._recording.ended_early(gone, before.task, "the task was taken away, or switched off")
        self._urgent = True
        self._wake.set()

    def place_known(self, place: Place) -> bool:
        """gpsd has told where the box is; whether that is elsewhere than was known."""
        known, self.place = self.place, place
        if known is not None and max(abs(known.latitude - place.latitude),
                                     abs(known.longitude - place.longitude)) < MOVED_DEGREES:
            self.place = known  # the sun's times do not change by what a receiver wavers
            return False
        self._deciding.calendar = self._calendar()
        self._urgent = True
        self._wake.set()
        return True

    # -- life --------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Read what an earlier process has written. A damaged file is set aside and said."""
        await self._take(self._tasks_file, lambda values: self.table.take(values, self._say),
                         "tasks that were added are lost, those of the configuration run")
        memory = Memory()

        def remember(values: dict[str, object]) -> None:
            nonlocal memory
            memory = Memory.from_json(values)
            if self.place is None and self._config.location is not None:
                self.place = remembered_place(values)

        await self._take(self._memory_file, remember, "what was missed meanwhile is not known")
        active = {task.name for task in self.table.active}
        memory.entered = {name: one for name, one in memory.entered.items() if name in active}
        self._away = _why_away(memory.ended_by)
        memory.ended_by = ""
        self._sense = ClockSense(memory.at_ns, self._synchronised)
        self._deciding = Deciding(self._calendar(), memory, late=self._config.late)
        self._telling.never(self.calendar)

    async def run(self) -> None:
        """Keep to the schedule until cancelled."""
        while True:
            self._wake.clear()
            wall_ns, mono_ns = self._clock.epoch_ns(), self._clock.monotonic_ns()
            steps = self._look(wall_ns, mono_ns)
            steps += self._relative.look(self.calendar, self._session.recording_since_ns, wall_ns,
                                         mono_ns)
            await self._write_if_due(steps, mono_ns)
            again_s = await self._keep_to(steps)
            self._next = None if self._clock_problem else self.calendar.next_window(wall_ns)
            self._changed()
            await self._alarm.wait(self._next_look_ns(wall_ns, mono_ns, again_s), self._wake)

    async def close(self, reason: str) -> None:
        """Write down when and why it ended; :meth:`run` has. Ends the worker."""
        try:
            if not self._clock_problem and self._deciding.memory.at_ns is not None:
                self._deciding.memory.at_ns = self._clock.epoch_ns()
                self._deciding.memory.ended_by = reason
                await self._write_memory()
        finally:
            self._alarm.close()
            self._worker.close()

    async def write_tasks(self) -> None:
        """Make what was added, removed and switched durable. StoreFull, OSError."""
        values = self.table.as_json()
        await self._worker.run(lambda _stop: self._tasks_file.write(values))

    # -- what is to be done ------------------------------------------------------------------------

    def _look(self, wall_ns: int, mono_ns: int) -> list[Step]:
        problem = self._sense.problem(wall_ns, mono_ns)
        if bool(problem) != bool(self._clock_problem):
            self._urgent = True
            self._always_ended = False
            if problem:
                what = ("recording until it is right" if self._records_always
                        else "waiting until it is right")
                self._say(f"schedule: the clock is wrong: {problem}; {what}", "warning")
            else:
                self._say(f"schedule: the clock is right now: {local(wall_ns, self.zone)}", "info")
                self._away = self._away or "the clock was wrong" + (
                    ", recorded all the same" if self._recording.ours else "")
        self._clock_problem = problem
        if problem:
            return self._deciding.look_blind(mono_ns)
        away, self._away = self._away, ""
        return self._deciding.look(wall_ns, mono_ns, away)

    @property
    def _records_always(self) -> bool:
        return self._config.without_clock == "record_always" and bool(self.calendar.starts)

    async def _keep_to(self, steps: Sequence[Step]) -> float | None:
        """Say, note and do it; seconds until a recording is to be tried again."""
        over = ""
        self._telling.missed([step for step in steps if isinstance(step, Missed)], self.calendar)
        for step in steps:
            if isinstance(step, Enter | Prolong):
                others = [name for name in self.windows_running if name != step.window.task]
                self._telling.window(step, self.calendar, others)
            elif isinstance(step, Leave):
                over = f"{step.entered.task}: {step.why}"
            elif isinstance(step, Fire):
                await self._perform(step)
        wishes = [Wish.of(one, self.calendar.task(one.task)) for one in self._deciding.wanted]
        if self._clock_problem and self._records_always and not self._always_ended and not wishes:
            wishes = [Wish(ALWAYS, None, {"schedule_task": ALWAYS}, None, self._clock.epoch_ns(),
                           None)]
        return await self._recording.keep(wishes, f"schedule: {over or 'no window runs'}")

    async def _perform(self, fire: Fire) -> None:
        task = self.calendar.task(fire.task)
        if task is None:
            return
        late = f", {words.duration(fire.late_ns / 1e9)} late" if fire.late_ns else ""
        try:
            if task.what == "stop":
                ended = self._deciding.end_by_hand()
                self._recording.ended_early(ended, self.calendar.task,
                                            f"ended by the task {task.name}")
                done = "ends " + (", ".join(one.task for one in ended) or "nothing")
            else:
                done = await perform(task, self._control)
        except FieldrecError as error:
            self._say(f"schedule: {task.name}{late}: {error}", "error")
        else:
            self._say(f"schedule: {task.name}{late}: {done}", "info")

    def _next_look_ns(self, wall_ns: int, mono_ns: int, again_s: float | None) -> int:
        now_ns = self._clock.epoch_ns()
        found = [now_ns + ALIVE_NS]
        if again_s is not None:
            found.append(now_ns + int(again_s * 1e9))
        self._next_moment_ns = None if self._clock_problem \
            else self._deciding.next_look_ns(wall_ns, mono_ns)
        found += [] if self._next_moment_ns is None else [self._next_moment_ns]
        in_ns = self._relative.next_in_ns(self.calendar, mono_ns)
        if in_ns is not None:
            found.append(wall_ns + in_ns)
        return min(found)

    # -- what is written down ----------------------------------------------------------------------

    async def _write_if_due(self, steps: Sequence[Step], mono_ns: int) -> None:
        """Before anything is done: what is done twice is worse than what is done late."""
        if self._clock_problem:
            return
        passed_ns = mono_ns - self._written_ns
        urgent = self._urgent or any(not isinstance(step, Fire) for step in steps)
        if urgent or passed_ns >= ALIVE_NS or (steps and passed_ns >= SOONEST_WRITE_NS):
            self._written_ns = mono_ns
            await self._write_memory()

    async def _write_memory(self) -> None:
        values = self._deciding.memory.as_json()
        if self.place is not None:
            values["place"] = [self.place.latitude, self.place.longitude]
        try:
            await self._worker.run(lambda _stop: self._memory_file.write(values))
        except (OSError, FieldrecError) as error:
            if not self._unwritable:
                self._say(f"the schedule cannot write down what it did: {error}", "warning")
            self._unwritable = str(error)
        else:
            self._urgent, self._unwritable = False, ""

    async def _take(self, file: Kept, use: Callable[[dict[str, object]], None], so: str) -> None:
        values, problem = await self._worker.run(lambda _stop: file.read())
        if values and not problem:
            try:
                use(dict(values))
            except (ValueError, TypeError, FieldrecError) as error:
                problem = f"{file.path.name} cannot be used: {error}"
        if problem:
            await self._worker.run(lambda _stop: file.set_aside())
            self._say(f"{problem}; set aside as {file.path.name}.damaged; {so}", "error")

    def _calendar(self) -> Calendar:
        tasks: list[Task] = self.table.active
        return Calendar(tasks, self.zone, self.place)


def _why_away(ended_by: str) -> str:
    """Why nobody looked at the schedule, by what the last process wrote down."""
    if not ended_by:
        return "fieldrec was killed, or power was cut"
    return ended_by.replace("fieldrec stopped", "fieldrec was stopped")


def _kernel_says_so() -> bool:
    return clock_quality() is ClockQuality.NTP
