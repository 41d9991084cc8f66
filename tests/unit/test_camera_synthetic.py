"""The synthetic camera: pictures, numbers, and the faults it can be asked for."""

from __future__ import annotations

import itertools
from typing import Any, get_args

import numpy as np
import pytest

from fieldrec.camera import Pixels, blank
from fieldrec.camera.parameters import check_value, configure
from fieldrec.camera.synthetic import Options, SyntheticCamera, find, read_number, read_time_us
from fieldrec.camera.synthetic_picture import Pictures, PixelFormat, Scene
from fieldrec.core.errors import (
    CameraEnded,
    CameraError,
    CameraLost,
    CameraTimeout,
    UsageError,
)
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


# -- formats and what is burnt in ------------------------------------------------------------------

@pytest.mark.parametrize("pixel_format", get_args(PixelFormat))
def test_every_format_holds_number_and_time_and_stays_within_its_bits(pixel_format: str) -> None:
    camera, into = started(pixel_format=pixel_format, frames=3, hz=7.0, burst=1)
    bits = int("".join(filter(str.isdigit, pixel_format)))
    for number in range(3):
        header = camera.grab(into, 1.0)
        assert header.device_time_ns is not None
        assert (read_number(into), read_time_us(into)) == (number, header.device_time_ns // 1000)
        assert into.max() == 2 ** bits - 1
        assert into.dtype == ("uint8" if bits == 8 else "uint16")


@pytest.mark.parametrize("order", ["RG", "GR", "GB", "BG"])
@pytest.mark.parametrize("number", [0, 1, 7])
def test_a_mosaic_has_the_colours_of_the_colour_picture(order: str, number: int) -> None:
    camera, mosaic = started(width=640, height=480, burn="none", pixel_format=f"BAYER_{order}8")
    camera.render(number, mosaic)
    # it moves down twice as fast: by odd steps its colours would change places
    scene = Scene(480, 640, offset_y=number, pixel_format="BGR8", burn="none")
    colour = np.zeros((480, 640, 3), np.uint8)
    Pictures(scene).draw(number, 0, colour)
    quads = {"RG": "RGGB", "BG": "BGGR", "GR": "GRBG", "GB": "GBRG"}
    for place, name in enumerate(quads[order]):
        at = (slice(place // 2, None, 2), slice(place % 2, None, 2))
        assert (mosaic[at] == colour[..., "BGR".index(name)][at]).all()


def test_nothing_is_burnt_in_if_asked() -> None:
    camera, into = started(burn="none")
    camera.grab(into, 1.0)
    assert read_number(into) is read_time_us(into) is None
    camera, into = started(burn="number")
    camera.grab(into, 1.0)
    assert read_number(into) == 0
    assert read_time_us(into) is None


def test_a_blob_moves_only_when_it_shall() -> None:
    camera, into = started(width=320, height=240, burn="none", moves=[(3, 6), (8, 9)])
    moved, before = [], None
    for number in range(11):
        camera.grab(into, 1.0)
        if before is not None and (into != before).any():
            moved.append(number)
        before = into.copy()
    assert moved == [4, 5, 6, 9]  # the move of frame n shows in the one after it


# -- faults ----------------------------------------------------------------------------------------

def test_a_burst_comes_together_when_its_last_frame_is_due() -> None:
    camera, into = started(burst=4, frames=8, hz=100.0)
    headers = grab_all(camera, into)
    origin_ns = headers[0].monotonic_ns - 30_000_000
    assert [header.monotonic_ns - origin_ns for header in headers] == [
        30_000_000, 30_001_000, 30_002_000, 30_003_000,
        70_000_000, 70_001_000, 70_002_000, 70_003_000]
    assert [header.device_time_ns for header in headers] == [n * 10_000_000 for n in range(8)]


def test_frames_may_jitter_but_keep_their_order() -> None:
    camera, into = started(jitter_s=0.03, frames=200, hz=100.0, drop_when_late=False)
    headers = grab_all(camera, into)
    times = [header.monotonic_ns for header in headers]
    late = [time_ns - times[0] - 10_000_000 * n for n, time_ns in enumerate(times)]
    assert times == sorted(times)
    assert len(set(times)) == 200
    assert max(late) - min(late) > 15_000_000
    assert max(late) < 30_000_000
    assert [header.device_time_ns for header in headers] == [n * 10_000_000 for n in range(200)]


def test_a_timeout_does_not_change_when_a_late_frame_comes() -> None:
    camera, into = started(jitter_s=0.5, hz=1.0)
    camera.grab(into, 1.0)
    pace = camera._pace
    assert pace is not None
    with pytest.raises(CameraTimeout):
        camera.grab(into, 0.2)
    other, other_into = started(jitter_s=0.5, hz=1.0)
    other.grab(other_into, 1.0)
    one, two = camera.grab(into, 9.0), other.grab(other_into, 9.0)
    assert one.monotonic_ns - camera._origin_ns == two.monotonic_ns - other._origin_ns


def test_a_picture_of_another_size_is_an_error_that_opening_helps() -> None:
    camera, into = started(wrong_size_at=2, height=96)
    camera.grab(into, 1.0)
    camera.grab(into, 1.0)
    with pytest.raises(CameraError, match=r"sent a picture of 64x48, not 64x96.*close and open it"):
        camera.grab(into, 1.0)
    camera.close()
    spec = camera.open()
    assert spec.shape == (48, 64)
    camera.start()
    assert [camera.grab(blank(spec), 1.0).number for _ in range(4)] == [0, 1, 2, 3]


def test_it_can_be_unplugged_at_a_time_and_come_back_later() -> None:
    camera, into = started(lost_after_s=0.1, lost_times=2, back_after_opens=2, hz=100.0)
    for _ in range(2):
        numbers = []
        with pytest.raises(CameraLost):
            while True:
                numbers.append(camera.grab(into, 1.0).number)
        assert numbers == list(range(11))
        camera.close()
        for _ in range(2):
            with pytest.raises(CameraError, match="does not open"):
                camera.open()
        camera.open()
        camera.start()
    assert [camera.grab(into, 1.0).number for _ in range(30)] == list(range(30))


def test_it_stays_away_for_a_time() -> None:
    camera, into = started(lost_after_frames=0, back_after_s=1000.0)
    with pytest.raises(CameraLost):
        camera.grab(into, 1.0)
    with pytest.raises(CameraError, match="still away"):
        camera.open()
    camera._away_until_ns = 0
    camera.open()


# -- parameters ------------------------------------------------------------------------------------

def values_of(camera: SyntheticCamera) -> dict[str, Any]:
    return {one.name: one.value for one in camera.parameters()}


def test_exposure_and_gain_make_it_brighter_up_to_white() -> None:
    camera, into = started(width=320, height=240, test_pattern="Still", hz=10.0)
    levels = []
    for values in ({}, {"Gain": 6.0}, {"Gain": 0.0, "ExposureTime": 5000.0}, {"Gain": 24.0}):
        configure(camera, values, running=True)
        camera.grab(into, 1.0)
        levels.append(into[100:180].mean())
        assert read_number(into) is not None
    assert levels[1] == pytest.approx(levels[0] * 1.995, rel=0.25)
    assert levels[2] == pytest.approx(levels[0] / 2, abs=1)
    assert levels[3] > 200


def test_the_rate_can_be_changed_while_it_runs_and_times_run_on() -> None:
    camera, into = started(hz=100.0)
    headers = [camera.grab(into, 1.0) for _ in range(3)]
    assert configure(camera, {"AcquisitionFrameRate": 50}, running=True).nominal_hz == 50
    headers += [camera.grab(into, 1.0) for _ in range(3)]
    configure(camera, {"AcquisitionFrameRate": 1000}, running=True)
    headers += [camera.grab(into, 1.0) for _ in range(3)]
    gaps = [(two.monotonic_ns - one.monotonic_ns) // 1_000_000
            for one, two in itertools.pairwise(headers)]
    assert gaps == [10, 10, 10, 20, 20, 20, 1, 1]
    assert [header.number for header in headers] == list(range(9))
    assert read_time_us(into) == (headers[-1].device_time_ns or 0) // 1000
    assert values_of(camera)["ExposureTime"] == 1000


def test_a_part_of_the_sensor_is_where_the_offset_says() -> None:
    whole, all_of_it = started(width=320, height=240, burn="none")
    camera, _ = started(width=320, height=240, burn="none")
    spec = configure(camera, {"Width": 100, "Height": 80, "OffsetX": 60, "OffsetY": 20},
                     running=False)
    assert spec.shape == (80, 100)
    part = blank(spec)
    for number in (0, 5):
        camera.render(number, part)
        whole.render(number, all_of_it)
        assert (part == all_of_it[20:100, 60:160]).all()


def test_opening_it_sets_back_what_was_changed() -> None:
    camera, _ = started()
    before = camera.parameters()
    configure(camera, {"Gain": 3, "PixelFormat": "BGR8"}, running=False)
    camera.close()
    with pytest.raises(CameraError, match="parameters before open"):
        camera.parameters()
    camera.open()
    assert camera.parameters() == before


def test_odd_sensors_have_odd_sizes() -> None:
    camera, _ = started(width=65, height=49)
    for one in camera.parameters():
        if one.writable:
            assert check_value(one, one.value) == one.value
    with pytest.raises(UsageError, match="65 to 65 px, in steps of 2"):
        configure(camera, {"Width": 64}, running=False)


def test_it_is_found() -> None:
    found, = find()
    assert (found.backend, found.spec) == ("synthetic", "synthetic")
    assert "BAYER_RG8" in found.formats
