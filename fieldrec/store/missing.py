"""What is missing just before a frame, as its record in frames.log and the index keep it: one word.

Pure; any thread. A gap in the camera's numbers alone does not say whose it is. So the first frame
after it says how many frames arrived and were **lost** because our ring was full, and whether the
others were left out on purpose (a pause); what nobody claims the camera **dropped**. A crash cannot
separate this from the frame: it is in the frame's own record.

The word: bit 0: the rest was left out on purpose; bits 1 to 30: how many were lost, or MOST_LOST.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MOST_LOST = 2 ** 30 - 1
_LEFT_OUT = 1

Words = NDArray[np.uint32]


def missing_word(lost: int, *, left_out: bool = False) -> int:
    """The word of a frame before which so many were lost."""
    return min(max(lost, 0), MOST_LOST) << 1 | (_LEFT_OUT if left_out else 0)


@dataclass(frozen=True, slots=True)
class MissingFrames:
    """What is missing between the frames of a store, or of a part of it."""

    dropped: int = 0
    lost: int = 0
    left_out: int = 0
    lost_runs: tuple[tuple[int, int, int, int, int], ...] = ()
    """For each gap with lost frames: the numbers that bound it (first and last missing), how many
    of those were lost, the times in ns of the frames before and after it."""

    def __add__(self, other: MissingFrames) -> MissingFrames:
        return MissingFrames(self.dropped + other.dropped, self.lost + other.lost,
                             self.left_out + other.left_out, self.lost_runs + other.lost_runs)


def missing_frames(numbers: NDArray[np.int64], times_ns: NDArray[np.int64], words: Words
                   ) -> MissingFrames:
    """What lies in the gaps between these frames; `words` of each of them. More than a gap has
    room for is not believed."""
    after = np.flatnonzero(np.diff(numbers) > 1) + 1
    room = numbers[after] - numbers[after - 1] - 1
    lost = np.minimum(words[after] >> 1, room)
    left_out = np.where(words[after] & _LEFT_OUT, room - lost, 0)
    with_lost = np.flatnonzero(lost)
    runs = tuple(
        (int(numbers[at - 1]) + 1, int(numbers[at]) - 1, int(lost[place]), int(times_ns[at - 1]),
         int(times_ns[at]))
        for place in with_lost.tolist() for at in [int(after[place])])
    return MissingFrames(int((room - lost - left_out).sum()), int(lost.sum()), int(left_out.sum()),
                         runs)
