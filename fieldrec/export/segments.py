"""Where a movie is cut into segments and slices. Pure.

A segment is what is encoded again at worst after a stop, a kill or a power cut; at its end the
encoder is drained and begun anew. It is measured in pixels, as the work is: x264 "veryfast" on two
small cores encodes some 50 million a second, so a segment is half a minute of its work, and some
minutes of the slowest codec's. Draining costs about a tenth of a second of it. All but the last are
whole groups of pictures, so that the key frames lie as if there were no segments.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fieldrec.export.segment_file import Segment

SEGMENT_PIXELS = 1_500_000_000
MOST_FRAMES = 20_000
"""However small they are: the table of a segment is held in memory."""
PER_SLICE = 8
"""Segments in a slice that is limited in bytes: how near to its limit it gets."""


@dataclass(frozen=True, slots=True)
class Cuts:
    """The rules of one movie, or of its slices."""

    count: int
    """Frames in all."""
    group: int
    """Frames from key frame to key frame."""
    usual: int
    """Frames of a segment: a multiple of `group`."""
    borders: tuple[int, ...]
    """Positions at which a slice must begin, ascending, without 0; empty: one movie."""
    slice_bytes: int | None = None
    """Which no slice exceeds, unless a single group does."""
    expected_bytes_per_frame: float = 0.0
    """What is assumed before the first segment is there."""

    def end_of(self, first: int, before: Segment | None) -> int:
        """Where the segment that begins at `first` ends; `before` is the one before it."""
        border = next((border for border in self.borders if border > first), self.count)
        return min(border, first + self._frames(before))

    def halved(self, first: int, end: int) -> int:
        """The end of a smaller segment than `first` … `end`; `end` itself when it is one group."""
        groups = (end - first) // self.group // 2
        return first + self.group * max(1, groups) if end - first > self.group else end

    def _frames(self, before: Segment | None) -> int:
        per_frame = self.expected_bytes_per_frame
        if before is not None:
            per_frame = before.size_bytes / (before.end - before.first)
        if self.slice_bytes is None or per_frame <= 0:
            return self.usual
        groups = int(self.slice_bytes / PER_SLICE / per_frame) // self.group
        return min(self.usual, max(1, groups) * self.group)


def usual_frames(pixels: int, group: int) -> int:
    """Frames of a segment of pictures of so many pixels: whole groups, at least one."""
    frames = min(SEGMENT_PIXELS // pixels, MOST_FRAMES)
    return max(1, frames // group) * group


def time_borders(times_ns: NDArray[np.int64], slice_s: float) -> tuple[int, ...]:
    """Where slices of `slice_s` seconds begin: each with the first frame of its time."""
    since_s = (times_ns - times_ns[0]) / 1e9
    number = np.maximum.accumulate(np.floor(since_s / slice_s))
    return tuple((np.flatnonzero(np.diff(number)) + 1).tolist())


def in_slices(segments: Sequence[Segment], cuts: Cuts, more_per_frame: int, more: int
              ) -> list[list[Segment]]:
    """The segments of each slice, of which each has a packet if there is any.

    `more` bytes come to those of the packets, and `more_per_frame` for each frame: the container's
    tables and what is embedded.
    """
    slices: list[list[Segment]] = [[]]
    size = more
    for segment in segments:
        own = segment.size_bytes + more_per_frame * (segment.end - segment.first)
        is_full = cuts.slice_bytes is not None and size + own > cuts.slice_bytes
        if (is_full or segment.first in cuts.borders) and _has_packets(slices[-1]):
            slices.append([])
            size = more
        slices[-1].append(segment)
        size += own
    if len(slices) > 1 and not _has_packets(slices[-1]):
        slices[-2:] = [slices[-2] + slices[-1]]
    return slices


def _has_packets(segments: Sequence[Segment]) -> bool:
    return any(len(segment.table) for segment in segments)
