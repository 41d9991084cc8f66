"""Plain words for people: sizes, durations, and one line per job, camera or drive.

Pure functions, no I/O. Everything that comes from outside (drive labels, camera errors, names of
recordings) goes through :func:`safe_text`: a drive label is text by whoever plugs the drive in.
"""

from __future__ import annotations

import math
import unicodedata
from datetime import UTC, datetime

from fieldrec.core.amounts import duration as duration
from fieldrec.core.amounts import size as size
from fieldrec.core.model import (
    CameraState,
    Drive,
    DriveState,
    Job,
    JobKind,
    JobState,
    LostFrames,
    PowerState,
    SpaceState,
    SpaceTier,
)
from fieldrec.core.snapshot import FolderStatus, RecorderStatus, Snapshot, StorageStatus

REPLACEMENT = "�"
_AT_WORK = (JobState.RUNNING, JobState.VERIFYING)
_WAYS = {JobKind.DELETE_RAW: "once it is at", JobKind.DELETE: "verified at"}
"""How what a job does concerns its destination."""
_MOST_COMBINING = 2
"""Combining marks kept in a row; hundreds of them paint over the neighbouring lines."""


def safe_text(text: str, limit: int = 200) -> str:
    """`text` on one line without control characters, escapes, bidi overrides, invisible or
    unassigned characters (each becomes U+FFFD), cut to `limit` characters with an ellipsis."""
    kept = []
    combining = 0
    for character in text[:limit + 1]:
        category = unicodedata.category(character)
        combining = combining + 1 if category.startswith("M") else 0
        if category == "Zs" or character in "\t\n\r":
            kept.append(" ")
        elif category[0] == "C" or category in ("Zl", "Zp") or combining > _MOST_COMBINING:
            kept.append(REPLACEMENT)
        else:
            kept.append(character)
    safe = "".join(kept)
    return safe if len(safe) <= limit else safe[:limit - 1] + "…"


def ascii_text(text: str, limit: int = 200) -> str:
    """:func:`safe_text` in printable ASCII: accents are dropped, all else becomes "?"."""
    spread = unicodedata.normalize("NFKD", safe_text(text, limit).replace("…", "~"))
    kept = (c if " " <= c <= "~" else "?" for c in spread if not unicodedata.combining(c))
    return "".join(kept)[:limit]


def rate(bytes_per_s: float) -> str:
    """A data rate: "85.0 MB/s"."""
    return f"{size(bytes_per_s)}/s"


def count(number: int) -> str:
    """A number in groups of three: "1 234 567"."""
    return f"{number:,}".replace(",", " ")


def utc(time_ns: int) -> str:
    """Epoch nanoseconds as "2026-11-21 06:00:12Z"; "?" for what no calendar holds."""
    try:
        return f"{datetime.fromtimestamp(time_ns // 1_000_000_000, UTC):%Y-%m-%d %H:%M:%SZ}"
    except (ValueError, OverflowError, OSError):
        return "?"


def plural(number: int, one: str, many: str = "") -> str:
    """"1 frame", "2 frames"."""
    return f"{count(number)} {one if number == 1 else many or one + 's'}"


def percent_done(job: Job) -> int:
    """0 to 100, rounded down, so that 100 means all."""
    if job.state is JobState.DONE:
        return 100
    if job.total_bytes <= 0:
        return 0
    return min(max(job.done_bytes * 100 // job.total_bytes, 0), 100)


def job_title(job: Job) -> str:
    """What a job does: "copy bees_20261121_060000 to BEES1", "export bees_… (High)"."""
    what = "delete raw of" if job.kind is JobKind.DELETE_RAW else job.kind.value
    if job.kind in (JobKind.COPY, JobKind.MOVE) and job.preset:
        what += " export of"
    title = f"{what} {safe_text(job.item)}"
    if job.preset and job.kind is not JobKind.DELETE:
        title += f" ({safe_text(job.preset, 40)})"
    if job.destination:
        where = safe_text(job.destination_label or job.destination, 60)
        title += f" {_WAYS.get(job.kind, 'to')} {where}"
    return title


def expectation(job: Job) -> str:
    """What a job will come to: "about 56.0 MB (41.0 MB to 80.0 MB), 12 min, frees 1.2 GB", as far
    as that is known; "" for nothing."""
    said = []
    told, seconds = job.prediction, job.seconds_left
    if told is not None:
        said.append(f"about {size(told.size_bytes)} ({size(told.least_bytes)} to "
                    f"{size(told.most_bytes)})")
    begun = bool(seconds) and job.done_bytes > 0
    seconds = seconds or (0.0 if told is None else told.seconds)
    if seconds > 0:
        said.append(f"{'' if told else 'about '}{duration(seconds)}{' left' * begun}")
    if job.frees_bytes > 0:
        said.append(f"frees {size(job.frees_bytes)}")
    return ", ".join(said)


def time_left(job: Job) -> str:
    """"12 min left"; "" while not known."""
    return "" if job.seconds_left is None else f"{duration(job.seconds_left)} left"


def pace(job: Job) -> str:
    """"frame 600 of 1200, 62 a second, 1.2 MB so far, 12 min left" of an export that runs, as far
    as that is known; "" for nothing."""
    said = []
    far = job.progress
    if far is not None:
        said.append(f"frame {far.frames_done} of {far.frames_total}")
        if far.frames_per_second > 0:
            said.append(f"{far.frames_per_second:.3g} a second")
        if far.size_bytes > 0:
            said.append(f"{size(far.size_bytes)} so far")
    again = f"attempt {job.attempt + 1}" if job.attempt else ""
    return ", ".join(filter(None, (*said, time_left(job), again)))


def why(job: Job) -> str:
    """Why a job waits or failed, or what came of it, and what it will come to; "" for nothing."""
    told = used(job) if job.state.finished else (
        pace(job) if job.state in _AT_WORK and pace(job) else expectation(job))
    more = "goes first" if job.first and job.state not in _AT_WORK else ""
    if job.state is JobState.FAILED and job.attempt:
        more = plural(job.attempt + 1, "attempt")
    return "; ".join(filter(None, (safe_text(job.reason), told, more)))


def used(job: Job) -> str:
    """"12 min of processor time, 1.3 Wh": what a job has used, as far as it was measured; "" for
    next to nothing."""
    said = [f"{duration(job.cpu_s)} of processor time"] if job.cpu_s >= 1 else []
    if job.energy_mwh is not None:
        said.append(watt_hours(job.energy_mwh))
    return ", ".join(said)


def watt_hours(milliwatt_hours: float) -> str:
    """"1.3 Wh", "820 mWh"."""
    if milliwatt_hours < 1000:
        return f"{milliwatt_hours:.0f} mWh"
    return f"{milliwatt_hours / 1000:.1f} Wh"


def describe_job(job: Job) -> str:
    """One line: what it does, how far it is, why it waits or failed."""
    state = job.state.value
    if job.state in _AT_WORK:
        state += f" {percent_done(job)} %"
        if job.total_bytes > 0:
            state += f" ({size(job.done_bytes)} of {size(job.total_bytes)})"
        state += ", " * bool(pace(job)) + pace(job)
    elif why(job):
        state += f": {why(job)}"
    return f"{job_title(job)}: {state}"


def describe_recorder(status: RecorderStatus) -> str:
    """One line about a camera and its recording."""
    name = safe_text(status.key, 60)
    if status.state is CameraState.FAILED:
        return f"{name}: FAILED: {safe_text(status.problem) or 'no reason known'}"
    if status.armed:
        held = f", {plural(status.preroll_frames, 'frame')} of pre-roll" \
            if status.preroll_frames else ""
        return f"{name}: ARMED, the next motion is recorded{held}"
    if status.state is not CameraState.RECORDING:
        ended = f", last recording ended: {safe_text(status.stop_reason)}" \
            if status.stop_reason else ""
        return f"{name}: {status.state.value}{ended}"
    where = f" in {safe_text(status.folder)}" if status.folder else ""
    return (f"{name}: {'PAUSED' if status.paused else 'recording'} "
            f"{safe_text(status.recording)}{where}, "
            f"{plural(status.frame_count, 'frame')}, {status.measured_hz:.1f} fps, "
            f"{count(status.dropped)} dropped, {count(status.lost)} lost, "
            f"heat {status.heat.value}, {size(status.written_bytes)}")


def describe_lost(run: LostFrames) -> str:
    """"frames 5120 to 5133 lost, 06:00:12Z to 06:00:13Z"."""
    first, last = utc(run.first_time_ns)[11:], utc(run.last_time_ns)[11:]
    times = first if first == last else f"{first} to {last}"
    if run.count == 1:
        return f"frame {run.first_number} lost, {times}"
    return f"frames {run.first_number} to {run.last_number} lost ({count(run.count)}), {times}"


def describe_folder(folder: FolderStatus) -> str:
    """"/mnt/usb: in use, 412 GB free (41.2 % used)"."""
    name = safe_text(folder.path)
    if folder.problem:
        problem = safe_text(folder.problem)
        return problem if name in problem else f"{name}: {problem}"
    return (f"{name}: {'in use, ' if folder.in_use else ''}{size(folder.free_bytes)} free "
            f"({folder.used_percent:.1f} % used)")


def describe_drive(drive: Drive) -> str:
    """One line about a drive, saying in capitals when it may be pulled out."""
    label = drive_label(drive)
    if drive.state is DriveState.SAFE:
        reason = safe_text(drive.reason)
        return f"SAFE TO REMOVE {label}" + (f" ({reason})" if reason else "")
    if drive.state is DriveState.REJECTED:
        return f"{label}: rejected: {safe_text(drive.reason) or 'no reason known'}"
    if drive.state is not DriveState.READY:
        reason = f": {safe_text(drive.reason)}" if drive.reason else ""
        return f"{label}: {drive.state.value}{reason}"
    if drive.suspect:
        return f"{label}: SUSPECT, do not use it: {safe_text(drive.suspect)}"
    text = f"{label}: {'in use' if drive.leases else 'ready'}, {size(drive.free_bytes)} free"
    if drive.link_mbps is not None and drive.link_mbps < 5000:
        text += ", slow USB 2 link"
    return f"{text}; {safe_text(drive.visit)}" if drive.visit else text


def drive_label(drive: Drive) -> str:
    """The label to call a drive by; its file system's id when it has none."""
    return safe_text(drive.label, 32).strip() or safe_text(drive.fs_uuid, 40) or "unnamed drive"


def describe_power(power: PowerState) -> str:
    """"mains", "battery 83 %, 1 h 50 min left (1 h 30 min to 2 h 20 min)", "power unknown"."""
    text = power.level.value if power.level.value != "unknown" else "power unknown"
    if power.charge_percent is not None and math.isfinite(power.charge_percent):
        text += f" {power.charge_percent:.0f} %"
    if power.minutes_left is not None and power.level.value != "mains":
        text += f", {duration(power.minutes_left * 60)} left"
        if power.minutes_left_range is not None:
            least, most = (duration(minutes * 60) for minutes in power.minutes_left_range)
            text += f" ({least} to {most})"
    return text


def describe_storage(storage: StorageStatus, space: SpaceState | None = None) -> str:
    """"412 GB free (41.2 % used), 12 h 10 min left at 36.0 GB/h", as far as that is known."""
    text = f"{size(storage.free_bytes)} free ({storage.used_percent:.1f} % used)"
    if space is not None and space.hours_left is not None:
        return text + (f", {duration(space.hours_left * 3600)} left at "
                       f"{size(space.bytes_per_hour)}/h")
    if storage.minutes_left is not None:
        text += f", {duration(storage.minutes_left * 60)} left"
    return text


def describe_space(space: SpaceState) -> str:
    """"disk space WARN: 9.5 h left at 40.0 GB/h (…)"; "" while there is room."""
    if space.tier is SpaceTier.OK:
        return ""
    return f"disk space {space.tier.value.upper()}: {safe_text(space.reason)}"


def minutes_left(snapshot: Snapshot) -> float | None:
    """Until the disks are full, at the present or the expected rate; None: not known."""
    hours = snapshot.space.hours_left
    return snapshot.storage.minutes_left if hours is None else 60 * hours


def describe_snapshot(snapshot: Snapshot) -> str:
    """The whole box in one sentence."""
    working = [r for r in snapshot.recorders
               if r.state in (CameraState.READY, CameraState.RECORDING)]
    frames = sum(r.frame_count for r in snapshot.recorders)
    state = recording_state(snapshot)
    if snapshot.recording and snapshot.recording_since_ns is not None:
        state += f" for {duration((snapshot.time_ns - snapshot.recording_since_ns) / 1e9)}"
    return (f"{stopping(snapshot)}{state}, "
            f"{len(working)} of {plural(len(snapshot.recorders), 'camera')} well, "
            f"{plural(frames, 'frame')}, "
            f"{count(sum(r.dropped for r in snapshot.recorders))} dropped, "
            f"{count(sum(r.lost for r in snapshot.recorders))} lost, "
            f"disk {describe_storage(snapshot.storage, snapshot.space)}, "
            f"{describe_power(snapshot.power)}"
            + "".join(f", {more}" for more in _seldom(snapshot)))


def describe_schedule(snapshot: Snapshot) -> list[str]:
    """"window: night, 9 h 4 min left", "next: night 20:14, in 3 h", and what is wrong with the
    clock; [] where nothing is scheduled."""
    schedule, now_ns = snapshot.schedule, snapshot.time_ns
    said = [f"clock wrong: {safe_text(schedule.clock_problem)}"] if schedule.clock_problem else []
    said += [f"window: {safe_text(task, 60)}, {duration((ends_ns - now_ns) / 1e9)} left"
             for task, ends_ns in schedule.running]
    if schedule.next_ns is not None:
        said.append(f"next: {safe_text(schedule.next_task, 60)} {safe_text(schedule.next_at, 20)}, "
                    f"in {duration((schedule.next_ns - now_ns) / 1e9)}")
    return said


def _seldom(snapshot: Snapshot) -> list[str]:
    """What is there to say only now and then."""
    skew_ms = snapshot.skew_ms
    said = [] if skew_ms is None else [f"first frames within {skew_ms:.1f} ms"]
    said += [text] if (text := describe_space(snapshot.space)) else []
    if snapshot.temperature_c is not None:
        said.append(f"processor {snapshot.temperature_c:.0f} °C")
    lost = [run for r in snapshot.recorders for run in r.lost_runs]
    if lost:
        said.append(describe_lost(max(lost, key=lambda run: run.last_time_ns)))
    if len(snapshot.storage.folders) > 1:
        said += [describe_folder(folder) for folder in snapshot.storage.folders if folder.problem]
    said += describe_schedule(snapshot)
    return said + ([f"recovery: {safe_text(snapshot.recovery)}"] if snapshot.recovery else [])


def stopping(snapshot: Snapshot) -> str:
    """"stopping, ", "stopping, stuck: drives (BEES1), " before the rest; "" while it goes on."""
    if not snapshot.stopping:
        return ""
    stuck = ", ".join(safe_text(name) for name in snapshot.stuck)
    return f"stopping, stuck: {stuck}, " if stuck else "stopping, "


def recording_state(snapshot: Snapshot) -> str:
    """"recording", "paused", "armed" or "not recording"."""
    if not snapshot.recording:
        return "not recording"
    if any(r.paused for r in snapshot.recorders):
        return "paused"
    return "armed" if any(r.armed for r in snapshot.recorders) else "recording"


def describe_briefly(snapshot: Snapshot) -> str:
    """The box in a few words that change seldom: "recording, 2 of 2 cameras well, 3 jobs"."""
    working = [r for r in snapshot.recorders
               if r.state in (CameraState.READY, CameraState.RECORDING)]
    jobs = sum(not job.state.finished for job in snapshot.jobs)
    return (f"{stopping(snapshot)}"
            f"{recording_state(snapshot)}, {len(working)} of "
            f"{plural(len(snapshot.recorders), 'camera')} well, {plural(jobs, 'job')}")
