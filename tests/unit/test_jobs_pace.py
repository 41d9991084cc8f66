"""Seconds per frame by an export's own progress, pauses left out."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from fieldrec.core.model import Export
from fieldrec.jobs.pace import Pace
from tests.unit.test_jobs_history import RECORDING


class Times:
    """Clock and processor time that a test sets."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.cpu_s = 7.0

    def pace(self) -> Pace:
        return Pace(lambda: self.now_s, lambda: self.cpu_s)


def run(pace: Pace, times: Times, phase: str, frames: int, frame_s: float, first: int = 1) -> None:
    for done in range(first, frames + 1):
        pace.progress(phase, done)
        times.now_s += frame_s
    pace.progress(phase, frames)  # the last one counts from its beginning to its end


def test_each_phase_has_its_pace_and_pauses_do_not_count() -> None:
    times = Times()
    pace = times.pace()
    pace.progress("encoding", 1)
    times.now_s += 2.0
    pace.hold(True)
    times.now_s += 1000.0
    pace.hold(False)
    times.now_s += 1.0
    pace.progress("encoding", 4)
    assert pace.frame_s == {"encoding": pytest.approx(1.0)}
    pace.hold(True)
    pace.progress("verifying", 0)  # said before it was stopped
    pace.hold(False)
    times.now_s += 1.0
    pace.progress("verifying", 4)
    assert pace.frame_s == {"encoding": pytest.approx(1.0), "verifying": pytest.approx(0.25)}


def made(frames: int = 1000) -> tuple[Export, ...]:
    return (Export(Path("/x"), "High", frames, 50_000, "", 0),)


def test_a_sample_says_what_it_came_to() -> None:
    times = Times()
    pace = times.pace()
    run(pace, times, "encoding", 1000, 0.01)
    times.cpu_s += 20.0
    sample = pace.sample(RECORDING, "High", made())
    assert sample is not None
    assert (sample.camera, sample.preset, sample.width, sample.height) == ("C1", "High", 200, 100)
    assert sample.bits_per_pixel == pytest.approx(0.02)
    assert sample.encode_s_per_frame == pytest.approx(0.01, rel=0.01)
    assert (sample.verify_s_per_frame, sample.cpu_s_per_frame) == (0.0, 0.02)


def test_one_that_went_on_tells_no_processor_time() -> None:
    times = Times()
    pace = times.pace()
    run(pace, times, "encoding", 1000, 0.01, first=600)
    times.cpu_s += 20.0
    sample = pace.sample(RECORDING, "High", made())
    assert sample is not None
    assert sample.cpu_s_per_frame == 0.0
    assert sample.encode_s_per_frame == pytest.approx(0.01, rel=0.01)


def test_there_is_none_of_nothing() -> None:
    pace = Times().pace()
    assert pace.sample(RECORDING, "High", ()) is None
    assert pace.sample(dataclasses.replace(RECORDING, spec=None), "High", made()) is None
