"""Numbers for the pictures of a stream that has none: what was lost on the way is a gap in them.

Pure; one thread. Where from, in this order:

- H.264: `frame_num`, which the encoder counts up with every picture that others are made from,
  modulo 16 or more, and anew from each key picture. It tells whether a picture is missing that
  later ones need; how many there are, the times tell better.
- The times that the camera gives (RTP): where they come in an even rhythm, a step of several
  periods means that pictures between are missing. A camera that changes its rhythm by itself (to
  save light or bits) counts as dropping until the new one is known, for about half of
  :data:`_WINDOW` pictures; with `frame_num` it does so only where fewer pictures have been counted
  than would be missing: a key picture might be among them.
- HTTP streams tell neither: pictures are counted as they come; only damaged ones leave a gap.
"""

from __future__ import annotations

import statistics
from collections import deque

from fieldrec.core.h264 import SequenceSet, SliceHead

_WINDOW = 32
_LEAST_KNOWN = 8
_EVEN_SHARE = 0.75
_TOLERANCE = 0.2
_MOST_MISSING = 100_000
"""A step that would mean more is a clock that was set."""


class Numbers:
    """Numbers of one stream, from 0."""

    def __init__(self) -> None:
        self._next = 0
        self._last_ns: int | None = None
        self._steps: deque[int] = deque(maxlen=_WINDOW)
        self._period: float | None = None
        """The usual step when it was last looked for, which takes 20 µs."""
        self._head: SliceHead | None = None

    def next(self, at_ns: int | None, head: SliceHead | None = None,
             told: SequenceSet | None = None) -> int:
        """The number of the picture that came now. `at_ns`: its time by the camera, where it has
        any; `head`, `told`: of H.264."""
        missing = self._by_time(at_ns)
        if head is not None and told is not None:
            missing = self._by_count(missing, head, told)
            self._head = head
        number = self._next + missing
        self._next = number + 1
        return number

    def _by_time(self, at_ns: int | None) -> int:
        """How many pictures there is room for between this one and the last."""
        last, self._last_ns = self._last_ns, at_ns
        if at_ns is None or last is None or at_ns <= last:
            return 0
        step, missing = at_ns - last, 0
        if self._period is None or abs(step - self._period) > self._period * _TOLERANCE:
            self._period = self._rhythm()
            if self._period is not None:
                missing = round(step / self._period) - 1
        self._steps.append(step)
        return missing if 0 < missing <= _MOST_MISSING else 0

    def _rhythm(self) -> float | None:
        """The usual step; None where there is none."""
        if len(self._steps) < _LEAST_KNOWN:
            return None
        period = statistics.median(self._steps)
        even = sum(abs(known - period) <= period * _TOLERANCE for known in self._steps)
        return period if even >= _EVEN_SHARE * len(self._steps) else None

    def _by_count(self, by_time: int, head: SliceHead, told: SequenceSet) -> int:
        """The same by `frame_num`, which tells whether any is missing, but not how often it has
        gone round, nor whether a key picture, which is missing too, began it anew: times do."""
        before = self._head
        if before is None or head.key or told.may_skip_numbers:
            return by_time
        missing = (head.frame_num - before.frame_num - before.reference) % (
            1 << told.frame_num_bits)
        if missing:
            return by_time or missing
        # By chance it is the number that was due only where at least as many are missing as had
        # been counted; else the camera itself has made fewer.
        return by_time if by_time > before.frame_num else 0
