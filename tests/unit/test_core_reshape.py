"""Turning pictures and what it makes of their format: every turn against numpy."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from fieldrec.core.model import FrameSpec
from fieldrec.core.reshape import (
    Kind,
    is_within,
    kind_of,
    moved_mosaic,
    scaled_shape,
    turn_of,
    turned,
)


@pytest.mark.parametrize(("pixel_format", "dtype", "shape", "kind"), [
    ("MONO8", "uint8", (4, 6), Kind("", "", 8)),
    ("RGB8", "uint8", (4, 6, 3), Kind("RGB", "", 8)),
    ("BAYER_GR12", "uint16", (4, 6), Kind("", "GR", 12)),
    ("BAYER_XX8", "uint8", (4, 6), None),
    ("BGR8", "uint8", (4, 6), None),
    ("MONO8", "float32", (4, 6), None),
    ("H264", "uint8", (4, 6), None),
])
def test_formats_are_taken_apart(pixel_format: str, dtype: str, shape: tuple[int, ...],
                                 kind: Kind | None) -> None:
    assert kind_of(FrameSpec(shape, dtype, pixel_format, 25.0)) == kind


def test_every_turn_is_numpys() -> None:
    picture = np.arange(20, dtype=np.uint8).reshape(4, 5)
    for rotate, flip in itertools.product([0, 90, 180, 270],
                                          ["none", "horizontal", "vertical", "both"]):
        turn = turn_of(rotate, flip)
        wanted = np.rot90(picture, -rotate // 90)
        wanted = wanted[:, ::-1] if flip in ("horizontal", "both") else wanted
        wanted = wanted[::-1] if flip in ("vertical", "both") else wanted
        assert bool(turn) == (not np.array_equal(wanted, picture))
        if turn:
            into = np.empty(turn.shape(picture.shape), np.uint8)
            turned(turn)(picture, into)
            assert np.array_equal(into, wanted)


def test_a_cut_at_odd_places_moves_the_pattern() -> None:
    straight = turn_of(0, "none")
    assert [moved_mosaic("RG", (x, y, 4, 4), straight) for y in (0, 1) for x in (0, 1)] == [
        "RG", "GR", "GB", "BG"]
    assert moved_mosaic("RG", (0, 0, 5, 4), turn_of(0, "horizontal")) == "RG"
    assert moved_mosaic("RG", (0, 0, 4, 4), turn_of(0, "horizontal")) == "GR"


def test_regions_and_sizes() -> None:
    assert is_within((0, 0, 6, 4), (4, 6))
    for outside in [(-1, 0, 2, 2), (0, 0, 7, 4), (0, 1, 6, 4), (0, 0, 0, 4)]:
        assert not is_within(outside, (4, 6))
    assert scaled_shape((5, 7, 3), 0.5) == (3, 4, 3)
    assert scaled_shape((5, 7), 0.01) == (1, 1)
