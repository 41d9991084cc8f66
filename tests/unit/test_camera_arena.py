"""Lucid cameras against a fake of arena_api."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest

from fieldrec.camera import arena, blank, parameters
from fieldrec.camera.arena import ArenaCamera, Options
from fieldrec.core.errors import CameraError, CameraLost, CameraTimeout, StateError, UsageError
from tests.fakes import arena_sdk
from tests.fakes.genicam_camera import START_NS, FakeCamera, camera_nodes


@pytest.fixture
def real() -> Iterator[FakeCamera]:
    one = FakeCamera("18475994", camera_nodes("18475994"))
    with arena_sdk.installed(one, FakeCamera("2", camera_nodes("2"))):
        yield one


def camera(serial: str = "18475994", **options: Any) -> ArenaCamera:
    return ArenaCamera(serial, Options.model_validate(options))


@pytest.mark.parametrize(("pixel_format", "shape", "dtype"), [
    ("MONO8", (64, 128), "uint8"), ("MONO16", (64, 128), "uint16"),
    ("BGR8", (64, 128, 3), "uint8"), ("BAYER_RG8", (64, 128), "uint8")])
def test_formats(real: FakeCamera, pixel_format: str, shape: tuple[int, ...], dtype: str) -> None:
    made = camera(pixel_format=pixel_format, width=128, height=64, hz=50)
    spec = made.open()
    made.start()
    into = blank(spec)
    headers = [made.grab(into, 1.0) for _ in range(3)]
    made.close()
    assert (spec.shape, spec.dtype, spec.pixel_format) == (shape, dtype, pixel_format)
    assert spec.nominal_hz == 50.0
    assert (into == 2).all()
    assert [header.number for header in headers] == [0, 1, 2]
    assert [header.device_time_ns for header in headers] == [
        START_NS, START_NS + 20_000_000, START_NS + 40_000_000]


def test_every_option_reaches_the_camera(real: FakeCamera) -> None:
    made = camera(ExposureTime=500, Gain=3, AcquisitionFrameRate=20, features={"ReverseX": True})
    made.open()
    made.close()
    now = {name: node.value for name, node in real.nodes.items()}
    assert (now["ExposureAuto"], now["ExposureTime"]) == ("Off", 500.0)
    assert (now["AcquisitionFrameRateEnable"], now["AcquisitionFrameRate"]) == (True, 20.0)
    assert (now["Gain"], now["ReverseX"], now["AcquisitionMode"]) == (3.0, True, "Continuous")


def test_dropped_and_incomplete_frames_are_gaps(real: FakeCamera) -> None:
    real.faults = {1: "incomplete", 3: "dropped"}
    made = camera()
    into = blank(made.open())
    made.start()
    numbers = [made.grab(into, 1.0).number for _ in range(3)]
    made.close()
    assert numbers == [0, 2, 5]


def test_numbers_of_sixteen_bits_run_on(real: FakeCamera) -> None:
    real.first_number = 65534
    made = camera()
    into = blank(made.open())
    made.start()
    first = [made.grab(into, 1.0).number for _ in range(2)]
    real.first_number = 65534 - 65535
    assert [*first, made.grab(into, 1.0).number] == [65534, 65535, 65536]
    made.close()


def test_no_frame_in_time(real: FakeCamera) -> None:
    made = camera(hz=1)
    into = blank(made.open())
    made.start()
    made.grab(into, 1.0)
    with pytest.raises(CameraTimeout, match=r"^Lucid 18475994: no frame within 0\.2 s$"):
        made.grab(into, 0.2)
    made.close()


@pytest.mark.parametrize(("fault", "said"), [
    ("gone", "the device is not connected; check cable and power"),
    ("other size", "sent a picture of 640x240, not 640x480; it is opened again")])
def test_what_ends_a_recording(real: FakeCamera, fault: str, said: str) -> None:
    real.faults = {1: fault}
    made = camera()
    into = blank(made.open())
    made.start()
    made.grab(into, 1.0)
    with pytest.raises(CameraLost, match=said):
        made.grab(into, 1.0)
    made.stop()
    made.close()
    real.there, real.streaming = True, False
    made.open()
    made.start()
    assert made.grab(into, 1.0).number == 0
    made.close()


@pytest.mark.parametrize(("serial", "options", "said"), [
    ("9", {}, "Lucid 9: not found; cameras here: 18475994, 2; check cable and power"),
    ("2", {"Gain": 99}, "Lucid 2: Gain cannot be 99.0; allowed: 0 to 48 dB"),
    ("2", {"pixel_format": "BAYER_BG8"}, "Lucid 2: PixelFormat cannot be BAYER_BG8; the camera "
                                         "offers: Mono8, Mono16, BGR8, BayerRG8, Mono12Packed"),
    ("2", {"ExposureAuto": "Maybe"},
     "Lucid 2: ExposureAuto cannot be Maybe; allowed: Off, Once, Continuous"),
    ("2", {"features": {"Sharpness": 1}}, "Lucid 2: has no Sharpness; remove that option"),
])
def test_what_cannot_be_is_one_line(
        real: FakeCamera, serial: str, options: dict[str, Any], said: str) -> None:
    made = camera(serial, **options)
    with pytest.raises(CameraError) as error:
        made.open()
    assert str(error.value) == said


def test_a_format_that_cannot_be_recorded(real: FakeCamera) -> None:
    real.nodes["PixelFormat"].value = "Mono12Packed"
    with pytest.raises(CameraError, match="Mono12Packed cannot be recorded; set pixel_format to "
                                          "one of: Mono8, Mono16, BGR8, BayerRG8"):
        camera().open()


def test_parameters(real: FakeCamera) -> None:
    made = camera(features={"DeviceModelName": "Fake 13C"})
    real.nodes["DeviceModelName"].writable = True
    made.open()
    found = {parameter.name: parameter for parameter in made.parameters()}
    made.close()
    assert found["ExposureTime"] == parameters.Parameter(
        "ExposureTime", 10000.0, 12.0, 1e6, unit="us")
    assert found["Width"].increment == 16
    assert not found["Width"].live
    assert found["PixelFormat"].choices == ("Mono8", "Mono16", "BGR8", "BayerRG8")
    assert found["DeviceModelName"].value == "Fake 13C"
    assert "TriggerSoftware" not in found


def test_configured_while_running_and_again_after_a_loss(real: FakeCamera) -> None:
    made = camera()
    spec = made.open()
    made.start()
    made.grab(blank(spec), 1.0)
    assert parameters.configure(made, {"ExposureTime": 700}, running=True) == spec
    with pytest.raises(StateError):
        parameters.configure(made, {"Width": 128}, running=True)
    with pytest.raises(UsageError, match="allowed: 12 to 1000000 us"):
        parameters.configure(made, {"ExposureTime": 1}, running=True)
    made.stop()
    assert parameters.configure(made, {"Width": 128}, running=False).shape == (480, 128)
    made.close()
    real.nodes = camera_nodes("18475994")
    assert made.open().shape == (480, 128)
    assert real.nodes["ExposureTime"].value == 700.0
    real.there = False
    with pytest.raises(CameraLost, match="unplugged or lost power"):
        made.configure({"Gain": 1.0})
    made.close()


def test_cameras_found(real: FakeCamera) -> None:
    first, second = arena.find()
    assert (first.serial, first.model, first.spec) == ("18475994", "Fake TRI", "arena:18475994")
    assert first.link == "GigE 169.254.1.2"
    assert second.serial == "2"


def test_without_the_sdk_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "arena_api.system", None)
    made = camera()
    with pytest.raises(CameraError, match=r"arena_api.*Lucid's download page.*'genicam'"):
        made.open()
    made.close()
    found, = arena.find()
    assert "Lucid's download page" in found.problem
