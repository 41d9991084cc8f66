"""Frame numbers and times for frames whose index is gone: what neighbours and files let us infer.

Pure functions over arrays; any thread. What comes out is marked as estimated wherever it is kept:
it is good enough to find a frame by, and nothing that anybody measured.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fieldrec.store.layout import NO_DEVICE_TIME, Columns

SECOND_NS = 1_000_000_000
ASSUMED_HZ = 25.0
"""What imgstore writes into every video; taken when nothing tells the frame rate."""

_RATE_FACTOR = 2.0
"""File times are believed whose rate is the neighbours' within this factor."""
_SLACK_NS = 2 * SECOND_NS
"""So much later than expected a frame's file may be: disks stall."""
_LATEST_START_NS = 3600 * SECOND_NS
"""So long after its store was made the first frame may come; after that, it is a copy's time."""
_SHORTEST_NS = 200_000
_EVEN_FACTOR = 1.1
"""Two neighbours are filled up evenly where that is the usual interval within this factor."""
_NEAR = 0.1
_FLOAT_STEP_NS = 240
"""Between one float64 of epoch seconds and the next."""
_INT64 = np.iinfo(np.int64)


@dataclass(frozen=True, slots=True)
class Clues:
    """What is known around the frames in question."""

    before: Columns
    """The frames just before, in order; empty when there are none."""
    after: Columns
    """The frames just after; empty when the recording ends, or nothing is known of them."""
    nominal_hz: float = 0.0
    """Frame rate by the metadata; 0 = it does not say."""
    begun: int = 0
    """Positions there were between `before` and `after`, torn frames at their end included; 0 = up
    to the last one."""
    start_ns: int | None = None
    """When the recording was begun, by the metadata."""
    file_times_ns: NDArray[np.int64] | None = None
    """When each frame's file was last written; None for videos."""
    file_delay_ns: int | None = None
    """How much later than its frame time a file of `before` was written; None = not known."""


@dataclass(frozen=True, slots=True, eq=False)
class Estimated:
    """Numbers and times, and in words how they came about."""

    columns: Columns
    numbers_by: str
    times_by: str


def estimate(positions: NDArray[np.int64], clues: Clues) -> Estimated:
    """Numbers and times of frames that were recorded at these positions (ascending, 0 = the first
    after `clues.before`); positions that are left out are frames that are gone."""
    numbers, numbers_by = estimate_numbers(positions, clues)
    times_ns, times_by = estimate_times(positions, clues)
    unknown = np.full(len(positions), NO_DEVICE_TIME, np.int64)
    return Estimated(Columns(numbers, times_ns, unknown, None), numbers_by, times_by)


# --- numbers -----------------------------------------------------------------------------------

def estimate_numbers(positions: NDArray[np.int64], clues: Clues) -> tuple[NDArray[np.int64], str]:
    """Going on from the frame before by the usual step, else back from the frame after."""
    before, after = clues.before.numbers, clues.after.numbers
    step = usual_step(before) or usual_step(after) or 1
    if len(before):
        start, by = int(before[-1]) + step, f"going on from {int(before[-1])} by {step}"
    elif len(after):
        start = int(after[0]) - step * _span(positions, clues)
        by = f"counted back from {int(after[0])} by {step}"
    else:
        start, step, by = 0, 1, "counted from 0"
    last = start + step * (int(positions[-1]) if len(positions) else 0)
    if not _INT64.min <= min(start, last) <= max(start, last) <= _INT64.max:
        start, step, by = 0, 1, "counted from 0, as the numbers beside them are at their limit"
    return positions * step + start, by


def usual_step(numbers: NDArray[np.int64]) -> int:
    """The commonest difference of neighbouring numbers; 0 where there are none to compare."""
    if len(numbers) < 2:
        return 0
    steps, counts = np.unique(np.diff(numbers), return_counts=True)
    return int(steps[np.argmax(counts)])


def _span(positions: NDArray[np.int64], clues: Clues) -> int:
    """How many positions there were."""
    return max(clues.begun, int(positions[-1]) + 1 if len(positions) else 0)


# --- times -------------------------------------------------------------------------------------

def estimate_times(positions: NDArray[np.int64], clues: Clues) -> tuple[NDArray[np.int64], str]:
    """File times where they fit the neighbours, else even steps."""
    interval_ns = _interval_ns(clues)
    by_files = _by_files(positions, clues, interval_ns)
    if by_files is not None:
        return by_files, "from the times at which the files were written"
    return _by_steps(positions, clues, interval_ns)


def usual_interval_ns(times_ns: NDArray[np.int64]) -> float:
    """Mean of the distances of neighbouring times that are near their median, so that gaps do not
    count; 0 where they tell none. Whole microseconds where the rounding of float seconds, of which
    imgstore makes its times, leaves that open."""
    if len(times_ns) < 2:
        return 0.0
    steps = np.diff(times_ns)
    median = float(np.partition(steps, len(steps) // 2)[len(steps) // 2])
    if median <= 0:
        return 0.0
    usual = steps[np.abs(steps - median) <= _NEAR * median]
    mean, whole = float(usual.mean()), round(float(usual.mean()) / 1000) * 1000.0
    return whole if abs(whole - mean) <= _FLOAT_STEP_NS / len(usual) else mean


def _interval_ns(clues: Clues) -> float:
    measured = usual_interval_ns(clues.before.times_ns) or usual_interval_ns(clues.after.times_ns)
    return measured or (SECOND_NS / clues.nominal_hz if clues.nominal_hz > 0 else 0.0)


def _by_files(positions: NDArray[np.int64], clues: Clues, interval_ns: float
              ) -> NDArray[np.int64] | None:
    """The files' times, None where they are not plausible: after a copy they are the copy's."""
    written_ns = clues.file_times_ns
    if written_ns is None or len(positions) == 0:
        return None
    delay_ns = clues.file_delay_ns or 0
    times_ns = written_ns - delay_ns
    sound = (abs(delay_ns) <= _SLACK_NS and bool((np.diff(times_ns) >= 0).all())
             and _rate_agrees(positions, times_ns, interval_ns)
             and _place_agrees(positions, times_ns, clues, interval_ns))
    return times_ns if sound else None


def _rate_agrees(positions: NDArray[np.int64], times_ns: NDArray[np.int64], interval_ns: float
                 ) -> bool:
    if len(positions) < 2:
        return True
    mean_ns = int(times_ns[-1] - times_ns[0]) / int(positions[-1] - positions[0])
    if not interval_ns:
        return mean_ns >= _SHORTEST_NS
    return interval_ns / _RATE_FACTOR <= mean_ns <= interval_ns * _RATE_FACTOR


def _place_agrees(positions: NDArray[np.int64], times_ns: NDArray[np.int64], clues: Clues,
                  interval_ns: float) -> bool:
    first_ns, last_ns = int(times_ns[0]), int(times_ns[-1])
    slack_ns = max(_SLACK_NS, 20 * interval_ns)
    if len(clues.after) and last_ns > int(clues.after.times_ns[0]) + _SLACK_NS:
        return False
    if len(clues.before):
        gap_ns = first_ns - int(clues.before.times_ns[-1])
        return 0 < gap_ns <= (int(positions[0]) + 1) * interval_ns + slack_ns
    if len(clues.after):
        gap_ns = int(clues.after.times_ns[0]) - last_ns
        return gap_ns <= interval_ns + slack_ns
    return clues.start_ns is None or (
        clues.start_ns - _SLACK_NS <= first_ns <= clues.start_ns + _LATEST_START_NS)


def _by_steps(positions: NDArray[np.int64], clues: Clues, interval_ns: float
              ) -> tuple[NDArray[np.int64], str]:
    before, after = clues.before.times_ns, clues.after.times_ns
    step_ns, assumed = _or_assumed(interval_ns)
    if len(before):
        last_ns = int(before[-1])
        even_ns = _even_ns(_span(positions, clues), last_ns, after, interval_ns)
        if even_ns:
            return _steps(positions + 1, last_ns, even_ns), (
                "evenly between the frames before and after")
        return _steps(positions + 1, last_ns, step_ns), (
            f"going on from the frame before by {_shown(step_ns)}{assumed}")
    if len(after) and len(positions):
        return _steps(positions - _span(positions, clues), int(after[0]), step_ns), (
            f"back from the frame after by {_shown(step_ns)}{assumed}")
    return _steps(positions, clues.start_ns or 0, step_ns), (
        f"from {'the start of the recording' if clues.start_ns else '1970'} by "
        f"{_shown(step_ns)}{assumed}")


def _even_ns(span: int, last_ns: int, after: NDArray[np.int64], interval_ns: float) -> float:
    """The interval that fills the gap between both neighbours, 0 where it is not the usual one."""
    if len(after) == 0 or span == 0:
        return 0.0
    even_ns = (int(after[0]) - last_ns) / (span + 1)
    usual = not interval_ns or interval_ns / _EVEN_FACTOR <= even_ns <= interval_ns * _EVEN_FACTOR
    return even_ns if usual and even_ns >= 1 else 0.0


def _or_assumed(interval_ns: float) -> tuple[float, str]:
    if interval_ns:
        return interval_ns, ""
    return SECOND_NS / ASSUMED_HZ, f" (nothing tells the frame rate: {ASSUMED_HZ:g} assumed)"


def _steps(positions: NDArray[np.int64], start_ns: int, step_ns: float) -> NDArray[np.int64]:
    """Times so far apart, that of position 0 being `start_ns`."""
    times_ns: NDArray[np.int64] = np.rint(positions * step_ns).astype(np.int64) + start_ns
    return times_ns


def _shown(step_ns: float) -> str:
    return f"{step_ns / 1e6:.6g} ms"
