"""What the numbers and times of a recording say: true rate, jitter, gaps, clock steps.

Pure functions over arrays, any thread, no I/O. A number that is missing was **dropped** by the
camera unless the recorder wrote down that our ring **lost** it, or that it was left out while
recording was **paused**; a store of another program knows of neither.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]

PAUSE_INTERVALS = 5.0
"""An interval longer than so many median ones is a pause: no part of the true rate."""
SHOWN_GAPS = 5


@dataclass(frozen=True, slots=True)
class Intervals:
    """How regularly frames followed each other."""

    rate_hz: float
    """Frames per second while the camera ran: without pauses, missing numbers counted."""
    mean_hz: float
    """Frames in the store per second of its length."""
    median_s: float
    p1_s: float
    p99_s: float
    """Of intervals between frames whose numbers follow each other."""
    longest_s: float
    longest_index: int
    """Index of the frame after the longest interval."""
    backwards: int
    """Frames whose time is not after that of the frame before."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Missing numbers between two frames of the store."""

    index: int
    """Of the frame after it."""
    first_number: int
    last_number: int
    before_ns: int
    after_ns: int
    """Times of the frames before and after it."""
    lost: int
    """Of the missing frames, those that our ring lost."""
    paused: int
    """And those that were left out on purpose."""

    @property
    def missing(self) -> int:
        """How many numbers are missing."""
        return self.last_number - self.first_number + 1

    @property
    def dropped(self) -> int:
        """All others: the camera dropped them, as far as the store knows."""
        return self.missing - self.lost - self.paused


@dataclass(frozen=True, slots=True)
class Gaps:
    """All gaps of a store."""

    count: int
    missing: int
    lost: int
    """Of the missing frames, those that our ring lost."""
    paused: int
    """And those that were left out while recording was paused."""
    largest: tuple[Gap, ...]
    """The largest few, largest first."""
    repeated: int
    """Frames whose number is not above that of the frame before."""

    @property
    def dropped(self) -> int:
        """Missing frames that the camera dropped, as far as the store knows."""
        return self.missing - self.lost - self.paused


@dataclass(frozen=True, slots=True)
class MissingRun:
    """Consecutive frames that our ring lost, or that a pause left out, as the recorder wrote them
    down."""

    first_number: int
    last_number: int
    count: int
    first_time_ns: int


@dataclass(frozen=True, slots=True)
class ClockStep:
    """The wall clock moved while recording; frame times went on by the clock at the start."""

    recording_ns: int
    moved_s: float


@dataclass(frozen=True, slots=True)
class ExtraSummary:
    """What extra data there is."""

    records: int
    columns: Mapping[str, int]
    """How many records hold each key."""
    rate_hz: float | None
    """Records per second between the first and the last that have a time."""


def intervals(numbers: Integers, times_ns: Integers) -> Intervals | None:
    """How regular the frames are; None for fewer than two."""
    if len(times_ns) < 2:
        return None
    gaps_ns = np.diff(times_ns)
    steps = np.diff(numbers)
    next_ns = gaps_ns[steps == 1]
    chosen_ns = next_ns if len(next_ns) else gaps_ns
    p1, median, p99 = (float(value) / 1e9 for value in np.percentile(chosen_ns, (1, 50, 99)))
    longest = int(np.argmax(gaps_ns))
    length_ns = int(times_ns.max()) - int(times_ns.min())
    return Intervals(
        rate_hz=_rate_hz(gaps_ns, steps, median * 1e9),
        mean_hz=(len(times_ns) - 1) * 1e9 / length_ns if length_ns else 0.0,
        median_s=median, p1_s=p1, p99_s=p99, longest_s=int(gaps_ns[longest]) / 1e9,
        longest_index=longest + 1, backwards=int(np.count_nonzero(gaps_ns <= 0)))


def _rate_hz(gaps_ns: Integers, steps: NDArray[Any], median_ns: float) -> float:
    """Numbers per second over all intervals but pauses and restarts. The mean of many intervals is
    exact where the median of rounded times (33 ms of 33.3) is not."""
    running = (steps > 0) & (gaps_ns > 0)
    running &= gaps_ns <= PAUSE_INTERVALS * median_ns * np.maximum(steps, 1)
    total_ns = int(gaps_ns[running].sum())
    return float(steps[running].sum()) * 1e9 / total_ns if total_ns else 0.0


def gaps(numbers: Integers, times_ns: Integers, lost_runs: Iterable[MissingRun] = (),
         paused_runs: Iterable[MissingRun] = ()) -> Gaps:
    """Missing numbers, and which of them our ring lost or a pause left out."""
    steps = np.diff(numbers)
    before = np.flatnonzero(steps > 1)
    missing = steps[before].astype(np.int64) - 1
    lost = _told_in(before, missing, numbers, times_ns, lost_runs)
    paused = _told_in(before, missing - lost, numbers, times_ns, paused_runs)
    order = np.argsort(-missing, kind="stable")[:SHOWN_GAPS]
    largest = tuple(
        Gap(index=at + 1, first_number=int(numbers[at]) + 1, last_number=int(numbers[at + 1]) - 1,
            before_ns=int(times_ns[at]), after_ns=int(times_ns[at + 1]), lost=int(lost[place]),
            paused=int(paused[place]))
        for place in order.tolist() for at in [int(before[place])])
    return Gaps(count=len(before), missing=int(missing.sum()), lost=int(lost.sum()),
                paused=int(paused.sum()), largest=largest,
                repeated=int(np.count_nonzero(steps <= 0)))


def _told_in(before: NDArray[np.intp], room: Integers, numbers: Integers, times_ns: Integers,
             runs: Iterable[MissingRun]) -> Integers:
    """Frames of each gap that the runs tell of, within its `room`. A run belongs to the gap around
    its time, if its numbers fit: a camera that began anew has the same numbers twice."""
    told = np.zeros(len(before), np.int64)
    begins_ns = times_ns[before]
    for run in runs:
        place = int(np.searchsorted(begins_ns, run.first_time_ns, side="right")) - 1
        if place < 0:
            continue
        at = int(before[place])
        if numbers[at] < run.first_number and run.last_number < numbers[at + 1]:
            told[place] += min(max(run.count, 0), int(room[place] - told[place]))
    return told


def lost_runs(records: Iterable[Mapping[str, Any]]) -> list[MissingRun]:
    """The runs of lost frames that the recorder wrote into the extra data, by time."""
    return _runs(records, "lost")


def noted_lost_runs(told: object) -> list[MissingRun]:
    """The runs of lost frames that the metadata name (`lost_runs`): of a recording that was
    cut off they may be all there is."""
    if not isinstance(told, list):
        return []
    return [MissingRun(*run[:4]) for run in told
            if isinstance(run, list) and len(run) >= 4 and all(isinstance(n, int) for n in run[:4])]


def paused_runs(records: Iterable[Mapping[str, Any]]) -> list[MissingRun]:
    """The pauses, likewise: the frames that each left out."""
    return _runs(records, "paused")


def _runs(records: Iterable[Mapping[str, Any]], kind: str) -> list[MissingRun]:
    names = [f"{kind}_{one}" for one in ("first_number", "last_number", "count", "first_time_ns")]
    found = []
    for record in records:
        values = [value for name in names if isinstance(value := record.get(name), int)]
        if len(values) == len(names):
            found.append(MissingRun(*values))
    return sorted(found, key=lambda run: run.first_time_ns)


def clock_steps(records: Iterable[Mapping[str, Any]]) -> list[ClockStep]:
    """The steps of the wall clock that the recorder wrote into the extra data."""
    found, known_ns = [], 0
    for record in records:
        wall_ns, recording_ns = record.get("clock_wall_ns"), record.get("clock_recording_ns")
        if record.get("clock_step") is not True or not isinstance(wall_ns, int) \
                or not isinstance(recording_ns, int):
            continue
        found.append(ClockStep(recording_ns, (wall_ns - recording_ns - known_ns) / 1e9))
        known_ns = wall_ns - recording_ns
    return found


PLACES = ("frame_time", "frame_number", "frame_index")
"""Keys that every record has: where in the recording it belongs."""


def summary(records: Iterable[Mapping[str, Any]]) -> ExtraSummary:
    """How many records, with what in them, how often."""
    count, columns, times = 0, Counter[str](), []
    for record in records:
        count += 1
        columns.update(str(key) for key in record if key not in PLACES)
        at = record.get("frame_time")
        if isinstance(at, int | float) and np.isfinite(at):
            times.append(at)
    span_s = max(times) - min(times) if times else 0.0
    return ExtraSummary(count, dict(sorted(columns.items())),
                        (len(times) - 1) / span_s if span_s > 0 else None)
