"""Admission as a whole table, against rules written down here: every kind of job by every power
level, recording or not, throttled or not, destination, space, heat, quiet hours, schedule, pause
and leave to run on battery. The first rule that fits gives the answer; where none does it runs."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import re
from collections.abc import Iterator
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
from fieldrec.jobs.admission import Refuse, Run, Wait, decide

L, T, K = PowerLevel, SpaceTier, JobKind
ALL = frozenset(K)
BUT_DELETE = ALL - {K.DELETE}
EXPORT = frozenset({K.EXPORT})
OFFLOAD = frozenset({K.COPY, K.MOVE})
UPLOAD = frozenset({K.UPLOAD})

RULES: list[tuple[str, frozenset[JobKind], dict[str, set[Any]], str]] = [
    # answer, kinds, what must all be so, what is said
    ("never", OFFLOAD, {"place": {"none"}}, "a {kind} needs a destination; name one"),
    ("never", UPLOAD, {"place": {"none"}}, "an upload needs a destination; name one"),
    ("wait", ALL, {"paused": {True}},
     "paused by the operator; `fieldrec resume-job 7` lets it go on"),
    ("wait", ALL, {"level": {L.CRITICAL}},
     "battery CRITICAL, 8 % <= 10 %, back above 15 % or on mains"),
    ("wait", BUT_DELETE, {"level": {L.LOW}},
     "battery LOW, 34 % <= 40 %, back above 50 % or on mains"),
    ("wait", BUT_DELETE, {"place": {"absent"}}, "drive FIELD-01 not present"),
    ("wait", EXPORT, {"recording": {True}, "throttled": {False}}, "recording since 06:00"),
    ("wait", EXPORT, {"level": {L.BATTERY}, "allowed": {False}, "policy": {False}},
     "on battery (62 %); exports run on mains"),
    ("wait", EXPORT, {"level": {L.BATTERY}, "allowed": {False}, "space": {T.OK, T.WARN}},
     "on battery (62 %); exports run on mains"),
    ("wait", EXPORT, {"level": {L.UNKNOWN}, "allowed": {False}, "policy": {False}},
     "power supply unknown; exports run on mains"),
    ("wait", EXPORT, {"level": {L.UNKNOWN}, "allowed": {False}, "space": {T.OK, T.WARN}},
     "power supply unknown; exports run on mains"),
    ("wait", EXPORT, {"hot": {True}}, "processor 84 C > 80 C, back below 75 C"),
    ("wait", EXPORT, {"quiet": {True}}, "quiet hours until 08:30"),
    ("wait", EXPORT, {"soon": {"too long"}, "recording": {False}},
     'recording "night" starts at 07:07, in 7 min; export takes about 12 min'),
]
AXES: dict[str, list[Any]] = {
    "kind": list(K), "level": list(L), "recording": [False, True], "throttled": [False, True],
    "place": ["present", "absent", "none"], "space": list(T), "policy": [False, True],
    "hot": [False, True], "quiet": [False, True], "soon": ["no", "fits", "too long"],
    "paused": [False, True], "allowed": [False, True],
}
HOUR_NS = 3600 * 1_000_000_000
NOW_NS = 6 * HOUR_NS  # 07:00 in Vienna
POWERS = {
    L.MAINS: PowerState(L.MAINS), L.UNKNOWN: PowerState(L.UNKNOWN),
    L.BATTERY: PowerState(L.BATTERY, charge_percent=62.0),
    L.LOW: PowerState(L.LOW, charge_percent=34.0,
                      reason="charge 34 % <= 40 %, back above 50 %"),
    L.CRITICAL: PowerState(L.CRITICAL, charge_percent=8.0,
                           reason="charge 8 % <= 10 %, back above 15 %"),
}
WHERE = frozenset({"drive:1234-ABCD"})


def rows() -> Iterator[dict[str, Any]]:
    names = list(AXES)
    for values in itertools.product(*AXES.values()):
        yield dict(zip(names, values, strict=True))


def job_of(row: dict[str, Any]) -> Job:
    return _job(*(row[name] for name in ("kind", "place", "allowed", "paused", "soon")))


@functools.cache
def _job(kind: JobKind, place: str, allowed: bool, paused: bool, soon: str) -> Job:
    return Job(
        id=7, kind=kind, item="bees", item_uuid="u", preset="High", delete_source=False,
        destination=None if place == "none" else "drive:1234-ABCD",
        destination_label="FIELD-01", allow_battery=allowed, state=JobState.QUEUED,
        reason="", attempt=0, done_bytes=0, total_bytes=0, created_ns=0, changed_ns=0,
        paused=paused, seconds_left=200.0 if soon == "fits" else 720.0)


def conditions_of(row: dict[str, Any]) -> Conditions:
    return _conditions(*(row[name] for name in (
        "level", "recording", "throttled", "place", "space", "policy", "hot", "quiet", "soon")))


@functools.cache
def _conditions(level: PowerLevel, recording: bool, throttled: bool, place: str, space: SpaceTier,
                policy: bool, hot: bool, quiet: bool, soon: str) -> Conditions:
    return Conditions(
        recording=recording, recording_since_ns=5 * HOUR_NS if recording else None,
        power=POWERS[level], free_bytes=10**9,
        present_destinations=WHERE if place == "present" else frozenset(),
        export_share=0.25 if throttled and recording else 0.0, now_ns=NOW_NS,
        timezone="Europe/Vienna",
        next_start_ns=None if soon == "no" else NOW_NS + 7 * 60 * 10**9,
        next_start_name="night", before_schedule_s=600.0,
        quiet_until_ns=NOW_NS + HOUR_NS + HOUR_NS // 2 if quiet else None,
        temperature_c=84.0 if hot else 55.0, too_warm=hot, max_temperature_c=80.0,
        back_temperature_c=75.0, space=SpaceState(space), export_on_battery_when_full=policy)


def told(row: dict[str, Any]) -> tuple[str, str]:
    for answer, kinds, needs, said in RULES:
        if row["kind"] in kinds and all(row[name] in values for name, values in needs.items()):
            return answer, said
    return "run", ""


def test_the_whole_table() -> None:
    counted = dict.fromkeys(("run", "wait", "never"), 0)
    used: set[str] = set()
    for row in rows():
        answer, said = told(row)
        counted[answer] += 1
        used.add(said)
        verdict = decide(job_of(row), conditions_of(row))
        match verdict:
            case Run(share):
                throttled = row["recording"] and row["kind"] is K.EXPORT
                assert answer == "run", row
                assert share == (0.25 if throttled else 1.0), row
            case Wait(reason):
                assert answer == "wait", (row, reason)
                assert reason == said, row
            case Refuse(reason):
                assert answer == "never", (row, reason)
                assert reason == said.format(kind=row["kind"].value), row
    assert sum(counted.values()) == 6 * 5 * 2 * 2 * 3 * 4 * 2 * 2 * 2 * 3 * 2 * 2
    assert all(counted.values())
    assert used == {said for *_, said in RULES} | {""}  # no rule is there for nothing


def test_every_reason_has_a_figure_or_a_name() -> None:
    for said in {said for answer, _, _, said in RULES if answer == "wait"}:
        assert re.search(r"\d|FIELD-01|mains", said), said


@pytest.mark.parametrize("kind", K)
def test_stopping_and_recovering_come_before_all(kind: JobKind) -> None:
    for level, recording, place in itertools.product(L, (False, True), ("present", "absent")):
        row = {name: values[0] for name, values in AXES.items()} | {
            "kind": kind, "level": level, "recording": recording, "place": place}
        recovering = dataclasses.replace(conditions_of(row), recovering=True)
        assert decide(job_of(row), recovering) == Wait(
            "interrupted recordings are completed first")
        stopping = dataclasses.replace(recovering, shutting_down=True)
        assert decide(job_of(row), stopping) == Wait("shutting down")
