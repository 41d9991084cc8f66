"""Every kind of frame becomes a picture that eyes can judge."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from fieldrec.core.errors import StoreDamaged
from fieldrec.core.model import FrameSpec
from fieldrec.store.metadata import store_metadata
from fieldrec.store.visible import Visible, scaled, visible_range

RAMP = np.arange(64, dtype=np.uint8).reshape(8, 8)


class Store:
    """Frames in memory; None is a frame that cannot be read."""

    def __init__(self, frames: list[NDArray[Any] | None], pixel_format: str = "",
                 encoding: str | None = None) -> None:
        self.frames = frames
        shown = next(frame for frame in frames if frame is not None)
        self.frame_count = len(frames)
        self.spec = FrameSpec(shown.shape, shown.dtype.name, pixel_format, 25.0)
        self.metadata = store_metadata({
            "imgshape": shown.shape, "imgdtype": shown.dtype.name, "chunksize": 10,
            "format": "npy", "class": "DirectoryImgStore", "encoding": encoding})
        self.reads = 0

    def read(self, index: int) -> NDArray[Any]:
        self.reads += 1
        frame = self.frames[index]
        if frame is None:
            raise StoreDamaged("gone")
        return frame


@pytest.mark.parametrize("pixels", [RAMP, np.dstack([RAMP, RAMP + 1, RAMP + 2])])
def test_eight_bits_are_shown_as_they_are(pixels: NDArray[Any]) -> None:
    store = Store([pixels])
    assert np.array_equal(Visible(store).picture(0), pixels)
    assert store.reads == 1


def test_red_and_blue_in_their_places() -> None:
    rgb = np.dstack([RAMP, RAMP + 1, RAMP + 2])
    assert np.array_equal(Visible(Store([rgb], "RGB8")).picture(0), rgb[:, :, ::-1])
    assert np.array_equal(Visible(Store([rgb], "RGB8", "cv_rgb")).picture(0), rgb[:, :, ::-1])


def test_an_encoding_that_does_not_fit_hides_nothing() -> None:
    assert np.array_equal(Visible(Store([RAMP], "MONO8", "cv_yuv_uyvy")).picture(0), RAMP)


@pytest.mark.parametrize(("channels", "shape"), [(1, (8, 8)), (2, (8, 8)), (4, (8, 8, 3)),
                                                 (7, (8, 8, 3))])
def test_other_numbers_of_channels(channels: int, shape: tuple[int, ...]) -> None:
    pixels = np.dstack([RAMP + np.uint8(n) for n in range(channels)])
    shown = Visible(Store([pixels])).picture(0)
    assert shown.shape == shape
    assert np.array_equal(shown.reshape(8, 8, -1)[..., 0], RAMP)


def test_a_mosaic_that_the_metadata_names_is_decoded() -> None:
    mosaic = np.zeros((8, 8), np.uint8)
    mosaic[::2, ::2] = 200  # red
    shown = Visible(Store([mosaic], "BAYER_RG8")).picture(0)
    assert shown.shape == (8, 8, 3)
    assert shown[2:-2, 2:-2, 2].min() > 100
    assert shown[..., :2].max() == 0
    assert np.array_equal(Visible(Store([mosaic], "MONO8", "cv_bayerbg")).picture(0), shown)
    deep = Visible(Store([mosaic.astype(np.uint16) * 16], "BAYER_RG12")).picture(0)
    assert np.abs(deep.astype(int) - shown).max() <= 1


def test_a_known_depth_is_scaled_by_it_whatever_the_picture() -> None:
    dim = RAMP.astype(np.uint16)  # at most 63 of 1023
    shown = Visible(Store([dim], "MONO10")).picture(0)
    assert shown.max() == round(63 * 255 / 1023)


@pytest.mark.parametrize("dtype", ["uint16", "float32", "float64", "int16", "uint32"])
def test_values_of_unknown_depth_fill_the_visible_range(dtype: str) -> None:
    store = Store([(RAMP * 40).astype(dtype) - (5 if dtype[0] != "u" else 0)])
    shown = Visible(store).picture(0)
    assert (shown.min(), shown.max()) == (0, 255)


def test_one_range_for_all_frames_so_that_they_can_be_compared() -> None:
    dark, bright = np.full((8, 8), 100, np.uint16), np.full((8, 8), 4000, np.uint16)
    visible = Visible(Store([dark, None, bright]))
    assert visible.picture(0).max() == 0
    assert visible.picture(2).min() == 255
    with pytest.raises(StoreDamaged):
        visible.picture(1)


def test_truth_values_are_black_and_white() -> None:
    shown = Visible(Store([RAMP > 30])).picture(0)
    assert set(np.unique(shown)) == {0, 255}


def test_what_is_not_finite_hides_nothing_else() -> None:
    pixels = RAMP.astype(np.float32)
    pixels[0, :3] = np.nan, np.inf, -np.inf
    assert visible_range([pixels]) == pytest.approx((3, 63), abs=0.1)
    shown = scaled(pixels, 0, 63)
    assert shown[0, :3].tolist() == [0, 255, 0]
    assert visible_range([np.full((4, 4), np.nan)]) == (0.0, 1.0)
    assert visible_range([]) == (0.0, 1.0)
    assert visible_range([np.full((4, 4), 7.0)]) == (7.0, 8.0)


def test_the_bayer_names_are_those_of_cameras() -> None:
    """GenICam's BayerRG begins with red; OpenCV's newer names say the same by four letters."""
    mosaic = np.zeros((8, 8), np.uint8)
    mosaic[1::2, ::2] = 200  # red below the first pixel: GB, RG in the second line
    shown = Visible(Store([mosaic], "BAYER_GB8")).picture(0)
    assert np.array_equal(shown, cv2.cvtColor(mosaic, cv2.COLOR_BayerGBRG2BGR))
    assert shown[2:-2, 2:-2, 2].min() > 100
