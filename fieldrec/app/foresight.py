"""What a simulated schedule comes to: the disk and the battery at its end, in words. Pure, but for
reading the recordings' statistics that it is handed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import replace
from zoneinfo import ZoneInfo

from fieldrec.config import StorageConfig
from fieldrec.core.model import Recording
from fieldrec.core.snapshot import StorageStatus
from fieldrec.jobs.forecast import Battery, Course, Disk, Figure, battery_course, disk_course
from fieldrec.schedule.rows import local
from fieldrec.schedule.simulate import Simulated, recorded_seconds
from fieldrec.status import words

Words = Callable[[float], str]
HOUR_S = 3600.0
LEAST_S = 1.0
"""Shorter recordings say nothing about a rate."""
SPREAD = 0.1
"""Light and motion change what a camera gives; raw pixels hardly do."""


def with_forecast(simulated: Simulated, zone: ZoneInfo, disk: Disk | None,
                  battery: Battery | None) -> Simulated:
    """The same with its `forecast`. None: nothing is known of it, which is said."""
    since_ns, until_ns = simulated.since_ns, simulated.until_ns
    total_s = recorded_seconds(simulated.recorded)
    lines = [f"recorded: {words.duration(total_s)} in "
             f"{words.plural(len(simulated.recorded), 'recording')}"]
    if disk is None:
        lines.append("disk: no forecast, nothing has been recorded here yet")
    else:
        course = disk_course(simulated.recorded, since_ns, until_ns, disk)
        lines.append("disk: " + _in_words(course, zone, since_ns, words.size, "full"))
    if battery is not None:
        course = battery_course(simulated.recorded, since_ns, until_ns, battery)
        lines.append("battery, if nothing charges it: "
                     + _in_words(course, zone, since_ns, _watt_hours, "empty"))
    return replace(simulated, forecast=tuple(lines))


def rate_of(recordings: Iterable[Recording]) -> Figure | None:
    """Bytes an hour while all cameras record, from what lies in the folder; None for nothing."""
    sizes: dict[str, int] = defaultdict(int)
    seconds: dict[str, float] = defaultdict(float)
    count = 0
    for one in recordings:
        if not one.has_raw or one.first_time_ns is None or one.last_time_ns is None:
            continue
        length_s = (one.last_time_ns - one.first_time_ns) / 1e9
        if length_s >= LEAST_S:
            count += 1
            sizes[one.camera_serial] += one.size_bytes
            seconds[one.camera_serial] += length_s
    if not count:
        return None
    rate = sum(sizes[key] / seconds[key] for key in sizes) * HOUR_S
    return Figure(rate * (1 - SPREAD), rate, rate * (1 + SPREAD),
                  f"mean of {words.plural(count, 'recording')} with {', '.join(sorted(sizes))}")


def left_bytes(storage: StorageStatus, limits: StorageConfig) -> int:
    """What may still be written until recording has to stop, over all folders that can be used."""
    folders = [(one.free_bytes, one.total_bytes) for one in storage.folders if not one.problem]
    left = [min(free - limits.reserve_bytes, free - total * (1 - limits.stop_percent / 100))
            for free, total in folders or [(storage.free_bytes, storage.total_bytes)]]
    return int(sum(max(0.0, one) for one in left))


def _in_words(course: Course, zone: ZoneInfo, since_ns: int, unit: Words, over: str) -> str:
    last = course.points[-1]
    text = f"{unit(last.likely)} left ({unit(last.least)} to {unit(last.most)})"
    earliest, likely, latest = course.empty_ns
    if likely is not None:
        text = f"{over} {local(likely, zone, since_ns)}"
        text += "" if earliest is None else f", at the earliest {local(earliest, zone, since_ns)}"
        text += "" if latest is None else f", at the latest {local(latest, zone, since_ns)}"
    elif earliest is not None:
        text += f", {over} {local(earliest, zone, since_ns)} at the earliest"
    return f"{text}; {course.origin}" if course.origin else text


def _watt_hours(milliwatt_hours: float) -> str:
    return f"{milliwatt_hours / 1000:.1f} Wh"
