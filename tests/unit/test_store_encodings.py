"""Encodings: the names are imgstore's, the pictures OpenCV's, a camera's names land where they
must."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from imgstore.util import ImageCodecProcessor
from numpy.typing import NDArray

from fieldrec.store import encodings

RNG = np.random.default_rng(3)


def test_names_and_numbers_are_imgstores() -> None:
    real = ImageCodecProcessor()
    assert dict(encodings.codes()) == real._cv2_code_to_enum
    assert len(encodings.codes()) > 30
    for code in encodings.codes():
        encodings.check(code)


@pytest.mark.parametrize("code", ["cv_bayerxx", "bayerbg", "CV_BAYERBG", ""])
def test_unknown_codes_are_refused_with_the_known_ones(code: str) -> None:
    with pytest.raises(ValueError, match=r"cv_bayerbg, .*cv_yuv_nv12"):
        encodings.check(code)
    with pytest.raises(ValueError, match="not known"):
        encodings.decode(np.zeros((4, 4), np.uint8), code)


def _shape_for(code: str) -> tuple[int, ...]:
    """The array that OpenCV wants of a 16x24 picture in this encoding."""
    if encodings.is_planar_420(code):
        return (24, 24)
    if code.startswith("cv_bayer") or code == "cv_gray":
        return (16, 24)
    if code.startswith("cv_yuv_") or code in ("cv_bgr555", "cv_bgr565"):
        return (16, 24, 2)
    return (16, 24, 4 if code in ("cv_rgba", "cv_bgra") else 3)


def test_every_code_decodes_as_imgstore_does() -> None:
    real = ImageCodecProcessor()
    for code in encodings.codes():
        stored = RNG.integers(0, 256, _shape_for(code)).astype(np.uint8)
        picture = encodings.decode(stored, code)
        assert np.array_equal(picture, real.convert_to_bgr(stored, code)), code
        assert picture.shape == (16, 24, 3) == encodings.decoded_shape(stored.shape, code), code


def test_a_store_without_encoding_shows_what_it_stores() -> None:
    assert encodings.decoded_shape((7, 9), None) == (7, 9)
    assert encodings.decoded_shape((7, 9, 3), "") == (7, 9, 3)


@pytest.mark.parametrize("stored", [
    RNG.integers(0, 65536, (11, 13)).astype(np.uint16),
    RNG.integers(0, 65536, (11, 13)).astype(">u2"),
    RNG.integers(0, 65536, (11, 13, 1)).astype(np.uint16),
    RNG.integers(0, 65536, (22, 26)).astype(np.uint16)[::-2, ::2],
], ids=["native", "big endian", "one channel", "strides"])
def test_sixteen_bit_mosaics_of_any_layout(stored: NDArray[Any]) -> None:
    plain = np.ascontiguousarray(stored.reshape(11, 13), np.uint16)
    picture = encodings.decode(stored, "cv_bayergr")
    assert picture.dtype == np.uint16
    assert np.array_equal(picture, cv2.cvtColor(plain, cv2.COLOR_BayerGR2BGR))


@pytest.mark.parametrize(("shape", "dtype", "code"), [
    ((8, 8), np.uint8, "cv_yuv_uyvy"), ((8, 8, 3), np.uint8, "cv_bayerbg"),
    ((7, 8), np.uint8, "cv_yuv_nv12"), ((8, 8), np.float32, "cv_bayerbg"),
    ((0, 8), np.uint8, "cv_bayerbg")])
def test_what_does_not_fit_is_one_line(shape: tuple[int, ...], dtype: type, code: str) -> None:
    with pytest.raises(ValueError, match=code) as refused:
        encodings.decode(np.zeros(shape, dtype), code)
    assert "\n" not in str(refused.value)


def _mosaic(order: str) -> NDArray[np.uint8]:
    """A pure red picture as a sensor sees it whose first two pixels have these colours."""
    cells = {"RG": "RGGB", "BG": "BGGR", "GB": "GBRG", "GR": "GRBG"}[order]
    tile = np.array([200 if cell == "R" else 0 for cell in cells], np.uint8).reshape(2, 2)
    return np.tile(tile, (6, 6))


@pytest.mark.parametrize("order", ["RG", "BG", "GB", "GR"])
def test_a_cameras_mosaic_comes_out_in_its_colours(order: str) -> None:
    for name in ("Bayer{}", "Bayer_{}", "Bayer{}8", "Bayer{}10", "Bayer{}12", "Bayer{}12p",
                 "Bayer{}10g", "Bayer{}12Packed", "Bayer{}16"):
        code = encodings.from_pylon(name.format(order))
        assert code is not None
        inside = encodings.decode(_mosaic(order), code)[4:-4, 4:-4]
        assert (inside == (0, 0, 200)).all(), name


@pytest.mark.parametrize("name", ["BayerBG", "Bayer_RG", "BayerGB", "", None, "None"])
def test_pylon_names_are_imgstores(name: str | None) -> None:
    assert (encodings.from_pylon(name) or "") == ImageCodecProcessor.from_pylon_format(
        name).encoding


@pytest.mark.parametrize(("name", "code"), [
    ("Mono8", None), ("Mono12p", None), ("Mono12Packed", None), ("BGR8", None),
    ("BGR8Packed", None), ("RGB8", "cv_rgb"), ("RGB8Packed", "cv_rgb"), ("RGBa8", "cv_rgba"),
    ("BGRa8", "cv_bgra"), ("YUV422_8_UYVY", "cv_yuv_uyvy"), ("YUV422Packed", "cv_yuv_uyvy"),
    ("YUV422_8", "cv_yuv_yuy2"), ("YUV422_YUYV_Packed", "cv_yuv_yuy2"),
    ("YCbCr422_8", "cv_yuv_yuy2"), ("YCbCr422_8_CbYCrY", "cv_yuv_uyvy")])
def test_other_pixel_formats(name: str, code: str | None) -> None:
    assert encodings.from_pylon(name) == code
    assert code is None or code in encodings.codes()


@pytest.mark.parametrize("name", ["BayerXX8", "Confidence16", "Coord3D_ABC32f", "Bayer", "Mono8x"])
def test_unknown_pixel_formats_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        encodings.from_pylon(name)
