"""What the schedule would do in a span of time, in order: nothing is done. Pure.

The rules are those of the box: a task whose window begins while another's is recorded joins it, and
the recording goes on until the last of them ends, with the name and metadata of the first; `stop`
ends all windows that run, until their tasks' next ones. Recordings that people begin, and what may
go wrong, are not in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from fieldrec.schedule.calendar import SECOND_NS, Calendar, Planned
from fieldrec.schedule.table import in_words
from fieldrec.schedule.tasks import Task
from fieldrec.schedule.window import Window

MOST_HAPPENINGS = 5000
"""More than anybody reads; the rest is left out, and said."""
MOST_PER_TASK = 2000


@dataclass(frozen=True, slots=True)
class Happening:
    """One thing that would happen."""

    at_ns: int
    task: str
    text: str


@dataclass(frozen=True, slots=True)
class Simulated:
    """A span of time, as it would go."""

    since_ns: int
    until_ns: int
    happenings: tuple[Happening, ...]
    recorded: tuple[tuple[int, int], ...]
    """(begins, ends) of each recording, in order, cut to the span."""
    remarks: tuple[str, ...]
    """What somebody may not have meant: tasks that are never due, windows that overlap."""
    forecast: tuple[str, ...] = ()
    """Disk and battery at its end, in words; filled in by who knows of them."""


def simulate(calendar: Calendar, since_ns: int, until_ns: int) -> Simulated:
    """All that would happen in (since, until]; a window that runs at its beginning is entered."""
    course = _Course(calendar, since_ns, until_ns)
    happenings = sorted(islice(course.run(), MOST_HAPPENINGS + 1),
                        key=lambda one: one.at_ns // SECOND_NS)
    remarks = [*course.remarks(), *course.overlaps]
    if len(happenings) > MOST_HAPPENINGS or course.cut_short:
        remarks.append(f"only the first {MOST_HAPPENINGS} events are shown, {MOST_PER_TASK} of a "
                       "task; name a shorter span")
    return Simulated(since_ns, until_ns, tuple(happenings[:MOST_HAPPENINGS]),
                     tuple(course.recorded), tuple(remarks))


@dataclass(slots=True)
class _Course:
    calendar: Calendar
    since_ns: int
    until_ns: int
    recorded: list[tuple[int, int]] = field(default_factory=list)
    overlaps: dict[str, None] = field(default_factory=dict)
    cut_short: bool = False
    _running: dict[str, Planned] = field(default_factory=dict)
    _began_ns: int = 0
    _first: str = ""

    def run(self) -> Iterator[Happening]:
        """In order, but that what is relative to a recording comes when it has ended."""
        for at_ns, what in self._points():
            yield from self._ended(at_ns)
            if isinstance(what, Planned):
                yield from self._begun(what)
            elif what.what == "stop":
                yield from self._stopped(what, at_ns)
            else:
                held = " (exports wait while something is recorded)" \
                    if what.what == "export_all" and self._running else ""
                yield Happening(at_ns, what.name, in_words(what) + held)
        yield from self._ended(self.until_ns)
        if self._running:
            self.recorded.append((self._began_ns, self.until_ns))
            yield from self._relative(self._began_ns, self.until_ns)

    def remarks(self) -> list[str]:
        """Tasks that never come, and why."""
        said = []
        for task in self.calendar.tasks:
            if task.camera_relative:
                continue
            if isinstance(task.when, Window) and task.when.needs_place \
                    and self.calendar.place is None:
                said.append(f"{task.name}: needs a place, and none is known yet")
            elif next(self._its_points(task), None) is None:
                said.append(f"{task.name}: never due in this time ({task.when_text})")
        return said

    # --- points in time ---------------------------------------------------------------------------

    def _points(self) -> list[tuple[int, Planned | Task]]:
        points: list[tuple[int, Planned | Task]] = []
        for task in self.calendar.tasks:
            if task.camera_relative:
                continue
            its = list(islice(self._its_points(task), MOST_PER_TASK + 1))
            self.cut_short = self.cut_short or len(its) > MOST_PER_TASK
            points += its[:MOST_PER_TASK]
        return sorted(points, key=lambda point: point[0])

    def _its_points(self, task: Task) -> Iterator[tuple[int, Planned | Task]]:
        if task.what == "start":
            for one in self.calendar.windows(self.since_ns, self.until_ns, (task,)):
                if one.ends_ns > self.since_ns and one.begins_ns < self.until_ns:
                    yield max(one.begins_ns, self.since_ns), one
            return
        for at_ns in self.calendar.fires(task, self.since_ns, self.until_ns):
            yield at_ns, task

    # --- recordings -------------------------------------------------------------------------------

    def _begun(self, window: Planned) -> Iterator[Happening]:
        task = self.calendar.task(window.task)
        at_ns = max(window.begins_ns, self.since_ns)
        others = [name for name in self._running if name != window.task]
        again = window.task in self._running
        self._running[window.task] = max(window, self._running.get(window.task, window),
                                         key=lambda one: one.ends_ns)
        text = in_words(task) if task is not None else "record"
        if others:
            self.overlaps[f"{window.task} and {others[0]} overlap: {window.task} joins the "
                          "recording, which goes on until the last of them ends"] = None
            yield Happening(at_ns, window.task, f"joins the recording of {self._first} ({text})")
        elif again:
            yield Happening(at_ns, window.task, "goes on: its next window begins")
        else:
            self._began_ns, self._first = at_ns, window.task
            runs = " (it runs already)" if window.begins_ns < self.since_ns else ""
            yield Happening(at_ns, window.task, f"begins: {text}{runs}")

    def _ended(self, at_ns: int) -> Iterator[Happening]:
        """Windows that are over by then, the earliest first."""
        for window in sorted(self._running.values(), key=lambda one: one.ends_ns):
            if window.ends_ns > at_ns:
                return
            del self._running[window.task]
            yield from self._over(window.task, window.ends_ns)

    def _stopped(self, task: Task, at_ns: int) -> Iterator[Happening]:
        names = list(self._running)
        yield Happening(at_ns, task.name, f"ends {', '.join(names) or 'nothing'}")
        self._running.clear()
        if names:
            self.recorded.append((self._began_ns, at_ns))
            yield from self._relative(self._began_ns, at_ns)

    def _over(self, name: str, at_ns: int) -> Iterator[Happening]:
        if self._running:
            yield Happening(at_ns, name, f"is over; {', '.join(self._running)} goes on")
            return
        self.recorded.append((self._began_ns, at_ns))
        yield Happening(at_ns, name, "ends")
        yield from self._relative(self._began_ns, at_ns)

    def _relative(self, began_ns: int, ended_ns: int) -> Iterator[Happening]:
        for task in self.calendar.relative:
            its = list(islice(self.calendar.fires(task, began_ns - SECOND_NS, ended_ns, began_ns),
                              MOST_PER_TASK + 1))
            self.cut_short = self.cut_short or len(its) > MOST_PER_TASK
            for at_ns in its[:MOST_PER_TASK]:
                yield Happening(at_ns, task.name, in_words(task) + " (after recording start)")


def recorded_seconds(recorded: Sequence[tuple[int, int]]) -> float:
    """How long something is recorded."""
    return sum(ends_ns - begins_ns for begins_ns, ends_ns in recorded) / 1e9
