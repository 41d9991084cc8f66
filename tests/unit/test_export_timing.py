"""Timestamps of movies: rounding, order, durations."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldrec.core.errors import JobRefused, UsageError
from fieldrec.export.containers import AVI, MKV, MP4, Container
from fieldrec.export.timing import TICKS_PER_SECOND, Rate, durations, native_hz, ticks

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
    assert native_hz(times(0, 7), 25.0) == 25.0
    assert native_hz(times(0, 20_000_000, 40_000_000, 10**9), 0.0) == 50.0
    assert native_hz(times(0), 0.0) == native_hz(times(0, 0), 0.0) == 1.0


def rate(asked: str, container: Container = MP4, nominal_hz: float = 60.0) -> Rate:
    return Rate(times(0, 17_000_000, 33_000_000, 90_000_000), nominal_hz, asked, container)


def test_true_times_are_those_of_the_frames_that_are_kept() -> None:
    pts, moved = rate("true").ticks(np.array([1, 3]))
    assert (pts.tolist(), moved) == ([0, 6570], 0)
    assert rate("true").encoded_hz == 60.0
    assert rate("true", nominal_hz=0.0).encoded_hz == pytest.approx(58.82, abs=0.01)


@pytest.mark.parametrize(("asked", "expected"), [
    ("native", [0, 1500, 4500]), ("29.97", [0, 3003, 9009]), ("1000", [0, 90, 270])])
def test_a_constant_rate_leaves_room_for_frames_that_are_not_there(asked: str, expected: list[int]
                                                                   ) -> None:
    assert rate(asked).ticks(np.array([0, 1, 3]))[0].tolist() == expected


def test_where_places_are_times_there_is_no_room() -> None:
    container = dataclasses.replace(AVI, ticks_per_second=60)
    assert rate("native", container).ticks(np.array([0, 1, 3]))[0].tolist() == [0, 1, 2]


@pytest.mark.parametrize("asked", ["fast", "0", "-5", "nan", "inf"])
def test_what_is_no_rate_is_said(asked: str) -> None:
    with pytest.raises(UsageError, match="frames a second"):
        rate(asked)


def test_a_rate_finer_than_the_containers_ticks_is_refused() -> None:
    with pytest.raises(JobRefused, match="90000 frames a second at most"):
        rate("200000")


def test_matroska_counts_ten_microseconds() -> None:
    pts, moved = ticks(times(0, 16_666_667, 16_669_000, 1_000_400_000, 9 * 3600 * 10**9), MKV)
    assert pts.tolist() == [0, 1667, 1668, 100_040, 9 * 3600 * 100_000]
    assert moved == 1
    assert durations(np.array([0]), 50.0, MKV).tolist() == [2000]
