"""SSIM: how alike two pictures are in their structure, after Wang et al. 2004. Pure arithmetic.

Mean over uniform windows of 8x8 pixels, four pixels apart, with the constants of the paper: as
cheap as it gets, and within a few thousandths of the one with Gaussian windows. The thread that
verifies has one of its own, with the memory for a stripe of the pictures: what lies between the
steps stays in the cache, and costs no page faults.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Plane = NDArray[Any]

WINDOW = 8
STEP = 4
_STRIPE = 64
"""Lines that are compared at a time."""
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


class Similarity:
    """Of pictures of one shape, (height, width). One thread."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self._lines, self._columns = (extent - extent % STEP for extent in shape)
        self._is_small = min(self._lines, self._columns) < WINDOW
        self._memory = np.empty((4, _STRIPE, self._columns), np.float32)

    def of(self, own: Plane, decoded: Plane) -> float:
        """SSIM, 1 for the same: of planes of any numbers with 255 for the greatest value."""
        if self._is_small:  # than a window: one of its size
            own, decoded = own.astype(np.float64), decoded.astype(np.float64)
            means = (plane.mean() for plane in (
                own, decoded, (own - decoded) ** 2, own * decoded))
            return float(_similar(*means))
        stripes = [self._squares(own, decoded, line) for line in range(0, self._lines, _STRIPE)]
        means = (_window_means(np.vstack(parts)) for parts in zip(*stripes, strict=True))
        return float(_similar(*means).mean(dtype=np.float64))

    def _squares(self, own: Plane, decoded: Plane, line: int) -> list[Plane]:
        """Means of both, of the square of their difference and of their product, in squares of
        four pixels, for a stripe."""
        count = min(_STRIPE, self._lines - line)
        planes = [memory[:count] for memory in self._memory]
        for plane, given in zip(planes, (own, decoded), strict=False):
            np.copyto(plane, given[line:line + count, : self._columns])
        cv2.subtract(planes[0], planes[1], planes[2])
        cv2.multiply(planes[2], planes[2], planes[2])
        cv2.multiply(planes[0], planes[1], planes[3])
        size = (self._columns // STEP, count // STEP)
        return [cv2.resize(plane, size, interpolation=cv2.INTER_AREA) for plane in planes]


def _window_means(squares: Plane) -> Plane:
    """Of every window, which is two squares by two."""
    pairs = cv2.add(squares[1:], squares[:-1])
    return (pairs[:, 1:] + pairs[:, :-1]) * np.float32(0.25)


def _similar(own: Any, decoded: Any, apart: Any, product: Any) -> Any:
    """SSIM of means, mean square of the difference, and mean product."""
    covariance = product - own * decoded
    variances = apart + 2 * product - own ** 2 - decoded ** 2
    return ((2 * own * decoded + _C1) * (2 * covariance + _C2)
            / ((own ** 2 + decoded ** 2 + _C1) * (variances + _C2)))
