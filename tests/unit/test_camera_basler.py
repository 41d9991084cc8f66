"""Basler cameras in pylon's emulation, and what is said without pylon."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from fieldrec.camera import basler, blank
from fieldrec.camera.basler import BaslerCamera, Options
from fieldrec.camera.parameters import configure, parameters_of
from fieldrec.core.errors import CameraError, CameraLost, CameraTimeout, StateError, UsageError
from tests.fakes.waiting import PATIENCE_S, wait_until

emulated = pytest.mark.skipif(importlib.util.find_spec("pypylon") is None,
                              reason="pypylon is not installed: pip install 'fieldrec[basler]'")


def camera(serial: str = "0815-0000", **options: Any) -> BaslerCamera:
    return BaslerCamera(serial, Options.model_validate(options))


@pytest.fixture(autouse=True)
def emulation(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("PYLON_CAMEMU", "2")
    yield
    basler._pylon.cache_clear()


@emulated
@pytest.mark.parametrize(("pixel_format", "shape", "dtype"), [
    ("MONO8", (48, 64), "uint8"), ("BGR8", (48, 64, 3), "uint8"), ("MONO16", (48, 64), "uint16"),
    ("BAYER_RG8", (48, 64), "uint8"), ("MONO10", (48, 64), "uint16"),
    ("MONO12", (48, 64), "uint16"), ("RGB8", (48, 64, 3), "uint8"),
    ("BAYER_GB12", (48, 64), "uint16")])
def test_formats(pixel_format: str, shape: tuple[int, ...], dtype: str) -> None:
    made = camera(width=64, height=48, pixel_format=pixel_format)
    spec = made.open()
    into = blank(spec)
    made.start()
    header = made.grab(into, 10.0)
    made.close()
    assert (spec.shape, spec.dtype, spec.pixel_format) == (shape, dtype, pixel_format)
    assert into.any()
    assert header.number == 0
    assert header.device_time_ns is None  # the emulation has no clock


@emulated
def test_rate_exposure_and_gain_reach_the_camera() -> None:
    made = camera(AcquisitionFrameRate=40, ExposureTime=1500, Gain=6)
    assert made.open().nominal_hz == 40
    assert value(made, "ExposureTime") == 1500
    assert value(made, "Gain") == pytest.approx(6, abs=0.2)
    made.close()
    assert Options.model_validate({"hz": 40}).AcquisitionFrameRate == 40


@emulated
def test_incomplete_frames_are_gaps_in_the_numbers() -> None:
    made = camera(width=64, height=48, AcquisitionFrameRate=500,
                  features={"ForceFailedBufferCount": 3})
    into = blank(made.open())
    made.start()
    made.grab(into, 10.0)
    made.configure({"ForceFailedBuffer": True})
    numbers = [made.grab(into, 10.0).number for _ in range(40)]
    made.close()
    assert numbers[-1] == 43
    assert len(set(numbers)) == 40


@emulated
def test_pictures_of_another_size_are_refused() -> None:
    made = camera(width=64, height=48, AcquisitionFrameRate=200)
    made.open()
    made.start()
    with pytest.raises(CameraError, match="sends pictures of 64x48, expected 64x50"):
        made.grab(np.empty((50, 64), np.uint8), 10.0)
    made.close()


@emulated
def test_two_cameras_at_once() -> None:
    pair = [camera(serial, width=64, height=48) for serial in ("0815-0000", "0815-0001")]
    for made in pair:
        into = blank(made.open())
        made.start()
    assert [made.grab(into, 10.0).number for made in pair] == [0, 0]
    for made in pair:
        made.close()


@emulated
def test_no_frame_in_time() -> None:
    made = camera(AcquisitionFrameRate=1)
    into = blank(made.open())
    made.start()
    with pytest.raises(CameraTimeout, match=r"Basler 0815-0000: no frame within 0\.05 s"):
        for _ in range(2):
            made.grab(into, 0.05)
    made.close()


@emulated
@pytest.mark.parametrize(("serial", "options", "message"), [
    ("123", {}, "Basler 123: not found; cameras here: 0815-0000, 0815-0001; check cable and power"),
    ("0815-0000", {"AcquisitionFrameRate": 99999},
     "Basler 0815-0000: AcquisitionFrameRate cannot be 99999.0; allowed: 0.01 to 5000 Hz"),
    ("0815-0000", {"ExposureTime": 0.5},
     "Basler 0815-0000: ExposureTime cannot be 0.5; allowed: 1 to "),
    ("0815-0000", {"width": 100000},
     "Basler 0815-0000: Width cannot be 100000; allowed: 1 to 4096"),
    ("0815-0000", {"features": {"TriggerMode": "Maybe"}},
     "Basler 0815-0000: TriggerMode cannot be 'Maybe'; allowed: Off, On"),
    ("0815-0000", {"features": {"TriggerMod": "On"}},
     "Basler 0815-0000: has no TriggerMod; did you mean TriggerMode?"),
    ("0815-0000", {"MotifEnableChunkTimestamp": True},
     "Basler 0815-0000: has no chunk timestamps; remove MotifEnableChunkTimestamp: the camera's "
     "time, where it has a clock, is kept without it"),
])
def test_what_the_camera_cannot_do(serial: str, options: dict[str, Any], message: str) -> None:
    made = camera(serial, **options)
    with pytest.raises(CameraError) as error:
        made.open()
    made.close()
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


@emulated
def test_a_format_it_lacks_is_refused_with_those_it_has() -> None:
    made = camera(pixel_format="MONO14")
    with pytest.raises(CameraError, match="cannot be MONO14; the camera offers: MONO8, MONO10"):
        made.open()
    made.close()


@emulated
def test_a_trigger_set_by_features_gives_a_frame_each_time() -> None:
    made = camera(width=64, height=48, features={
        "TriggerSelector": "FrameStart", "TriggerMode": True, "TriggerSource": "Software"})
    into = blank(made.open())
    made.start()
    with pytest.raises(CameraTimeout):
        made.grab(into, 0.05)
    for number in range(3):
        wait_until(lambda: value(made, "AcquisitionStatus"), PATIENCE_S, "ready for a trigger")
        made.configure({"TriggerSoftware": True})
        assert made.grab(into, 10.0).number == number
    made.close()


@emulated
def test_options_reach_the_camera_in_their_order() -> None:
    made = camera(binning=2, width=128, height=96, offset_x=32, offset_y=16,
                  features={"TestImageSelector": "Testimage1", "ReverseX": True})
    assert made.open().shape == (96, 128)
    assert {name: value(made, name) for name in (
        "BinningVertical", "OffsetX", "OffsetY", "TestImageSelector", "ReverseX")} == {
        "BinningVertical": 2, "OffsetX": 32, "OffsetY": 16, "TestImageSelector": "Testimage1",
        "ReverseX": True}
    made.close()


@emulated
def test_a_size_fits_whatever_offset_was_left_in_the_camera() -> None:
    made = camera(width=640, height=480)
    made.open()
    assert made._nodes is not None
    made._nodes.write("OffsetX", 3000)
    made.options = Options(width=4000)
    made._configure_all(made._nodes)
    assert (value(made, "Width"), value(made, "OffsetX")) == (4000, 0)
    made.close()


@emulated
def test_parameters_have_ranges_units_and_choices() -> None:
    made = camera()
    made.open()
    named = {parameter.name: parameter for parameter in parameters_of(made)}
    assert len(named) == len(parameters_of(made)) > 50
    exposure, rate, gain = named["ExposureTime"], named["AcquisitionFrameRate"], named["Gain"]
    assert (exposure.minimum, exposure.maximum, exposure.increment, exposure.unit) == (
        1, 1e7, 0.1, "us")
    assert (rate.unit, gain.unit, gain.minimum) == ("Hz", "dB", 0)
    assert named["TriggerMode"].choices == ("Off", "On")
    assert "BGRA8Packed" not in named["PixelFormat"].choices  # it cannot be recorded
    assert not named["SensorWidth"].writable
    assert not {"ExposureTimeAbs", "GainRaw", "TriggerSoftware", "GainControl"} & named.keys()
    made.close()


@emulated
def test_what_can_be_changed_while_frames_come_and_what_not() -> None:
    made = camera(width=64, height=48, AcquisitionFrameRate=200)
    into = blank(made.open())
    made.start()
    made.grab(into, 10.0)
    configure(made, {"TestImageSelector": "testimage1", "ExposureTime": "2500"}, running=True)
    assert value(made, "ExposureTime") == 2500
    before = np.zeros_like(into)
    for _ in range(100):  # this picture stands still, the one before does not
        made.grab(into, 10.0)
        if (into == before).all():
            break
        before[...] = into
    else:
        pytest.fail("the pictures stayed as they were")
    with pytest.raises(StateError, match="Width cannot be changed while recording"):
        configure(made, {"Width": 32}, running=True)
    with pytest.raises(UsageError, match="ExposureTime cannot be 0; allowed: 1 to"):
        configure(made, {"ExposureTime": 0}, running=True)
    made.stop()
    assert configure(made, {"Width": 32}, running=False).shape == (48, 32)
    made.close()
    assert made.open().shape == (48, 32)  # it comes back as it was
    assert value(made, "ExposureTime") == 2500
    made.close()


@emulated
def test_the_time_of_the_chunk_is_taken_in_the_cameras_ticks() -> None:
    """The emulation has neither clock nor chunks: what pylon would give, given by hand."""

    class ResultOfACameraWithAClock:
        TimeStamp = 5_000

        class ChunkTimestamp:
            Value = 4_000

    assert camera()._ticks(ResultOfACameraWithAClock()) == 5_000
    assert camera(MotifEnableChunkTimestamp=True)._ticks(ResultOfACameraWithAClock()) == 4_000


@emulated
def test_a_camera_that_is_pulled_out_is_lost() -> None:
    """The emulation cannot be pulled out: pylon's answer to it is put in its mouth."""
    made = camera(width=64, height=48, features={"TriggerMode": "On"})
    into = blank(made.open())
    made.start()
    made._camera = PulledOut(made._camera)
    with pytest.raises(CameraLost, match="Basler 0815-0000: the camera was unplugged or lost"):
        made.grab(into, 0.01)
    made.close()
    made.open()
    made.start()
    made.configure({"TriggerMode": "Off"})
    made.grab(into, 10.0)
    made.close()


class PulledOut:
    """A pylon camera that says it was removed."""

    def __init__(self, camera: Any) -> None:
        self._camera = camera

    def __getattr__(self, name: str) -> Any:
        return getattr(self._camera, name)

    def IsCameraDeviceRemoved(self) -> bool:
        return True


@emulated
def test_cameras_are_found_without_opening_them() -> None:
    made = camera()
    made.open()
    found = [one for one in basler.find() if one.link == "emulated"]
    made.close()
    assert [(one.serial, one.model, one.spec) for one in found] == [
        ("0815-0000", "Basler Emulation", "basler:0815-0000"),
        ("0815-0001", "Basler Emulation", "basler:0815-0001")]


def test_without_pypylon_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    basler._pylon.cache_clear()
    monkeypatch.setitem(sys.modules, "pypylon", None)
    made = camera()
    with pytest.raises(CameraError, match=r"run: pip install 'fieldrec\[basler\]'"):
        made.open()
    made.close()
    assert "pip install" in basler.find()[0].problem


def value(made: BaslerCamera, name: str) -> object:
    return next(p.value for p in made.parameters() if p.name == name)
