"""Whether a job may run now: one pure function of the job and the conditions, no I/O, any thread.

The whole policy of power, recording and destinations is the order of the questions in
:func:`decide`. A reason is what the operator reads behind "waiting: ".
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from fieldrec.core.model import Conditions, Job, JobKind, PowerLevel, PowerState


@dataclass(frozen=True, slots=True)
class Run:
    """Go ahead."""

    share: float = 1.0
    """Of the processor's time; less than 1 for an export beside a recording."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Not now; asked again when the conditions change."""

    reason: str


@dataclass(frozen=True, slots=True)
class Refuse:
    """Never: the job is wrong in itself."""

    reason: str


Verdict = Run | Wait | Refuse
RUN = Run()


def decide(job: Job, conditions: Conditions) -> Verdict:
    """What to do with a job; asked before it starts and again, while it runs, at every change."""
    power = conditions.power
    if (wrong := _wrong(job)) is not None:
        return Refuse(wrong)
    if conditions.shutting_down:
        return Wait("shutting down")
    if job.paused:
        return Wait(f"paused by the operator; `fieldrec resume-job {job.id}` lets it go on")
    if conditions.recovering:
        return Wait("interrupted recordings are completed first")
    if power.level is PowerLevel.CRITICAL:
        return Wait(_power("battery CRITICAL", power))
    if job.kind is JobKind.DELETE:
        return RUN
    if power.level is PowerLevel.LOW:
        return Wait(_power("battery LOW", power))
    if job.destination is not None and job.destination not in conditions.present_destinations:
        return Wait(f"{describe_destination(job.destination)} not present")
    return _export(job, conditions) if job.kind is JobKind.EXPORT else RUN


def describe_destination(name: str) -> str:
    """"drive 1234-ABCD" for a drive, "destination nas" for anything else."""
    if name.startswith("drive:"):
        return f"drive {name.removeprefix('drive:')}"
    return f"destination {name}"


def _wrong(job: Job) -> str | None:
    if job.kind in (JobKind.COPY, JobKind.MOVE) and not job.destination:
        return f"a {job.kind.value} needs a destination; name one"
    if job.kind is JobKind.EXPORT and not job.preset:
        return "an export needs a preset; name one"
    if job.kind is JobKind.DELETE_RAW and not job.preset:
        return "raw is deleted for an export only; name its preset"
    return None


def _export(job: Job, conditions: Conditions) -> Verdict:
    if conditions.recording and conditions.export_share <= 0:
        return Wait(_recording(conditions.recording_since_ns))
    level = conditions.power.level
    if level is PowerLevel.MAINS or job.allow_battery:
        return Run(conditions.export_share) if conditions.recording else RUN
    if level is PowerLevel.BATTERY:
        return Wait(f"on battery{_charge(conditions.power)}; exports run on mains")
    return Wait("power supply unknown; exports run on mains")


def _recording(since_ns: int | None) -> str:
    if since_ns is None:
        return "recording"
    since = datetime.datetime.fromtimestamp(since_ns // 1_000_000_000, datetime.UTC)
    return f"recording since {since:%H:%M:%S} UTC"


def _power(what: str, power: PowerState) -> str:
    """E.g. "battery LOW (22 %), charge 22 % <= 25 %, back above 35 %"."""
    return f"{what}{_charge(power)}" + (f", {power.reason}" if power.reason else "")


def _charge(power: PowerState) -> str:
    return "" if power.charge_percent is None else f" ({power.charge_percent:.0f} %)"
