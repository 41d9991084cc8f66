"""What can be done to the shape of any picture: turned, flipped, scaled, and what that makes of its
pixel format. Pure; any thread. OpenCV is loaded by what needs it.

A mosaic (BAYER_…) stays one when it is cut, flipped or rotated, as its pattern moves with it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fieldrec.core.model import FrameSpec

Pixels = NDArray[Any]
Step = Callable[[Pixels, Pixels], Any]
"""Reads its first argument, fills its second."""

_FORMAT = re.compile(r"(?:MONO|(?P<colour>BGR|RGB)|BAYER_(?P<mosaic>RG|BG|GR|GB))_?(?P<bits>\d+)\Z")
_QUADS = {"RG": "RGGB", "BG": "BGGR", "GR": "GRBG", "GB": "GBRG"}
"""Colours of a mosaic's first two pixels in its first two rows."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A pixel format taken apart."""

    colour: str
    """"BGR" or "RGB"; "" for what has one value per pixel."""
    mosaic: str
    """"RG", "BG", "GR", "GB"; "" for what is none."""
    bits: int


@dataclass(frozen=True, slots=True)
class Turn:
    """Rotation and flip as one: rows and columns swapped, then left and right, top and bottom."""

    swap: bool = False
    across: bool = False
    down: bool = False

    def __bool__(self) -> bool:
        return self.swap or self.across or self.down

    def shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Of what comes out."""
        return (shape[1], shape[0], *shape[2:]) if self.swap else shape


def kind_of(spec: FrameSpec) -> Kind | None:
    """The pixel format of these frames, None for one that is not known or not theirs."""
    found = _FORMAT.match(spec.pixel_format)
    if found is None or spec.dtype not in ("uint8", "uint16") \
            or spec.shape[2:] != ((3,) if found["colour"] else ()):
        return None
    return Kind(found["colour"] or "", found["mosaic"] or "", int(found["bits"]))


def turn_of(rotate: int, flip: str) -> Turn:
    """`rotate` degrees clockwise (0, 90, 180, 270), then `flip`: "none", "horizontal" (left becomes
    right), "vertical", "both"."""
    across, down = rotate in (90, 180), rotate in (180, 270)
    return Turn(rotate in (90, 270), across ^ (flip in ("horizontal", "both")),
                down ^ (flip in ("vertical", "both")))


def is_within(region: tuple[int, int, int, int], shape: tuple[int, ...]) -> bool:
    """Whether x, y, width, height are a part of a picture of this shape."""
    x, y, width, height = region
    return (x >= 0 and y >= 0 and width >= 1 and height >= 1
            and x + width <= shape[1] and y + height <= shape[0])


def scaled_shape(shape: tuple[int, ...], scale: float) -> tuple[int, ...]:
    """Each side rounded to the nearest pixel (halves up), at least one."""
    return tuple(max(1, int(side * scale + 0.5)) for side in shape[:2]) + shape[2:]


def resize(source: Pixels, into: Pixels) -> None:
    """Area interpolation; by whole factors the mean, rounded."""
    import cv2

    cv2.resize(source, into.shape[1::-1], dst=into, interpolation=cv2.INTER_AREA)


def turned(turn: Turn) -> Step:
    """The step that does a turn, which must not be none."""
    import cv2

    code = -1 if turn.across and turn.down else 1 if turn.across else 0

    def flip(source: Pixels, into: Pixels) -> None:
        cv2.flip(source, code, dst=into)

    def transpose(source: Pixels, into: Pixels) -> None:
        cv2.transpose(source, dst=into)

    def both(source: Pixels, into: Pixels) -> None:
        cv2.transpose(source, dst=into)
        cv2.flip(into, code, dst=into)

    if not turn.swap:
        return flip
    return both if turn.across or turn.down else transpose


def moved_mosaic(mosaic: str, region: tuple[int, int, int, int], turn: Turn) -> str:
    """The mosaic's name after a cut and a turn: done to its pattern, on a picture whose sides are
    odd and even as the true one's are."""
    x, y, width, height = region
    pattern = np.tile(np.array(list(_QUADS[mosaic])).reshape(2, 2), (3, 3))
    pattern = pattern[y % 2:, x % 2:][:2 + height % 2, :2 + width % 2]
    pattern = pattern.T if turn.swap else pattern
    pattern = pattern[::-1 if turn.down else 1, ::-1 if turn.across else 1]
    quad = "".join(pattern[:2, :2].ravel().tolist())
    return next(name for name, colours in _QUADS.items() if colours == quad)
