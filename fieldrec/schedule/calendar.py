"""All tasks against time: which windows there are, which moments, what comes next.

Pure, no clock of its own; called on the event loop, and by simulations. Times are epoch
nanoseconds. A task that starts recordings has windows, also where a cron line begins them: from
each of its moments for its duration. Every other task has moments: those of its cron line, or the
beginnings of its windows.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from fieldrec.schedule.cron import Cron
from fieldrec.schedule.place import Place
from fieldrec.schedule.tasks import Task

SECOND_NS = 1_000_000_000
DAY_NS = 86_400 * SECOND_NS
HORIZON_NS = 400 * DAY_NS
"""How far ahead is looked for what comes next: a date without a year comes within a year…"""
CRON_HORIZON_NS = 9 * 366 * DAY_NS
"""…but for the 29th of February; cron lines are quick to ask."""
_LOOKS_NS = (3600 * SECOND_NS, DAY_NS, 8 * DAY_NS, 32 * DAY_NS, HORIZON_NS, CRON_HORIZON_NS)
"""Looking for the next moment, so far at first: a line that fires each second has many."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIRST_NS, LAST_NS = 0, 250_000_000_000 * SECOND_NS
"""Between these (1970 and 9892) the calendar counts; wall clocks may claim anything."""


@dataclass(frozen=True, slots=True, order=True)
class Planned:
    """One window of a task that starts recordings; it lasts up to, and not including, its end."""

    begins_ns: int
    ends_ns: int
    task: str
    by_cron: bool = False
    """Whether a cron line begins it: then it is a length of time, not a time of day."""

    def holds(self, now_ns: int) -> bool:
        """Whether it runs at this moment."""
        return self.begins_ns <= now_ns < self.ends_ns


def moment(epoch_ns: int) -> datetime:
    """As an aware UTC datetime, to the microsecond below."""
    return _EPOCH + timedelta(microseconds=min(max(epoch_ns, FIRST_NS), LAST_NS) // 1000)


def nanoseconds(when: datetime) -> int:
    """The reverse."""
    return (when - _EPOCH) // timedelta(microseconds=1) * 1000


def _looks_ns(task: Task) -> tuple[int, ...]:
    return _LOOKS_NS if isinstance(task.when, Cron) else _LOOKS_NS[:-1]


class Calendar:
    """A set of tasks in a time zone, at a place or nowhere known."""

    def __init__(self, tasks: Sequence[Task], zone: ZoneInfo, place: Place | None) -> None:
        self.tasks = tuple(tasks)
        self.zone = zone
        self.place = place
        self._named = {task.name: task for task in tasks}
        self.starts = tuple(task for task in self.tasks if task.what == "start")
        self.moments = tuple(task for task in self.tasks
                             if task.what != "start" and not task.camera_relative)
        self.relative = tuple(task for task in self.tasks if task.camera_relative)

    def task(self, name: str) -> Task | None:
        """The task of that name."""
        return self._named.get(name)

    def windows(self, after_ns: int, until_ns: int, tasks: Sequence[Task] | None = None
                ) -> Iterator[Planned]:
        """Windows that overlap (after, until], those of each task in their order."""
        for task in self.starts if tasks is None else tasks:
            yield from self._windows_of(task, after_ns, until_ns)

    def running(self, now_ns: int) -> list[Planned]:
        """Of each task the window that runs now; of several the one that began last."""
        found: dict[str, Planned] = {}
        for one in self.windows(now_ns - 1000, now_ns):
            if one.holds(now_ns):
                found[one.task] = max(one, found.get(one.task, one))
        return sorted(found.values())

    def fires(self, task: Task, after_ns: int, until_ns: int, zero_ns: int | None = None
              ) -> Iterator[int]:
        """Moments in (after, until] of a task that does not record. `zero_ns`: the beginning of
        the recording that it is relative to."""
        if isinstance(task.when, Cron):
            zero = moment(zero_ns) if zero_ns is not None and task.camera_relative else None
            for fire in task.when.fires(moment(after_ns), moment(until_ns), self.zone, zero=zero):
                yield nanoseconds(fire)
            return
        if task.when.needs_place and self.place is None:
            return
        for span in task.when.spans(moment(after_ns), moment(until_ns), self.zone, self.place):
            begins_ns = nanoseconds(span.begins)
            if after_ns < begins_ns <= until_ns:
                yield begins_ns

    def next_window(self, now_ns: int, task: Task | None = None) -> Planned | None:
        """The first window (of one task, or of all) that begins after now; None: none within
        HORIZON_NS."""
        found = (self._first(one, now_ns) for one in (self.starts if task is None else (task,)))
        return min((one for one in found if one is not None), default=None)

    def next_fire(self, task: Task, now_ns: int) -> int | None:
        """The first moment after now of a task that is not relative."""
        for look_ns in _looks_ns(task):
            for fire_ns in self.fires(task, now_ns, now_ns + look_ns):
                return fire_ns
        return None

    def last_fire(self, task: Task, after_ns: int, until_ns: int) -> int | None:
        """The last moment in (after, until] of a task that is not relative."""
        for look_ns in _LOOKS_NS:
            found = deque(self.fires(task, max(after_ns, until_ns - look_ns), until_ns), 1)
            if found or until_ns - look_ns <= after_ns:
                return found[0] if found else None
        return None

    def next_change(self, now_ns: int) -> int | None:
        """When anything happens next: a moment, or a window that begins."""
        window = self.next_window(now_ns)
        found = [] if window is None else [window.begins_ns]
        found += [fire_ns for task in self.moments
                  if (fire_ns := self.next_fire(task, now_ns)) is not None]
        return min(found, default=None)

    def _first(self, task: Task, now_ns: int) -> Planned | None:
        for look_ns in _looks_ns(task):
            for one in self._windows_of(task, now_ns, now_ns + look_ns):
                if one.begins_ns > now_ns:
                    return one
        return None

    def _windows_of(self, task: Task, after_ns: int, until_ns: int) -> Iterator[Planned]:
        if isinstance(task.when, Cron):
            length_ns = int((task.duration_s or 0) * SECOND_NS)
            for fire in task.when.fires(moment(after_ns - length_ns), moment(until_ns), self.zone):
                begins_ns = nanoseconds(fire)
                yield Planned(begins_ns, begins_ns + length_ns, task.name, by_cron=True)
            return
        if task.when.needs_place and self.place is None:
            return
        for span in task.when.spans(moment(after_ns), moment(until_ns), self.zone, self.place):
            yield Planned(nanoseconds(span.begins), nanoseconds(span.ends), task.name)
