"""Controls under GenICam names and the driver's own."""

from __future__ import annotations

import errno
from collections.abc import Iterator

import pytest

from fieldrec.camera import v4l2_abi as abi
from fieldrec.camera.parameters import Parameter, Value
from fieldrec.camera.v4l2 import Device
from fieldrec.camera.v4l2_controls import Controls, control_name
from fieldrec.core.errors import CameraError, CameraLost
from tests.fakes.v4l2_device import FakeControl, RecordedDevice


@pytest.fixture
def kernel() -> RecordedDevice:
    return RecordedDevice()


@pytest.fixture
def controls(kernel: RecordedDevice) -> Iterator[Controls]:
    device = Device("/dev/video0", kernel)
    yield Controls(device)
    device.close()


def listed(controls: Controls) -> dict[str, Parameter]:
    return {parameter.name: parameter for parameter in controls.parameters()}


def test_all_of_them_once_and_those_in_other_units_twice(controls: Controls) -> None:
    found = listed(controls)
    assert list(found) == [
        "ExposureTime", "ExposureAuto", "BalanceWhiteAuto", "Gain", "BlackLevel",
        "white_balance_automatic", "power_line_frequency", "white_balance_temperature",
        "auto_exposure", "exposure_time_absolute", "pan_absolute", "privacy",
    ]
    assert found["Gain"] == Parameter("Gain", 20, 0.0, 255.0, 1.0, alias="gain")
    assert found["BlackLevel"].alias == "brightness"
    assert found["ExposureTime"] == Parameter(
        "ExposureTime", 25000.0, 300.0, 204700.0, 100.0, unit="us")
    assert found["exposure_time_absolute"] == Parameter(
        "exposure_time_absolute", 250, 3.0, 2047.0, 1.0, unit="100 us")
    assert found["ExposureAuto"] == Parameter(
        "ExposureAuto", "Continuous", choices=("Off", "Continuous"))
    assert found["auto_exposure"] == Parameter(
        "auto_exposure", "Aperture Priority Mode",
        choices=("Manual Mode", "Aperture Priority Mode"))
    assert found["white_balance_temperature"].unit == "K"
    assert found["white_balance_automatic"].value is True
    assert found["power_line_frequency"].value == "60 Hz"
    assert found["pan_absolute"].value == -3600
    assert not found["privacy"].writable


@pytest.mark.parametrize(("name", "value", "said"), [
    ("ExposureTime", 5000.0, ["Auto Exposure = 1", "Exposure Time, Absolute = 50"]),
    ("exposure_time_absolute", 50, ["Auto Exposure = 1", "Exposure Time, Absolute = 50"]),
    ("Gain", 7, ["Gain = 7"]),
    ("gain", 7, ["Gain = 7"]),
    ("BlackLevel", 0, ["Brightness = 0"]),
    ("ExposureAuto", "Off", ["Auto Exposure = 1"]),
    ("ExposureAuto", "continuous", ["Auto Exposure = 3"]),
    ("BalanceWhiteAuto", "Off", ["White Balance, Automatic = 0"]),
    ("power_line_frequency", "50 hz", ["Power Line Frequency = 1"]),
    ("power_line_frequency", 0, ["Power Line Frequency = 0"]),
    ("pan_absolute", -7200, ["Pan, Absolute = -7200"]),
])
def test_setting_by_either_name(kernel: RecordedDevice, controls: Controls, name: str,
                                value: Value, said: list[str]) -> None:
    controls.set({name: value})
    assert kernel.asked == said


def test_a_value_set_by_hand_wins_over_its_automatic(
        kernel: RecordedDevice, controls: Controls) -> None:
    controls.set({"ExposureTime": 5000.0, "ExposureAuto": "Continuous"})
    assert kernel.asked == ["Auto Exposure = 3", "Auto Exposure = 1",
                            "Exposure Time, Absolute = 50"]
    controls.set({"white_balance_temperature": 5000})
    assert listed(controls)["white_balance_temperature"].value == 5000


@pytest.mark.parametrize(("name", "value", "said"), [
    ("ExposureTime", 100.0, "ExposureTime cannot be 100.0; allowed: 300 to 204700 us, in steps of "
                            "100"),
    ("Gain", 256, "Gain cannot be 256; allowed: 0 to 255, in steps of 1"),
    ("Gain", "much", "Gain cannot be much; allowed: 0 to 255, in steps of 1"),
    ("ExposureAuto", "Once", "ExposureAuto cannot be Once; allowed: Off, Continuous"),
    ("power_line_frequency", "16 Hz",
     "power_line_frequency cannot be 16 Hz; allowed: Disabled, 50 Hz, 60 Hz"),
    ("privacy", 1, "privacy cannot be 1: something else governs it now; allowed: true, false"),
])
def test_what_it_does_not_take_is_answered_with_its_range(
        controls: Controls, name: str, value: Value, said: str) -> None:
    with pytest.raises(CameraError) as error:
        controls.set({name: value})
    assert str(error.value) == f"/dev/video0: {said}"


def test_a_control_it_does_not_have(controls: Controls) -> None:
    with pytest.raises(CameraError, match=r"has no Sharpness; it has: BalanceWhiteAuto, BlackLev"):
        controls.set({"Sharpness": 3})
    assert not controls.has("Sharpness")
    assert controls.has("exposure_time_absolute")


def test_a_camera_that_is_gone(kernel: RecordedDevice, controls: Controls) -> None:
    kernel.gone = True
    with pytest.raises(CameraLost):
        controls.set({"Gain": 3})
    with pytest.raises(CameraLost):
        controls.parameters()


def test_integer_menus_wide_numbers_and_sensors_gain(kernel: RecordedDevice) -> None:
    kernel.controls = [
        FakeControl(0x009E0903, 1, "Analogue Gain", 16, 1023, 1, 16),
        FakeControl(0x009F0901, 9, "Link Frequency", 0, 0, 1, 0, flags=4,
                    menu={0: (450_000_000).to_bytes(8, "little").decode("latin-1")}),
        FakeControl(0x009F0902, 5, "Pixel Rate", 1, 1 << 40, 1, 1 << 32, flags=4),
        FakeControl(0x009F0903, 4, "Restart", 0, 0, 0, 0),
        FakeControl(0x009F0904, 1, "Disabled One", 0, 1, 1, 0, flags=1),
    ]
    device = Device("/dev/video0", kernel)
    found = {parameter.name: parameter for parameter in Controls(device).parameters()}
    device.close()
    assert list(found) == ["Gain", "link_frequency", "pixel_rate"]
    assert found["Gain"].alias == "analogue_gain"
    assert found["link_frequency"].value == "450000000"
    assert found["pixel_rate"].value == 1 << 32


def test_one_that_cannot_be_read_now_is_listed_all_the_same(
        kernel: RecordedDevice, controls: Controls) -> None:
    kernel.refuse[abi.G_EXT_CTRLS] = errno.EIO
    assert listed(controls)["Gain"].value == 0


def test_names_are_those_of_v4l2_ctl() -> None:
    assert control_name(b"Exposure Time, Absolute") == "exposure_time_absolute"
    assert control_name(b"White Balance Temperature, Auto") == "white_balance_temperature_auto"
    assert control_name(b"Exposure (Absolute)") == "exposure_absolute"
