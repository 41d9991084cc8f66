"""From the times of frames to the timestamps of a movie and back. Pure, vectorised, no I/O."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from fieldrec.core.errors import JobRefused, UsageError
from fieldrec.export.containers import MP4, Container
from fieldrec.export.presets import NATIVE_RATE, TRUE_TIMES

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


def native_hz(times_ns: NDArray[np.int64], nominal_hz: float) -> float:
    """Frames per second of a recording: the nominal rate, else the median's; 1 for a single one."""
    if nominal_hz > 0:
        return nominal_hz
    gap_ns = float(np.median(np.diff(times_ns))) if len(times_ns) > 1 else 0.0
    return 1e9 / gap_ns if gap_ns > 0 else 1.0


class Rate:
    """When the frames of one movie are shown: each at its own time, or evenly spaced."""

    def __init__(self, times_ns: NDArray[np.int64], nominal_hz: float, asked: str,
                 container: Container) -> None:
        """`asked` is a preset's `rate`. UsageError when it is no rate; JobRefused for one that the
        container cannot say."""
        self._times_ns, self._container = times_ns, container
        own_hz = native_hz(times_ns, nominal_hz)
        self._constant_hz = 0.0 if asked == TRUE_TIMES else _asked_hz(asked, own_hz)
        if self._constant_hz > container.ticks_per_second:
            raise JobRefused(f"a rate of {asked} Hz: an {container.muxer} can say "
                             f"{container.ticks_per_second} frames a second at most")
        self.encoded_hz = self._constant_hz or own_hz
        """For the encoder's rate control and its groups of pictures."""
        self.shown_hz = self._constant_hz or nominal_hz
        """How long a single frame is shown; 0: a second."""

    def ticks(self, kept: NDArray[np.int64]) -> tuple[Ticks, int]:
        """Timestamps of the frames at these positions, the first 0, and how many were moved."""
        if not self._constant_hz:
            return ticks(self._times_ns[kept], self._container)
        if self._container.is_evenly_spaced:  # it has no room for a frame that is not there
            kept = np.arange(len(kept), dtype=np.int64)
        per_frame = self._container.ticks_per_second / self._constant_hz
        return np.rint((kept - kept[0]) * per_frame).astype(np.int64), 0

    def rules(self) -> dict[str, str]:
        """For the sidecar, in words."""
        base = {"time_base": f"1/{self._container.ticks_per_second}"}
        if self._constant_hz:
            return {**base, "rate_hz": f"{self._constant_hz:g}",
                    "times_rule": "frame i is shown at i / rate_hz; when it was taken is in frames"}
        return {**base, "times_rule": "first frame 0; a time not after the one before it is put "
                                      "one tick later"}


def _asked_hz(asked: str, own_hz: float) -> float:
    if asked == NATIVE_RATE:
        return own_hz
    try:
        hz = float(asked)
    except ValueError:
        hz = 0.0
    if not 0 < hz < float("inf"):
        raise UsageError(f"rate {asked!r}: say {TRUE_TIMES}, {NATIVE_RATE} or frames a second")
    return hz
