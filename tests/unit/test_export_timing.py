"""Timestamps of movies: rounding, order, durations."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldrec.core.errors import JobRefused
from fieldrec.export.containers import MKV
from fieldrec.export.timing import TICKS_PER_SECOND, durations, mean_hz, ticks

EPOCH_NS = 1_795_000_000_000_000_000


def times(*offsets_ns: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array([EPOCH_NS + offset for offset in offsets_ns], dtype=np.int64)


def test_first_is_zero_and_the_rest_is_within_half_a_tick() -> None:
    pts, moved = ticks(times(0, 16_666_667, 33_333_333, 1_000_000_000))
    assert pts.tolist() == [0, 1500, 3000, 90_000]
    assert moved == 0


def test_equal_and_backward_times_are_put_one_tick_later_and_counted() -> None:
    pts, moved = ticks(times(0, 20_000_000, 20_000_000, 10_000_000, 40_000_000))
    assert pts.tolist() == [0, 1800, 1801, 1802, 3600]
    assert moved == 2


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=60))
def test_timestamps_always_increase_from_zero(offsets_ns: list[int]) -> None:
    pts, moved = ticks(times(*offsets_ns))
    assert pts[0] == 0
    assert (np.diff(pts) > 0).all()
    exact = (np.array(offsets_ns) - offsets_ns[0]) * TICKS_PER_SECOND / 1e9
    assert np.count_nonzero(np.abs(pts - exact) > 0.51) <= moved


def test_a_gap_that_mp4_cannot_say_is_refused_with_its_place() -> None:
    with pytest.raises(JobRefused, match=r"frames 1 and 2 are 7\.0 h apart"):
        ticks(times(0, 10**9, 10**9 + 7 * 3600 * 10**9))


def test_last_frame_is_shown_for_the_median() -> None:
    assert durations(np.array([0, 1500, 3000, 9000]), 60.0).tolist() == [1500, 1500, 6000, 1500]


@pytest.mark.parametrize(("hz", "shown"), [(50.0, 1800), (0.0, TICKS_PER_SECOND)])
def test_single_frame_has_a_duration(hz: float, shown: int) -> None:
    assert durations(np.array([0]), hz).tolist() == [shown]


def test_rate_is_nominal_or_else_measured() -> None:
    assert mean_hz(np.array([0, 1500]), 25.0) == 25.0
    assert mean_hz(np.array([0, 1500, 3000]), 0.0) == 60.0


def test_matroska_counts_ten_microseconds() -> None:
    pts, moved = ticks(times(0, 16_666_667, 16_669_000, 1_000_400_000, 9 * 3600 * 10**9), MKV)
    assert pts.tolist() == [0, 1667, 1668, 100_040, 9 * 3600 * 100_000]
    assert moved == 1
    assert durations(np.array([0]), 50.0, MKV).tolist() == [2000]
    assert mean_hz(np.array([0, 2000, 4000]), 0.0, MKV) == 50.0
