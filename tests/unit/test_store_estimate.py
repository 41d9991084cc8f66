"""Estimated numbers and times: what the neighbours and the files tell, and never more."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fieldrec.store.layout import Columns
from fieldrec.store.recovery.estimate import (
    SECOND_NS,
    Clues,
    estimate,
    estimate_numbers,
    estimate_times,
    usual_interval_ns,
    usual_step,
)

STEP_NS = 40_000_000
START_NS = 1_700_000_000 * SECOND_NS
NOTHING = Columns.empty()


def frames(first: int, count: int, step: int = 1) -> Columns:
    numbers = first + np.arange(count, dtype=np.int64) * step
    unknown = np.full(count, -1, np.int64)
    return Columns(numbers, START_NS + (numbers - 0) // step * STEP_NS, unknown, None)


def places(*positions: int) -> NDArray[np.int64]:
    return np.array(positions, np.int64)


def written(*seconds: float) -> NDArray[np.int64]:
    return np.array([START_NS + round(at * 1e9) for at in seconds], np.int64)


# --- numbers --------------------------------------------------------------------------------------

@pytest.mark.parametrize(("positions", "before", "after", "expected"), [
    (places(0, 1, 2), frames(100, 5), NOTHING, [105, 106, 107]),
    (places(0, 1, 2), frames(100, 5, 3), NOTHING, [115, 118, 121]),
    (places(0, 2, 5), frames(100, 5), NOTHING, [105, 107, 110]),
    (places(0, 1), frames(100, 1), frames(300, 4, 10), [110, 120]),
    (places(0, 1, 2), NOTHING, frames(100, 5, 2), [94, 96, 98]),
    (places(1, 2), NOTHING, frames(100, 5), [98, 99]),
    (places(0, 1), NOTHING, frames(7, 1), [5, 6]),
    (places(0, 3), NOTHING, NOTHING, [0, 3]),
    (places(), frames(100, 5), NOTHING, []),
], ids=["go on", "by the usual step", "over holes", "by the step of what follows", "back",
        "back over a hole", "back by one", "from 0", "none"])
def test_numbers(positions: NDArray[np.int64], before: Columns, after: Columns,
                 expected: list[int]) -> None:
    numbers, how = estimate_numbers(positions, Clues(before, after))
    assert numbers.tolist() == expected
    assert how


def test_a_torn_frame_at_the_end_counts() -> None:
    numbers, _ = estimate_numbers(places(0, 1), Clues(NOTHING, frames(100, 3), begun=3))
    assert numbers.tolist() == [97, 98]


def test_a_gap_is_not_the_usual_step() -> None:
    assert usual_step(np.array([1, 2, 3, 90, 91, 200], np.int64)) == 1
    assert usual_step(np.array([5], np.int64)) == 0


def test_numbers_at_their_limit_begin_anew() -> None:
    top = np.iinfo(np.int64).max
    before = Columns(np.array([top - 2, top - 1], np.int64), written(0, 1), places(-1, -1), None)
    numbers, how = estimate_numbers(places(0, 1, 2), Clues(before, NOTHING))
    assert numbers.tolist() == [0, 1, 2]
    assert "limit" in how


# --- times ----------------------------------------------------------------------------------------

def times(positions: NDArray[np.int64], before: Columns = NOTHING, after: Columns = NOTHING,
          **clues: Any) -> tuple[list[float], str]:
    """(ms since START_NS, how)."""
    found, how = estimate_times(positions, Clues(before, after, **clues))
    return [(at - START_NS) / 1e6 for at in found.tolist()], how


def test_times_go_on_by_the_usual_interval() -> None:
    assert times(places(0, 1, 3), frames(0, 5)) == (
        [200, 240, 320], "going on from the frame before by 40 ms")


def test_a_gap_between_two_neighbours_is_filled_evenly() -> None:
    later = frames(0, 3)
    later = Columns(later.numbers, later.times_ns + 8 * STEP_NS + 1_000_000, later.device_times_ns,
                    None)
    found, how = times(places(0, 1, 2), frames(0, 5), later)
    assert found == [200.25, 240.5, 280.75]
    assert "evenly" in how


def test_a_pause_between_two_neighbours_is_not() -> None:
    later = frames(1000, 3)
    assert times(places(0, 1), frames(0, 5), later)[0] == [200, 240]


def test_times_go_back_from_what_follows() -> None:
    found, how = times(places(0, 1), NOTHING, frames(10, 3))
    assert found == [320, 360]
    assert "back from the frame after" in how


def test_the_first_chunk_alone_takes_the_rate_of_the_metadata() -> None:
    found, how = times(places(0, 1, 2), nominal_hz=10.0, start_ns=START_NS + SECOND_NS)
    assert found == [1000, 1100, 1200]
    assert how == "from the start of the recording by 100 ms"


def test_without_any_clue_it_says_what_was_assumed() -> None:
    found, how = times(places(0, 1))
    assert found[1] - found[0] == 40
    assert "nothing tells the frame rate: 25 assumed" in how
    assert "1970" in how


@pytest.mark.parametrize("rounded", [40_000_000, 33_333_333])
def test_the_interval_of_float_seconds_is_that_of_the_camera(rounded: int) -> None:
    seconds = (START_NS + np.arange(30) * rounded) / 1e9
    times_ns = np.rint(seconds * 1e9).astype(np.int64)
    assert abs(usual_interval_ns(times_ns) - rounded) < 10


def test_equal_or_backward_times_tell_no_interval() -> None:
    assert usual_interval_ns(written(3, 3, 3, 3)) == 0
    assert usual_interval_ns(written(3, 2, 1)) == 0
    assert usual_interval_ns(written(3)) == 0


# --- the times of files ---------------------------------------------------------------------------

JITTERED = written(0.203, 0.241, 0.279, 0.323)


def test_file_times_that_fit_are_taken() -> None:
    found, how = estimate_times(places(0, 1, 2, 3), Clues(frames(0, 5), NOTHING,
                                                          file_times_ns=JITTERED))
    assert np.array_equal(found, JITTERED)
    assert "files were written" in how


def test_their_usual_delay_is_taken_off() -> None:
    delay = 30_000_000
    found, _ = estimate_times(places(0, 1, 2, 3), Clues(
        frames(0, 5), NOTHING, file_times_ns=JITTERED + delay, file_delay_ns=delay))
    assert np.array_equal(found, JITTERED)


@pytest.mark.parametrize("file_times", [
    JITTERED[::-1], JITTERED + 90 * SECOND_NS, JITTERED - SECOND_NS, JITTERED[[0, 0, 0, 0]],
    (JITTERED - START_NS) // 1000 + START_NS, (JITTERED - START_NS) * 5 + START_NS - 800_000_000,
    JITTERED % SECOND_NS,
], ids=["backwards", "a copy's, later", "before the frame before", "all the same",
        "a copy's, fast", "too slow", "another epoch"])
def test_file_times_that_do_not_fit_are_not(file_times: NDArray[np.int64]) -> None:
    found, how = times(places(0, 1, 2, 3), frames(0, 5), file_times_ns=file_times)
    assert found == [200, 240, 280, 320]
    assert "files" not in how


def test_file_times_after_what_follows_are_not_taken() -> None:
    found, _ = times(places(0, 1), NOTHING, frames(10, 3), file_times_ns=written(9, 9.04))
    assert found == [320, 360]


@pytest.mark.parametrize(("start_s", "taken"), [(0, True), (-3000, True), (-4000, False),
                                                (10, False)])
def test_in_the_first_chunk_they_must_fit_the_start(start_s: int, taken: bool) -> None:
    _, how = estimate_times(places(0, 1, 2, 3), Clues(
        NOTHING, NOTHING, start_ns=START_NS + start_s * SECOND_NS, file_times_ns=JITTERED))
    assert ("files" in how) == taken


def test_everything_together() -> None:
    found = estimate(places(0, 1), Clues(frames(50, 4), NOTHING))
    assert found.columns.numbers.tolist() == [54, 55]
    assert found.columns.device_times_ns.tolist() == [-1, -1]
    assert found.columns.digests is None
    assert len(estimate(places(), Clues(NOTHING, NOTHING)).columns) == 0
