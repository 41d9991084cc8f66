"""What a movie is made from: 8 bits, by a rule that is told."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from fieldrec.core.errors import JobRefused, StoreDamaged
from fieldrec.core.model import FrameSpec
from fieldrec.export.pictures_exact import ExactPictures
from fieldrec.export.pictures_lossy import LossyPictures
from fieldrec.export.reduced import Reduction, reduction
from fieldrec.store.metadata import StoreMetadata, store_metadata
from fieldrec.store.spec import spec_at

RAMP = np.arange(64, dtype=np.uint8).reshape(8, 8)


def never() -> list[NDArray[Any]]:
    raise AssertionError("the frames need not be looked through")


def described(frame: NDArray[Any], told: str, encoding: str | None
              ) -> tuple[StoreMetadata, FrameSpec]:
    metadata = store_metadata({
        "imgshape": frame.shape, "imgdtype": frame.dtype.name, "chunksize": 10,
        "format": "npy", "class": "DirectoryImgStore", "encoding": encoding})
    return metadata, spec_at(metadata, {"fieldrec": {"pixel_format": told}} if told else {}, 25.0)


def reduced(frames: list[NDArray[Any]], told: str = "", encoding: str | None = None,
            look: Any = None) -> Reduction:
    metadata, spec = described(frames[0], told, encoding)
    made = reduction(metadata, spec, told, look or (lambda: frames))
    LossyPictures(made.spec)  # which refuses what it does not know
    for frame in frames:
        result = made.apply(frame)
        assert (result.shape, result.dtype) == (made.spec.shape, np.dtype(made.spec.dtype))
    return made


@pytest.mark.parametrize("told", ["", "MONO8"])
def test_grey_and_colour_stay_as_they_are(told: str) -> None:
    colour = np.dstack([RAMP, RAMP + 1, RAMP + 2])
    made = reduced([RAMP], told, look=never)
    assert made.apply(RAMP) is RAMP
    assert made.rules == {}
    made = reduced([colour], look=never)
    assert np.array_equal(made.apply(colour), colour)
    assert made.spec.pixel_format == "BGR8"


@pytest.mark.parametrize(("told", "rgb"), [("RGB8", True), ("BAYER_RG8", False)])
def test_what_a_recorder_told_is_left_to_the_pictures(told: str, rgb: bool) -> None:
    pixels = np.dstack([RAMP, RAMP, RAMP]) if rgb else RAMP
    made = reduced([pixels], told, look=never)
    assert made.apply(pixels) is pixels
    assert made.spec.pixel_format == told


def test_a_mosaic_is_decoded_by_its_encoding() -> None:
    made = reduced([RAMP], encoding="cv_bayerbg", look=never)
    assert np.array_equal(made.apply(RAMP), cv2.cvtColor(RAMP, cv2.COLOR_BayerBG2BGR))
    assert made.rules == {"decoded": "cv_bayerbg to BGR"}


def test_planar_colours_have_pictures_of_another_size() -> None:
    packed = np.full((12, 8), 128, np.uint8)
    made = reduced([packed], encoding="cv_yuv_i420", look=never)
    assert made.spec.shape == (8, 8, 3)


def test_alpha_is_refused() -> None:
    with pytest.raises(JobRefused, match="alpha channel, which it would lose"):
        reduced([np.dstack([RAMP] * 4)], look=never)


@pytest.mark.parametrize(("highest", "bits"), [(255, 8), (256, 9), (4095, 12), (65535, 16), (0, 8)])
def test_a_depth_that_nobody_told_is_looked_up(highest: int, bits: int) -> None:
    dim, bright = np.zeros((8, 8), np.uint16), np.full((8, 8), highest, np.uint16)
    made = reduced([dim, bright])
    assert made.rules["depth"] == f"v >> {bits - 8}: {bits} bits are used"
    assert made.apply(bright).max() == highest >> (bits - 8)


def test_a_depth_that_was_told_is_believed() -> None:
    deep = RAMP.astype(np.uint16)
    mosaic = reduced([deep], "BAYER_RG14", look=never)
    assert mosaic.rules["depth"].startswith("v >> 6: 14 bits")
    assert mosaic.spec.pixel_format == "BGR8"
    assert reduced([deep], "BAYER_RG12", look=never).spec.pixel_format == "BAYER_RG12"
    assert reduced([deep], "MONO12", look=never).spec.pixel_format == "MONO12"


def test_floats_go_from_the_least_to_the_greatest_of_all_frames() -> None:
    low, high = np.full((8, 8), -2.0, np.float32), np.full((8, 8), 2.0, np.float32)
    low[0, 0], high[0, 0] = np.nan, np.inf
    made = reduced([low, high])
    assert made.apply(low)[1, 1] == 0
    assert made.apply(high)[1, 1] == 255
    assert made.rules["depth"].startswith("round((v - -2.0) * 255 / 4.0)")


def test_truth_values_and_a_last_extent_of_one() -> None:
    assert set(np.unique(reduced([RAMP > 30]).apply(RAMP > 30))) == {0, 255}
    made = reduced([RAMP[:, :, np.newaxis]])
    assert made.apply(RAMP).shape == (8, 8)  # as some formats give it back


def test_what_is_no_picture_is_refused() -> None:
    with pytest.raises(JobRefused, match="grey or BGR"):
        reduced([np.dstack([RAMP] * 2)])
    with pytest.raises(JobRefused, match="cannot be decoded"):
        reduced([np.dstack([RAMP] * 3)], encoding="cv_bayerbg")
    made = reduced([RAMP])
    with pytest.raises(StoreDamaged, match="shape"):
        made.apply(RAMP[:4])


def test_the_spec_tells_the_rate() -> None:
    assert reduced([RAMP]).spec == FrameSpec((8, 8), "uint8", "MONO8", 25.0)


@pytest.mark.parametrize(("frame", "told", "encoding", "expected"), [
    (RAMP, "", None, "MONO8"), (RAMP, "BAYER_GB8", None, "BAYER_GB8"),
    (RAMP, "", "cv_bayerbg", "BAYER_RG8"), (RAMP[..., None], "", None, "MONO8"),
    (RAMP.astype(np.uint16), "MONO12", None, "MONO12"),
    (RAMP.astype(np.uint16), "", None, "MONO16"),
    (RAMP.astype(np.uint16), "BAYER_RG14", None, "BAYER_RG16"),
    (np.dstack([RAMP] * 3), "", None, "BGR8"), (np.dstack([RAMP] * 3), "RGB8", None, "RGB8"),
    (np.dstack([RAMP] * 3), "", "cv_rgb", "RGB8")])
def test_a_lossless_movie_gets_what_is_stored(frame: NDArray[Any], told: str, encoding: str | None,
                                              expected: str) -> None:
    metadata, spec = described(frame, told, encoding)
    made = reduction(metadata, spec, told, never, lossless=True)
    assert made.spec == FrameSpec(made.apply(frame).shape, frame.dtype.name, expected, 25.0)
    assert made.apply(frame).tobytes() == frame.tobytes()
    assert made.rules == {}
    ExactPictures(made.spec)  # which refuses what it does not know


@pytest.mark.parametrize(("frame", "encoding"), [
    (RAMP.astype(np.float32), None), (RAMP > 3, None), (RAMP, "cv_yuv_i420"),
    (np.dstack([RAMP] * 4), None), (np.dstack([RAMP] * 3).astype(np.uint16), None)])
def test_what_a_lossless_movie_would_change_is_refused(frame: NDArray[Any], encoding: str | None
                                                       ) -> None:
    metadata, spec = described(frame, "", encoding)
    with pytest.raises(JobRefused, match="without loss in a movie, only grey"):
        reduction(metadata, spec, "", never, lossless=True)
