"""All tasks of a box: those of the configuration, which stay, and those that commands have added.

Values; on the event loop. What was added, and what was switched off, is written down by
schedule/keeping.py as :meth:`Table.as_json` says, and outlives restarts.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from fieldrec.config.document import explain
from fieldrec.config.models import Config
from fieldrec.config.schedule import TaskConfig
from fieldrec.config.section import SAFE_NAME
from fieldrec.core.errors import FieldrecError, NotFoundError, ScheduleError, StateError
from fieldrec.schedule.tasks import Known, Task, task_of

Say = Callable[[str, str], None]


@dataclass(slots=True)
class Entry:
    """One task, and where it comes from."""

    task: Task
    told: TaskConfig
    from_config: bool
    off: bool
    """Switched off for now, by a command."""

    @property
    def active(self) -> bool:
        """Whether it does anything."""
        return self.told.enabled and not self.off


class Table:
    """Tasks by name."""

    def __init__(self, config: Config) -> None:
        """With the tasks of the configuration. ConfigError for one that cannot be."""
        self._known = Known.of(config)
        self._entries = {name: Entry(task_of(name, told, self._known), told, True, False)
                         for name, told in config.schedule.tasks.items()}
        self._off: set[str] = set()
        self._set_aside: dict[str, Any] = {}
        """Added once, and not possible with this configuration: kept for another one."""

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The configuration's in their order, then those added."""
        return tuple(self._entries.values())

    @property
    def active(self) -> list[Task]:
        """The tasks that do something."""
        return [entry.task for entry in self._entries.values() if entry.active]

    def get(self, name: str) -> Entry:
        """The task of that name; NotFoundError with a near one."""
        entry = self._entries.get(name)
        if entry is None:
            near = difflib.get_close_matches(name, self._entries, n=1)
            known = ", ".join(self._entries) or "none"
            raise NotFoundError(f"no task {name!r}; " + (f"did you mean {near[0]}?" if near
                                                         else f"tasks: {known}"))
        return entry

    def add(self, name: str, told: Mapping[str, Any]) -> Entry:
        """Another task; `told`: keys as in the configuration. ScheduleError naming the key, or
        because the name is taken."""
        if not SAFE_NAME.match(name):
            raise ScheduleError(f"{name!r} cannot be a task's name: use letters, digits, '.', '_' "
                                "and '-' only (at most 100 characters)")
        taken = self._entries.get(name)
        if taken is not None:
            where = "in the configuration" if taken.from_config else "remove it first"
            raise ScheduleError(f"there is a task {name} already ({where}); or take another name")
        entry = self._entries[name] = self._made(name, told)
        self._set_aside.pop(name, None)
        return entry

    def remove(self, name: str) -> Entry:
        """Take away a task that was added. StateError for the configuration's."""
        entry = self.get(name)
        if entry.from_config:
            raise StateError(f"task {name} is in the configuration: take it out there, or switch "
                             f"it off for now with `fieldrec schedule off {name}`")
        self._off.discard(name)
        return self._entries.pop(name)

    def clear(self) -> tuple[list[str], list[str]]:
        """Take away all that were added; (those, the configuration's that stay)."""
        gone = [name for name, entry in self._entries.items() if not entry.from_config]
        for name in gone:
            self.remove(name)
        return gone, list(self._entries)

    def switch(self, name: str, on: bool) -> Entry:
        """Switch a task off for now, or on again."""
        entry = self.get(name)
        if on and not entry.told.enabled:
            raise StateError(f"task {name} is not enabled in the configuration "
                             f"(schedule.tasks.{name}.enabled)")
        entry.off = not on
        self._off = {*self._off, name} if entry.off else self._off - {name}
        return entry

    # --- over restarts ----------------------------------------------------------------------------

    def as_json(self) -> dict[str, Any]:
        """What commands have made of it."""
        added = {name: entry.told.model_dump(mode="json", exclude_unset=True)
                 for name, entry in self._entries.items() if not entry.from_config}
        return {"version": 1, "tasks": {**self._set_aside, **added}, "off": sorted(self._off)}

    def take(self, values: Mapping[str, Any], say: Say) -> None:
        """What an earlier process wrote. ValueError when it was not :meth:`as_json`'s; a task that
        this configuration has no camera for, say, is said and kept for another one."""
        tasks, off = values.get("tasks"), values.get("off")
        if values.get("version") != 1 or not isinstance(tasks, Mapping) \
                or not isinstance(off, list) or not all(isinstance(name, str) for name in off):
            raise ValueError("not a list of tasks")
        for name, told in tasks.items():
            try:
                self.add(name, told if isinstance(told, Mapping) else {})
            except FieldrecError as error:
                self._set_aside[name] = told
                say(f"a task that was added once does nothing now: {error}", "warning")
        self._off = set(off)
        for name in self._off & self._entries.keys():
            self._entries[name].off = True

    def _made(self, name: str, told: Mapping[str, Any]) -> Entry:
        try:
            checked = TaskConfig.model_validate(dict(told))
        except ValidationError as error:
            raise ScheduleError(f"task {name}: {explain(TaskConfig, error)[0]}") from error
        return Entry(task_of(name, checked, self._known), checked, False, False)


def in_words(task: Task) -> str:
    """What a task does, for people: "record 10 min as bees with top"."""
    told = task.arguments
    match task.what:
        case "start":
            length = "" if task.duration_s is None else f" {_length(task.duration_s)}"
            with_ = f" with {_listed(told['cameras'])}" if told.get("cameras") else ""
            preset = f", exported with {told['preset']} later" if told.get("preset") else ""
            return f"record{length} as {told.get('name') or task.name}{with_}{preset}"
        case "stop":
            return "end what the schedule records"
        case "copy_all":
            verb = "move" if told.get("delete_after") else "copy"
            return f"{verb} all to {told['destination']}"
        case "export_all":
            raw = ", delete the raw" if told.get("delete_after") else ""
            preset = f" with {told['preset']}" if told.get("preset") else ""
            return f"export all{preset}{raw}"
        case "configure":
            values = ", ".join(f"{key}={value}" for key, value in told["values"].items())
            return f"set {told.get('camera') or 'all cameras'}: {values}"
        case "output":
            state = "on" if told["value"] else "off"
            return f"switch {told['output']} of {told.get('camera') or 'all cameras'} {state}"


def _length(seconds: float) -> str:
    whole = round(seconds)
    parts = [(whole // 86_400, "d"), (whole % 86_400 // 3600, "h"), (whole % 3600 // 60, "min"),
             (whole % 60, "s")]
    return " ".join(f"{count} {unit}" for count, unit in parts if count) or f"{seconds:g} s"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
