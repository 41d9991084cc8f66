"""What the schedule tells people, and puts into the deployment's record. On the event loop."""

from __future__ import annotations

from collections.abc import Sequence
from zoneinfo import ZoneInfo

from fieldrec.app.scheduled_recording import Say
from fieldrec.core.clock import Clock
from fieldrec.core.notes import JsonValue, Kind, Note
from fieldrec.schedule.calendar import Calendar
from fieldrec.schedule.deciding import Enter, Missed, Prolong
from fieldrec.schedule.rows import local
from fieldrec.schedule.window import Window
from fieldrec.status import words


class Telling:
    """Says each thing once: a line for people, an entry for each window."""

    def __init__(self, zone: ZoneInfo, clock: Clock, say: Say, note: Note) -> None:
        self._zone = zone
        self._clock = clock
        self._say = say
        self._note = note

    def window(self, step: Enter | Prolong, calendar: Calendar, others: Sequence[str]) -> None:
        """A window begins; `others` are those that are recorded already."""
        window = step.window
        until = self.at(window.ends_ns)
        late_ns = step.late_ns if isinstance(step, Enter) else 0
        late = f", {words.duration(late_ns / 1e9)} late" if late_ns else ""
        joins = f", joins {others[0]}" if others else ""
        self._say(f"schedule: {window.task} until {until}{late}{joins}", "info")
        self._note(Kind.WINDOW, f"{window.task} until {until}{late}", task=window.task,
                   begins_ns=window.begins_ns, ends_ns=window.ends_ns,
                   **_cameras(calendar, window.task))

    def missed(self, missed: Sequence[Missed], calendar: Calendar) -> None:
        """Each window is noted; for people there is one line a task."""
        for one in missed:
            if one.kind == "moment":
                continue
            length = words.duration((one.ends_ns - one.begins_ns) / 1e9)
            more = " (and more of them)" if one.more else ""
            self._note(Kind.WINDOW_MISSED, f"{one.task}: {length} not recorded: {one.cause}{more}",
                       task=one.task, begins_ns=one.begins_ns, ends_ns=one.ends_ns,
                       cause=one.cause, **_cameras(calendar, one.task))
        for name in dict.fromkeys(one.task for one in missed):
            mine = [one for one in missed if one.task == name]
            self._say(f"schedule: {name}: {self._missed_in_words(mine)}", "warning")

    def never(self, calendar: Calendar) -> None:
        """Windows that do not occur are most likely not meant so."""
        now_ns = self._clock.epoch_ns()
        for task in calendar.starts:
            lacks_place = isinstance(task.when, Window) and task.when.needs_place \
                and calendar.place is None
            if not lacks_place and calendar.next_window(now_ns, task) is None:
                self._say(f"schedule: {task.name} is never due, as far as can be seen: "
                          f"{task.when_text}", "warning")

    def at(self, time_ns: int) -> str:
        """A moment in local time, as short as it can be now."""
        return local(time_ns, self._zone, self._clock.epoch_ns())

    def _missed_in_words(self, mine: Sequence[Missed]) -> str:
        """Of one task."""
        first, last = mine[0], mine[-1]
        since = self.at(first.begins_ns)
        if len(mine) > 1:
            many = f"over {len(mine) - 1}" if last.more else str(len(mine))
            return (f"missed {many} times from {since} to {self.at(last.ends_ns)}: "
                    f"{first.cause}")
        if first.kind == "moment":
            return f"missed at {since}: {first.cause}"
        length = words.duration((first.ends_ns - first.begins_ns) / 1e9)
        what = "missed" if first.kind == "window" else "not recorded"
        return f"{length} from {since} to {self.at(first.ends_ns)} {what}: {first.cause}"


def _cameras(calendar: Calendar, name: str) -> dict[str, JsonValue]:
    """As a fact; nothing where it is all of them."""
    task = calendar.task(name)
    cameras = None if task is None else task.arguments.get("cameras")
    return {} if cameras is None else {"cameras": tuple(cameras)}
