"""Parameters that were set on a camera while the box runs: checked, remembered, set again.

Called by the recorder's worker while no frames come, by the `cap-<camera>` thread while they do;
never by two at once. Blocks for as long as the camera takes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fieldrec.camera import Camera
from fieldrec.camera.parameters import Parameter, Value, configure, parameters_of
from fieldrec.core.errors import CameraLost, FieldrecError
from fieldrec.core.model import FrameSpec


@dataclass(frozen=True, slots=True)
class Change:
    """One parameter that was set."""

    parameter: str
    old: Value | None
    new: Value | None


class Settings:
    """Of one camera."""

    def __init__(self, camera: Camera) -> None:
        self._camera = camera
        self._set: dict[str, Value] = {}

    def parameters(self) -> tuple[Parameter, ...]:
        """What the camera has, with the values now. CameraError."""
        return parameters_of(self._camera)

    def change(self, values: Mapping[str, Value], *, running: bool
               ) -> tuple[FrameSpec, tuple[Change, ...]]:
        """Set `values`, all or, if one is wrong, none, and remember them; what frames look like
        then, and what changed. UsageError, StateError, CameraError."""
        before = {parameter.name: parameter for parameter in self.parameters()}
        spec = configure(self._camera, values, running=running)
        names = {parameter.alias: name for name, parameter in before.items() if parameter.alias}
        for given, value in values.items():
            name = given if given in before else names.get(given, given)
            self._set.pop(name, None)  # what was set last comes last
            self._set[name] = value
        after = {parameter.name: parameter.value for parameter in self.parameters()}
        changes = tuple(Change(name, before[name].value, after.get(name)) for name in self._set
                        if name in before and before[name].value != after.get(name))
        return spec, changes

    def set_again(self, spec: FrameSpec) -> tuple[FrameSpec, str]:
        """After the camera was opened anew, which gave `spec`: what frames look like now, and what
        is wrong, "" for nothing. A camera that does not take them any more still records.
        CameraLost."""
        if not self._set:
            return spec, ""
        try:
            return configure(self._camera, self._set, running=False), ""
        except CameraLost:
            raise
        except FieldrecError as error:
            return spec, f"what was set before cannot be set again: {error}"
