"""A record in figures: what every form of the report says in the same words. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

from fieldrec.logbook.causes import Cause
from fieldrec.logbook.record import Gap, Record, Recorded

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


NAMELESS = ("", "deployment")
"""A record of which nobody has said what it is of: the configuration's default."""


def title(record: Record) -> str:
    """"Deployment lobau", or that of its box where it was given no name."""
    if record.deployment in NAMELESS:
        return f"Deployment of {record.box or 'a box'}"
    return f"Deployment {record.deployment}"


@dataclass(frozen=True, slots=True)
class CameraFigures:
    """One camera over the whole record."""

    camera: str
    recordings: int
    recorded_s: float
    """From first to last frame of each recording, together."""
    gap_s: float
    gaps: int
    frames: int
    dropped: int
    lost: int
    size_bytes: int
    by_cause: dict[Cause, float]
    """Seconds of gaps."""

    @property
    def planned_s(self) -> float:
        """What should have been recorded: what was, and the gaps."""
        return self.recorded_s + self.gap_s

    @property
    def percent(self) -> float | None:
        """Recorded, of what was planned; None where nothing was."""
        return 100 * self.recorded_s / self.planned_s if self.planned_s > 0 else None


def figures(record: Record) -> list[CameraFigures]:
    """Each camera, in their order."""
    recordings: dict[str, list[Recorded]] = defaultdict(list)
    gaps: dict[str, list[Gap]] = defaultdict(list)
    for one in record.recordings:
        recordings[one.camera].append(one)
    for gap in record.gaps:
        gaps[gap.camera].append(gap)
    return [_figures(camera, recordings[camera], gaps[camera])
            for camera in sorted({*record.cameras, *recordings, *gaps})]


def total_of(cameras: Sequence[CameraFigures]) -> CameraFigures:
    """All of them as one."""
    by_cause: dict[Cause, float] = defaultdict(float)
    for one in cameras:
        for cause, seconds in one.by_cause.items():
            by_cause[cause] += seconds
    return CameraFigures(
        "all", sum(one.recordings for one in cameras), sum(one.recorded_s for one in cameras),
        sum(one.gap_s for one in cameras), sum(one.gaps for one in cameras),
        sum(one.frames for one in cameras), sum(one.dropped for one in cameras),
        sum(one.lost for one in cameras), sum(one.size_bytes for one in cameras), dict(by_cause))


def causes(record: Record) -> list[tuple[Cause, int, float]]:
    """(cause, gaps, seconds) of each cause that there is, in the order of a legend."""
    counted: dict[Cause, list[float]] = defaultdict(list)
    for gap in record.gaps:
        counted[gap.cause].append(gap.seconds)
    return [(cause, len(counted[cause]), sum(counted[cause]))
            for cause in Cause if cause in counted]


def clocks(record: Record) -> str:
    """How far the epochs of the recordings can be trusted."""
    counted: dict[str, int] = defaultdict(int)
    for one in record.recordings:
        counted[one.clock or "not known"] += 1
    return ", ".join(f"{name} {count}" for name, count in sorted(counted.items())) or "-"


def moment(time_ns: int, zone: tzinfo, *, seconds: bool = True) -> str:
    """Epoch nanoseconds as "2026-11-21 07:00:12"; "?" for what no calendar holds."""
    try:
        at = (_EPOCH + timedelta(seconds=time_ns // 1_000_000_000)).astimezone(zone)
    except (ValueError, OverflowError):
        return "?"
    return f"{at:%Y-%m-%d %H:%M:%S}" if seconds else f"{at:%Y-%m-%d %H:%M}"


def length(seconds: float) -> str:
    """"0.4 s", "12 s", "3 min 10 s", "5 h 02 min", "3 d 04 h"."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86_400} d {whole % 86_400 // 3600:02d} h"


def hours(seconds: float) -> str:
    """Hours as they are cited: "123.4 h"."""
    return f"{seconds / 3600:.1f} h" if seconds >= 360 else f"{seconds / 3600:.3f} h"


def percent(value: float | None) -> str:
    """Never rounded up to 100."""
    if value is None:
        return "-"
    return f"{min(value, 99.99) if value < 100 else 100:.2f} %"


def size(count_bytes: float) -> str:
    """Bytes as "12.3 GB"."""
    for unit in ("B", "kB", "MB", "GB"):
        if count_bytes < 1000:
            return f"{count_bytes:.0f} {unit}" if unit == "B" else f"{count_bytes:.1f} {unit}"
        count_bytes /= 1000
    return f"{count_bytes:.2f} TB"


def place_text(record: Record) -> str:
    """"48.20000° N, 16.37000° E"; "" where it is not known."""
    if record.place is None:
        return ""
    latitude, longitude = record.place
    return (f"{abs(latitude):.5f}° {'N' if latitude >= 0 else 'S'}, "
            f"{abs(longitude):.5f}° {'E' if longitude >= 0 else 'W'}")


def _figures(camera: str, recordings: Sequence[Recorded], gaps: Sequence[Gap]) -> CameraFigures:
    by_cause: dict[Cause, float] = defaultdict(float)
    for gap in gaps:
        by_cause[gap.cause] += gap.seconds
    return CameraFigures(
        camera, len(recordings), sum(one.seconds for one in recordings),
        sum(gap.seconds for gap in gaps), len(gaps), sum(one.frames or 0 for one in recordings),
        sum(one.dropped for one in recordings), sum(one.lost for one in recordings),
        sum(one.size_bytes for one in recordings), dict(by_cause))
