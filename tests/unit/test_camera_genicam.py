"""The vendor-neutral backend with Aravis's fake camera: the real protocol on loopback."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from fieldrec.camera import Pixels, aravis, blank, genicam
from fieldrec.camera.genicam import GenicamCamera, Options
from fieldrec.camera.parameters import configure, parameters_of
from fieldrec.core.clock import SystemClock
from fieldrec.core.errors import CameraError, CameraLost, CameraTimeout, StateError, UsageError
from fieldrec.core.model import FrameHeader
from tests.fakes import gige
from tests.fakes.cameras import SECOND_NS, ManualClock
from tests.fakes.waiting import PATIENCE_S, wait_until

SMALL: dict[str, Any] = {"width": 64, "height": 48}


@pytest.fixture(scope="module", autouse=True)
def usb_watch() -> None:
    gige.start_usb_watch()


@pytest.fixture
def network() -> Iterator[None]:
    if reason := gige.why_not():
        pytest.skip(reason)
    with gige.own_network():
        yield


@pytest.fixture
def fake(network: None) -> Iterator[gige.FakeGigeCamera]:
    with gige.FakeGigeCamera() as camera:
        yield camera


def camera(serial: str = "127.0.0.1", **options: Any) -> GenicamCamera:
    return GenicamCamera(serial, Options.model_validate(options))


def sent(header: FrameHeader, pixels: Pixels) -> Pixels:
    """What the fake camera put into this frame, whose ID it knows in 16 bits."""
    number = header.number if header.number <= 65535 else (header.number - 1) % 65535 + 1
    rows, columns = np.indices(pixels.shape)
    return np.asarray((rows + columns + number) % 255, np.uint8)


def grab(made: GenicamCamera, into: Pixels, count: int) -> list[FrameHeader]:
    """Grab and compare each picture with what was sent."""
    headers = []
    for _ in range(count):
        headers.append(made.grab(into, 10.0))
        assert (into == sent(headers[-1], into)).all(), f"frame {headers[-1].number} is torn"
    return headers


@pytest.mark.parametrize(("pixel_format", "shape", "dtype"), [
    ("MONO8", (48, 64), "uint8"), ("MONO16", (48, 64), "uint16"), ("RGB8", (48, 64, 3), "uint8"),
    ("BAYER_RG8", (48, 64), "uint8")])
def test_formats(fake: object, pixel_format: str, shape: tuple[int, ...], dtype: str) -> None:
    made = camera(pixel_format=pixel_format, hz=500, **SMALL)
    spec = made.open()
    into = blank(spec)
    made.start()
    made.grab(into, 10.0)
    made.close()
    assert (spec.shape, spec.dtype, spec.pixel_format) == (shape, dtype, pixel_format)
    assert spec.nominal_hz == 500


def test_numbers_run_on_over_sixteen_bits_and_every_picture_is_whole(fake: object) -> None:
    made = camera(hz=1000, buffers=64, **SMALL)
    into = blank(made.open())
    made.start()
    headers = grab(made, into, 250)  # the camera begins near 65400
    made.close()
    assert headers[0].number < 65535 < 65600 < headers[-1].number
    assert all(later.number > sooner.number for sooner, later in itertools.pairwise(headers))
    for times in ([header.monotonic_ns for header in headers],
                  [header.device_time_ns or 0 for header in headers]):
        assert all(later > sooner > 0 for sooner, later in itertools.pairwise(times))


def test_lost_packets_are_gaps_in_the_numbers_and_never_torn_pictures(network: None) -> None:
    with gige.FakeGigeCamera(lost_per_thousand=20):
        made = camera(hz=100, width=160, height=120)
        into = blank(made.open())
        made.start()
        numbers = [header.number for header in grab(made, into, 40)]
        assert made._stream is not None
        failed = made._stream.count("n_failures") + made._stream.count("n_missing_frames")
        made.close()
    missing = numbers[-1] - numbers[0] + 1 - len(numbers)
    assert 0 < missing <= failed


def test_unplugged_and_plugged_in_again(fake: gige.FakeGigeCamera) -> None:
    made = camera(hz=200, **SMALL)
    into = blank(made.open())
    made.configure({"ExposureTime": 20000.0})
    made.start()
    made.grab(into, 10.0)
    fake.pull_out()
    fake.plug_in()
    with pytest.raises(CameraLost, match=r"127\.0\.0\.1: it does not answer"):
        for _ in range(20):  # the library's heartbeat asks once a second
            with contextlib.suppress(CameraTimeout):
                made.grab(into, 0.5)
    made.stop()
    made.close()
    made.open()
    made.start()
    made.grab(into, 10.0)
    assert value(made, "ExposureTime") == 20000.0  # set at run time, kept for the camera's return
    made.close()


def test_a_camera_that_is_out_cannot_be_opened(network: None) -> None:
    made = camera("192.0.2.1")  # no way leads there: said at once, not after seconds
    with pytest.raises(CameraError, match=r"^GenICam camera 192\.0\.2\.1: .*check cable, power"):
        made.open()
    made.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="a second address on loopback needs root")
def test_two_cameras_at_once(fake: gige.FakeGigeCamera) -> None:
    gige.run("ip", "address", "add", "127.0.0.2/32", "dev", "lo")
    with gige.FakeGigeCamera("FAKE02", "127.0.0.2"):
        pair = [camera("127.0.0.1", **SMALL), camera("right", address="127.0.0.2", **SMALL)]
        into = blank(pair[0].open())
        assert pair[1].open().shape == into.shape
        for made in pair:
            made.start()
        for made in pair * 2:
            grab(made, into, 1)
        assert [found.spec for found in genicam.find()] == ["genicam:FAKE01", "genicam:FAKE02"]
        for made in pair:
            made.close()


@pytest.mark.parametrize(("options", "message"), [
    ({"hz": 99999}, "AcquisitionFrameRate cannot be 99999.0; allowed: 0.1 to 1000 Hz"),
    ({"ExposureTime": 0.5}, "ExposureTime cannot be 0.5; allowed: 10 to "),
    ({"width": 100000}, "Width cannot be 100000; allowed: 1 to 2048"),
    ({"pixel_format": "MONO12"}, "pixel_format cannot be MONO12; the camera offers: BAYER_BG8, "
     "BAYER_GB8, BAYER_GR8, BAYER_RG8, MONO8, RGB8, MONO16"),
    ({"features": {"TriggerMode": "Maybe"}}, "TriggerMode cannot be 'Maybe'; allowed: Off, On"),
    ({"features": {"TriggerMod": "On"}}, "has no TriggerMod; did you mean TriggerMode?"),
    ({"features": {"SensorWidth": 3}}, "SensorWidth cannot be changed; it is 2048"),
    ({"MotifEnableChunkTimestamp": True}, "has no chunk data; remove MotifEnableChunkTimestamp: "
     "the camera's time is kept with every frame without it"),
])
def test_what_the_camera_cannot_do(fake: object, options: dict[str, Any], message: str) -> None:
    made = camera(**options)
    with pytest.raises(CameraError) as error:
        made.open()
    made.close()
    assert str(error.value).startswith(f"GenICam camera 127.0.0.1: {message}")
    assert "\n" not in str(error.value)


def test_options_reach_the_camera_in_their_order(fake: object) -> None:
    made = camera(hz=40, ExposureTime=1500, Gain=6, width=128, height=96, offset_x=32, offset_y=16,
                  binning=2, packet_size=1000, packet_resend=False,
                  features={"TriggerSelector": "FrameStart", "TriggerMode": True,
                            "TriggerSource": "Software", "TriggerSoftware": 1})
    spec = made.open()
    assert (spec.shape, spec.nominal_hz) == ((96, 128), 40)
    assert {name: value(made, name) for name in (
        "ExposureTime", "Gain", "OffsetX", "OffsetY", "BinningVertical", "TriggerMode",
        "TriggerSource")} == {
        "ExposureTime": 1500, "Gain": 6, "OffsetX": 32, "OffsetY": 16, "BinningVertical": 2,
        "TriggerMode": "On", "TriggerSource": "Software"}
    assert made._device is not None
    assert made._device.camera("gv_get_packet_size") == 1000
    made.configure({"AcquisitionFrameRate": 20.0})
    assert value(made, "TriggerMode") == "On"  # a rate does not switch the trigger off
    made.close()


def test_a_parameter_set_while_frames_come_is_seen_in_them(fake: object) -> None:
    made = camera(hz=200, **SMALL)
    into = blank(made.open())
    made.start()
    grab(made, into, 2)
    configure(made, {"ExposureTimeAbs": "100000"}, running=True)
    for _ in range(100):  # ten times the exposure doubles what this camera shows
        header = made.grab(into, 10.0)
        if (into == np.minimum(sent(header, into) * 2.0, 255).astype(np.uint8)).all():
            break
    else:
        pytest.fail("the pictures stayed as they were")
    assert value(made, "ExposureTime") == 100000
    with pytest.raises(StateError, match="Width cannot be changed while recording"):
        configure(made, {"Width": 32}, running=True)
    made.stop()
    assert configure(made, {"Width": 32}, running=False).shape == (48, 32)
    made.start()
    made.grab(np.empty((48, 32), np.uint8), 10.0)
    made.close()


def test_parameters_have_ranges_units_and_choices(fake: object) -> None:
    made = camera(**SMALL)
    made.open()
    named = {parameter.name: parameter for parameter in parameters_of(made)}
    assert len(named) == len(parameters_of(made))
    exposure, mode = named["ExposureTime"], named["TriggerMode"]
    assert (exposure.minimum, exposure.maximum, exposure.unit, exposure.alias, exposure.live) == (
        10, 1e7, "us", "ExposureTimeAbs", True)
    assert (mode.value, mode.choices) == ("Off", ("Off", "On"))
    assert not named["Width"].live
    assert not named["PayloadSize"].writable
    with pytest.raises(UsageError, match="allowed: 1 to 2048"):
        configure(made, {"Width": 0}, running=False)
    made.close()


def test_pictures_of_another_size_are_refused(fake: object) -> None:
    made = camera(hz=200, **SMALL)
    made.open()
    made.start()
    with pytest.raises(CameraError, match="sends pictures of 64x48, expected 64x50"):
        made.grab(np.empty((50, 64), np.uint8), 10.0)
    made.close()


def test_frames_that_waited_have_the_time_of_their_arrival(fake: object) -> None:
    made = camera(hz=200, **SMALL)
    into = blank(made.open())
    made.start()
    made.grab(into, 10.0)
    stream = made._stream
    assert stream is not None
    done = stream.count("n_completed_buffers")
    wait_until(lambda: stream.count("n_completed_buffers") >= done + 3, PATIENCE_S, "three frames")
    late_ns = SystemClock().monotonic_ns()
    assert all(made.grab(into, 10.0).monotonic_ns < late_ns for _ in range(3))
    made.close()


@pytest.mark.parametrize("step_s", [-3600, 86400])
def test_a_clock_that_is_set_moves_no_frame(monkeypatch: pytest.MonkeyPatch, step_s: int) -> None:
    clock = ManualClock()
    monkeypatch.setattr(genicam, "_CLOCK", clock)
    made = camera()
    first = made._arrival_ns(clock.epoch_ns() - SECOND_NS // 10)
    assert first == clock.monotonic_ns() - SECOND_NS // 10
    arrived = clock.epoch_ns()
    clock.forward(0.5)
    clock.step_wall(step_s)
    assert made._arrival_ns(arrived) == clock.monotonic_ns()


def test_without_the_library_everything_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aravis, "SONAME", "libaravis-0.8.so.99")
    aravis.library.cache_clear()
    try:
        with pytest.raises(CameraError, match=r"apt install libaravis-0\.8-0"):
            camera().open()
        assert "apt install" in genicam.find()[0].problem
    finally:
        aravis.library.cache_clear()


def value(made: GenicamCamera, name: str) -> object:
    return next(p.value for p in made.parameters() if p.name == name)
