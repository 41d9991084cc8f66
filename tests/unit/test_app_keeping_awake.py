"""What is seen of the box keeps it awake, for as long as it is seen."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from fieldrec.app.keeping_awake import KeepingAwake, causes
from fieldrec.config.sleep import SleepConfig
from fieldrec.core.model import Drive, DriveState, Job, JobKind, JobState
from fieldrec.core.snapshot import ScheduleStatus, Snapshot
from fieldrec.power.awake import Awake, Lease
from tests.fakes.cameras import ManualClock

CONFIG = SleepConfig(job_max_s=3600, drive_max_s=600)
IDLE = Snapshot(1, 0, "box", False, None)


def job(state: JobState) -> Job:
    return Job(7, JobKind.COPY, "bees", "u", "usb", None, False, False, state, "", 0, 0, 0, 0, 0)


def drive(state: DriveState, leases: int = 0) -> Drive:
    return Drive("u", "BEES1", "/dev/sdx1", None, "ext4", None, 1, 1, state, leases=leases)


def seen(**what: Any) -> Snapshot:
    return replace(IDLE, **what)


@pytest.mark.parametrize(("snapshot", "expected"), [
    (IDLE, {}),
    (seen(recording=True), {"recording": math.inf}),
    (seen(recovery="2 of 3"), {"recovery": 3600}),
    (seen(schedule=ScheduleStatus(running=(("dawn", 5),))), {"schedule: dawn": math.inf}),
    (seen(schedule=ScheduleStatus(clock_problem="1970")), {"the clock is wrong": math.inf}),
    *((seen(jobs=(job(state),)), {"job 7: copy bees to usb": 3600}) for state in (
        JobState.RUNNING, JobState.VERIFYING, JobState.COMMITTING, JobState.DELETING_SOURCE)),
    *((seen(jobs=(job(state),)), {}) for state in (
        JobState.QUEUED, JobState.WAITING, JobState.DONE, JobState.FAILED, JobState.CANCELLED)),
    *((seen(drives=(drive(state),)), {"drive BEES1": 600}) for state in (
        DriveState.SEEN, DriveState.MOUNTING, DriveState.READY, DriveState.EJECTING)),
    *((seen(drives=(drive(state),)), {}) for state in (
        DriveState.SAFE, DriveState.ABSENT, DriveState.REJECTED)),
    (seen(drives=(drive(DriveState.READY, 1),)), {"drive BEES1 is being written": math.inf}),
    (seen(drives=(drive(DriveState.EJECTING, 1),)), {"drive BEES1 is being written": math.inf}),
])
def test_causes(snapshot: Snapshot, expected: dict[str, float]) -> None:
    assert dict(causes(snapshot, CONFIG)) == expected


def test_a_lease_for_each_cause_for_as_long_as_it_is_seen() -> None:
    clock = ManualClock()
    dropped: list[Lease] = []
    awake = Awake(clock, on_drop=dropped.append)
    keeping = KeepingAwake(CONFIG, awake)

    def names() -> list[str]:
        return [holder.name for holder in awake.holders()]

    hung = seen(jobs=(job(JobState.RUNNING),))
    keeping.look(hung)
    clock.forward(3599)
    keeping.look(replace(hung, recording=True))
    assert names() == ["job 7: copy bees to usb", "recording"]
    keeping.look(hung)
    clock.forward(1)
    keeping.look(hung)  # over its maximum: not taken again while it hangs
    assert names() == []
    assert len(dropped) == 1
    keeping.look(IDLE)
    keeping.look(hung)
    assert names() == ["job 7: copy bees to usb"]
    keeping.look(IDLE)
    assert names() == []
