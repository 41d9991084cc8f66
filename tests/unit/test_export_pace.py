"""Speed and time left of an export, by a clock of the test's own."""

from __future__ import annotations

import pytest

from fieldrec.export.pace import VERIFYING_SHARE, Pace


def fed(phase: str, frames: range, total: int, pace: Pace | None = None, at_s: float = 0.0,
        per_frame_s: float = 0.1) -> Pace:
    pace = pace or Pace()
    for done in frames:
        pace.frame(phase, done, total, at_s + (done - frames[0]) * per_frame_s)
    return pace


def test_nothing_is_known_before_the_second_frame() -> None:
    pace = fed("encoding", range(1, 2), 100)
    assert (pace.frames_per_second, pace.eta_s) == (0.0, None)


def test_encoding_counts_the_verification_that_follows() -> None:
    pace = fed("encoding", range(1, 52), 100)
    assert pace.frames_per_second == pytest.approx(10.0)
    assert pace.eta_s == pytest.approx((49 + VERIFYING_SHARE * 100) / 10)


def test_frames_of_an_earlier_run_are_not_counted_as_speed() -> None:
    pace = fed("encoding", range(900, 911), 1000)
    assert pace.frames_per_second == pytest.approx(10.0)


def test_a_pause_is_not_counted() -> None:
    pace = fed("encoding", range(1, 11), 100)
    pace.went_on(1000.0)
    pace.frame("encoding", 11, 100, 1000.1)
    assert pace.frames_per_second == pytest.approx(10.0)


def test_slices_are_verified_one_after_the_other() -> None:
    pace = fed("encoding", range(1, 101), 100)
    fed("joining", range(1, 61), 60, pace, 20.0)
    assert pace.eta_s == pytest.approx(VERIFYING_SHARE * 100 / 10)
    fed("verifying", range(1, 61), 60, pace, 30.0, 0.05)
    assert pace.eta_s == pytest.approx(40 / 20)
    pace.frame("committing", 60, 60, 40.0)
    fed("joining", range(1, 41), 40, pace, 50.0)
    fed("verifying", range(1, 21), 40, pace, 60.0, 0.05)
    assert pace.eta_s == pytest.approx(20 / 20)


def test_at_the_commit_it_is_there() -> None:
    pace = fed("verifying", range(1, 10), 9, fed("encoding", range(1, 10), 9), 5.0)
    pace.frame("committing", 9, 9, 9.0)
    assert pace.eta_s == 0.0
