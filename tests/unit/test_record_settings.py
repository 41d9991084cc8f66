"""Parameters are remembered under their own names, the latest last, and set again."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from fieldrec.camera import Pixels
from fieldrec.camera.parameters import Parameter, Value
from fieldrec.core.errors import CameraError, CameraLost, UsageError
from fieldrec.core.model import FrameHeader, FrameSpec
from fieldrec.record.settings import Change, Settings
from tests.fakes.cameras import SPEC


class Adjustable:
    """A camera of two numbers; the second follows from the first."""

    def __init__(self) -> None:
        self.values: dict[str, Value] = {"Gain": 0.0, "Level": 1.0}
        self.sets: list[dict[str, Value]] = []
        self.error: CameraError | None = None

    def parameters(self) -> tuple[Parameter, ...]:
        return (Parameter("Gain", self.values["Gain"], 0, 10, alias="gain_raw"),
                Parameter("Level", self.values["Level"], 0, 10))

    def configure(self, values: Mapping[str, Value]) -> FrameSpec:
        if self.error is not None:
            raise self.error
        self.sets.append(dict(values))
        self.values.update(values)
        return SPEC

    def open(self) -> FrameSpec:
        return SPEC

    def start(self) -> None:
        """Nothing to do."""

    def stop(self) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to do."""

    def grab(self, into: Pixels, timeout_s: float) -> FrameHeader:
        raise CameraError("no frames")


def test_changes_are_told_with_old_and_new() -> None:
    camera = Adjustable()
    settings = Settings(camera)
    assert settings.change({"gain_raw": 3}, running=False) == (SPEC, (Change("Gain", 0.0, 3.0),))
    assert settings.change({"Gain": 3}, running=False) == (SPEC, ())
    assert [parameter.value for parameter in settings.parameters()] == [3.0, 1.0]


def test_set_again_once_each_the_latest_last() -> None:
    camera = Adjustable()
    settings = Settings(camera)
    assert settings.set_again(SPEC) == (SPEC, "")
    assert camera.sets == []
    settings.change({"gain_raw": 3}, running=False)
    settings.change({"Level": 5}, running=True)
    settings.change({"Gain": 4}, running=True)
    camera.sets.clear()
    assert settings.set_again(SPEC) == (SPEC, "")
    assert [list(values.items()) for values in camera.sets] == [[("Level", 5.0), ("Gain", 4.0)]]


def test_what_was_refused_is_not_remembered() -> None:
    camera = Adjustable()
    settings = Settings(camera)
    with pytest.raises(UsageError):
        settings.change({"Gain": 3, "Level": 99}, running=False)
    camera.error = CameraError("busy")
    with pytest.raises(CameraError, match="busy"):
        settings.change({"Gain": 3}, running=False)
    camera.error = None
    camera.sets.clear()
    assert settings.set_again(SPEC) == (SPEC, "")
    assert camera.sets == []


def test_a_camera_that_refuses_is_used_as_it_is_a_lost_one_is_lost() -> None:
    camera = Adjustable()
    settings = Settings(camera)
    settings.change({"Gain": 3}, running=False)
    camera.error = CameraError("busy")
    assert settings.set_again(SPEC) == (SPEC, "what was set before cannot be set again: busy")
    camera.error = CameraLost("gone")
    with pytest.raises(CameraLost):
        settings.set_again(SPEC)
