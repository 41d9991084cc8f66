"""How long a job of bytes takes: by its own rates, by those known from earlier ones."""

from __future__ import annotations

import pytest

from fieldrec.jobs.byte_pace import DELETE, READ, WRITE, BytePace, Phase, seconds_of

MB = 1_000_000


class Hands:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def copy(write: float = 0.0, read: float = 0.0) -> tuple[BytePace, Hands]:
    hands = Hands()
    return BytePace([Phase(WRITE, 100 * MB, write), Phase(READ, 100 * MB, read)], hands), hands


def test_nothing_is_said_before_anything_is_known() -> None:
    pace, hands = copy()
    assert pace.seconds_left() is None
    pace.progress(WRITE, 0, 100 * MB)
    assert pace.seconds_left() is None
    hands.now_s += 0.4
    pace.progress(WRITE, 4 * MB, 100 * MB)
    assert (pace.seconds_left(), pace.measured) == (None, {})


def test_verification_is_counted_with_the_rate_of_writing_until_it_is_known() -> None:
    pace, hands = copy()
    pace.progress(WRITE, 0, 100 * MB)
    hands.now_s += 2
    pace.progress(WRITE, 20 * MB, 100 * MB)
    assert pace.seconds_left() == pytest.approx(8 + 10)
    hands.now_s += 8
    pace.progress(WRITE, 100 * MB, 100 * MB)
    pace.progress(READ, 0, 100 * MB)
    assert pace.seconds_left() == pytest.approx(10)
    hands.now_s += 1
    pace.progress(READ, 40 * MB, 100 * MB)
    assert pace.seconds_left() == pytest.approx(1.5)
    assert pace.measured == {WRITE: pytest.approx(10 * MB), READ: pytest.approx(40 * MB)}


def test_what_was_known_before_counts_until_this_run_knows_better() -> None:
    pace, hands = copy(write=50 * MB, read=100 * MB)
    pace.progress(WRITE, 0, 100 * MB)
    assert pace.seconds_left() == pytest.approx(2 + 1)
    hands.now_s += 4
    pace.progress(WRITE, 20 * MB, 100 * MB)
    assert pace.seconds_left() == pytest.approx(16 + 1)


def test_what_lay_there_already_makes_no_rate() -> None:
    pace, hands = copy()
    pace.progress(WRITE, 0, 100 * MB)
    hands.now_s += 1
    pace.progress(WRITE, 85 * MB, 100 * MB, skipped=80 * MB)
    assert pace.seconds_left() == pytest.approx(15 / 5 + 100 / 5)


def test_what_a_job_will_take() -> None:
    assert seconds_of([Phase(READ, 30 * MB, 10 * MB), Phase(DELETE, 100 * MB, 1000 * MB)]) == 3.1
    assert seconds_of([Phase(READ, 30 * MB, 10 * MB), Phase(DELETE, 100 * MB, 0)]) is None
    assert seconds_of([Phase(DELETE, 0, 0)]) == 0
