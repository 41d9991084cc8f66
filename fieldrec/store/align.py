"""Frames of several stores side by side, matched by frame number, as imgstore's StoreAligner; and
a store's times in the text format that video tools take.

Blocking; one thread at a time, that of the stores. What a store does not have, or cannot read, is
left out, held or shown black as the policy says.
"""

from __future__ import annotations

import functools
import logging
import math
from collections.abc import Iterator
from typing import Any, Protocol, TextIO

import numpy as np
from numpy.typing import NDArray

log = logging.getLogger(__name__)


class AlignableStore(Protocol):
    """What is asked of a store object."""

    @property
    def image_shape(self) -> Any:
        """Shape of its images."""
        ...

    def get_frame_metadata(self) -> dict[str, list[Any]]:
        """Numbers and times of all frames."""
        ...

    def get_image(self, frame_number: Any, exact_only: bool = True) -> tuple[Any, tuple[Any, Any]]:
        """(image, (number, time)); ValueError without such a frame."""
        ...


class StoreAligner:
    """Several stores of one image shape."""

    MISSING_POLICY_DROP = "drop"
    """Only numbers that every store has."""
    MISSING_POLICY_HOLD = "zoh"
    """A store's last image stands for a missing one; black before its first."""
    MISSING_POLICY_BLACK = "black"
    """A missing image is black."""

    def __init__(self, *stores: AlignableStore) -> None:
        """AssertionError unless there are stores and their images have one shape."""
        shapes = {tuple(store.image_shape) for store in stores}
        if len(shapes) != 1:
            raise AssertionError(f"stores of one image shape are needed, these have {shapes or 0}")
        self._stores = stores
        self._shape = shapes.pop()
        self._policy: str | None = None
        self._numbers: NDArray[Any] = np.zeros(0, np.int64)

    def extract_common_frames(self, policy: str) -> NDArray[Any]:
        """The frame numbers that :meth:`iter_imgs` will go through, ascending. AssertionError for
        an unknown policy."""
        if policy not in (self.MISSING_POLICY_DROP, self.MISSING_POLICY_HOLD,
                          self.MISSING_POLICY_BLACK):
            raise AssertionError(f"policy {policy!r} is none of drop, zoh, black")
        numbers = [np.unique(np.asarray(store.get_frame_metadata()["frame_number"]))
                   for store in self._stores]
        if policy == self.MISSING_POLICY_DROP:
            self._numbers = functools.reduce(np.intersect1d, numbers)
        else:
            self._numbers = np.unique(np.concatenate(numbers))
        self._policy = policy
        return self._numbers

    def iter_imgs(self, return_times: bool = False) -> Iterator[tuple[Any, ...]]:
        """(number, [image of each store]) per number, and with `return_times` a list of the times,
        NaN where a store has no such frame. AssertionError before extract_common_frames."""
        if self._policy is None:
            raise AssertionError("call extract_common_frames first")
        last: list[NDArray[Any] | None] = [None] * len(self._stores)
        for number in self._numbers.tolist():
            found = [self._look(store, number) for store in self._stores]
            if self._policy == self.MISSING_POLICY_DROP and any(f[0] is None for f in found):
                continue
            images = [self._fill(at, image, last, found) for at, (image, _) in enumerate(found)]
            times = [time_s for _, time_s in found]
            yield (number, images, times) if return_times else (number, images)

    def _look(self, store: AlignableStore, number: Any) -> tuple[NDArray[Any] | None, float]:
        try:
            image, (_, time_s) = store.get_image(number, exact_only=True)
        except ValueError as error:
            log.debug("%s", error)
            return None, math.nan
        return image, time_s

    def _fill(self, at: int, image: NDArray[Any] | None, last: list[NDArray[Any] | None],
              found: list[tuple[NDArray[Any] | None, float]]) -> NDArray[Any]:
        """The image, or what stands for it; keeps it for the next one missing."""
        if image is not None:
            last[at] = image
            return image
        held = last[at]
        if held is not None and self._policy == self.MISSING_POLICY_HOLD:
            return held
        known = [*(seen for seen, _ in found), *last]
        dtype = next((seen.dtype for seen in known if seen is not None), np.dtype(np.uint8))
        return np.zeros(self._shape, dtype)


def generate_timecodes(store: AlignableStore, dest_file: TextIO) -> NDArray[np.float64]:
    """Write the frames' times as "timecode format v2": milliseconds since the first, one a line.
    Returns them, in seconds."""
    times_s = np.asarray(store.get_frame_metadata()["frame_time"], np.float64)
    since = times_s - times_s[0] if len(times_s) else times_s
    dest_file.write("# timecode format v2\n")
    dest_file.writelines(f"{at_s * 1000.0:.3f}\n" for at_s in since.tolist())
    return since
