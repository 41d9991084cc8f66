"""Which job goes first, and what a job waits for."""

from __future__ import annotations

import dataclasses

from fieldrec.core.model import Job, JobKind, JobState
from fieldrec.jobs.admission import Wait
from fieldrec.jobs.order import EXPORT, OFFLOAD, behind, first, judging_order, lane
from tests.unit.test_jobs_admission import job


def numbered(number: int, kind: JobKind, uuid: str = "") -> Job:
    return dataclasses.replace(job(kind), id=number, item_uuid=uuid or f"u{number}")


def test_deletes_go_first_then_the_oldest() -> None:
    jobs = [numbered(3, JobKind.DELETE), numbered(1, JobKind.COPY), numbered(2, JobKind.EXPORT)]
    found = first(jobs, OFFLOAD)
    assert found is not None
    assert found.id == 3
    found = first(jobs[1:], OFFLOAD)
    assert found is not None
    assert found.id == 1
    assert first(jobs[:2], EXPORT) is None


def test_every_kind_has_a_lane() -> None:
    assert {kind: lane(job(kind)) for kind in JobKind} == {
        JobKind.EXPORT: EXPORT, JobKind.COPY: OFFLOAD, JobKind.MOVE: OFFLOAD,
        JobKind.DELETE: OFFLOAD, JobKind.DELETE_RAW: OFFLOAD}


def test_offload_is_judged_before_export() -> None:
    jobs = [numbered(1, JobKind.EXPORT), numbered(3, JobKind.COPY), numbered(2, JobKind.MOVE)]
    assert [job.id for job in judging_order(jobs)] == [2, 3, 1]


def test_never_two_jobs_on_one_recording() -> None:
    running = [numbered(1, JobKind.EXPORT, "same")]
    assert behind(numbered(2, JobKind.DELETE, "same"), running, [], []) == Wait(
        "job 1 (export) works on this recording first")
    assert behind(numbered(2, JobKind.DELETE, "other"), running, [], []) is None


def test_a_copy_does_not_wait_for_an_export_that_is_held() -> None:
    held = dataclasses.replace(numbered(1, JobKind.EXPORT, "same"), state=JobState.WAITING)
    assert behind(numbered(2, JobKind.COPY, "same"), [held], [], []) is None
    assert behind(numbered(2, JobKind.MOVE, "same"), [held], [], []) is not None
    assert behind(numbered(2, JobKind.DELETE, "same"), [held], [], []) is not None
    runs = dataclasses.replace(held, state=JobState.RUNNING)
    assert behind(numbered(2, JobKind.COPY, "same"), [runs], [], []) is not None
    takes_the_raw = dataclasses.replace(held, delete_source=True)
    assert behind(numbered(2, JobKind.COPY, "same"), [takes_the_raw], [], []) is not None


def test_an_export_waits_while_offload_runs_or_may_run() -> None:
    copy = numbered(2, JobKind.COPY)
    expected = Wait("job 2 (copy) goes first")
    assert behind(numbered(1, JobKind.EXPORT), [copy], [], []) == expected
    assert behind(numbered(1, JobKind.EXPORT), [], [copy], []) == expected
    assert behind(numbered(1, JobKind.EXPORT), [], [], [copy]) is None


def test_a_move_waits_for_older_exports_of_its_recording_only() -> None:
    export = numbered(1, JobKind.EXPORT, "same")
    assert behind(numbered(2, JobKind.MOVE, "same"), [], [], [export]) == Wait(
        "job 1 exports this recording first")
    assert behind(numbered(2, JobKind.MOVE, "other"), [], [], [export]) is None
    younger = numbered(3, JobKind.EXPORT, "same")
    assert behind(numbered(2, JobKind.MOVE, "same"), [], [], [younger]) is None
    assert behind(numbered(2, JobKind.COPY, "same"), [], [], [export]) is None


def test_raw_is_deleted_when_nothing_else_needs_it() -> None:
    raw = numbered(3, JobKind.DELETE_RAW, "same")
    for number, kind in ((1, JobKind.EXPORT), (4, JobKind.COPY), (5, JobKind.MOVE)):
        assert behind(raw, [], [], [numbered(number, kind, "same")]) == Wait(
            f"job {number} ({kind.value}) needs the raw first")
        assert behind(raw, [], [], [numbered(number, kind, "other")]) is None
    assert behind(raw, [], [], [numbered(4, JobKind.DELETE_RAW, "same")]) is None
