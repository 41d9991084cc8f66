"""Rates, jitter and gaps from numbers and times."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from fieldrec.catalogue.statistics import (
    MissingRun,
    clock_steps,
    gaps,
    intervals,
    lost_runs,
    noted_lost_runs,
    paused_runs,
    summary,
)

MS = 1_000_000


def integers(*values: int) -> NDArray[np.int64]:
    return np.array(values, np.int64)


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_frames_for_an_interval(count: int) -> None:
    assert intervals(integers(*range(count)), integers(*range(count))) is None


def test_times_rounded_to_milliseconds_give_the_true_rate() -> None:
    numbers = np.arange(301, dtype=np.int64)
    times_ns = np.rint(numbers * 1000 / 30).astype(np.int64) * MS
    found = intervals(numbers, times_ns)
    assert found is not None
    assert found.rate_hz == pytest.approx(30, rel=1e-4)
    assert found.median_s == 0.033


def test_dropped_frames_and_pauses_do_not_change_the_rate_but_the_mean() -> None:
    numbers = integers(0, 1, 2, 3, 6, 7, 8, 9)
    times_ns = integers(0, 10, 20, 30, 60, 70, 5070, 5080) * MS
    found = intervals(numbers, times_ns)
    assert found is not None
    assert found.rate_hz == pytest.approx(100)
    assert found.mean_hz == pytest.approx(7 / 5.08)
    assert (found.longest_s, found.longest_index) == (5.0, 6)
    assert (found.median_s, found.backwards) == (0.01, 0)


def test_jitter_is_of_frames_that_follow_each_other() -> None:
    numbers = integers(0, 1, 2, 10, 11, 12)
    times_ns = integers(0, 10, 20, 100, 110, 120) * MS
    found = intervals(numbers, times_ns)
    assert found is not None
    assert (found.p1_s, found.median_s, found.p99_s) == (0.01, 0.01, 0.01)
    assert found.longest_s == 0.08


def test_numbers_that_never_follow_each_other_still_have_a_rate() -> None:
    found = intervals(integers(0, 2, 4), integers(0, 20, 40) * MS)
    assert found is not None
    assert found.rate_hz == pytest.approx(100)
    assert found.median_s == 0.02


def test_equal_times_and_times_running_back_are_counted_and_harmless() -> None:
    found = intervals(integers(0, 1, 2, 3), integers(10, 10, 5, 15) * MS)
    assert found is not None
    assert found.backwards == 2
    all_equal = intervals(integers(0, 1), integers(5, 5))
    assert all_equal is not None
    assert (all_equal.rate_hz, all_equal.mean_hz) == (0.0, 0.0)


def test_gaps_are_told_apart_by_who_lost_the_frames() -> None:
    numbers = integers(0, 1, 5, 6, 20, 21)
    times_ns = numbers * 10 * MS
    found = gaps(numbers, times_ns, [MissingRun(8, 17, 6, 80 * MS)])
    assert (found.count, found.missing, found.lost, found.dropped) == (2, 16, 6, 10)
    first, second = found.largest
    assert (first.index, first.first_number, first.last_number, first.lost) == (4, 7, 19, 6)
    assert (first.before_ns, first.after_ns) == (60 * MS, 200 * MS)
    assert (second.missing, second.lost) == (3, 0)


def test_a_camera_that_began_anew_has_its_lost_run_at_the_right_time() -> None:
    numbers = integers(0, 1, 9, 0, 1, 9)
    times_ns = integers(0, 10, 90, 1000, 1010, 1090) * MS
    first, second = MissingRun(2, 8, 7, 20 * MS), MissingRun(2, 8, 5, 1020 * MS)
    assert [gap.lost for gap in gaps(numbers, times_ns, [first]).largest] == [7, 0]
    assert [gap.lost for gap in gaps(numbers, times_ns, [second]).largest] == [0, 5]
    assert [gap.lost for gap in gaps(numbers, times_ns, [first, second]).largest] == [7, 5]
    assert gaps(numbers, times_ns).repeated == 1


def test_a_run_that_fits_no_gap_is_not_counted_in_one() -> None:
    numbers, times_ns = integers(5, 6, 8), integers(50, 60, 80) * MS
    outside = [MissingRun(0, 4, 5, 0), MissingRun(9, 11, 3, 90 * MS), MissingRun(6, 7, 2, 60 * MS)]
    assert gaps(numbers, times_ns, outside).lost == 0


def test_what_a_pause_left_out_was_not_dropped() -> None:
    numbers = integers(0, 1, 10, 11, 20, 21, 24)
    times_ns = numbers * 10 * MS
    paused = [MissingRun(3, 9, 7, 30 * MS), MissingRun(12, 19, 8, 120 * MS)]
    found = gaps(numbers, times_ns, [MissingRun(13, 14, 2, 130 * MS)], paused)
    assert (found.missing, found.paused, found.lost, found.dropped) == (18, 13, 2, 3)
    assert [(gap.paused, gap.lost, gap.dropped) for gap in found.largest] == [
        (7, 0, 1), (6, 2, 0), (0, 0, 2)]


@given(st.lists(st.integers(-1000, 1000), max_size=60), st.data())
def test_missing_is_the_sum_of_the_steps_and_lost_never_more(numbers: list[int],
                                                             data: st.DataObject) -> None:
    times_ns = integers(*range(len(numbers)))
    lost, paused = (
        [MissingRun(first, first + length, data.draw(st.integers(0, 50)), at) for
         first, length, at in data.draw(st.lists(st.tuples(
             st.integers(-1000, 1000), st.integers(0, 40), st.integers(-5, 70)), max_size=5))]
        for _ in range(2))
    found = gaps(integers(*numbers), times_ns, lost, paused)
    steps = [b - a for a, b in itertools.pairwise(numbers)]
    assert found.missing == sum(step - 1 for step in steps if step > 1)
    assert min(found.lost, found.paused, found.dropped) >= 0
    assert found.lost + found.paused + found.dropped == found.missing
    assert found.count == sum(step > 1 for step in steps)
    assert found.repeated == sum(step <= 0 for step in steps)
    sizes = [gap.missing for gap in found.largest]
    assert sizes == sorted((step - 1 for step in steps if step > 1), reverse=True)[:len(sizes)]


def test_what_the_recorder_wrote_down_is_found_among_other_records() -> None:
    records: list[dict[str, Any]] = [
        {"temperature": 20.5, "frame_time": 1.0, "frame_index": 0},
        {"lost_first_number": 7, "lost_last_number": 9, "lost_count": 3,
         "lost_first_time_ns": 70, "lost_last_time_ns": 90},
        {"paused": True, "paused_first_number": 2, "paused_last_number": 4, "paused_count": 3,
         "paused_first_time_ns": 20, "paused_last_time_ns": 40},
        {"lost_first_number": "7", "lost_last_number": 9, "lost_count": 3},
        {"clock_step": True, "clock_wall_ns": 3_000_000_000, "clock_recording_ns": 1_000_000_000},
        {"clock_step": True, "clock_wall_ns": 4_500_000_000, "clock_recording_ns": 2_000_000_000},
        {"clock_step": True},
    ]
    assert lost_runs(records) == [MissingRun(7, 9, 3, 70)]
    assert paused_runs(records) == [MissingRun(2, 4, 3, 20)]
    assert [(step.recording_ns, step.moved_s) for step in clock_steps(records)] == [
        (1_000_000_000, 2.0), (2_000_000_000, 0.5)]


def test_what_the_metadata_name_is_found_and_nothing_else() -> None:
    """A recovery knows a run by the frames around it: its first time is that of the one before."""
    found = noted_lost_runs([[7, 9, 3, 60, 100], [1, 2], "x", [1, 2, 3, "4", 5]])
    assert found == [MissingRun(7, 9, 3, 60)]
    assert noted_lost_runs(None) == noted_lost_runs("no list") == []
    numbers = integers(5, 6, 10)
    assert gaps(numbers, numbers * 10, found).lost == 3


def test_extra_data_in_short() -> None:
    records = [{"t": 1, "frame_time": float(at), "frame_number": at, "frame_index": at}
               for at in range(5)] + [{"door": "open", "frame_time": None}]
    found = summary(records)
    assert (found.records, dict(found.columns)) == (6, {"door": 1, "t": 5})
    assert found.rate_hz == pytest.approx(1.0)
    assert summary([]).rate_hz is None
