"""From the times of frames to the timestamps of a movie and back. Pure, vectorised, no I/O."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fieldrec.core.errors import JobRefused

TICKS_PER_SECOND = 90_000
"""Time base of the movies: 11 µs, the customary clock of video."""
LONGEST_GAP_TICKS = 2**31 - 1
"""mp4 keeps the distance of two frames in 31 bits: 6.6 hours at this time base."""

Ticks = NDArray[np.int64]


def ticks(times_ns: NDArray[np.int64]) -> tuple[Ticks, int]:
    """Timestamps of frames taken at `times_ns` (n ≥ 1), the first 0, and how many were moved.

    Timestamps must increase: a frame at the same tick as the one before it, or earlier, is put one
    tick after it. JobRefused when two frames are further apart than mp4 can say.
    """
    since_first = np.asarray(times_ns, dtype=np.int64) - np.int64(times_ns[0])
    rounded = (since_first * 9 + 50_000) // 100_000
    index = np.arange(len(rounded), dtype=np.int64)
    increasing = np.maximum.accumulate(rounded - index) + index
    gaps = np.diff(increasing)
    if len(gaps) and int(gaps.max()) > LONGEST_GAP_TICKS:
        at = int(gaps.argmax())
        raise JobRefused(f"frames {at} and {at + 1} are {gaps[at] / TICKS_PER_SECOND / 3600:.1f} h "
                         "apart and an mp4 can say 6.6 h at most: copy the raw recording instead")
    return increasing, int(np.count_nonzero(increasing != rounded))


def durations(pts: Ticks, nominal_hz: float) -> Ticks:
    """Ticks that each frame is shown: until the next one, the last for the median of the others.

    A single frame is shown for one period of `nominal_hz`, or a second where that is not known.
    """
    gaps = np.diff(pts)
    if len(gaps):
        last = int(np.median(gaps))
    else:
        last = round(TICKS_PER_SECOND / nominal_hz) if nominal_hz > 0 else TICKS_PER_SECOND
    return np.append(gaps, max(last, 1)).astype(np.int64)


def mean_hz(pts: Ticks, nominal_hz: float) -> float:
    """Frames per second for the encoder's rate control: the nominal rate, else the median's."""
    if nominal_hz > 0:
        return nominal_hz
    return float(TICKS_PER_SECOND / durations(pts, nominal_hz)[-1])
