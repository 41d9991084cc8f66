"""The state machines: tables are complete, illegal steps raise, ends are ends."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any

import pytest

from fieldrec.core import states
from fieldrec.core.errors import StateError
from fieldrec.core.model import CameraState, DriveState, JobState, RecordingState

TABLES: list[tuple[type[enum.Enum], Mapping[Any, frozenset[Any]], Any]] = [
    (RecordingState, states.RECORDING, RecordingState.OPENING),
    (JobState, states.JOB, JobState.QUEUED),
    (DriveState, states.DRIVE, DriveState.ABSENT),
    (CameraState, states.CAMERA, CameraState.CLOSED),
]


@pytest.mark.parametrize(("kind", "table", "first"), TABLES)
def test_every_state_is_in_the_table_and_can_be_reached(
        kind: type[enum.Enum], table: Mapping[Any, frozenset[Any]], first: Any) -> None:
    assert set(table) == set(kind)
    reached, ahead = {first}, [first]
    while ahead:
        new = table[ahead.pop()] - reached
        reached |= new
        ahead += new
    assert reached == set(kind)


@pytest.mark.parametrize(("kind", "table", "first"), TABLES)
def test_step_allows_exactly_the_table(
        kind: type[enum.Enum], table: Mapping[Any, frozenset[Any]], first: Any) -> None:
    for old in kind:
        for new in kind:
            if new in table[old]:
                assert states.step(table, old, new, "x") is new
            else:
                with pytest.raises(StateError, match=f"^x: cannot go from {old.value} to"):
                    states.step(table, old, new, "x")


def test_a_job_that_commits_cannot_be_cancelled() -> None:
    assert JobState.CANCELLED not in states.JOB[JobState.COMMITTING]
    assert JobState.CANCELLED not in states.JOB[JobState.DELETING_SOURCE]


def test_finished_jobs() -> None:
    assert {s for s in JobState if s.finished} == {
        JobState.DONE, JobState.FAILED, JobState.CANCELLED}


def test_a_recording_that_is_gone_stays_gone() -> None:
    assert states.RECORDING[RecordingState.GONE] == frozenset()
