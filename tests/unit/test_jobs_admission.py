"""Admission as a whole table: kind, level, recording or not, present or not, allowed or not."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import pytest

from fieldrec.core.model import Conditions, Job, JobKind, JobState, PowerLevel, PowerState
from fieldrec.jobs.admission import Refuse, Run, Verdict, Wait, decide

SIX_UTC = (6 * 3600 + 12) * 1_000_000_000
L = PowerLevel


def job(kind: JobKind, allow_battery: bool = False) -> Job:
    return Job(id=1, kind=kind, item="bees", item_uuid="u", destination="nas", preset="High",
               delete_source=False, allow_battery=allow_battery, state=JobState.QUEUED, reason="",
               attempt=0, done_bytes=0, total_bytes=0, created_ns=0, changed_ns=0)


def conditions(level: PowerLevel = L.MAINS, *, recording: bool = False, present: bool = True,
               shutting_down: bool = False, charge: float | None = 34.0, reason: str = ""
               ) -> Conditions:
    return Conditions(recording=recording, recording_since_ns=SIX_UTC if recording else None,
                      power=PowerState(level, charge_percent=charge, reason=reason),
                      present_destinations=frozenset({"nas"} if present else ()),
                      free_bytes=10**9, shutting_down=shutting_down)


def expected(kind: JobKind, level: PowerLevel, recording: bool, present: bool, allowed: bool
             ) -> type[Verdict]:
    """The table of the power row, written the other way round: what may run."""
    if level is L.CRITICAL:
        return Wait
    may = {
        JobKind.DELETE: True,
        JobKind.COPY: present and level is not L.LOW,
        JobKind.MOVE: present and level is not L.LOW,
        JobKind.DELETE_RAW: present and level is not L.LOW,
        JobKind.EXPORT: not recording and present and (
            level is L.MAINS or (level in (L.BATTERY, L.UNKNOWN) and allowed)),
    }[kind]
    return Run if may else Wait


TABLE = list(itertools.product(JobKind, PowerLevel, (False, True), (False, True), (False, True)))


@pytest.mark.parametrize(("kind", "level", "recording", "present", "allowed"), TABLE)
def test_the_whole_table(kind: JobKind, level: PowerLevel, recording: bool, present: bool,
                         allowed: bool) -> None:
    now = conditions(level, recording=recording, present=present)
    verdict = decide(job(kind, allowed), now)
    assert type(verdict) is expected(kind, level, recording, present, allowed)
    assert isinstance(verdict, Run) or verdict.reason
    recovering = dataclasses.replace(now, recovering=True)
    assert decide(job(kind, allowed), recovering) == Wait(
        "interrupted recordings are completed first")
    stopping = dataclasses.replace(recovering, shutting_down=True)
    assert decide(job(kind, allowed), stopping) == Wait("shutting down")


def test_the_table_lets_something_run_and_something_wait() -> None:
    assert {expected(*row) for row in TABLE} == {Run, Wait}
    assert sum(expected(*row) is Run for row in TABLE) == 32 + 12 + 12 + 12 + 4


def test_reasons_are_words_and_figures() -> None:
    export = job(JobKind.EXPORT)
    assert decide(export, conditions(recording=True)) == Wait("recording since 06:00:12 UTC")
    assert decide(export, conditions(L.BATTERY)) == Wait("on battery (34 %); exports run on mains")
    assert decide(export, conditions(L.BATTERY, charge=None)) == Wait(
        "on battery; exports run on mains")
    assert decide(export, conditions(L.UNKNOWN)) == Wait(
        "power supply unknown; exports run on mains")
    low = conditions(L.LOW, charge=22.0, reason="charge 22 % <= 25 %, back above 35 %")
    assert decide(job(JobKind.COPY), low) == Wait(
        "battery LOW (22 %), charge 22 % <= 25 %, back above 35 %")
    assert decide(job(JobKind.DELETE), conditions(L.CRITICAL, charge=8.0)) == Wait(
        "battery CRITICAL (8 %)")


def test_an_absent_drive_is_called_a_drive() -> None:
    away = conditions(present=False)
    assert decide(job(JobKind.COPY), away) == Wait("destination nas not present")
    stick = dataclasses.replace(job(JobKind.MOVE), destination="drive:FIELD-01")
    assert decide(stick, away) == Wait("drive FIELD-01 not present")


@pytest.mark.parametrize(("kind", "lacks"), [
    (JobKind.COPY, "destination"), (JobKind.MOVE, "destination"), (JobKind.EXPORT, "preset"),
    (JobKind.DELETE_RAW, "preset")])
def test_a_job_that_can_never_run_is_refused(kind: JobKind, lacks: str) -> None:
    without: dict[str, Any] = {lacks: None}
    verdict = decide(dataclasses.replace(job(kind), **without), conditions())
    assert isinstance(verdict, Refuse)
    assert lacks in verdict.reason


def test_an_export_here_and_raw_for_one_here_need_no_destination() -> None:
    away = conditions(present=False)
    for kind in (JobKind.EXPORT, JobKind.DELETE_RAW):
        assert decide(dataclasses.replace(job(kind), destination=None), away) == Run()


def test_beside_a_recording_an_export_gets_a_share_where_it_may() -> None:
    beside = dataclasses.replace(conditions(recording=True), export_share=0.25)
    assert decide(job(JobKind.EXPORT), beside) == Run(0.25)
    assert decide(job(JobKind.COPY), beside) == Run(1.0)
    on_battery = dataclasses.replace(beside, power=PowerState(L.BATTERY))
    assert isinstance(decide(job(JobKind.EXPORT), on_battery), Wait)


@pytest.mark.parametrize("kind", JobKind)
def test_the_operator_may_pause_any_job(kind: JobKind) -> None:
    paused = dataclasses.replace(job(kind), paused=True)
    assert decide(paused, conditions()) == Wait(
        "paused by the operator; `fieldrec resume-job 1` lets it go on")
