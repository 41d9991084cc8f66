"""The contact sheet as a picture: where the frames are, and that nothing runs out of its place."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fieldrec.cli import sheet
from fieldrec.cli.sheet import Cell, contact_sheet, evenly, fitted


@pytest.mark.parametrize(("first", "end", "count", "places"), [
    (0, 100, 5, [0, 25, 50, 74, 99]), (0, 3, 20, [0, 1, 2]), (0, 1, 20, [0]), (7, 7, 5, []),
    (10, 20, 1, [10]), (90, 100, 3, [90, 94, 99]),
])
def test_evenly_spaced_from_the_first_to_the_last(first: int, end: int, count: int,
                                                 places: list[int]) -> None:
    assert evenly(first, end, count) == places


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(1, 200))
def test_places_are_distinct_and_inside(first: int, length: int, count: int) -> None:
    places = evenly(first, first + length, count)
    assert len(places) == len(set(places)) == min(count, length)
    assert places == sorted(places)
    assert all(first <= place < first + length for place in places)


def grey(level: int, height: int = 48, width: int = 64) -> sheet.Picture:
    return np.full((height, width), level, np.uint8)


def test_frames_stand_in_reading_order_and_a_missing_one_keeps_its_place() -> None:
    cells = [Cell(grey(250), "#0", "a"), Cell(None, "#1", "b"), Cell(grey(130), "#2", "c"),
             Cell(np.dstack([grey(255), grey(0), grey(0)]), "#3", "d")]
    drawn = contact_sheet("bees", "64x48", cells)
    bright = (drawn == 250).all(axis=2)
    middle = (drawn == 130).all(axis=2)
    blue = (drawn == (255, 0, 0)).all(axis=2)
    assert sheet.SMALLEST_CELL == 150
    assert bright.sum() == middle.sum() == blue.sum() == 149 * 112
    (bright_y, bright_x), (middle_y, middle_x), (blue_y, blue_x) = (
        (int(found.argmax() // drawn.shape[1]), int(found.any(axis=0).argmax()))
        for found in (bright, middle, blue))
    assert (bright_x, bright_y) == (sheet.MARGIN, sheet.HEADER)
    assert (middle_y, middle_x) > (bright_y, bright_x)
    assert (blue_y, blue_x) > (middle_y, middle_x)
    assert blue_x != bright_x or blue_y != bright_y


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 60), st.integers(1, 300), st.integers(1, 300), st.text(max_size=200))
def test_any_number_of_frames_of_any_shape_and_any_name(count: int, height: int, width: int,
                                                        name: str) -> None:
    cells = [Cell(grey(200, height, width), f"#{10**at}", name) for at in range(count)]
    drawn = contact_sheet(name, name, cells)
    assert drawn.dtype == np.uint8
    assert drawn.ndim == 3
    assert sheet.SMALLEST_CELL <= drawn.shape[1] <= sheet.SHEET_WIDTH + 2 * sheet.MARGIN


def test_a_sheet_of_frames_none_of_which_can_be_read() -> None:
    assert contact_sheet("bees", "", [Cell(None, "#0", "")] * 3).shape[0] > sheet.HEADER


@pytest.mark.parametrize(("height", "width"), [(1, 1000), (1000, 1), (480, 640), (10, 10)])
def test_a_picture_fits_whole_and_undistorted(height: int, width: int) -> None:
    shown = fitted(grey(9, height, width), 100, 80)
    assert shown.shape[0] <= 80
    assert shown.shape[1] <= 100
    assert shown.shape[2] == 3
    assert shown.shape[0] == 80 or shown.shape[1] == 100
    if min(height, width) > 1:
        assert shown.shape[1] / shown.shape[0] == pytest.approx(width / height, rel=0.03)
