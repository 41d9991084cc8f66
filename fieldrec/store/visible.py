"""Frames of any store as 8-bit pictures for eyes: a viewer's window, a terminal, a contact sheet.

Blocking, one thread. Never changes what is stored and never judges it: Bayer mosaics are decoded,
deep and float values are scaled to a range that is looked up once per store, so that pictures of
one store can be compared with each other.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from fieldrec.core.errors import StoreDamaged
from fieldrec.core.model import FrameSpec

Pixels = NDArray[Any]
Picture = NDArray[np.uint8]
"""(height, width) grey or (height, width, 3) BGR."""

SAMPLES = 9
"""Frames that are looked at for the range."""
SHARES = (0.1, 99.9)
"""Percentiles that become black and white: a few hot pixels must not darken the rest."""

_KNOWN_BITS = re.compile(r"(?:MONO|BAYER_[A-Z]{2})(8|10|12|14)\Z")
_BAYER = {"RG": cv2.COLOR_BayerRGGB2BGR, "GR": cv2.COLOR_BayerGRBG2BGR,
          "BG": cv2.COLOR_BayerBGGR2BGR, "GB": cv2.COLOR_BayerGBRG2BGR}


class Source(Protocol):
    """What is needed of a store's reader."""

    @property
    def frame_count(self) -> int:
        """How many frames there are."""
        ...

    @property
    def spec(self) -> FrameSpec:
        """What they look like."""
        ...

    def decoded(self, index: int) -> Pixels:
        """One frame, its `encoding` decoded. StoreDamaged."""
        ...


class Visible:
    """The pictures of one store."""

    def __init__(self, store: Source) -> None:
        """Reads a few frames of a store that is not plain 8 bit."""
        self._store = store
        self._format = store.spec.pixel_format
        self._range: tuple[float, float] | None = None
        """What becomes black and white; None while no frame needed it."""

    def picture(self, index: int) -> Picture:
        """One frame as people see it. StoreDamaged when it cannot be read."""
        return self.of(self._store.decoded(index))

    def of(self, pixels: Pixels) -> Picture:
        """The picture of an array as the store gives it."""
        colour = _arranged(pixels, self._format)
        if colour.dtype == np.uint8:
            return colour
        if self._range is None:
            self._range = self._looked_up()
        return scaled(colour, *self._range)

    def _looked_up(self) -> tuple[float, float]:
        known = _KNOWN_BITS.match(self._format)
        if known is not None:
            return 0.0, float((1 << int(known[1])) - 1)
        count = self._store.frame_count
        places = sorted(set(np.linspace(0, count - 1, SAMPLES).astype(int).tolist()))
        return visible_range(self._readable(places))

    def _readable(self, places: Iterable[int]) -> Iterable[Pixels]:
        for index in places:
            try:
                yield self._store.decoded(index)
            except StoreDamaged:
                continue


def visible_range(frames: Iterable[Pixels]) -> tuple[float, float]:
    """What shall be black and white in these frames; never both the same."""
    bounds = [np.percentile(finite, SHARES) for frame in frames
              if (finite := frame[np.isfinite(frame)] if frame.dtype.kind == "f"
                  else frame.ravel()).size]
    if not bounds:
        return 0.0, 1.0
    low = float(min(bound[0] for bound in bounds))
    high = float(max(bound[1] for bound in bounds))
    return (low, high) if high > low else (low, low + 1.0)


def scaled(pixels: Pixels, low: float, high: float) -> Picture:
    """`low` and below black, `high` and above white; NaN black."""
    values = np.nan_to_num(pixels.astype(np.float64), nan=low, posinf=high, neginf=low)
    picture: Picture = np.rint(np.clip((values - low) * (255 / (high - low)), 0, 255)).astype(
        np.uint8)
    return picture


def _arranged(pixels: Pixels, pixel_format: str) -> Pixels:
    """Grey or BGR from whatever channels there are; mosaics that no `encoding` names decoded."""
    if pixels.dtype == np.bool_:
        pixels = pixels.astype(np.uint8) * np.uint8(255)
    if pixels.ndim > 3:
        pixels = pixels.reshape(*pixels.shape[:2], -1)
    if pixels.ndim == 3 and pixels.shape[2] < 3:
        pixels = pixels[:, :, 0]
    if pixels.ndim == 3:
        colour = pixels[:, :, 2::-1] if pixel_format.startswith("RGB") else pixels[:, :, :3]
        return np.ascontiguousarray(colour)
    code = _BAYER.get(pixel_format[6:8]) if pixel_format.startswith("BAYER_") else None
    if code is None or pixels.dtype not in (np.uint8, np.uint16) or min(pixels.shape) < 3:
        return np.ascontiguousarray(pixels)
    return cv2.cvtColor(np.ascontiguousarray(pixels), code)
