"""The schedule's tasks: what the configuration or a command says, checked, as values.

Pure, no I/O; any thread. A wrong task is a :class:`ScheduleError` of one line; for a configuration
file the line and the key are added.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from fieldrec.config.document import Document
from fieldrec.config.models import Config
from fieldrec.config.schedule import TaskConfig, TaskKind
from fieldrec.core.errors import ConfigError, FieldrecError, ScheduleError, UsageError
from fieldrec.export.own_presets import own_presets
from fieldrec.export.presets import Preset, preset
from fieldrec.record.asked import RESERVED
from fieldrec.schedule.cron import Cron
from fieldrec.schedule.window import Window
from fieldrec.schedule.window_words import KEYWORDS

When = Cron | Window
KEYS: Mapping[TaskKind, frozenset[str]] = {
    "start": frozenset({"duration", "name", "metadata", "cameras", "preset"}),
    "stop": frozenset(),
    "copy_all": frozenset({"destination", "delete_after"}),
    "export_all": frozenset({"preset", "delete_after"}),
    "configure": frozenset({"camera", "values"}),
    "output": frozenset({"camera", "output", "value"}),
}
"""What a task of each kind may say, beside do, when, enabled and camera_relative."""
_COMMON = frozenset({"do", "when", "enabled", "camera_relative"})
_REQUIRED: Mapping[TaskKind, tuple[str, ...]] = {
    "start": (), "stop": (), "copy_all": ("destination",), "export_all": (),
    "configure": ("values",), "output": ("output", "value"),
}
_NOT_RELATIVE = ("start", "copy_all", "export_all")


@dataclass(frozen=True, slots=True)
class Task:
    """One task, ready to be asked when."""

    name: str
    what: TaskKind
    when: When
    when_text: str
    camera_relative: bool = False
    duration_s: float | None = None
    """Of a start by a cron line; None: the window says when it ends."""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """As in TaskConfig: what KEYS allows, but for the duration."""

    @property
    def is_window(self) -> bool:
        """Whether it lasts from one time of day to another, rather than beginning at moments."""
        return isinstance(self.when, Window)


@dataclass(frozen=True, slots=True)
class Known:
    """What tasks may name."""

    cameras: Collection[str]
    destinations: Collection[str]
    presets: Mapping[str, Preset]
    """One's own."""
    has_place: bool
    """Whether dawn and dusk can be computed, now or when gpsd answers."""

    @classmethod
    def of(cls, config: Config) -> Known:
        """What this configuration has. ConfigError for an own preset that cannot be."""
        return cls(tuple(config.cameras), tuple(config.destinations),
                   own_presets(config.export.presets), config.schedule.location is not None)


def task_of(name: str, told: TaskConfig, known: Known) -> Task:
    """The task; ScheduleError naming the key of the first thing that is wrong with it."""
    when: When | None = None
    for key, message in _faults(told, known):
        raise ScheduleError(f"task {name}: {key}: {message}")
    when = parse_when(told.when)
    values = told.model_dump(include=set(KEYS[told.do]) - {"duration"})
    return Task(name, told.do, when, " ".join(told.when.split()), told.camera_relative,
                told.duration, {key: value for key, value in values.items()
                                if value is not None and value != {}})


def parse_when(text: str) -> When:
    """A cron line or a window; ScheduleError naming the field."""
    words = text.lower().split()
    if not words:
        raise ScheduleError("empty; write a cron line such as '0 6 * * *', or a window such as "
                            "'from dusk-30m to dawn'")
    is_window = KEYWORDS & set(words) or any(".." in word for word in words)
    return Window.parse(text) if is_window else Cron.parse(text)


def check_schedule(document: Document, config: Config) -> None:
    """ConfigError naming file, line and key of every fault of the tasks in the file."""
    known = Known.of(config)
    faults = [str(document.error(("schedule", "tasks", name, key), message))
              for name, told in config.schedule.tasks.items()
              for key, message in _faults(told, known)]
    if faults:
        raise ConfigError("\n".join(faults))


def tasks_of(config: Config) -> dict[str, Task]:
    """The tasks of the configuration that are enabled, by name. ConfigError."""
    known = Known.of(config)
    return {name: task_of(name, told, known) for name, told in config.schedule.tasks.items()
            if told.enabled}


# --- what is wrong --------------------------------------------------------------------------------


def _faults(told: TaskConfig, known: Known) -> Iterator[tuple[str, str]]:
    """(key, what is wrong), in the order of the keys."""
    try:
        when = parse_when(told.when)
    except FieldrecError as error:
        yield "when", str(error)
    else:
        yield from _faults_of_when(told, when, known)
    for key in sorted(told.model_fields_set - _COMMON - KEYS[told.do]):
        its = ", ".join(sorted(KEYS[told.do])) or "none of its own"
        yield key, f"not for `do: {told.do}`, whose keys are: {its}"
    for key in _REQUIRED[told.do]:
        if getattr(told, key) in (None, {}):
            yield key, f"`do: {told.do}` needs it"
    for key in RESERVED & told.metadata.keys() | {key for key in told.metadata if not key}:
        yield "metadata", f"the key {key!r} is reserved or no text; use another name"
    yield from _unknown_names(told, known)


def _faults_of_when(told: TaskConfig, when: When, known: Known) -> Iterator[tuple[str, str]]:
    window = isinstance(when, Window)
    if isinstance(when, Window) and when.needs_place and not known.has_place:
        yield "when", "dawn, dusk, sunrise and sunset need schedule.location"
    if told.do == "start" and window and told.duration is not None:
        yield "duration", "a window has its own end; leave the duration out"
    if told.do == "start" and not window and told.duration is None:
        yield "duration", "a recording that a cron line starts needs it, e.g. 10min"
    if told.camera_relative and told.do in _NOT_RELATIVE:
        yield "camera_relative", f"not for `do: {told.do}`"
    elif told.camera_relative and window:
        yield "camera_relative", "only for cron lines"


def _unknown_names(told: TaskConfig, known: Known) -> Iterator[tuple[str, str]]:
    for key, cameras in (("cameras", told.cameras or ()), ("camera", (told.camera,))):
        for camera in cameras:
            if camera is not None and camera != "all" and camera not in known.cameras:
                yield key, _no_such("camera", camera, known.cameras)
    if told.cameras == ():
        yield "cameras", "names no camera; leave it out for all of them"
    where = told.destination
    if where is not None and "/" not in where and where.partition(":")[0] != "drive" \
            and where not in known.destinations and told.do == "copy_all":
        yield "destination", _no_such("destination", where, [*known.destinations, "drive"])
    if told.preset is not None:
        try:
            preset(told.preset, known.presets)
        except UsageError as error:
            yield "preset", str(error)


def _no_such(what: str, name: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"no {what} {name!r}; " + (f"did you mean {near[0]}?" if near else
                                      f"known: {', '.join(known) or 'none configured'}")
