"""The schedule as it is shown: a row for each task. Pure; on the event loop, or in a command."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from fieldrec.schedule.calendar import Calendar, moment
from fieldrec.schedule.memory import Entered
from fieldrec.schedule.table import Entry, Table, in_words
from fieldrec.schedule.window import Window

NO_PLACE = "waits for a place: gpsd has none yet"
NEVER = "never, as far as can be seen"


@dataclass(frozen=True, slots=True)
class Row:
    """One task."""

    name: str
    does: str
    """In words."""
    when: str
    from_config: bool
    """Whether it stands in the configuration; else a command has added it."""
    active: bool
    camera_relative: bool
    next_ns: int | None
    """When it is due next, or its next window begins; epoch."""
    next_ends_ns: int | None
    """Of a window: its end."""
    running_until_ns: int | None
    """Of a window that the box is in."""
    note: str = ""
    """Why nothing is due, or what is special; for people."""


def rows(table: Table, calendar: Calendar, now_ns: int, entered: Sequence[Entered] = ()
         ) -> list[Row]:
    """All tasks. `calendar` needs to hold the active ones only."""
    running = {one.task: one for one in entered}
    return [_row(entry, calendar, now_ns, running.get(entry.task.name))
            for entry in table.entries]


def _row(entry: Entry, calendar: Calendar, now_ns: int, entered: Entered | None) -> Row:
    task = entry.task
    next_ns = ends_ns = None
    if entry.active and task.what == "start":
        window = calendar.next_window(now_ns, task)
        if window is not None:
            next_ns, ends_ns = window.begins_ns, window.ends_ns
    elif entry.active and not task.camera_relative:
        next_ns = calendar.next_fire(task, now_ns)
    return Row(task.name, in_words(task), task.when_text, entry.from_config, entry.active,
               task.camera_relative, next_ns, ends_ns,
               None if entered is None or entered.ended_by_hand else entered.ends_ns,
               _note(entry, calendar, next_ns, entered))


def _note(entry: Entry, calendar: Calendar, next_ns: int | None, entered: Entered | None) -> str:
    if entry.off:
        return "switched off"
    if not entry.told.enabled:
        return "not enabled"
    if entry.task.camera_relative:
        return "after recording start"
    if entered is not None and entered.ended_by_hand:
        return "nothing more until the next window"
    when = entry.task.when
    if isinstance(when, Window) and when.needs_place and calendar.place is None:
        return NO_PLACE
    return NEVER if next_ns is None else ""


def local(epoch_ns: int, zone: ZoneInfo, now_ns: int | None = None) -> str:
    """"20:14" today, "Mon 20:14" within a week of now, else "2026-11-21 20:14"; local time."""
    at = moment(epoch_ns).astimezone(zone)
    if now_ns is not None:
        now = moment(now_ns).astimezone(zone)
        if at.date() == now.date():
            return _clock(at)
        if abs((at.date() - now.date()).days) < 7:
            return f"{at:%a} {_clock(at)}"
    return f"{at:%Y-%m-%d} {_clock(at)}"


def _clock(at: datetime) -> str:
    return f"{at:%H:%M:%S}" if at.second else f"{at:%H:%M}"
