"""Tasks and calendars in a line, for tests of the schedule."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

from fieldrec.config.schedule import TaskConfig
from fieldrec.schedule.calendar import Calendar, nanoseconds
from fieldrec.schedule.place import Place
from fieldrec.schedule.tasks import Known, Task, task_of

KNOWN = Known(("top", "side"), ("archive",), {}, True)
VIENNA = Place(48.2, 16.4)


def task(name: str, /, do: str, when: str, **told: Any) -> Task:
    """One task."""
    return task_of(name, TaskConfig.model_validate({"do": do, "when": when} | told), KNOWN)


def calendar(tasks: Mapping[str, Mapping[str, Any]], zone: str = "UTC",
             place: Place | None = VIENNA) -> Calendar:
    """A calendar of tasks as the configuration has them."""
    return Calendar([task(name, **told) for name, told in tasks.items()], ZoneInfo(zone), place)


def at(text: str, zone: str = "UTC") -> int:
    """"2026-11-21 20:00" local time as epoch nanoseconds."""
    return nanoseconds(dt.datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)))
