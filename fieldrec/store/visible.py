"""Frames of any store as 8-bit pictures for eyes: a viewer's window, a terminal, a contact sheet.

Blocking, one thread. Never changes what is stored and never judges it: mosaics are decoded, deep
and float values are scaled to a range that is looked up once per store, so that pictures of one
store can be compared with each other.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fieldrec.core.errors import StoreDamaged
from fieldrec.core.model import FrameSpec
from fieldrec.store import encodings
from fieldrec.store.metadata import StoreMetadata

Pixels = NDArray[Any]
Picture = NDArray[np.uint8]
"""(height, width) grey or (height, width, 3) BGR."""

SAMPLES = 9
"""Frames that are looked at for the range."""
SHARES = (0.1, 99.9)
"""Percentiles that become black and white: a few hot pixels must not darken the rest."""

_KNOWN_BITS = re.compile(r"(?:MONO|BAYER_[A-Z]{2})(8|10|12|14)\Z")


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

    @property
    def metadata(self) -> StoreMetadata:
        """How they are stored."""
        ...

    def read(self, index: int) -> Pixels:
        """One frame as it is stored. StoreDamaged."""
        ...


class Visible:
    """The pictures of one store."""

    def __init__(self, store: Source) -> None:
        self._store = store
        self._code = colour_code(store.metadata.encoding, store.spec.pixel_format)
        self._range: tuple[float, float] | None = None
        """What becomes black and white; None while no frame needed it."""

    def picture(self, index: int) -> Picture:
        """One frame as people see it. StoreDamaged when it cannot be read. The first one that is
        not 8 bit takes longer: a few others are looked at for the range."""
        shown = self._shown(index)
        if shown.dtype == np.uint8:
            return shown
        if self._range is None:
            self._range = self._looked_up()
        return scaled(shown, *self._range)

    def _shown(self, index: int) -> Pixels:
        pixels = self._store.read(index)
        if self._code:
            with contextlib.suppress(ValueError):  # better the mosaic than nothing
                pixels = encodings.decode(pixels, self._code)
        return grey_or_bgr(pixels)

    def _looked_up(self) -> tuple[float, float]:
        known = _KNOWN_BITS.match(self._store.spec.pixel_format)
        if known is not None:
            return 0.0, float((1 << int(known[1])) - 1)
        last = self._store.frame_count - 1
        return visible_range(self._readable(np.linspace(0, last, SAMPLES).astype(int).tolist()))

    def _readable(self, places: list[int]) -> Iterable[Pixels]:
        for index in sorted(set(places)):
            with contextlib.suppress(StoreDamaged):
                yield self._shown(index)


def colour_code(encoding: str | None, pixel_format: str) -> str | None:
    """The encoding in which frames are stored: that of the store, else that of the camera's pixel
    format ("BAYER_RG8"), which our own recordings tell instead. None for grey and BGR."""
    if encoding:
        return encoding
    try:
        return encodings.from_pylon(pixel_format)
    except ValueError:
        return None


def grey_or_bgr(pixels: Pixels) -> Pixels:
    """(h, w) or (h, w, 3) from whatever channels there are: of one or two the first, of more the
    first three. True is white."""
    if pixels.dtype == np.bool_:
        pixels = pixels.astype(np.uint8) * np.uint8(255)
    if pixels.ndim > 3:
        pixels = pixels.reshape(*pixels.shape[:2], -1)
    if pixels.ndim == 3:
        pixels = pixels[:, :, 0] if pixels.shape[2] < 3 else pixels[:, :, :3]
    return np.ascontiguousarray(pixels)


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
