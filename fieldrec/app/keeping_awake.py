"""What the box shows, as leases that keep it awake: for as long as a cause is seen, one lease for
it. On the loop.

What is seen comes from the snapshots, so that nothing that works needs to know of sleep. A lease
that has ended by its maximum is not taken again until its cause has gone and come back.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from fieldrec.config.sleep import SleepConfig
from fieldrec.core.model import Drive, DriveState, JobState
from fieldrec.core.snapshot import Snapshot
from fieldrec.power.awake import Awake, Lease
from fieldrec.status import words

_AT_WORK = frozenset({JobState.RUNNING, JobState.VERIFYING, JobState.COMMITTING,
                      JobState.DELETING_SOURCE})
_MOUNTED = frozenset({DriveState.SEEN, DriveState.MOUNTING, DriveState.READY,
                      DriveState.EJECTING})


def causes(snapshot: Snapshot, config: SleepConfig) -> Iterator[tuple[str, float]]:
    """(what keeps the box awake, seconds at most; inf for what may never be slept over)."""
    if snapshot.recording:
        yield "recording", math.inf
    for task, _ in snapshot.schedule.running:
        yield f"schedule: {task}", math.inf
    if snapshot.schedule.clock_problem:
        yield "the clock is wrong", math.inf
    if snapshot.recovery:
        yield "recovery", config.job_max_s
    for job in snapshot.jobs:
        if job.state in _AT_WORK:
            yield f"job {job.id}: {words.job_title(job)}", config.job_max_s
    for drive in snapshot.drives:
        if drive.leases:
            yield f"drive {_name(drive)} is being written", math.inf
        elif drive.state in _MOUNTED:
            yield f"drive {_name(drive)}", config.drive_max_s


class KeepingAwake:
    """Follows the snapshots."""

    def __init__(self, config: SleepConfig, awake: Awake) -> None:
        self._config = config
        self._awake = awake
        self._leases: dict[str, Lease] = {}

    def look(self, snapshot: Snapshot) -> None:
        """Take and give back leases, as this snapshot has it."""
        now = dict(causes(snapshot, self._config))
        for name in self._leases.keys() - now.keys():
            self._leases.pop(name).release()
        for name in now.keys() - self._leases.keys():
            self._leases[name] = self._awake.lease(name, now[name])


def _name(drive: Drive) -> str:
    return words.drive_label(drive)
