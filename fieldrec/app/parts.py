"""Which parts a process runs: the daemon all of them, a command what it needs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Parts:
    """Which parts a process runs."""

    cameras: bool
    drives: bool
    consoles: bool
    power: bool
    automatic_jobs: bool
    """Whether it gives itself exports and copies, as configured."""
    deployment_log: bool
    """Whether what happens goes into the deployment's record."""
    schedule: bool = False
    """Whether it keeps to the schedule."""


DAEMON = Parts(cameras=True, drives=True, consoles=True, power=True, automatic_jobs=True,
               deployment_log=True, schedule=True)
ONE_RECORDING = Parts(cameras=True, drives=False, consoles=False, power=False,
                      automatic_jobs=False, deployment_log=True)
FOLDER_ONLY = Parts(cameras=False, drives=False, consoles=False, power=True,
                    automatic_jobs=False, deployment_log=False)
"""A command on a folder where no daemon runs."""
