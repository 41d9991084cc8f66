"""Whether two frames are the same, and how near a lossy one is. Pure; any thread."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

Pixels = NDArray[Any]

PERFECT_DB = 100.0
"""Stands for the infinite PSNR of identical frames."""


def pixel_digest(pixels: Pixels) -> int:
    """Of values, type and shape; a last extent of 1, which some formats leave away, counts not."""
    shape = pixels.shape[:2] if pixels.shape[2:] == (1,) else pixels.shape
    native = np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("="))
    seed = xxhash.xxh3_64_intdigest(f"{native.dtype.name}{shape}".encode())
    return xxhash.xxh3_64_intdigest(native.data, seed)


def psnr_db(source: Pixels, made: Pixels) -> float:
    """How near a lossy picture is; colour that was left out counts as lost."""
    if made.ndim == 2 and source.ndim == 3:
        made = np.repeat(made[:, :, np.newaxis], source.shape[2], axis=2)
    height, width = (min(a, b) for a, b in zip(source.shape[:2], made.shape[:2], strict=True))
    pixels = source[:height, :width].reshape(made[:height, :width].shape)
    difference = pixels.astype(np.float64) - made[:height, :width]
    mean_square = float(np.mean(difference * difference))
    if mean_square == 0:
        return PERFECT_DB
    return min(PERFECT_DB, 10 * math.log10(_peak(source.dtype) ** 2 / mean_square))


def _peak(dtype: np.dtype[Any]) -> float:
    return float(np.iinfo(dtype).max) if dtype.kind in "iu" else 1.0


