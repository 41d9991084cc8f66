"""Parameters: what may be said, how it is refused, all or none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from fieldrec.camera.parameters import (
    Parameter,
    Value,
    allowed,
    check_value,
    configure,
    parameters_of,
)
from fieldrec.core.errors import CameraError, StateError, UsageError
from fieldrec.core.model import FrameSpec
from tests.fakes.cameras import ManualClock, ScriptedCamera

EXPOSURE = Parameter("ExposureTime", 5000.0, 10, 1e6, 10, unit="us", alias="exposure_time_absolute")
WIDTH = Parameter("Width", 640, 16, 640, 16, unit="px", live=False)
OFFSET = Parameter("OffsetX", 0, 0, 0, 16, unit="px")
AUTO = Parameter("ExposureAuto", "Off", choices=("Off", "Once", "Continuous"))
REVERSE = Parameter("ReverseX", value=False)
NAME = Parameter("DeviceUserID", "left")
MODEL = Parameter("DeviceModelName", "ace", writable=False)


class Sensor(ScriptedCamera):
    """A camera whose offset can be what its width leaves, and that notes what it is told."""

    def __init__(self) -> None:
        super().__init__(ManualClock())
        self.now = {one.name: one for one in (EXPOSURE, WIDTH, OFFSET, AUTO, REVERSE, NAME, MODEL)}
        self.told: list[dict[str, Value]] = []
        self.refuses = ""

    def parameters(self) -> tuple[Parameter, ...]:
        return tuple(self.now.values())

    def configure(self, values: Mapping[str, Value]) -> FrameSpec:
        self.told.append(dict(values))
        for name, value in values.items():
            if name == self.refuses:
                raise CameraError(f"{name}: the camera does not want to")
            self.now[name] = replace(self.now[name], value=value)
        width, offset = int(self.now["Width"].value), int(self.now["OffsetX"].value)
        self.now["OffsetX"] = replace(self.now["OffsetX"], maximum=640 - width)
        self.now["Width"] = replace(self.now["Width"], maximum=640 - offset)
        return self.spec

    def values(self) -> dict[str, Value]:
        return {name: one.value for name, one in self.now.items()}


@pytest.mark.parametrize(("parameter", "value", "taken"), [
    (EXPOSURE, 10, 10.0), (EXPOSURE, "1e6", 1e6), (EXPOSURE, 10.5, 10.5),  # it takes the nearest
    (WIDTH, 320, 320), (WIDTH, "320", 320), (WIDTH, 320.0, 320), (WIDTH, 16, 16),
    (AUTO, "Once", "Once"), (AUTO, "continuous", "Continuous"), (AUTO, False, "Off"),
    (REVERSE, True, True), (REVERSE, "on", True), (REVERSE, "False", False), (REVERSE, 0, False),
    (NAME, "right", "right"), (NAME, 7, "7")])
def test_values_get_the_parameters_type(parameter: Parameter, value: Value, taken: Value) -> None:
    got = check_value(parameter, value)
    assert (got, type(got)) == (taken, type(taken))


@pytest.mark.parametrize(("parameter", "value", "says"), [
    (EXPOSURE, 9, "ExposureTime cannot be 9; allowed: 10 to 1000000 us, in steps of 10"),
    (EXPOSURE, 1000001, "allowed: 10 to 1000000 us"),
    (EXPOSURE, "long", "ExposureTime cannot be 'long'; allowed: 10 to"),
    (EXPOSURE, float("nan"), "cannot be nan"), (EXPOSURE, float("inf"), "cannot be inf"),
    (EXPOSURE, 10 ** 400, "allowed: 10 to"), (EXPOSURE, None, "cannot be None"),
    (EXPOSURE, [1], "cannot be [1]"), (EXPOSURE, True, "cannot be True"),
    (WIDTH, 100, "Width cannot be 100; allowed: 16 to 640 px, in steps of 16"),
    (WIDTH, 320.5, "in steps of 16"), (WIDTH, "0x20", "cannot be '0x20'"),
    (AUTO, "Sometimes", "ExposureAuto cannot be 'Sometimes'; allowed: Off, Once, Continuous"),
    (AUTO, True, "cannot be True; allowed: Off, Once"),
    (REVERSE, "maybe", "ReverseX cannot be 'maybe'; allowed: true, false"),
    (MODEL, "x", "DeviceModelName cannot be changed; it is ace")])
def test_what_cannot_be_is_one_line_with_what_can(parameter: Parameter, value: Any, says: str
                                                  ) -> None:
    with pytest.raises(UsageError) as caught:
        check_value(parameter, value)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize(("parameter", "text"), [
    (EXPOSURE, "10 to 1000000 us, in steps of 10"), (AUTO, "Off, Once, Continuous"),
    (REVERSE, "true, false"), (NAME, "text"), (Parameter("Gain", 1.0, minimum=0), "0 or more"),
    (Parameter("Gain", 1.0, maximum=9, unit="dB"), "up to 9 dB"),
    (Parameter("Gain", 1.0, unit="dB"), "numbers dB"), (Parameter("N", 1), "whole numbers"),
    (Parameter("N", 1, 1, 5, 2), "1 to 5, in steps of 2"),
    (Parameter("Large", 1, 0, 2 ** 32 - 1), "0 to 4294967295")])
def test_what_is_allowed_in_words(parameter: Parameter, text: str) -> None:
    assert allowed(parameter) == text


def test_a_camera_without_parameters_has_none() -> None:
    camera = ScriptedCamera(ManualClock())
    assert parameters_of(camera) == ()
    with pytest.raises(UsageError, match="this camera has no parameters"):
        configure(camera, {"Gain": 1}, running=False)


def test_all_are_set_in_their_order_in_one_go() -> None:
    camera = Sensor()
    configure(camera, {"Width": "320", "ExposureTime": 20, "ExposureAuto": False}, running=False)
    assert camera.told == [{"Width": 320, "ExposureTime": 20.0, "ExposureAuto": "Off"}]


def test_or_none_when_one_is_wrong() -> None:
    camera = Sensor()
    before = camera.values()
    wrongs: list[dict[str, Value]] = [
        {"ExposureTime": 20, "Width": 100}, {"ExposureTime": 20, "Widht": 320},
        {"Width": 320, "OffsetX": 16, "ReverseX": "maybe"}]
    for wrong in wrongs:
        with pytest.raises(UsageError):
            configure(camera, wrong, running=False)
        assert camera.values() == before


def test_a_value_that_only_those_before_it_make_possible_is_taken() -> None:
    camera = Sensor()
    configure(camera, {"Width": 320, "OffsetX": 320}, running=False)
    assert (camera.values()["Width"], camera.values()["OffsetX"]) == (320, 320)
    with pytest.raises(UsageError, match="OffsetX cannot be 640; allowed: 0 to 560 px"):
        configure(camera, {"Width": 80, "OffsetX": 640}, running=False)
    assert (camera.values()["Width"], camera.values()["OffsetX"]) == (320, 320)


def test_what_was_set_is_set_back_when_the_camera_refuses_a_later_one() -> None:
    camera = Sensor()
    before = camera.values()
    camera.refuses = "OffsetX"
    with pytest.raises(CameraError, match="does not want to"):
        configure(camera, {"ExposureTime": 20, "Width": 320, "OffsetX": 16}, running=False)
    assert camera.values() == before


def test_names_may_be_the_drivers_and_wrong_ones_are_told_the_nearest() -> None:
    camera = Sensor()
    configure(camera, {"exposure_time_absolute": 30}, running=True)
    assert camera.values()["ExposureTime"] == 30
    for wrong, near in (("ExposureTim", "ExposureTime"),
                        ("exposure_time_absolut", "exposure_time_absolute")):
        with pytest.raises(UsageError, match=f"no parameter '{wrong}'; did you mean {near}"):
            configure(camera, {wrong: 1}, running=False)
    with pytest.raises(UsageError, match="it has: ExposureTime, Width, OffsetX"):
        configure(camera, {"Zzz": 1}, running=False)


def test_what_changes_the_picture_is_not_changed_while_recording() -> None:
    camera = Sensor()
    with pytest.raises(StateError, match="Width cannot be changed while recording; stop first"):
        configure(camera, {"ExposureTime": 20, "Width": 320}, running=True)
    assert camera.told == []
