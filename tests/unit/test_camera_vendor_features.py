"""Cameras by a vendor's SDK, against fakes of arena_api and PySpin: what both have in common.

What is only one SDK's is in test_camera_arena.py and test_camera_spinnaker.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import pytest

from fieldrec.camera import arena, blank, parameters, spinnaker
from fieldrec.core.errors import CameraError, CameraLost, CameraTimeout, StateError, UsageError
from tests.fakes import arena_sdk, pyspin
from tests.fakes.genicam_camera import START_NS, FakeCamera, camera_nodes


@dataclass(frozen=True)
class Vendor:
    """A backend and the fake of its SDK."""

    maker: str
    make: Callable[[str, dict[str, Any]], Any]
    installed: Callable[..., AbstractContextManager[None]]
    says: Mapping[str, str]
    """What the camera's error says, by fault."""

    def camera(self, serial: str = "18475994", **options: Any) -> Any:
        return self.make(serial, options)


VENDORS = {
    "arena": Vendor(
        "Lucid", lambda serial, options: arena.ArenaCamera(
            serial, arena.Options.model_validate(options)), arena_sdk.installed,
        {"gone": "the device is not connected; check cable and power",
         "other size": "sent a picture of 640x240, not 640x480; it is opened again"}),
    "spinnaker": Vendor(
        "FLIR", lambda serial, options: spinnaker.SpinnakerCamera(
            serial, spinnaker.Options.model_validate(options)), pyspin.installed,
        {"gone": r"Stream has been aborted\. \[-1012\]; check cable and power",
         "other size": r"sent uint8 of shape \(240, 640\), not uint8 of \(480, 640\)"}),
}


@pytest.fixture(params=VENDORS)
def vendor(request: pytest.FixtureRequest) -> Vendor:
    return VENDORS[request.param]


@pytest.fixture
def real(vendor: Vendor) -> Iterator[FakeCamera]:
    one = FakeCamera("18475994", camera_nodes("18475994"))
    with vendor.installed(one, FakeCamera("2", camera_nodes("2"))):
        yield one


@pytest.mark.parametrize(("pixel_format", "shape", "dtype"), [
    ("MONO8", (64, 128), "uint8"), ("MONO16", (64, 128), "uint16"),
    ("BGR8", (64, 128, 3), "uint8"), ("BAYER_RG8", (64, 128), "uint8")])
def test_formats(vendor: Vendor, real: FakeCamera, pixel_format: str, shape: tuple[int, ...],
                 dtype: str) -> None:
    made = vendor.camera(pixel_format=pixel_format, width=128, height=64, hz=50)
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


def test_every_option_reaches_the_camera(vendor: Vendor, real: FakeCamera) -> None:
    made = vendor.camera(ExposureTime=500, Gain=3, AcquisitionFrameRate=20,
                         features={"ReverseX": True})
    made.open()
    made.close()
    now = {name: node.value for name, node in real.nodes.items()}
    assert (now["ExposureAuto"], now["ExposureTime"]) == ("Off", 500.0)
    assert (now["AcquisitionFrameRateEnable"], now["AcquisitionFrameRate"]) == (True, 20.0)
    assert (now["Gain"], now["ReverseX"], now["AcquisitionMode"]) == (3.0, True, "Continuous")


def test_dropped_and_incomplete_frames_are_gaps(vendor: Vendor, real: FakeCamera) -> None:
    real.faults = {1: "incomplete", 3: "dropped"}
    made = vendor.camera()
    into = blank(made.open())
    made.start()
    numbers = [made.grab(into, 1.0).number for _ in range(3)]
    made.close()
    assert numbers == [0, 2, 5]


def test_numbers_of_sixteen_bits_run_on(vendor: Vendor, real: FakeCamera) -> None:
    real.first_number = 65534
    made = vendor.camera()
    into = blank(made.open())
    made.start()
    first = [made.grab(into, 1.0).number for _ in range(2)]
    real.first_number = 65534 - 65535
    assert [*first, made.grab(into, 1.0).number] == [65534, 65535, 65536]
    made.close()


def test_no_frame_in_time(vendor: Vendor, real: FakeCamera) -> None:
    made = vendor.camera(hz=1)
    into = blank(made.open())
    made.start()
    made.grab(into, 1.0)
    with pytest.raises(CameraTimeout, match=rf"^{vendor.maker} 18475994: no frame within 0\.2 s$"):
        made.grab(into, 0.2)
    made.close()


@pytest.mark.parametrize("fault", ["gone", "other size"])
def test_what_ends_a_recording(vendor: Vendor, real: FakeCamera, fault: str) -> None:
    real.faults = {1: fault}
    made = vendor.camera()
    into = blank(made.open())
    made.start()
    made.grab(into, 1.0)
    with pytest.raises(CameraLost, match=vendor.says[fault]):
        made.grab(into, 1.0)
    made.stop()
    made.close()
    real.there, real.streaming = True, False
    made.open()
    made.start()
    assert made.grab(into, 1.0).number == 0
    made.close()


@pytest.mark.parametrize(("serial", "options", "said"), [
    ("9", {}, "9: not found; cameras here: 18475994, 2; check cable and power"),
    ("2", {"Gain": 99}, "2: Gain cannot be 99.0; allowed: 0 to 48 dB"),
    ("2", {"pixel_format": "BAYER_BG8"}, "2: PixelFormat cannot be BAYER_BG8; the camera offers: "
                                         "Mono8, Mono16, BGR8, BayerRG8, Mono12Packed"),
    ("2", {"ExposureAuto": "Maybe"},
     "2: ExposureAuto cannot be Maybe; allowed: Off, Once, Continuous"),
    ("2", {"features": {"Sharpness": 1}}, "2: has no Sharpness; remove that option"),
])
def test_what_cannot_be_is_one_line(
        vendor: Vendor, real: FakeCamera, serial: str, options: dict[str, Any], said: str
        ) -> None:
    made = vendor.camera(serial, **options)
    with pytest.raises(CameraError) as error:
        made.open()
    assert str(error.value) == f"{vendor.maker} {said}"


def test_a_format_that_cannot_be_recorded(vendor: Vendor, real: FakeCamera) -> None:
    real.nodes["PixelFormat"].value = "Mono12Packed"
    with pytest.raises(CameraError, match="Mono12Packed cannot be recorded; set pixel_format to "
                                          "one of: Mono8, Mono16, BGR8, BayerRG8"):
        vendor.camera().open()


def test_parameters(vendor: Vendor, real: FakeCamera) -> None:
    made = vendor.camera(features={"DeviceModelName": "Fake 13C"})
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


def test_configured_while_running_and_again_after_a_loss(vendor: Vendor, real: FakeCamera) -> None:
    made = vendor.camera()
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
