"""From the times of frames to the timestamps of a movie and back. Pure, vectorised, no I/O."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from fieldrec.core.errors import JobRefused
from fieldrec.export.containers import MP4, Container

TICKS_PER_SECOND = MP4.ticks_per_second

Ticks = NDArray[np.int64]


def ticks(times_ns: NDArray[np.int64], container: Container = MP4) -> tuple[Ticks, int]:
    """Timestamps of frames taken at `times_ns` (n ≥ 1), the first 0, and how many were moved.

    Timestamps must increase: a frame at the same tick as the one before it, or earlier, is put one
    tick after it. JobRefused when two frames are further apart than the container can say.
    """
    since_first = np.asarray(times_ns, dtype=np.int64) - np.int64(times_ns[0])
    per_ns = Fraction(container.ticks_per_second, 1_000_000_000)
    rounded = (since_first * per_ns.numerator + per_ns.denominator // 2) // per_ns.denominator
    index = np.arange(len(rounded), dtype=np.int64)
    increasing = np.maximum.accumulate(rounded - index) + index
    gaps = np.diff(increasing)
    if len(gaps) and int(gaps.max()) > container.longest_gap_ticks:
        at = int(gaps.argmax())
        hours, most = (gap / container.ticks_per_second / 3600
                       for gap in (gaps[at], container.longest_gap_ticks))
        raise JobRefused(f"frames {at} and {at + 1} are {hours:.1f} h apart and an "
                         f"{container.muxer} can say {most:.1f} h at most: copy the raw recording "
                         "instead")
    return increasing, int(np.count_nonzero(increasing != rounded))


def durations(pts: Ticks, nominal_hz: float, container: Container = MP4) -> Ticks:
    """Ticks that each frame is shown: until the next one, the last for the median of the others.

    A single frame is shown for one period of `nominal_hz`, or a second where that is not known.
    """
    gaps = np.diff(pts)
    if len(gaps):
        last = int(np.median(gaps))
    else:
        second = container.ticks_per_second
        last = round(second / nominal_hz) if nominal_hz > 0 else second
    return np.append(gaps, max(last, 1)).astype(np.int64)


def mean_hz(pts: Ticks, nominal_hz: float, container: Container = MP4) -> float:
    """Frames per second for the encoder's rate control: the nominal rate, else the median's."""
    if nominal_hz > 0:
        return nominal_hz
    return float(container.ticks_per_second / durations(pts, nominal_hz, container)[-1])
