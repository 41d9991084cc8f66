"""Basler cameras in pylon's emulation, and what is said without pylon."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from fieldrec.camera import basler, blank
from fieldrec.camera.basler import BaslerCamera, BlockCounter, Options
from fieldrec.core.errors import CameraError, CameraTimeout

emulated = pytest.mark.skipif(importlib.util.find_spec("pypylon") is None,
                              reason="pypylon is not installed: pip install 'fieldrec[basler]'")
NO_BLOCK_ID = 2**64 - 1


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
    ("BAYER_RG8", (48, 64), "uint8")])
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
    assert made._get(("ExposureTime",), 0) == 1500
    assert made._get(("Gain",), 0) == pytest.approx(6, abs=0.2)
    made.close()
    assert Options.model_validate({"hz": 40}).AcquisitionFrameRate == 40


@emulated
def test_incomplete_frames_are_gaps_in_the_numbers() -> None:
    made = camera(width=64, height=48, AcquisitionFrameRate=500)
    into = blank(made.open())
    made._set(("ForceFailedBufferCount",), 3)
    made.start()
    made.grab(into, 10.0)
    made._node(("ForceFailedBuffer",)).Execute()
    numbers = [made.grab(into, 10.0).number for _ in range(40)]
    made.close()
    assert numbers[-1] == 43
    assert len(set(numbers)) == 40


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
     "Basler 0815-0000: AcquisitionFrameRate cannot be 99999; allowed: 0.01 to 5000"),
    ("0815-0000", {"ExposureTime": 0.5},
     "Basler 0815-0000: ExposureTime cannot be 0.5; allowed: 1 to 1e+07"),
    ("0815-0000", {"width": 100000},
     "Basler 0815-0000: Width cannot be 100000; allowed: 1 to 4096"),
])
def test_what_the_camera_cannot_do(serial: str, options: dict[str, Any], message: str) -> None:
    made = camera(serial, **options)
    with pytest.raises(CameraError) as error:
        made.open()
    made.close()
    assert str(error.value) == message


@emulated
def test_a_format_it_lacks_is_refused_with_those_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(basler._FORMATS, "BGR8", (("BGR99",), "uint8"))
    made = camera(pixel_format="BGR8")
    with pytest.raises(CameraError, match="PixelFormat cannot be BGR99; the camera offers: Mono8"):
        made.open()
    made.close()


def test_without_pypylon_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    basler._pylon.cache_clear()
    monkeypatch.setitem(sys.modules, "pypylon", None)
    made = camera()
    with pytest.raises(CameraError, match=r"run: pip install 'fieldrec\[basler\]'"):
        made.open()
    made.close()


def test_numbers_run_on_when_sixteen_bits_are_full() -> None:
    blocks = BlockCounter()
    raw = [65533, 65534, 65535, 1, 2, 65535, 1]
    assert [blocks.number(value) for value in raw] == [
        65533, 65534, 65535, 65536, 65537, 131070, 131071]


def test_a_gap_across_the_wrap_is_a_gap() -> None:
    blocks = BlockCounter()
    assert [blocks.number(value) for value in (65530, 4)] == [65530, 65539]


def test_numbers_of_more_bits_do_not_wrap() -> None:
    blocks = BlockCounter()
    assert [blocks.number(value) for value in (0, 65535, 65536, 10**12)] == [
        0, 65535, 65536, 10**12]


def test_frames_without_block_id_are_counted() -> None:
    blocks = BlockCounter()
    assert [blocks.number(NO_BLOCK_ID) for _ in range(3)] == [0, 1, 2]
    assert blocks.skip() == 3
    assert blocks.number(NO_BLOCK_ID) == 4
