"""Grey to colour (BGR) and back, as imgstore's users know it. Pure; any thread; OpenCV is loaded
when an image has to be changed."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def ensure_color(img: NDArray[Any], ensure_copy: bool = False) -> NDArray[Any]:
    """The image as (h, w, 3) BGR: itself where it is (with `ensure_copy` a copy)."""
    if _is_colour(img):
        return img.copy() if ensure_copy else img
    import cv2

    return np.asarray(cv2.cvtColor(img, cv2.COLOR_GRAY2BGR))


def ensure_grayscale(img: NDArray[Any], ensure_copy: bool = False) -> NDArray[Any]:
    """The image as grey (h, w): itself where it is not BGR (with `ensure_copy` a copy)."""
    if not _is_colour(img):
        return img.copy() if ensure_copy else img
    import cv2

    return np.asarray(cv2.cvtColor(img, cv2.COLOR_BGR2GRAY))


def _is_colour(img: NDArray[Any]) -> bool:
    return img.ndim == 3 and img.shape[-1] == 3
