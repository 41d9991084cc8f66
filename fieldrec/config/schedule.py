"""The section about what happens when: tasks, the place that dawn and dusk are computed for, and
what is done while the clock cannot be trusted.

Values only; what `when:` means, and which keys a task may have, is checked by schedule/tasks.py.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, field_validator

from fieldrec.config.section import SAFE_NAME, SafeName, Section, located

_PART = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)\s*")
_UNITS_S = {"s": 1, "sec": 1, "second": 1, "seconds": 1, "min": 60, "m": 60, "minute": 60,
            "minutes": 60, "h": 3600, "hour": 3600, "hours": 3600, "d": 86_400, "day": 86_400,
            "days": 86_400}
GPSD = "gpsd"
"""In place of a latitude and longitude: where the GPS receiver says that the box is."""
TaskKind = Literal["start", "stop", "copy_all", "export_all", "configure", "output"]


def parse_length(value: object) -> object:
    """Seconds from 90, "90 s", "10min", "1h 30min", "2 days"; ValueError for another text. What is
    no text is left to pydantic."""
    if isinstance(value, bool):  # YAML's yes and no, which pydantic takes for 1 and 0
        raise ValueError("expected a length of time, not yes or no")
    if not isinstance(value, str):
        return value
    seconds, at = 0.0, 0
    while at < len(value) or at == 0:
        match = _PART.match(value, at)
        unit = None if match is None else match[2].lower() or ("s" if value.strip() == match[1]
                                                               else None)
        if match is None or unit not in _UNITS_S:
            raise ValueError("expected a length of time such as 90 s, 10min, 1h 30min, or a number "
                             "of seconds")
        seconds += float(match[1]) * _UNITS_S[unit]
        at = match.end()
    return seconds


Length = Annotated[float, BeforeValidator(parse_length), Field(gt=0, le=366 * 86_400)]


def _check_output(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_ .:-]{1,60}", value):
        raise ValueError("expected the name of an output, such as UserOutput1")
    return value


def _check_parameter(value: object) -> object:
    """Here: of a union pydantic would tell one fault for each of its types."""
    if not isinstance(value, bool | int | float | str):
        raise ValueError("expected a number, a text, or true or false")
    return value


ParameterValue = Annotated[bool | int | float | str, BeforeValidator(_check_parameter)]


class PlaceConfig(Section):
    """A place on earth, in degrees."""

    latitude: float = Field(ge=-90, le=90)
    """North is above 0."""
    longitude: float = Field(ge=-180, le=180)
    """East is above 0."""


class TaskConfig(Section):
    """One task; the key in `schedule.tasks:` is its name."""

    do: TaskKind
    """start and stop a recording, copy_all, export_all, configure a camera, set an output."""
    when: str
    """A cron line of 5, 6 or 7 fields, or a window such as `from dusk-30m to dawn`."""
    duration: Length | None = None
    """Of a recording that a cron line starts: "10min", or seconds. A window has its own end."""
    camera_relative: bool = False
    """The zero of the cron line is the beginning of the recording under way, not 1970."""
    enabled: bool = True
    """A task that is not enabled is listed and does nothing."""
    name: SafeName | None = None
    """start: first part of the recordings' names; none: the task's name."""
    metadata: dict[str, Any] = Field(default_factory=dict)
    """start: user metadata of the recordings."""
    cameras: tuple[str, ...] | None = None
    """start: only these cameras."""
    preset: str | None = None
    """start: preset that these recordings are exported with later; export_all: preset."""
    destination: str | None = None
    """copy_all: a configured name, a folder, or `drive` (the only one)."""
    delete_after: bool = False
    """copy_all, export_all: delete the source (the raw) when all was verified."""
    camera: str | None = None
    """configure, output: which camera; none: all of them."""
    values: dict[str, ParameterValue] = Field(default_factory=dict)
    """configure: parameters and what they are set to, e.g. {ExposureTime: 5000}."""
    output: Annotated[str, AfterValidator(_check_output)] | None = None
    """output: name of a camera's output, e.g. UserOutput1."""
    value: bool | None = None
    """output: on or off."""


class ScheduleConfig(Section):
    """What happens when, by the clock and the sun, in `system.timezone`."""

    location: PlaceConfig | Literal["gpsd"] | None = None
    """Where the box stands: {latitude: 48.2, longitude: 16.4}, or `gpsd`; only windows by the sun
    need it."""
    gpsd: str = "localhost:2947"
    """Host and port of gpsd, where `location` asks it."""
    late: Literal["start", "skip"] = "start"
    """What becomes of a window that runs already when fieldrec begins: `start` records its rest;
    `skip` waits for the next. Either way it is noted. A window that fieldrec was in goes on."""
    without_clock: Literal["record_always", "wait"] = "record_always"
    """While the clock is known to be wrong: record, or wait until it is right."""
    tasks: dict[str, TaskConfig] = Field(default_factory=dict)
    """Tasks by name; others are added by `fieldrec schedule add`."""

    @field_validator("location", mode="before")
    @classmethod
    def _location_is_a_place(cls, value: object) -> object:
        """By hand: pydantic would name both forms in its message."""
        if value is None or value == GPSD or isinstance(value, PlaceConfig):
            return value
        if not isinstance(value, dict):
            raise ValueError("expected {latitude: 48.2, longitude: 16.4} or gpsd")
        try:
            return PlaceConfig.model_validate(value)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            path = tuple(str(part) for part in first["loc"])
            raise located(path, _reason(first["type"], first["msg"], first["input"])) from error

    @field_validator("gpsd")
    @classmethod
    def _gpsd_has_a_port(cls, value: str) -> str:
        host, colon, port = value.rpartition(":")
        if not (host and colon and port.isdecimal() and 0 < int(port) < 65_536):
            raise ValueError("expected host:port, such as localhost:2947")
        return value

    @field_validator("tasks")
    @classmethod
    def _names_are_safe(cls, value: dict[str, TaskConfig]) -> dict[str, TaskConfig]:
        for name in value:
            if not SAFE_NAME.match(name):
                raise located((name,), "this cannot be a name: use letters, digits, '.', '_', '-'")
        return value


def _reason(kind: str, message: str, given: object) -> str:
    if kind == "missing":
        return "this key is required"
    if kind == "extra_forbidden":
        return "unknown key; known keys: latitude, longitude"
    return f"{message[0].lower()}{message[1:]} (got {given!r})"
