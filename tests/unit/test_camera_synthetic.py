"""The synthetic camera: pictures, numbers, and the faults it can be asked for."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from fieldrec.camera import Pixels, blank
from fieldrec.camera.synthetic import Options, SyntheticCamera, read_number
from fieldrec.core.errors import CameraEnded, CameraError, CameraLost, CameraTimeout
from fieldrec.core.model import FrameHeader

SMALL = {"width": 64, "height": 48, "hz": 100.0, "paced": False}


def started(**options: Any) -> tuple[SyntheticCamera, Pixels]:
    camera = SyntheticCamera("a", Options.model_validate({**SMALL, **options}))
    into = blank(camera.open())
    camera.start()
    return camera, into


def grab_all(camera: SyntheticCamera, into: Pixels) -> list[FrameHeader]:
    headers = []
    while True:
        try:
            headers.append(camera.grab(into, 1.0))
        except CameraEnded:
            return headers


@pytest.mark.parametrize(("pixel_format", "shape", "dtype"), [
    ("MONO8", (48, 64), "uint8"), ("BGR8", (48, 64, 3), "uint8"), ("MONO16", (48, 64), "uint16")])
def test_shape_is_height_first(pixel_format: str, shape: tuple[int, ...], dtype: str) -> None:
    spec = SyntheticCamera("a", Options.model_validate({**SMALL, "pixel_format": pixel_format})
                           ).open()
    assert (spec.shape, spec.dtype, spec.pixel_format) == (shape, dtype, pixel_format)


@pytest.mark.parametrize("pixel_format", ["MONO8", "BGR8", "MONO16"])
def test_each_picture_holds_its_number_and_differs(pixel_format: str) -> None:
    camera, into = started(pixel_format=pixel_format, frames=20)
    lower_halves = []
    for number in range(20):
        assert camera.grab(into, 1.0).number == number
        assert read_number(into) == number
        lower_halves.append(into[24:].copy())
    assert all((one != two).any() for one, two in
               itertools.pairwise(lower_halves))


def test_a_picture_depends_on_number_and_seed_alone() -> None:
    (one, into_one), (two, into_two), (other, into_other) = (
        started(), started(), started(seed=5))
    one.grab(into_one, 1.0)
    one.grab(into_one, 1.0)
    two.render(1, into_two)
    other.render(1, into_other)
    assert (into_one == into_two).all()
    assert (into_one[24:] != into_other[24:]).any()


def test_the_pattern_has_no_seam() -> None:
    camera, into = started(width=700, height=600)
    steps = []
    for number in (0, 127, 128, 255, 256):
        camera.render(number, into)
        body = into[300:].astype(int)
        steps.append(float(np.abs(np.diff(body, axis=1)).mean()))
    assert max(steps) < 1.1 * min(steps)


def test_times_are_the_nominal_ones() -> None:
    camera, into = started(frames=50, hz=30.0)
    headers = grab_all(camera, into)
    first_ns = headers[0].monotonic_ns
    for header in headers:
        assert header.monotonic_ns - first_ns == round(header.number * 1e9 / 30)
        assert header.device_time_ns == header.monotonic_ns - first_ns


def test_it_ends_after_the_frames_it_has_and_begins_again() -> None:
    camera, into = started(frames=3)
    assert [header.number for header in grab_all(camera, into)] == [0, 1, 2]
    camera.start()
    assert [header.number for header in grab_all(camera, into)] == [0, 1, 2]


def test_frames_fetched_too_late_are_dropped() -> None:
    camera, into = started(buffers=3)
    first = camera.grab(into, 1.0)
    pace = camera._pace
    assert pace is not None
    pace.wait(first.monotonic_ns + 200_000_000, 1.0, "test")  # twenty periods
    late = [camera.grab(into, 1.0) for _ in range(4)]
    assert [header.number for header in late] == [18, 19, 20, 21]
    assert read_number(into) == 21
    assert late[0].monotonic_ns == first.monotonic_ns + 180_000_000


def test_or_caught_up_with_if_asked() -> None:
    camera, into = started(drop_when_late=False)
    first = camera.grab(into, 1.0)
    pace = camera._pace
    assert pace is not None
    pace.wait(first.monotonic_ns + 200_000_000, 1.0, "test")
    assert [camera.grab(into, 1.0).number for _ in range(4)] == [1, 2, 3, 4]


def test_every_nth_number_can_be_missing() -> None:
    camera, into = started(drop_every=3, frames=6)
    assert [header.number for header in grab_all(camera, into)] == [0, 1, 3, 4, 6, 7]


def test_it_can_refuse_to_open_for_ever_or_for_a_while() -> None:
    never = SyntheticCamera("a", Options(fail_open=True))
    for _ in range(3):
        with pytest.raises(CameraError, match="synthetic camera a: does not open"):
            never.open()
    later = SyntheticCamera("a", Options(fail_open_times=2))
    for _ in range(2):
        with pytest.raises(CameraError):
            later.open()
    later.open()


def test_it_can_be_lost_once() -> None:
    camera, into = started(lost_after_frames=2, frames=4)
    camera.grab(into, 1.0)
    camera.grab(into, 1.0)
    for _ in range(2):
        with pytest.raises(CameraLost):
            camera.grab(into, 1.0)
    camera.stop()
    camera.close()
    camera.open()
    camera.start()
    assert len(grab_all(camera, into)) == 4


def test_a_lost_camera_stays_lost_until_it_is_opened_again() -> None:
    camera, into = started(lost_after_frames=0)
    with pytest.raises(CameraLost):
        camera.grab(into, 1.0)
    camera.start()
    with pytest.raises(CameraLost):
        camera.grab(into, 1.0)


def test_it_can_fall_silent_and_come_back() -> None:
    camera, into = started(stall_at=2, stall_s=2.5, frames=4)
    headers = [camera.grab(into, 1.0), camera.grab(into, 1.0)]
    for _ in range(2):
        with pytest.raises(CameraTimeout):
            camera.grab(into, 1.0)
    headers += grab_all(camera, into)
    assert [header.number for header in headers] == [0, 1, 2, 3]
    assert headers[2].monotonic_ns - headers[1].monotonic_ns == 2_510_000_000


def test_nothing_is_dropped_for_a_stall() -> None:
    camera, into = started(stall_at=2, stall_s=2.5, frames=4, buffers=1)
    assert [header.number for header in (camera.grab(into, 9.0) for _ in range(4))] == [0, 1, 2, 3]
