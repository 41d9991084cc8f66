"""Crop, scale, rotation, flip: against plain numpy, in every pixel format; mosaics keep colours."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fieldrec.core.errors import JobRefused
from fieldrec.core.model import FrameSpec
from fieldrec.export.geometry import geometry
from fieldrec.export.presets import Geometry

Pixels = NDArray[Any]
COLOURS = {"RG": "RGGB", "BG": "BGGR", "GR": "GRBG", "GB": "GBRG"}
FORMATS = ["MONO8", "MONO12", "MONO16", "BGR8", "RGB8", "BAYER_RG8", "BAYER_GB12"]


def spec_of(pixel_format: str, high: int = 23, wide: int = 30) -> FrameSpec:
    shape = (high, wide, 3) if pixel_format in ("BGR8", "RGB8") else (high, wide)
    return FrameSpec(shape, "uint8" if pixel_format.endswith("8") else "uint16", pixel_format, 25.0)


def picture_of(spec: FrameSpec) -> Pixels:
    full = 256 if spec.dtype == "uint8" else 4096
    return np.random.default_rng(0).integers(0, full, spec.shape).astype(spec.dtype)


def plain(picture: Pixels, wanted: Geometry) -> Pixels:
    """By numpy, one step after the other, without scaling."""
    if wanted.crop is not None:
        x, y, width, height = wanted.crop
        picture = picture[y:y + height, x:x + width]
    picture = np.rot90(picture, -wanted.rotate // 90)
    if wanted.flip in ("horizontal", "both"):
        picture = picture[:, ::-1]
    return picture[::-1] if wanted.flip in ("vertical", "both") else picture


@pytest.mark.parametrize("pixel_format", FORMATS)
def test_every_cut_and_turn_is_what_numpy_makes_of_it(pixel_format: str) -> None:
    spec = spec_of(pixel_format)
    picture = picture_of(spec)
    before = picture.copy()
    for crop, rotate, flip in itertools.product(
            [None, (3, 4, 16, 10), (0, 1, 7, 5)], [0, 90, 180, 270],
            ["none", "horizontal", "vertical", "both"]):
        wanted = Geometry(crop, rotate=rotate, flip=flip)
        way = geometry(spec, wanted)
        made = way.apply(picture)
        assert np.array_equal(made, plain(picture, wanted))
        assert made.flags.c_contiguous
        assert (made.shape, made.dtype.name) == (way.spec.shape, way.spec.dtype)
        assert bool(way.rules) == (crop is not None or not np.array_equal(made, picture))
    assert np.array_equal(picture, before)


@pytest.mark.parametrize("mosaic", COLOURS)
def test_a_mosaic_keeps_its_colours(mosaic: str) -> None:
    """Each pixel's value is its colour, told by the mosaic's name."""
    high, wide = 7, 9

    def coloured(name: str, shape: tuple[int, ...]) -> Pixels:
        quad = np.array([ord(colour) for colour in COLOURS[name]], np.uint8).reshape(2, 2)
        return np.tile(quad, (shape[0], shape[1]))[:shape[0], :shape[1]]

    for x, y, rotate, flip in itertools.product(range(2), range(2), [0, 90, 180, 270],
                                                ["none", "horizontal", "vertical", "both"]):
        wanted = Geometry((x, y, wide - x, high - y), rotate=rotate, flip=flip)
        way = geometry(spec_of(f"BAYER_{mosaic}8", high, wide), wanted)
        made = way.apply(coloured(mosaic, (high, wide)))
        assert np.array_equal(made, coloured(way.spec.pixel_format[6:8], made.shape))
        assert way.spec.pixel_format in way.rules["mosaic"]


def test_scaling_takes_the_mean_of_what_becomes_one_pixel() -> None:
    spec = spec_of("MONO16", 20, 40)
    way = geometry(spec, Geometry(scale=0.25))
    picture = picture_of(spec)
    means = picture.reshape(5, 4, 10, 4).mean(axis=(1, 3))
    assert way.spec.shape == (5, 10)
    assert np.abs(way.apply(picture) - means).max() <= 0.5
    assert way.rules == {"scale": "40x20 to 10x5, area means"}


@pytest.mark.parametrize(("wanted", "shape"), [
    (Geometry(width=20), (10, 20)), (Geometry(height=5), (5, 10)),
    (Geometry(width=30, height=4), (4, 30)), (Geometry(scale=0.01), (1, 1)),
    (Geometry((0, 0, 20, 10), width=10, rotate=90), (10, 5)),
])
def test_sides_that_are_not_given_follow(wanted: Geometry, shape: tuple[int, int]) -> None:
    spec = spec_of("BGR8", 20, 40)
    way = geometry(spec, wanted)
    assert way.spec.shape == (*shape, 3)
    assert way.apply(picture_of(spec)).shape == (*shape, 3)


@pytest.mark.parametrize("bits", [8, 12])
def test_a_mosaic_that_is_scaled_is_developed_first(bits: int) -> None:
    """A red scene stays red, whose mosaic is dark but for every fourth pixel."""
    spec = spec_of(f"BAYER_GR{bits}", 16, 16)
    scene = np.zeros((16, 16), spec.dtype)
    scene[0::2, 1::2] = 200 << (bits - 8)
    way = geometry(spec, Geometry((0, 0, 16, 16), scale=0.5, flip="horizontal"))
    made = way.apply(scene)
    assert (way.spec.pixel_format, way.spec.dtype, made.shape) == ("BGR8", "uint8", (8, 8, 3))
    assert np.array_equal(made[4, 4], [0, 0, 200])
    assert f"BAYER_GR{bits}, bilinear" in way.rules["demosaic"]
    assert "mosaic" not in way.rules


def test_nothing_wanted_is_nothing_done() -> None:
    picture = np.zeros((4, 4), np.float32)
    spec = FrameSpec((4, 4), "float32", "DEPTH32", 25.0)
    for wanted in (None, Geometry()):
        way = geometry(spec, wanted)
        assert way.apply(picture) is picture
        assert (way.spec, way.rules) == (spec, {})


def test_grey_with_a_channel_of_its_own() -> None:
    way = geometry(spec_of("MONO8", 6, 8), Geometry(rotate=90))
    assert way.apply(np.zeros((6, 8, 1), np.uint8)).shape == (8, 6)


@pytest.mark.parametrize(("wanted", "said"), [
    (Geometry((0, 0, 31, 5)), r"geometry.crop: .*\[0, 0, 31, 5\] is not within .* 30x23$"),
    (Geometry((-1, 0, 5, 5)), "not within"),
    (Geometry(width=31), "31x24 is larger than the picture of 30x23"),
    (Geometry((0, 0, 8, 8), scale=1.5), "12x12 is larger"),
])
def test_what_cannot_be_is_refused(wanted: Geometry, said: str) -> None:
    with pytest.raises(JobRefused, match=said):
        geometry(spec_of("MONO8"), wanted)
    with pytest.raises(JobRefused, match=r"H264 .*can only be exported as they are"):
        geometry(FrameSpec((23, 30), "uint8", "H264", 25.0), wanted)
