"""V4L2 cameras against a recorded device: every way a frame can come, or not."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from fieldrec.camera import blank, opencv, parameters
from fieldrec.camera import v4l2_abi as abi
from fieldrec.camera.opencv import OpenCvCamera, Options
from fieldrec.camera.v4l2_nodes import Node
from fieldrec.camera.v4l2_pixels import Bytes
from fieldrec.camera.v4l2_stream import SequenceNumbers
from fieldrec.core.errors import CameraError, CameraLost, CameraTimeout, StateError, UsageError
from tests.fakes.v4l2_device import RecordedDevice

HERE = Node("/dev/video0", "Fake Camera", "A1", "Fake_Camera_A1", "1-2:1.0", "pci-usb-0:2:1.0",
            480)


Made = Callable[..., tuple[OpenCvCamera, RecordedDevice]]


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes a camera of a recorded device: its options, then the device's own."""
    cameras = []

    def make(options: dict[str, Any] | None = None, **recorded: Any
             ) -> tuple[OpenCvCamera, RecordedDevice]:
        device = RecordedDevice(**recorded)
        monkeypatch.setattr(opencv, "_KERNEL", device)
        monkeypatch.setattr(opencv, "nodes", lambda: [HERE])
        camera = OpenCvCamera("left", Options.model_validate({"device": "A1", **(options or {})}))
        cameras.append((camera, device))
        return camera, device

    yield make
    for camera, device in cameras:
        camera.close()
        assert not device.descriptors


def numbers(camera: OpenCvCamera, count: int) -> list[int]:
    into = blank(camera.open())
    camera.start()
    return [camera.grab(into, 1.0).number for _ in range(count)]


@pytest.mark.parametrize(("pixel_format", "fourcc", "padding"), [
    ("BGR8", "MJPG", 0), ("MONO8", "YUYV", 0), ("MONO8", "GREY", 64), ("BAYER_RG8", "RGGB", 0),
    ("BAYER_RG10", "RG10", 32), ("BAYER_RG10", "pRAA", 0), ("MONO16", "Y16 ", 0),
    ("BGR8", "NV12", 0)])
def test_formats(made: Made, pixel_format: str, fourcc: str, padding: int) -> None:
    camera, device = made({"pixel_format": pixel_format, "width": 320, "height": 240, "hz": 15},
                          formats={fourcc: ((640, 480), (320, 240))}, padding=padding)
    spec = camera.open()
    assert spec.shape[:2] == (240, 320)
    assert (spec.pixel_format, spec.nominal_hz) == (pixel_format, 15.0)
    camera.start()
    ring = np.full((3, *spec.shape), 7, spec.dtype)
    for _ in range(4):
        camera.grab(ring[1], 1.0)
    seen = set(ring[1].reshape(240, 320, -1)[:, :, 0].flat)
    assert seen <= {12, 13, 14, 15} if fourcc == "pRAA" else len(seen) == 1  # frame 3 all over
    assert (ring[[0, 2]] == 7).all()
    assert device.code == fourcc


def test_times_are_the_drivers_in_our_clock(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    class Now:
        def monotonic_ns(self) -> int:
            return 10**15

    monkeypatch.setattr(opencv, "SystemClock", Now)
    camera, _ = made(faults={1: "old stamp", 2: "other clock"})
    into = blank(camera.open())
    camera.start()
    ages_ns = [10**15 - camera.grab(into, 1.0).monotonic_ns for _ in range(3)]
    assert 3_000_000 <= ages_ns[0] < 3_001_000  # the fake stamps 3 ms ago, in whole microseconds
    assert ages_ns[1:] == [0, 0]


def test_what_the_driver_dropped_is_a_gap(made: Made) -> None:
    camera, _ = made(faults={2: "dropped"})
    assert numbers(camera, 4) == [0, 1, 5, 6]


@pytest.mark.parametrize("fault", ["damaged", "short"])
def test_a_damaged_frame_is_a_gap(made: Made, fault: str) -> None:
    camera, _ = made({"fourcc": "YUYV"}, faults={1: fault})
    assert numbers(camera, 3) == [0, 2, 3]


def test_a_torn_jpeg_is_a_gap_and_says_nothing(
        made: Made, capfd: pytest.CaptureFixture[str]) -> None:
    camera, _ = made({"fourcc": "MJPG"}, faults={1: "torn", 2: "padded"})
    assert numbers(camera, 3) == [0, 2, 3]
    assert capfd.readouterr() == ("", "")


def test_every_buffer_goes_back(made: Made) -> None:
    camera, _ = made({"buffers": 2, "fourcc": "MJPG"},
                     faults={3: "torn", 5: "damaged", 7: "damaged", 9: "torn"})
    assert numbers(camera, 50)[-1] == 53


def test_no_frame_in_time(made: Made) -> None:
    camera, device = made({"hz": 1})
    into = blank(camera.open())
    camera.start()
    camera.grab(into, 1.0)
    before_ns = device.clock_ns()
    with pytest.raises(CameraTimeout, match=r"^/dev/video0: no frame within 0\.25 s$"):
        camera.grab(into, 0.25)
    assert device.clock_ns() - before_ns == 250_000_000
    assert camera.grab(into, 1.0).number == 1


def test_no_second_picture_is_decoded_after_the_time(
        made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    camera, device = made({"fourcc": "MJPG", "hz": 30}, faults={1: "torn"})
    into = blank(camera.open())
    camera.start()
    camera.grab(into, 1.0)
    shape = camera._shape
    assert shape is not None
    decoded = []

    def slow(data: Bytes, slot: Any) -> bool:
        device.now_ns += 200_000_000
        decoded.append(1)
        return shape.put(data, slot)

    monkeypatch.setattr(camera, "_shape", opencv._Shape(shape.layout, slow, shape.spec))
    with pytest.raises(CameraTimeout):
        camera.grab(into, 0.1)
    assert decoded == [1]
    assert camera.grab(into, 0.1).number == 2  # late, but whole: not thrown away


@pytest.mark.parametrize(("fault", "said"), [
    ("gone", "the camera was unplugged or lost power"),
    ("changed", "the size or format of its signal changed; it is opened again"),
    ("hangup", "the driver has stopped sending"),
    ("eio", "reading failed: Input/output error"),
    ("big", "sent a picture of 32x24, not of 640x480; it is opened again"),
])
def test_what_ends_a_recording(made: Made, fault: str, said: str) -> None:
    camera, device = made({"fourcc": "MJPG"}, faults={2: fault})
    into = blank(camera.open())
    camera.start()
    for _ in range(2):
        camera.grab(into, 1.0)
    with pytest.raises(CameraLost) as error:
        camera.grab(into, 1.0)
    assert str(error.value) == f"/dev/video0: {said}"
    camera.stop()
    camera.close()
    device.gone = False
    device.refuse.clear()
    assert numbers(camera, 2) == [0, 1]


def test_gone_between_two_frames(made: Made) -> None:
    camera, device = made()
    into = blank(camera.open())
    camera.start()
    camera.grab(into, 1.0)
    device.refuse[abi.QBUF] = errno.ENODEV
    camera.grab(into, 1.0)
    with pytest.raises(CameraLost, match="unplugged"):
        camera.grab(into, 1.0)


def test_too_little_bandwidth_is_said_when_it_starts(made: Made) -> None:
    camera, device = made()
    camera.open()
    device.refuse[abi.STREAMON] = errno.ENOSPC
    with pytest.raises(CameraError, match="too little bandwidth on its USB bus"):
        camera.start()
    with pytest.raises(CameraError, match="grab before start"):
        camera.grab(np.zeros((480, 640, 3), np.uint8), 0.1)
    device.refuse.clear()
    camera.start()


@pytest.mark.parametrize(("options", "said"), [
    ({"device": "nobody"}, "V4L2 nobody: not found; cameras here: /dev/video0 (Fake Camera, serial "
                           "A1, at 1-2:1.0); check cable and power"),
    ({"device": "", "usb_path": ""}, "V4L2 left: not found; cameras here: /dev/video0 (Fake Camera,"
                                     " serial A1, at 1-2:1.0); check cable and power"),
    ({"pixel_format": "BAYER_RG8"},
     "/dev/video0: cannot give BAYER_RG8; the driver offers: YUYV 640x480, 320x240, 1280x720; MJPG "
     "640x480, 320x240, 1280x720; as pixel_format: MONO8, BGR8"),
    ({"ExposureTime": 1}, "/dev/video0: ExposureTime cannot be 1.0; allowed: 300 to 204700 us, in "
                          "steps of 100"),
    ({"controls": {"sharp": 1}}, "/dev/video0: has no sharp; it has: BalanceWhiteAuto, "),
])
def test_what_cannot_be_opened_is_one_line(
        made: Made, options: dict[str, Any], said: str) -> None:
    camera, device = made(options)
    with pytest.raises(CameraError) as error:
        camera.open()
    assert str(error.value).startswith(said)
    assert not device.descriptors


@pytest.mark.parametrize("device", ["/dev/no-such-camera", "/etc/passwd", "/dev", "/dev/null"])
def test_files_that_are_no_camera(device: str, capfd: pytest.CaptureFixture[str]) -> None:
    camera = OpenCvCamera("left", Options(device=device))
    with pytest.raises(CameraError, match=f"^{device}: (not a camera device|No such file.*; "
                                          "cameras here: )"):
        camera.open()
    camera.close()
    assert capfd.readouterr() == ("", "")


def test_options_reach_the_camera(made: Made) -> None:
    camera, device = made({"ExposureTime": 5000, "Gain": 9, "BalanceWhiteAuto": False,
                           "controls": {"power_line_frequency": "50 Hz"}, "width": 1280})
    camera.open()
    assert {"Exposure Time, Absolute = 50", "Gain = 9", "White Balance, Automatic = 0",
            "Power Line Frequency = 1"} <= set(device.asked)
    assert (device.width, device.height) == (1280, 720)


def test_parameters_and_their_ranges(made: Made) -> None:
    camera, _ = made()
    camera.open()
    found = {parameter.name: parameter for parameter in camera.parameters()}
    assert (found["Width"].value, found["Width"].minimum, found["Width"].maximum) == (640, 320,
                                                                                      1280)
    assert found["AcquisitionFrameRate"].value == 30.0
    assert (found["AcquisitionFrameRate"].minimum, found["AcquisitionFrameRate"].unit) == (1.0,
                                                                                           "Hz")
    assert found["PixelFormat"].choices == ("MONO8", "BGR8")
    assert found["ExposureTime"].live
    assert not found["Width"].live


def test_a_running_camera_is_configured(made: Made) -> None:
    camera, device = made()
    into = blank(camera.open())
    camera.start()
    camera.grab(into, 1.0)
    spec = parameters.configure(camera, {"exposure_time_absolute": 40, "Gain": 3}, running=True)
    assert camera.grab(into, 1.0).number == 1
    assert spec.shape == (480, 640, 3)
    assert device.asked[-2:] == ["Exposure Time, Absolute = 40", "Gain = 3"]
    with pytest.raises(StateError, match="Width cannot be changed while recording"):
        parameters.configure(camera, {"Width": 320}, running=True)
    with pytest.raises(CameraError, match="cannot change while frames come"):
        camera.configure({"Width": 320})
    with pytest.raises(UsageError, match="Gain cannot be 999; allowed: 0 to 255"):
        parameters.configure(camera, {"Gain": 999}, running=True)


def test_what_was_configured_is_there_again_after_a_loss(made: Made) -> None:
    camera, device = made()
    camera.open()
    spec = parameters.configure(camera, {"Width": 320, "PixelFormat": "MONO8", "Gain": 3,
                                         "AcquisitionFrameRate": 15}, running=False)
    assert (spec.shape, spec.nominal_hz) == ((240, 320), 15.0)
    camera.close()
    device.asked.clear()
    device.width, device.height, device.hz = 1280, 720, 30.0
    assert camera.open() == spec
    assert "Gain = 3" in device.asked


def test_a_size_it_lacks_leaves_it_as_it_was(made: Made) -> None:
    camera, _ = made()
    spec = camera.open()
    with pytest.raises(CameraError, match="cannot give pictures of 321"):
        camera.configure({"Width": 321})
    assert camera.configure({"Gain": 4}) == spec
    assert numbers(camera, 1) == [0]


def test_cameras_found(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    _, device = made()
    found, = opencv.find()
    assert (found.serial, found.spec, found.model) == ("A1", "opencv:A1", "Fake Camera")
    assert found.link == "USB 480 Mbit/s at 1-2:1.0"
    assert found.formats == ("YUYV 640x480, 320x240, 1280x720", "MJPG 640x480, 320x240, 1280x720")
    twin = Node("/dev/video2", "Fake Camera", "A1", "Fake_Camera_A1", "1-3:1.0", "", None)
    monkeypatch.setattr(opencv, "nodes", lambda: [HERE, twin])
    device.refuse[abi.QUERYCAP] = errno.EBUSY
    assert [(one.spec, one.problem[:30]) for one in opencv.find()] == [
        ("opencv:1-2:1.0", "/dev/video0: is used by anothe"),
        ("opencv:1-3:1.0", "/dev/video2: No such file or d")]


def test_numbers_run_on_when_32_bits_are_full() -> None:
    made = SequenceNumbers()
    assert [made.number(raw) for raw in (0xFFFFFFFE, 0xFFFFFFFF, 0, 3)] == [
        4294967294, 4294967295, 4294967296, 4294967299]


def test_a_driver_that_does_not_count_is_counted() -> None:
    made = SequenceNumbers()
    assert [made.number(raw) for raw in (0, 0, 0, 7, 2)] == [0, 1, 2, 9, 10]


@pytest.mark.parametrize("fourcc", ["", "MJP", "MJPEG", "MJP\n", "ÄÖÜß"])
def test_a_fourcc_has_four_characters(fourcc: str) -> None:
    with pytest.raises(ValidationError):
        Options(device="/dev/video0", fourcc=fourcc)
