"""Frames of any store as 8-bit grey or BGR, by rules that can be told: what a movie is made from.

Blocking, one thread. What :class:`LossyPictures` knows already is left as it is; mosaics and packed
colours are decoded, depths that nobody told are looked up in the frames themselves.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fieldrec.core.errors import JobRefused, StoreDamaged
from fieldrec.core.model import FrameSpec
from fieldrec.export.kept import kept
from fieldrec.export.pictures_lossy import LossyPictures
from fieldrec.store import encodings
from fieldrec.store.metadata import StoreMetadata
from fieldrec.store.spec import stored_dtype
from fieldrec.store.visible import colour_code, grey_or_bgr, scaled

Pixels = NDArray[Any]

_TOLD_BITS = re.compile(r"(?:MONO|BGR|RGB|BAYER_[A-Z]{2})(10|12|14|16)\Z")


@dataclass(frozen=True, slots=True)
class Reduction:
    """How each frame becomes what the movie is made from."""

    spec: FrameSpec
    """Of the results: a pixel format that :class:`LossyPictures` knows."""
    apply: Callable[[Pixels], Pixels]
    """May return its argument. StoreDamaged for a frame unlike the others."""
    rules: dict[str, str]
    """What is done, in words, for the sidecar."""


def reduction(metadata: StoreMetadata, spec: FrameSpec, told_format: str,
              frames: Callable[[], Iterable[Pixels]], *, lossless: bool = False) -> Reduction:
    """The way from a store's frames to the movie's; of a `lossless` one they are left as they are.

    `told_format` is the pixel format that the recorder wrote down, "" where none is told: then
    `frames()` are looked through once for their depth or range, where it matters. JobRefused for
    what is no picture.
    """
    if lossless:
        spec = kept(metadata, spec, told_format)
        return Reduction(spec, lambda pixels: _of(pixels, metadata.imgshape).reshape(spec.shape),
                         {})
    if not metadata.encoding and told_format and _pictures_know(spec):
        return Reduction(spec, lambda pixels: _of(pixels, spec.shape), {})
    code = colour_code(metadata.encoding, told_format)
    shape = encodings.decoded_shape(metadata.imgshape, code)
    channels = shape[2] if len(shape) == 3 else 1
    if channels == 4 and len(shape) == 3:
        raise JobRefused("cannot make a movie of frames with an alpha channel, which it would "
                         "lose: make a store of them without it first")
    if len(shape) > 3 or channels not in (1, 3):
        raise JobRefused(f"cannot make a movie of frames of shape {metadata.imgshape}: grey or "
                         "BGR is needed")
    target = FrameSpec(shape[:2] if channels == 1 else (*shape[:2], 3), "uint8",
                       "MONO8" if channels == 1 else "BGR8", spec.nominal_hz)
    rules = {"decoded": f"{code} to BGR"} if code else {}

    def shown(pixels: Pixels) -> Pixels:
        return grey_or_bgr(_decoded(_of(pixels, metadata.imgshape), code))

    shift = _depth(np.dtype(stored_dtype(metadata)), told_format,
                   lambda: map(shown, frames()), rules)
    return Reduction(target, lambda pixels: shift(shown(pixels)), rules)


def _pictures_know(spec: FrameSpec) -> bool:
    try:
        LossyPictures(spec)
    except JobRefused:
        return False
    return True


def _of(pixels: Pixels, shape: tuple[int, ...]) -> Pixels:
    """The frame, if it has the shape of the store; (h, w, 1) may come back as (h, w)."""
    if pixels.shape != shape and (*pixels.shape, 1) != shape:
        raise StoreDamaged(f"a frame has the shape {pixels.shape}, the store {shape}")
    return pixels


def _decoded(pixels: Pixels, code: str | None) -> Pixels:
    try:
        return encodings.decode(pixels, code) if code else pixels
    except ValueError as error:
        raise JobRefused(f"cannot make a movie: {error}") from error


def _depth(dtype: np.dtype[Any], told_format: str, frames: Callable[[], Iterable[Pixels]],
           rules: dict[str, str]) -> Callable[[Pixels], Pixels]:
    """How values become 8 bits; says so in `rules`."""
    if dtype == np.uint8 or dtype == np.bool_:
        return lambda pixels: pixels
    if dtype == np.uint16:
        told = _TOLD_BITS.match(told_format)
        bits = int(told[1]) if told else _bits_used(frames())
        rules["depth"] = f"v >> {bits - 8}: {bits} bits are used"
        return lambda pixels: np.minimum(pixels >> (bits - 8), 255).astype(np.uint8)
    low, high = _bounds(frames())
    rules["depth"] = f"round((v - {low!r}) * 255 / {high - low!r}): from the least to the greatest"
    return lambda pixels: scaled(pixels, low, high)


def _bits_used(frames: Iterable[Pixels]) -> int:
    """8 to 16: the least depth that holds every value."""
    return max(8, max((int(frame.max()) for frame in frames), default=0).bit_length())


def _bounds(frames: Iterable[Pixels]) -> tuple[float, float]:
    """Least and greatest finite value; never both the same."""
    low, high = np.inf, -np.inf
    for frame in frames:
        finite = frame[np.isfinite(frame)]
        if finite.size:
            low, high = min(low, float(finite.min())), max(high, float(finite.max()))
    if low > high:
        return 0.0, 1.0
    return (low, high) if high > low else (low, low + 1.0)
