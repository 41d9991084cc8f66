"""Whether a job may run now: one pure function of the job and the conditions, no I/O, any thread.

The whole policy of power, recording, schedule, heat, quiet hours and destinations is the order of
the questions in :func:`decide`. A reason is what the operator reads behind "waiting: "; times in it
are by the clock of the configured zone. When the answer changes by time alone, :func:`next_look_ns`
says when to ask again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from fieldrec.core.model import (
    Conditions,
    Job,
    JobKind,
    JobState,
    PowerLevel,
    PowerState,
    SpaceTier,
)
from fieldrec.jobs.moments import MINUTE_NS, clock_time, span

FITS_SHARE = 0.8
"""Of the time before a scheduled recording that an export may be expected to need if it is to
begin: expectations are drawn from others. One that runs knows its own pace and may use all."""
PATIENCE_NS = 24 * 3600 * 1_000_000_000
_ON_BATTERY = (PowerLevel.BATTERY, PowerLevel.UNKNOWN)
_FULL_SOON = (SpaceTier.ACT, SpaceTier.STOP)
_RUNS = (JobState.RUNNING, JobState.VERIFYING)


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
        return Wait(_battery(power))
    if job.kind is JobKind.DELETE:
        return RUN
    if power.level is PowerLevel.LOW:
        return Wait(_battery(power))
    if job.destination is not None and job.destination not in conditions.present_destinations:
        return Wait(f"{describe_place(job)} not present")
    return _export(job, conditions) if job.kind is JobKind.EXPORT else RUN


def next_look_ns(job: Job, conditions: Conditions) -> int | None:
    """The next moment at which time alone may change what :func:`decide` says of an export, or the
    minutes in its words; None for none. Other jobs do not look at the time."""
    if job.kind is not JobKind.EXPORT:
        return None
    now_ns, start_ns = conditions.now_ns, conditions.next_start_ns
    moments = [conditions.quiet_until_ns, conditions.quiet_from_ns]
    if start_ns is not None and start_ns > now_ns and conditions.before_schedule_s > 0:
        before_ns = start_ns - round(conditions.before_schedule_s * 1e9)
        left_ns = start_ns - now_ns
        moments += [before_ns, now_ns + (left_ns - 1) % MINUTE_NS + 1 if before_ns <= now_ns
                    else None]
    return min((at for at in moments if at is not None and at > now_ns), default=None)


def describe_place(job: Job) -> str:
    """Where a job takes something: "drive FIELD-01", "drive 1234-ABCD" for one whose label is not
    known, "destination nas" for anything else."""
    return describe_destination(job.destination or "", job.destination_label)


def describe_destination(name: str, label: str = "") -> str:
    """The same, of a destination's name and what people call it."""
    if name.startswith("drive:"):
        return f"drive {label or name.removeprefix('drive:')}"
    return f"destination {label or name}"


def _wrong(job: Job) -> str | None:
    if job.kind in (JobKind.COPY, JobKind.MOVE, JobKind.UPLOAD) and not job.destination:
        article = "an" if job.kind is JobKind.UPLOAD else "a"
        return f"{article} {job.kind.value} needs a destination; name one"
    if job.kind is JobKind.EXPORT and not job.preset:
        return "an export needs a preset; name one"
    if job.kind is JobKind.DELETE_RAW and not job.preset:
        return "raw is deleted for an export only; name its preset"
    return None


def _export(job: Job, conditions: Conditions) -> Verdict:
    """Exports alone wait for the box to be idle, and for mains."""
    for question in (_recording, _no_mains, _too_warm, _quiet, _before_schedule):
        if (reason := question(job, conditions)) is not None:
            return Wait(reason)
    return Run(conditions.export_share) if conditions.recording else RUN


def _recording(_job: Job, conditions: Conditions) -> str | None:
    if not conditions.recording or conditions.export_share > 0:
        return None
    since_ns = conditions.recording_since_ns
    if since_ns is None:
        return "a recording begins"
    return f"recording since {clock_time(since_ns, conditions.now_ns, conditions.timezone)}"


def _no_mains(job: Job, conditions: Conditions) -> str | None:
    level = conditions.power.level
    if level not in _ON_BATTERY or job.allow_battery:
        return None
    if conditions.export_on_battery_when_full and conditions.space.tier in _FULL_SOON:
        return None
    if level is PowerLevel.BATTERY:
        return f"on battery{_charge(conditions.power)}; exports run on mains"
    return "power supply unknown; exports run on mains"


def _too_warm(_job: Job, conditions: Conditions) -> str | None:
    if not conditions.too_warm:
        return None
    now_c, most_c = conditions.temperature_c, conditions.max_temperature_c
    back = "" if conditions.back_temperature_c is None \
        else f", back below {conditions.back_temperature_c:g} C"
    if now_c is None or most_c is None:
        return f"processor too warm{back}"
    sign = ">" if now_c > most_c else "after more than"
    return f"processor {now_c:.0f} C {sign} {most_c:g} C{back}"


def _quiet(_job: Job, conditions: Conditions) -> str | None:
    until_ns = conditions.quiet_until_ns
    if until_ns is None or until_ns <= conditions.now_ns:
        return None
    return f"quiet hours until {clock_time(until_ns, conditions.now_ns, conditions.timezone)}"


def _before_schedule(job: Job, conditions: Conditions) -> str | None:
    """A recording is about to begin, and this would not be ready. A start that is due already is
    not waited for, a camera that does not come must not hold up exports for ever; nor is any start
    by an export that was asked for PATIENCE_NS ago: where recordings follow each other closely it
    goes on in between, held while they are made."""
    start_ns = conditions.next_start_ns
    if start_ns is None or conditions.recording \
            or conditions.now_ns - job.created_ns > PATIENCE_NS:
        return None
    left_s = (start_ns - conditions.now_ns) / 1e9
    if not 0 < left_s <= conditions.before_schedule_s:
        return None
    needs_s = job.seconds_left
    share = 1.0 if job.state in _RUNS else FITS_SHARE
    if needs_s is not None and needs_s <= left_s * share:
        return None
    called = f' "{conditions.next_start_name}"' if conditions.next_start_name else ""
    at = clock_time(start_ns, conditions.now_ns, conditions.timezone)
    takes = "how long the export takes is not known" if needs_s is None \
        else f"export takes about {span(needs_s)}"
    minutes = math.ceil(left_s / 60)  # true until the next look, a minute later
    return f"recording{called} starts at {at}, in {minutes} min; {takes}"


def _battery(power: PowerState) -> str:
    """E.g. "battery LOW, 22 % <= 25 %, back above 35 % or on mains"."""
    what = f"battery {power.level.name}"
    if not power.reason:
        return f"{what}{_charge(power)}"
    told = power.reason.removeprefix("charge ")
    mains = " or on mains" if "above" in told and "mains" not in told else ""
    return f"{what}, {told}{mains}"


def _charge(power: PowerState) -> str:
    return "" if power.charge_percent is None else f" ({power.charge_percent:.0f} %)"
