"""What admission says, in words; the whole table is in test_jobs_admission_table.py."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from fieldrec.core.model import (
    Conditions,
    Job,
    JobKind,
    JobState,
    PowerLevel,
    PowerState,
    SpaceState,
    SpaceTier,
)
from fieldrec.jobs.admission import Refuse, Run, Wait, decide, next_look_ns

SIX_UTC = 6 * 3600 * 1_000_000_000
HOUR_NS = 3600 * 1_000_000_000
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
                      free_bytes=10**9, shutting_down=shutting_down, now_ns=SIX_UTC)


def test_reasons_are_words_and_figures() -> None:
    export = job(JobKind.EXPORT)
    assert decide(export, conditions(recording=True)) == Wait("recording since 06:00")
    assert decide(export, conditions(L.BATTERY)) == Wait("on battery (34 %); exports run on mains")
    assert decide(export, conditions(L.BATTERY, charge=None)) == Wait(
        "on battery; exports run on mains")
    assert decide(export, conditions(L.UNKNOWN)) == Wait(
        "power supply unknown; exports run on mains")
    low = conditions(L.LOW, charge=22.0, reason="charge 22 % <= 25 %, back above 35 %")
    assert decide(job(JobKind.COPY), low) == Wait(
        "battery LOW, 22 % <= 25 %, back above 35 % or on mains")
    assert decide(job(JobKind.DELETE), conditions(L.CRITICAL, charge=8.0)) == Wait(
        "battery CRITICAL (8 %)")


def test_times_are_those_of_the_configured_zone() -> None:
    now = dataclasses.replace(conditions(recording=True), timezone="Europe/Vienna",
                              now_ns=SIX_UTC + HOUR_NS)
    export = job(JobKind.EXPORT)
    assert decide(export, now) == Wait("recording since 07:00")
    later = dataclasses.replace(now, now_ns=SIX_UTC + 24 * HOUR_NS)
    assert decide(export, later) == Wait("recording since Thu 07:00")
    much_later = dataclasses.replace(now, now_ns=SIX_UTC + 24 * 7 * HOUR_NS)
    assert decide(export, much_later) == Wait("recording since 1970-01-01 07:00")


def test_heat_and_quiet_hours_hold_up_exports_alone() -> None:
    warm = dataclasses.replace(conditions(), temperature_c=83.6, too_warm=True,
                               max_temperature_c=80.0, back_temperature_c=75.0)
    assert decide(job(JobKind.EXPORT), warm) == Wait("processor 84 C > 80 C, back below 75 C")
    cooling = dataclasses.replace(warm, temperature_c=77.0)
    assert decide(job(JobKind.EXPORT), cooling) == Wait(
        "processor 77 C after more than 80 C, back below 75 C")
    quiet = dataclasses.replace(conditions(), now_ns=SIX_UTC - 2 * HOUR_NS, quiet_until_ns=SIX_UTC)
    assert decide(job(JobKind.EXPORT), quiet) == Wait("quiet hours until 06:00")
    over = dataclasses.replace(quiet, now_ns=SIX_UTC)
    assert decide(job(JobKind.EXPORT), over) == Run()
    for kind in set(JobKind) - {JobKind.EXPORT}:
        assert decide(job(kind), warm) == decide(job(kind), quiet) == Run()


def soon(minutes: float, **more: Any) -> Conditions:
    """So long before a recording that the schedule begins."""
    return dataclasses.replace(
        conditions(), now_ns=SIX_UTC - round(minutes * 60e9), next_start_ns=SIX_UTC,
        next_start_name="night", before_schedule_s=600.0, **more)


def test_before_a_scheduled_start_only_what_fits_in() -> None:
    def export(seconds_left: float | None, state: JobState = JobState.QUEUED) -> Job:
        return dataclasses.replace(job(JobKind.EXPORT), seconds_left=seconds_left, state=state)

    assert decide(export(720), soon(7)) == Wait(
        'recording "night" starts at 06:00, in 7 min; export takes about 12 min')
    assert decide(export(None), soon(0.5)) == Wait(
        'recording "night" starts at 06:00, in 1 min; how long the export takes is not known')
    assert decide(export(720), soon(10.1)) == Run()  # not yet: what is done by then is kept
    assert decide(export(300), soon(7)) == Run()
    assert isinstance(decide(export(400), soon(7)), Wait)  # expectations err…
    assert decide(export(400, JobState.RUNNING), soon(7)) == Run()  # …what runs knows its pace
    assert decide(export(None), soon(-1)) == Run()  # a start that is due holds up nothing
    days_ago = dataclasses.replace(export(None), created_ns=SIX_UTC - 25 * HOUR_NS)
    assert decide(days_ago, soon(7)) == Run()  # nothing starves
    assert decide(job(JobKind.COPY), soon(7)) == Run()
    beside = dataclasses.replace(soon(7), recording=True, export_share=0.25)
    assert decide(export(None), beside) == Run(0.25)


def test_when_to_ask_again() -> None:
    export = job(JobKind.EXPORT)

    def minutes(now: Conditions) -> float | None:
        at_ns = next_look_ns(export, now)
        return None if at_ns is None else (at_ns - now.now_ns) / 60e9

    assert minutes(conditions()) is None
    assert minutes(soon(25)) == 15
    assert minutes(soon(10)) == 1  # the words change by the minute
    assert minutes(soon(6.25)) == pytest.approx(0.25)
    assert minutes(soon(0.5)) == pytest.approx(0.5)
    assert minutes(soon(-1)) is None
    quiet = dataclasses.replace(conditions(), now_ns=SIX_UTC - 2 * HOUR_NS, quiet_until_ns=SIX_UTC,
                                quiet_from_ns=SIX_UTC + HOUR_NS)
    assert minutes(quiet) == 120
    assert minutes(dataclasses.replace(quiet, quiet_until_ns=None)) == 180
    assert next_look_ns(job(JobKind.COPY), quiet) is None


def test_a_disk_that_is_full_soon_lets_exports_run_on_battery_where_that_is_allowed() -> None:
    for tier in SpaceTier:
        full = dataclasses.replace(conditions(L.BATTERY), space=SpaceState(tier))
        assert isinstance(decide(job(JobKind.EXPORT), full), Wait)
        allowed = dataclasses.replace(full, export_on_battery_when_full=True)
        assert isinstance(decide(job(JobKind.EXPORT), allowed), Run) is (
            tier in (SpaceTier.ACT, SpaceTier.STOP))
        low = dataclasses.replace(allowed, power=PowerState(L.LOW))
        assert isinstance(decide(job(JobKind.EXPORT), low), Wait)


def test_an_absent_drive_is_called_a_drive_and_by_its_label() -> None:
    away = conditions(present=False)
    assert decide(job(JobKind.COPY), away) == Wait("destination nas not present")
    stick = dataclasses.replace(job(JobKind.MOVE), destination="drive:1234-ABCD")
    assert decide(stick, away) == Wait("drive 1234-ABCD not present")
    known = dataclasses.replace(stick, destination_label="FIELD-01")
    assert decide(known, away) == Wait("drive FIELD-01 not present")


@pytest.mark.parametrize(("kind", "lacks"), [
    (JobKind.COPY, "destination"), (JobKind.MOVE, "destination"),
    (JobKind.UPLOAD, "destination"), (JobKind.EXPORT, "preset"),
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
