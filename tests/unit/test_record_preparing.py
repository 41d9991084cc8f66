"""Preparing frames: against plain numpy, for every order of everything; numbers, times, memory."""

from __future__ import annotations

import itertools
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from fieldrec.camera import Camera, Pixels, blank
from fieldrec.camera.parameters import Configurable, configure, parameters_of
from fieldrec.camera.synthetic import Options, SyntheticCamera
from fieldrec.config.recording import PrepareConfig
from fieldrec.core.errors import CameraError, CameraTimeout, StateError, UsageError
from fieldrec.core.model import FrameHeader, FrameSpec
from fieldrec.record.picture_plan import PicturePlan
from fieldrec.record.preparing import FLIP, ROTATE, prepared

MOSAICS = {"RG": "RGGB", "BG": "BGGR", "GR": "GRBG", "GB": "GBRG"}


class OnePicture:
    """A camera that gives one picture again and again, with the numbers it is told."""

    def __init__(self, picture: Pixels, pixel_format: str, numbers: Any = None) -> None:
        self.picture = picture
        self.spec = FrameSpec(picture.shape, picture.dtype.name, pixel_format, 30.0)
        self._numbers = iter(itertools.count() if numbers is None else numbers)
        self.closed = False

    def open(self) -> FrameSpec:
        self.closed = False
        return self.spec

    def start(self) -> None:
        pass

    def grab(self, into: Pixels, timeout_s: float) -> FrameHeader:
        number = next(self._numbers, None)
        if number is None:
            raise CameraTimeout("no more")
        into[...] = self.picture
        return FrameHeader(number, number * 1000, device_time_ns=number * 7)

    def stop(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True


def picture_of(shape: tuple[int, ...], dtype: str, seed: int = 0) -> Pixels:
    full = np.iinfo(dtype).max + 1
    return np.random.default_rng(seed).integers(0, full, shape, dtype=dtype)


def plain(picture: Pixels, config: PrepareConfig) -> Pixels:
    """What comes out, by numpy alone and one step after the other."""
    dtype = picture.dtype
    if config.region is not None:
        x, y, width, height = config.region
        picture = picture[y:y + height, x:x + width]
    if config.binning != 1:
        n = config.binning
        high, wide = picture.shape[0] // n, picture.shape[1] // n
        bins = picture[:high * n, :wide * n].reshape(high, n, wide, n, *picture.shape[2:])
        picture = bins.mean(axis=(1, 3))
    if config.scale != 1:
        picture = averaged(np.rint(picture), config.scale)
    if config.grey and picture.ndim == 3:
        picture = np.rint(picture) @ np.array([0.114, 0.587, 0.299])
    picture = np.rot90(picture, -config.rotate // 90)
    if config.flip in ("horizontal", "both"):
        picture = picture[:, ::-1]
    if config.flip in ("vertical", "both"):
        picture = picture[::-1]
    return np.rint(picture).astype(dtype)


def averaged(picture: Pixels, scale: float) -> Pixels:
    """Each pixel is the mean of the area it covers."""
    for axis in (0, 1):
        length = picture.shape[axis]
        made = max(1, int(length * scale + 0.5))
        edges = np.linspace(0, length, made + 1)
        sums = np.concatenate([np.zeros_like(picture.take([0], axis), float),
                               np.cumsum(picture, axis=axis, dtype=float)], axis=axis)
        at = np.minimum(edges.astype(int), length - 1)
        part = (edges - at).reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))[..., :1]
        part = part if picture.ndim == 3 else part[..., 0]
        until = sums.take(at, axis) + part * picture.take(at, axis)
        picture = np.diff(until, axis=axis) * made / length
    return picture


def one_frame(camera: Camera) -> tuple[FrameSpec, Pixels]:
    spec = camera.open()
    into = np.full(spec.shape, 77, spec.dtype)
    camera.start()
    camera.grab(into, 1.0)
    return spec, into


@some.composite
def wishes(draw: Any) -> tuple[tuple[int, ...], str, PrepareConfig]:
    high, wide = draw(some.integers(16, 60)), draw(some.integers(16, 60))
    region = None
    if draw(some.booleans()):
        x, y = draw(some.integers(0, wide - 9)), draw(some.integers(0, high - 9))
        region = (x, y, draw(some.integers(8, wide - x)), draw(some.integers(8, high - y)))
    config = PrepareConfig(
        region=region, binning=draw(some.sampled_from([1, 2, 4, 8])),
        scale=draw(some.one_of(some.just(1.0), some.floats(0.1, 0.99))),
        grey=draw(some.booleans()), rotate=draw(some.sampled_from([0, 90, 180, 270])),
        flip=draw(some.sampled_from(["none", "horizontal", "vertical", "both"])))
    shape = (high, wide, 3) if draw(some.booleans()) else (high, wide)
    return shape, draw(some.sampled_from(["uint8", "uint16"])), config


@settings(max_examples=150, deadline=None)
@given(wishes())
def test_every_combination_is_what_numpy_makes_of_it(
        wish: tuple[tuple[int, ...], str, PrepareConfig]) -> None:
    shape, dtype, config = wish
    picture = picture_of(shape, dtype)
    name = ("BGR" if len(shape) == 3 else "MONO") + ("8" if dtype == "uint8" else "16")
    spec, made = one_frame(prepared(OnePicture(picture, name), config))
    wanted = plain(picture, config)
    assert spec.shape == made.shape == wanted.shape
    assert spec.pixel_format == name.replace("BGR", "BGR" if len(spec.shape) == 3 else "MONO")
    steps = (config.binning != 1) + 2 * (config.scale != 1) + config.grey
    off = np.abs(made.astype(int) - wanted.astype(int)).max()
    # halves are rounded up here and to even there; OpenCV's weights are 1/2^14 apart from ours
    assert off <= steps * (1 if dtype == "uint8" else 3)


@settings(max_examples=60, deadline=None)
@given(wishes(), some.sampled_from(sorted(MOSAICS)), some.sampled_from(["8", "12", "16"]))
def test_a_mosaic_keeps_its_colours(wish: tuple[tuple[int, ...], str, PrepareConfig], order: str,
                                    bits: str) -> None:
    (high, wide, *_), _, config = wish
    config = config.model_copy(update={"binning": 1, "scale": 1.0, "grey": False})
    pattern = np.array([ord(colour) for colour in MOSAICS[order]], np.uint8).reshape(2, 2)
    picture = np.tile(pattern, (high, wide))[:high, :wide].astype("uint8" if bits == "8"
                                                                  else "uint16")
    spec, made = one_frame(prepared(OnePicture(picture, f"BAYER_{order}{bits}"), config))
    assert spec.pixel_format.startswith("BAYER_")
    assert spec.pixel_format.endswith(bits)
    told = MOSAICS[spec.pixel_format[6:8]]
    assert "".join(map(chr, made[:2, :2].ravel())) == told
    assert (made == plain(picture, config)).all()


@pytest.mark.parametrize("binning", [2, 4, 8])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_a_bin_is_the_mean(binning: int, dtype: str) -> None:
    picture = picture_of((64, 48), dtype)
    _, made = one_frame(prepared(OnePicture(picture, "MONO8"),
                                 PrepareConfig.model_validate({"binning": binning})))
    sums = picture.reshape(64 // binning, binning, 48 // binning, binning).astype(int).sum((1, 3))
    assert np.abs(made - sums / binning**2).max() <= 0.5


def test_what_does_not_fill_a_bin_is_cut_off_right_and_below() -> None:
    picture = np.zeros((11, 9), np.uint8)
    picture[8:], picture[:, 8:] = 255, 255
    _, made = one_frame(prepared(OnePicture(picture, "MONO8"), PrepareConfig(binning=4)))
    assert made.shape == (2, 2)
    assert not made.any()


@pytest.mark.parametrize(("rotate", "corner"), [(0, (0, 0)), (90, (0, -1)), (180, (-1, -1)),
                                                (270, (-1, 0))])
def test_rotation_is_clockwise(rotate: int, corner: tuple[int, int]) -> None:
    picture = np.zeros((10, 20), np.uint8)
    picture[0, 0] = 200
    camera = prepared(OnePicture(picture, "MONO8"),
                      PrepareConfig.model_validate({"rotate": rotate, "every_nth": 2}))
    _, made = one_frame(camera)
    assert made[corner] == 200
    assert np.count_nonzero(made) == 1


def test_a_flip_follows_the_rotation() -> None:
    picture = np.zeros((10, 20), np.uint8)
    picture[0, 0] = 200
    _, made = one_frame(prepared(OnePicture(picture, "MONO8"),
                                 PrepareConfig(rotate=90, flip="horizontal")))
    assert made[0, 0] == 200


@pytest.mark.parametrize(("config", "says"), [
    ({"region": [600, 0, 41, 10]}, "prepare.region: [x, y, width, height] = [600, 0, 41, 10] is "
                                   "not within the camera's picture of 640x480"),
    ({"region": [0, -1, 4, 4]}, "not within"), ({"region": [0, 0, 0, 4]}, "not within"),
    ({"region": [0, 0, 7, 20], "binning": 8}, "8 is more than the picture of 7x20 has")])
def test_what_cannot_be_is_said_with_the_pictures_size(config: dict[str, Any], says: str) -> None:
    inside = OnePicture(np.zeros((480, 640), np.uint8), "MONO8")
    with pytest.raises(CameraError) as caught:
        prepared(inside, PrepareConfig.model_validate(config)).open()
    assert says in str(caught.value)
    assert inside.closed


@pytest.mark.parametrize("key", ["binning", "scale", "grey"])
def test_colours_of_a_mosaic_are_not_mixed(key: str) -> None:
    config = PrepareConfig.model_validate({key: {"binning": 2, "scale": 0.5, "grey": True}[key]})
    with pytest.raises(CameraError, match=rf"prepare\.{key}: mixes .*BAYER_RG8.*MONO8 or BGR8"):
        prepared(OnePicture(np.zeros((48, 64), np.uint8), "BAYER_RG8"), config).open()


@pytest.mark.parametrize("pixel_format", ["H264", "MJPEG"])
@pytest.mark.parametrize("config", [{"every_nth": 2}, {"rotate": 90}])
def test_packets_are_stored_as_they_come(pixel_format: str, config: dict[str, Any]) -> None:
    camera = prepared(OnePicture(np.zeros((48, 64, 3), np.uint8), pixel_format),
                      PrepareConfig.model_validate(config))
    with pytest.raises(CameraError, match=f"gives {pixel_format} packets"):
        camera.open()


def test_formats_that_are_not_understood_are_left_alone_or_refused() -> None:
    odd = OnePicture(np.zeros((72, 64), np.uint8), "YUV_NV12")
    assert prepared(odd, PrepareConfig(every_nth=3)).open().shape == (72, 64)
    with pytest.raises(CameraError, match=r"YUV_NV12 .* can only be stored as they are"):
        prepared(odd, PrepareConfig(rotate=90)).open()


@pytest.mark.parametrize("config", [{"grey": True}, {"rotate": 180, "flip": "both"}])
def test_what_changes_nothing_copies_nothing(config: dict[str, Any]) -> None:
    plan = PicturePlan(FrameSpec((48, 64), "uint8", "MONO8", 30.0),
                       PrepareConfig.model_validate(config))
    assert plan.source is None
    assert plan.spec.pixel_format == "MONO8"


def test_with_nothing_to_do_frames_are_the_cameras_own() -> None:
    camera = OnePicture(np.zeros((4, 4), np.uint8), "MONO8")
    around = prepared(camera, PrepareConfig(rotate=180, flip="both"))
    assert around.open() == camera.open()
    assert around.grab == camera.grab
    configure(around, {FLIP: "none"}, running=False)
    assert around.grab != camera.grab
    configure(around, {ROTATE: 0}, running=True)
    assert around.grab == camera.grab


@pytest.mark.parametrize("pixel_format", ["H264", "MJPEG", "YUV_NV12"])
def test_what_cannot_be_turned_is_not_offered_to_be(pixel_format: str) -> None:
    around = prepared(OnePicture(np.zeros((48, 64, 3), np.uint8), pixel_format), PrepareConfig())
    assert parameters_of(around) == ()
    around.open()
    assert parameters_of(around) == ()
    with pytest.raises(UsageError, match="no parameter"):
        configure(around, {ROTATE: 180}, running=False)


def test_one_of_every_n_frames_is_kept_with_its_own_time() -> None:
    numbers = [2, 3, 4, 5, 6, 7, 8, 13, 17, 18, 0, 1]  # 9 to 12 were dropped; then it begins anew
    camera = prepared(OnePicture(np.zeros((4, 4), np.uint8), "MONO8", numbers),
                      PrepareConfig(every_nth=3))
    spec = camera.open()
    assert spec.nominal_hz == 10.0
    camera.start()
    into = blank(spec)
    headers = [camera.grab(into, 1.0) for _ in range(7)]
    assert [header.number for header in headers] == [0, 1, 2, 4, 5, 6, 0]
    assert [header.monotonic_ns for header in headers] == [2000, 3000, 6000, 13000, 17000, 18000, 0]
    assert headers[1].device_time_ns == 21
    with pytest.raises(CameraTimeout):
        camera.grab(into, 0.01)


def test_frames_that_are_not_kept_do_not_prolong_the_wait() -> None:
    inside = SyntheticCamera("a", Options(width=64, height=48, hz=100, paced=False))
    camera = prepared(inside, PrepareConfig(every_nth=1_000_000))
    into = blank(camera.open())
    camera.start()
    assert camera.grab(into, 1.0).number == 0
    with pytest.raises(CameraTimeout):
        camera.grab(into, 0.02)
    camera.close()


def test_nothing_is_allocated_for_a_frame() -> None:
    config = PrepareConfig(every_nth=2, region=(3, 5, 500, 300), binning=2, scale=0.7, grey=True,
                           rotate=90, flip="vertical")
    camera = prepared(OnePicture(picture_of((400, 600, 3), "uint8"), "BGR8"), config)
    into = blank(camera.open())
    camera.start()
    camera.grab(into, 1.0)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        for _ in range(20):
            camera.grab(into, 1.0)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak - before < 4000  # the picture has 720,000 bytes, the prepared one 18,000


# -- parameters ------------------------------------------------------------------------------------

def test_the_rotation_can_be_set_like_motifs_parameter() -> None:
    picture = picture_of((10, 20), "uint8")
    camera = prepared(OnePicture(picture, "MONO8"), PrepareConfig(flip="vertical"))
    camera.open()
    assert isinstance(camera, Configurable)
    spec = configure(camera, {ROTATE: 90}, running=False)
    assert spec.shape == (20, 10)
    into = blank(spec)
    camera.start()
    camera.grab(into, 1.0)
    assert (into == np.rot90(picture, -1)[::-1]).all()
    assert configure(camera, {ROTATE: "270"}, running=True).shape == (20, 10)
    camera.grab(into, 1.0)
    assert (into == np.rot90(picture, 1)[::-1]).all()
    with pytest.raises(StateError, match="MotifImageRotate 0 gives pictures of another shape"):
        configure(camera, {ROTATE: 0}, running=True)
    assert [(one.name, one.value) for one in parameters_of(camera)] == [(ROTATE, 270),
                                                                        (FLIP, "vertical")]
    configure(camera, {FLIP: "none"}, running=True)
    camera.grab(into, 1.0)
    assert (into == np.rot90(picture, 1)).all()
    with pytest.raises(UsageError, match="horizontal"):
        configure(camera, {FLIP: "diagonal"}, running=True)
    with pytest.raises(UsageError, match="0 to 270 deg, in steps of 90"):
        configure(camera, {ROTATE: 45}, running=True)


def test_a_mosaic_is_not_turned_while_recording() -> None:
    camera = prepared(OnePicture(picture_of((10, 10), "uint8"), "BAYER_RG8"),
                      PrepareConfig(flip="vertical"))
    camera.open()
    camera.start()
    with pytest.raises(StateError, match=r"MotifImageRotate 180 gives .* another shape or format"):
        configure(camera, {ROTATE: 180}, running=True)
    with pytest.raises(StateError, match="ImageFlip none gives"):
        configure(camera, {FLIP: "none"}, running=True)


def test_other_parameters_are_the_cameras_and_its_pictures_are_planned_anew() -> None:
    inside = SyntheticCamera("a", Options(width=128, height=96, hz=100, paced=False))
    camera = prepared(inside, PrepareConfig(every_nth=4, region=(64, 0, 64, 48)))
    assert camera.open().nominal_hz == 25.0
    names = [one.name for one in parameters_of(camera)]
    assert names[-2:] == [ROTATE, FLIP]
    assert {"Width", "AcquisitionFrameRate"} <= set(names)
    assert configure(camera, {"AcquisitionFrameRate": 40, ROTATE: 90}, running=False) == FrameSpec(
        (64, 48), "uint8", "MONO8", 10.0)
    with pytest.raises(CameraError, match=r"not within the camera's picture of 64x96"):
        configure(camera, {"Width": 64}, running=False)
    assert {one.name: one.value for one in parameters_of(camera)}["Width"] == 128
    camera.start()
    into = np.full((64, 48), 3, np.uint8)
    camera.grab(into, 1.0)
    assert not (into == 3).any()
