"""Ximea cameras against a fake of xiAPI's Python module."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest

from fieldrec.camera import blank, parameters, ximea
from fieldrec.camera.parameters import Parameter
from fieldrec.camera.ximea import Options, XimeaCamera
from fieldrec.core.errors import CameraError, CameraLost, CameraTimeout, StateError, UsageError
from tests.fakes import xiapi
from tests.fakes.xiapi import FakeXimea


@pytest.fixture
def real() -> Iterator[FakeXimea]:
    one = FakeXimea("41305651")
    with xiapi.installed(FakeXimea("2", mosaic="XI_CFA_NONE"), one):
        yield one


def camera(serial: str = "41305651", **options: Any) -> XimeaCamera:
    return XimeaCamera(serial, Options.model_validate(options))


@pytest.mark.parametrize(("pixel_format", "shape", "dtype", "xi"), [
    ("MONO8", (64, 128), "uint8", "XI_MONO8"), ("MONO16", (64, 128), "uint16", "XI_MONO16"),
    ("BGR8", (64, 128, 3), "uint8", "XI_RGB24"), ("BAYER_GB8", (64, 128), "uint8", "XI_RAW8"),
    ("BAYER_GB16", (64, 128), "uint16", "XI_RAW16")])
def test_formats(real: FakeXimea, pixel_format: str, shape: tuple[int, ...], dtype: str,
                 xi: str) -> None:
    made = camera(pixel_format=pixel_format, width=128, height=64, hz=50, buffers=9)
    spec = made.open()
    made.start()
    into = blank(spec)
    headers = [made.grab(into, 1.0) for _ in range(3)]
    made.close()
    assert (spec.shape, spec.dtype, spec.pixel_format) == (shape, dtype, pixel_format)
    assert spec.nominal_hz == 50.0
    assert (into == 3).all()  # and nothing of the padding of the rows
    assert [header.number for header in headers] == [1, 2, 3]
    assert [header.device_time_ns for header in headers] == [
        7_000_000_000, 7_020_000_000, 7_040_000_000]
    assert (real.values["imgdataformat"], real.values["buffers_queue_size"]) == (xi, 9)


def test_options_reach_the_camera(real: FakeXimea) -> None:
    made = camera(ExposureTime=500, Gain=3, BalanceWhiteAuto=True)
    made.open()
    made.close()
    assert (real.values["aeag"], real.values["exposure"], real.values["gain"]) == (0, 500.0, 3.0)
    assert real.values["auto_wb"] == 1


def test_what_did_not_get_through_is_a_gap(real: FakeXimea) -> None:
    real.faults = {2: "dropped"}
    made = camera()
    into = blank(made.open())
    made.start()
    assert [made.grab(into, 1.0).number for _ in range(4)] == [1, 2, 5, 6]
    made.close()


def test_no_frame_in_time(real: FakeXimea) -> None:
    made = camera(hz=1)
    into = blank(made.open())
    made.start()
    made.grab(into, 1.0)
    with pytest.raises(CameraTimeout, match=r"^Ximea 41305651: no frame within 0\.2 s$"):
        made.grab(into, 0.2)
    made.close()


@pytest.mark.parametrize(("fault", "said"), [
    ("gone", "Attach buffers error; check cable and power"),
    ("other size", "sent a picture of 640x240, not 640x480; it is opened again")])
def test_what_ends_a_recording(real: FakeXimea, fault: str, said: str) -> None:
    real.faults = {1: fault}
    made = camera()
    into = blank(made.open())
    made.start()
    made.grab(into, 1.0)
    with pytest.raises(CameraLost) as error:
        made.grab(into, 1.0)
    assert str(error.value) == f"Ximea 41305651: {said}"
    made.stop()
    made.close()
    real.there = True
    made.open()
    made.start()
    assert made.grab(into, 1.0).number == 1
    made.close()


@pytest.mark.parametrize(("serial", "options", "said"), [
    ("9", {}, "Ximea 9: not found; cameras here: 2, 41305651; check cable and power"),
    ("2", {"Gain": 99}, "Ximea 2: Gain cannot be 99.0; allowed: 0 to 24 dB, in steps of 0.1"),
    ("41305651", {"pixel_format": "BAYER_RG8"}, "Ximea 41305651: has no mosaic BAYER_RG8; set "
                                                "pixel_format to one of: BAYER_GB8, BAYER_GB16, "
                                                "BGR8"),
    ("2", {"pixel_format": "BAYER_RG8"},
     "Ximea 2: has no mosaic BAYER_RG8; set pixel_format to one of: MONO8, MONO16"),
])
def test_what_cannot_be_is_one_line(
        real: FakeXimea, serial: str, options: dict[str, Any], said: str) -> None:
    made = camera(serial, **options)
    with pytest.raises(CameraError) as error:
        made.open()
    assert str(error.value) == said


def test_parameters(real: FakeXimea) -> None:
    made = camera()
    made.open()
    found = {parameter.name: parameter for parameter in made.parameters()}
    made.close()
    assert found["ExposureTime"] == Parameter(
        "ExposureTime", 10000.0, 15.0, 1e6, 1.0, unit="us", alias="exposure")
    assert found["ExposureAuto"] == Parameter(
        "ExposureAuto", "Continuous", choices=("Off", "Continuous"), alias="aeag")
    assert found["Width"] == Parameter("Width", 640, 16, 1280, 16, unit="px", live=False,
                                       alias="width")
    assert "OffsetY" not in found  # the fake, like some models, has none


def test_configured_while_running_and_again_after_a_loss(real: FakeXimea) -> None:
    made = camera()
    spec = made.open()
    made.start()
    made.grab(blank(spec), 1.0)
    assert parameters.configure(made, {"exposure": 700, "ExposureAuto": "Off"},
                                running=True) == spec
    with pytest.raises(StateError):
        parameters.configure(made, {"Width": 128}, running=True)
    with pytest.raises(UsageError, match="allowed: 15 to 1000000 us"):
        parameters.configure(made, {"ExposureTime": 1}, running=True)
    with pytest.raises(CameraError, match="Width cannot be 128; allowed: 16 to 1280 px"):
        made.configure({"Width": 128})
    with pytest.raises(CameraError, match="has no Sharpness; it has: Width, Height"):
        made.configure({"Sharpness": 1})
    with pytest.raises(CameraError, match="ExposureAuto cannot be Maybe; allowed: Off, Contin"):
        made.configure({"ExposureAuto": "Maybe"})
    made.stop()
    assert parameters.configure(made, {"Width": 128}, running=False).shape == (480, 128)
    made.close()
    real.values |= {"width": 640, "exposure": 10000.0, "aeag": 1}
    assert made.open().shape == (480, 128)
    assert real.values["exposure"] == 700.0
    real.there = False
    with pytest.raises(CameraLost, match="unplugged or lost power"):
        made.configure({"Gain": 1.0})
    with pytest.raises(CameraLost):
        made.parameters()
    made.close()


def test_cameras_found(real: FakeXimea) -> None:
    assert [(one.serial, one.model, one.spec) for one in ximea.find()] == [
        ("2", "MQ013CG-E2", "ximea:2"), ("41305651", "MQ013CG-E2", "ximea:41305651")]


def test_without_the_api_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ximea", None)
    made = camera()
    with pytest.raises(CameraError, match="install Ximea's Linux Software Package"):
        made.open()
    made.close()
    found, = ximea.find()
    assert "Linux Software Package" in found.problem
