"""Pictures: range, matrix, padding and depth are what the sidecar says."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from fieldrec.core.errors import JobRefused
from fieldrec.core.model import FrameSpec
from fieldrec.export.looks import GRID, LossyLooks, on_grid
from fieldrec.export.pictures import pictures_for, plane
from fieldrec.export.pictures_lossy import LossyPictures
from fieldrec.export.presets import preset

BARS_BGR = [(255, 255, 255), (0, 255, 255), (255, 255, 0), (0, 255, 0), (255, 0, 255), (0, 0, 255),
            (255, 0, 0), (0, 0, 0), (128, 128, 128), (30, 60, 200)]


def spec_of(pixel_format: str, *shape: int, dtype: str = "uint8") -> FrameSpec:
    return FrameSpec(shape, dtype, pixel_format, 30.0)


@pytest.mark.parametrize(("lines", "name", "red", "blue"), [
    (480, "bt601", 0.299, 0.114), (720, "bt709", 0.2126, 0.0722)])
@pytest.mark.parametrize("pixel_format", ["BGR8", "RGB8"])
def test_colour_bars_have_the_values_of_the_standard(pixel_format: str, lines: int, name: str,
                                                    red: float, blue: float) -> None:
    pictures = LossyPictures(spec_of(pixel_format, lines, 32 * len(BARS_BGR), 3))
    bars = np.repeat(np.array([BARS_BGR], np.uint8), 32, axis=1).repeat(lines, axis=0)
    given = bars if pixel_format == "BGR8" else bars[..., ::-1]
    picture = pictures.convert(np.ascontiguousarray(given))
    assert pictures.rules()["matrix"] == name
    for index, (b, g, r) in enumerate(np.array(BARS_BGR) / 255):
        luma = red * r + (1 - red - blue) * g + blue * b
        expected = (16 + 219 * luma, 128 + 112 * (b - luma) / (1 - blue),
                    128 + 112 * (r - luma) / (1 - red))
        found = (plane(picture, 0)[lines // 2, 32 * index + 16],
                 plane(picture, 1)[lines // 4, 16 * index + 8],
                 plane(picture, 2)[lines // 4, 16 * index + 8])
        assert np.allclose(np.array(found, float), expected, atol=1.0)


def test_mono_follows_the_stated_rule() -> None:
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16)
    picture = LossyPictures(spec_of("MONO8", 16, 16)).convert(ramp)
    assert plane(picture, 0).ravel().tolist() == [round(16 + v * 219 / 255) for v in range(256)]
    assert (plane(picture, 1) == 128).all()
    assert (plane(picture, 2) == 128).all()


@pytest.mark.parametrize(("pixel_format", "shift"), [("MONO10", 2), ("MONO12", 4), ("MONO16", 8)])
def test_deep_mono_is_shifted_and_says_so(pixel_format: str, shift: int) -> None:
    pictures = LossyPictures(spec_of(pixel_format, 16, 16, dtype="uint16"))
    deep = (np.arange(256, dtype=np.uint16) << shift).reshape(16, 16)
    luma = plane(pictures.convert(deep), 0)
    assert luma.ravel().tolist() == [round(16 + v * 219 / 255) for v in range(256)]
    assert f"(v >> {shift})" in pictures.rules()["luma"]


@pytest.mark.parametrize("channels", [(), (3,)])
def test_odd_sizes_are_padded_with_their_edge(channels: tuple[int, ...]) -> None:
    pictures = LossyPictures(spec_of("BGR8" if channels else "MONO8", 47, 63, *channels))
    pixels = np.random.default_rng(0).integers(0, 256, (47, 63, *channels)).astype(np.uint8)
    luma = plane(pictures.convert(pixels), 0)
    assert luma.shape == (48, 64)
    assert (luma[:, 63] == luma[:, 62]).all()
    assert (luma[47] == luma[46]).all()
    assert pictures.rules()["padding"].startswith("63x47 to 64x48")


@pytest.mark.parametrize(("bits", "dtype"), [(8, "uint8"), (10, "uint16"), (12, "uint16"),
                                             (16, "uint16")])
def test_bayer_is_demosaiced(bits: int, dtype: str) -> None:
    mosaic = np.zeros((32, 32), dtype)
    mosaic[0::2, 0::2] = 200 << (bits - 8)  # red alone, in the pattern RG/GB
    pictures = LossyPictures(spec_of(f"BAYER_RG{bits}", 32, 32, dtype=dtype))
    picture = pictures.convert(mosaic)
    assert ("v >>" in pictures.rules()["demosaic"]) == (bits > 8)
    luma = 0.299 * 200 / 255
    assert abs(int(plane(picture, 0)[16, 16]) - (16 + 219 * luma)) <= 1
    assert abs(int(plane(picture, 2)[8, 8]) - (128 + 112 * (200 / 255 - luma) / 0.701)) <= 1.5


@pytest.mark.parametrize(("pixel_format", "shape", "dtype"), [
    ("MONO8", (40, 56), "uint8"), ("MONO16", (41, 57), "uint16"), ("BGR8", (40, 56, 3), "uint8"),
    ("RGB8", (41, 57, 3), "uint8"), ("BAYER_GB8", (40, 56), "uint8")])
def test_expected_luma_agrees_with_the_picture(pixel_format: str, shape: tuple[int, ...],
                                               dtype: str) -> None:
    pictures = LossyPictures(spec_of(pixel_format, *shape, dtype=dtype))
    top = 2 ** (8 * np.dtype(dtype).itemsize)
    pixels = np.random.default_rng(0).integers(0, top, shape).astype(dtype)
    picture = pictures.convert(pixels)
    looks = LossyLooks(pictures)
    for index in range(GRID * GRID + 1):
        grid = looks.of_raw(pixels, index, in_full=False).grid
        assert np.abs(grid - looks.grid(picture, index)).max() <= 1.0


@pytest.mark.parametrize(("pixel_format", "shape", "dtype"), [
    ("MONO8", (40, 56), "uint8"), ("MONO16", (41, 57), "uint16"), ("BGR8", (40, 56, 3), "uint8"),
    ("RGB8", (41, 57, 3), "uint8"), ("BAYER_GB8", (45, 58), "uint8"), ("MONO8", (1, 3), "uint8")])
def test_expected_blocks_agree_with_the_picture(pixel_format: str, shape: tuple[int, ...],
                                                dtype: str) -> None:
    pictures = LossyPictures(spec_of(pixel_format, *shape, dtype=dtype))
    top = 2 ** (8 * np.dtype(dtype).itemsize) - 1
    ramp = np.linspace(0, top, int(np.prod(shape[:2]))).reshape(shape[:2])
    pixels = np.dstack([ramp, ramp[::-1], ramp[:, ::-1]]) if len(shape) == 3 else ramp
    pixels = np.ascontiguousarray(pixels.astype(dtype))
    looks = LossyLooks(pictures)
    shown, told = looks.blocks(pictures.convert(pixels)), looks.of_raw(pixels, 0, in_full=True)
    assert shown.shape == told.blocks.shape
    assert np.abs(told.blocks - shown).max() <= 2.0
    assert told.luma is not None
    assert np.abs(told.luma - looks.luma(pictures.convert(pixels))).max() <= 1.0


def test_grid_visits_every_pixel() -> None:
    seen = np.zeros((17, 18), int)
    for index in range(GRID * GRID):
        on_grid(seen, index)[...] += 1
    assert (seen == 1).all()


def test_convert_copies() -> None:
    pixels = np.full((16, 16), 100, np.uint8)
    picture = LossyPictures(spec_of("MONO8", 16, 16)).convert(pixels)
    pixels[:] = 0
    assert (plane(picture, 0) == 102).all()


def test_unknown_format_and_wrong_shape_are_refused() -> None:
    with pytest.raises(JobRefused, match="'BGR16': the known ones are MONO8"):
        LossyPictures(spec_of("BGR16", 16, 16, 3, dtype="uint16"))
    with pytest.raises(JobRefused, match=r"shape \(16, 16\) are not BGR8"):
        LossyPictures(spec_of("BGR8", 16, 16))


def test_movie_formats_that_are_not_shown_right_are_refused() -> None:
    mono, colour = spec_of("MONO8", 16, 16), spec_of("BGR8", 16, 16, 3)
    for name, why in (("yuvj420p", "full range is not shown right"), ("gray", "not every player"),
                      ("native", "for lossless codecs")):
        with pytest.raises(JobRefused, match=f"{name} .*{why}.*give one of yuv420p, yuv444p, yuv4"):
            LossyPictures(mono, name)
    with pytest.raises(JobRefused, match="BGR8 to pixel_format yuv420p10le, which is for mono"):
        LossyPictures(colour, "yuv420p10le")
    with pytest.raises(JobRefused, match="lossless and its pixel_format yuv420p"):
        pictures_for(mono, dataclasses.replace(preset("Lossless"), pixel_format="yuv420p"))


def test_lossless_pictures_say_what_they_keep_and_refuse_the_rest() -> None:
    mosaic = pictures_for(spec_of("BAYER_GB12", 16, 16, dtype="uint16"), preset("Lossless"))
    assert (mosaic.pixel_format, mosaic.is_exact) == ("gray12le", True)
    assert mosaic.rules() == {
        "pixels": "exact, as gray12le", "range": "full: 0 to 4095",
        "mosaic": "kept as grey, BAYER_GB12: the first lines are GB/RG"}
    with pytest.raises(JobRefused, match="value 4096, more than the 12 bits of BAYER_GB12"):
        mosaic.convert(np.full((16, 16), 4096, np.uint16))
    for spec in (spec_of("BGR16", 16, 16, 3, dtype="uint16"), spec_of("MONO8", 16, 16, 4),
                 spec_of("MONO8", 16, 16, dtype="uint16")):
        with pytest.raises(JobRefused, match="cannot export"):
            pictures_for(spec, preset("Lossless"))


def test_a_crop_and_a_flip_without_a_copy_are_converted_too() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (48, 64, 3)).astype(np.uint8)
    view = pixels[4:36, 60:12:-1]
    pictures = LossyPictures(spec_of("BGR8", *view.shape))
    copied = pictures.convert(np.ascontiguousarray(view))
    for number in range(3):
        assert np.array_equal(plane(pictures.convert(view), number), plane(copied, number))
