"""A camera's parameters under their GenICam names, with ranges and units: what may be looked at and
changed while it is open.

A backend that has any satisfies :class:`Configurable`, beside :class:`fieldrec.camera.Camera`;
:func:`parameters_of` and :func:`configure` serve those that do not as well. Both block and are
called like the camera's other calls, by one thread at a time: by the recorder's worker, or, while
frames come, by the ``cap-<camera>`` thread between two grabs.
"""

from __future__ import annotations

import contextlib
import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from fieldrec.camera import Camera
from fieldrec.core.errors import CameraError, StateError, UsageError
from fieldrec.core.model import FrameSpec

Value = bool | int | float | str


@dataclass(frozen=True, slots=True)
class Parameter:
    """One feature of a camera and its value now."""

    name: str
    """GenICam's where there is one: ExposureTime, Gain, AcquisitionFrameRate, Width…"""
    value: Value
    minimum: float | None = None
    maximum: float | None = None
    increment: float | None = None
    choices: tuple[str, ...] = ()
    """Of an enumeration: what it can be."""
    unit: str = ""
    """"us", "Hz", "dB", "px"; "" for none."""
    live: bool = True
    """Whether it may be changed while frames come; one that changes their size or type may not."""
    writable: bool = True
    alias: str = ""
    """The driver's own name for it, where that is another one; taken for `name` as well."""


@runtime_checkable
class Configurable(Protocol):
    """A camera whose parameters can be looked at and changed."""

    def parameters(self) -> tuple[Parameter, ...]:
        """All of them, with their values now; the camera is open. CameraError."""
        ...

    def configure(self, values: Mapping[str, Value]) -> FrameSpec:
        """Set `values`, already checked by :func:`configure`, in their order; what frames look like
        from now on. CameraError when the camera takes one not after all."""
        ...


def parameters_of(camera: Camera) -> tuple[Parameter, ...]:
    """The camera's parameters; () for one that has none. The camera is open. CameraError."""
    return camera.parameters() if isinstance(camera, Configurable) else ()


def configure(camera: Camera, values: Mapping[str, Value], *, running: bool) -> FrameSpec:
    """Check `values` against the camera's ranges and set them, all or (if one is wrong) none.

    UsageError with the allowed range or a near name; StateError for one that cannot be changed
    while frames come (`running`). A value that only those before it make possible (an offset, once
    the picture is smaller) is taken too; should a later one be wrong, those are set back.
    """
    if not isinstance(camera, Configurable):
        raise UsageError("this camera has no parameters")
    known = camera.parameters()
    named = {_named(known, name, running=running).name: value for name, value in values.items()}
    present = {parameter.name: parameter for parameter in known}
    try:
        checked = {name: check_value(present[name], value) for name, value in named.items()}
    except UsageError:
        if len(named) == 1:
            raise
        return _one_by_one(camera, named, present)
    return camera.configure(checked)


def _named(known: tuple[Parameter, ...], name: str, *, running: bool) -> Parameter:
    """The parameter of this name or alias."""
    for parameter in (*(one for one in known if one.name == name),
                      *(one for one in known if one.alias and one.alias == name)):
        if running and not parameter.live:
            raise StateError(f"{parameter.name} cannot be changed while recording; stop first")
        return parameter
    names = [one.name for one in known]
    near = difflib.get_close_matches(name, [*names, *(one.alias for one in known if one.alias)],
                                     n=1)
    hint = f"did you mean {near[0]}?" if near else f"it has: {', '.join(names) or 'none'}"
    raise UsageError(f"the camera has no parameter {name!r}; {hint}")


def _one_by_one(camera: Configurable, values: Mapping[str, Value],
                before: Mapping[str, Parameter]) -> FrameSpec:
    """Set each by the range it has then; when one is wrong, set those before it back."""
    done: list[str] = []
    spec = None
    try:
        for name, value in values.items():
            now = next(one for one in camera.parameters() if one.name == name)
            spec = camera.configure({name: check_value(now, value)})
            done.append(name)
    except (UsageError, CameraError):
        for name in reversed(done):
            with contextlib.suppress(CameraError):  # what went wrong first is what counts
                camera.configure({name: before[name].value})
        raise
    if spec is None:
        raise UsageError("no parameter was given")
    return spec


def check_value(parameter: Parameter, value: Value) -> Value:
    """`value` in the parameter's own type; UsageError says what is allowed."""
    name = parameter.name
    if not parameter.writable:
        raise UsageError(f"{name} cannot be changed; it is {parameter.value}")
    if parameter.choices:
        # YAML reads a bare On or Off, which many enumerations have, as a truth value
        spelled = {True: "On", False: "Off"}[value] if isinstance(value, bool) else str(value)
        for choice in parameter.choices:
            if spelled.casefold() == choice.casefold():
                return choice
        raise UsageError(f"{name} cannot be {value!r}; allowed: {', '.join(parameter.choices)}")
    if isinstance(parameter.value, bool):
        truth = {"true": True, "on": True, "1": True, "yes": True,
                 "false": False, "off": False, "0": False, "no": False}.get(str(value).casefold())
        if truth is None:
            raise UsageError(f"{name} cannot be {value!r}; allowed: true, false")
        return truth
    if isinstance(parameter.value, str):
        return str(value)
    return _number(parameter, value)


def _number(parameter: Parameter, value: Value) -> int | float:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):  # what JSON or a person may send
        number = math.nan
    low = -math.inf if parameter.minimum is None else parameter.minimum
    high = math.inf if parameter.maximum is None else parameter.maximum
    whole = isinstance(parameter.value, int)
    if isinstance(value, bool) or not low <= number <= high \
            or (whole and not _is_step(parameter, number)):
        raise UsageError(f"{parameter.name} cannot be {value!r}; allowed: {allowed(parameter)}")
    return int(number) if whole else number


def _is_step(parameter: Parameter, number: float) -> bool:
    """Whether a whole number is one of those the camera has. Numbers that are none are left to the
    camera, which takes the nearest it has."""
    return math.isfinite(number) and not (number - (parameter.minimum or 0)) % (
        parameter.increment or 1)


def allowed(parameter: Parameter) -> str:
    """What the parameter may be, for people: "10 to 1000000 us, in steps of 10"."""
    if parameter.choices:
        return ", ".join(parameter.choices)
    if isinstance(parameter.value, bool):
        return "true, false"
    if isinstance(parameter.value, str):
        return "text"
    kind = "whole numbers" if isinstance(parameter.value, int) else "numbers"
    unit = f" {parameter.unit}" if parameter.unit else ""
    low, high = parameter.minimum, parameter.maximum
    if low is not None and high is not None:
        text = f"{_figure(low)} to {_figure(high)}{unit}"
    elif low is not None:
        text = f"{_figure(low)}{unit} or more"
    elif high is not None:
        text = f"up to {_figure(high)}{unit}"
    else:
        text = kind + unit
    step = parameter.increment
    return text if not step else f"{text}, in steps of {_figure(step)}"


def _figure(number: float) -> str:
    """As people write it: no "1e+06"."""
    return f"{number:.12g}"
