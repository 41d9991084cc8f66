"""What verification sees of a raw frame and of a decoded picture, and what it says to the two.

Runs in the export process: looks are made in the thread that reads the raw, and judged in the one
that verifies. All is in levels of eight bits. The raw frame's side is computed with numpy from the
matrix's definition, not with what encoding used, so that a wrong matrix, range or depth shows.

Of every frame: luma on a grid of a 64th of the pixels, which moves from frame to frame, and the
mean of every block. Of every thirtieth, the first and the last: luma of every pixel.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from fieldrec.export.colours import BT601, BT709, Colours
from fieldrec.export.pictures import plane
from fieldrec.export.pictures_lossy import LossyPictures

Pixels = NDArray[Any]
Levels = NDArray[np.float32]

GRID = 8
"""Every eighth pixel both ways; the grid moves from frame to frame."""
BLOCK = 8
"""Pixels along the side of a block."""
FULL_RANGE = "full range"
_LIMITED = np.rint(16 + np.arange(256) * (219 / 255)).astype(np.uint8)
PERFECT_DB = 100.0
"""Stands for the infinite PSNR of identical pictures."""


@dataclass(frozen=True, slots=True)
class Look:
    """What verification keeps of one raw frame: a twentieth of it, and luma where all is wanted."""

    grid: Levels
    blocks: Levels
    """One after another: luma of all, and of colour Cb of all and Cr of all."""
    luma: Pixels | None
    """Of every pixel, where the frame is compared in full: rounded to levels, or with fractions
    where the movie has more than eight bits."""
    mistakes: tuple[tuple[str, Levels], ...] = ()
    """What luma's blocks would be if something were wrong with all of them, where all is wanted."""


class LossyLooks:
    """What movies of these pictures should show, and what they do show."""

    def __init__(self, pictures: LossyPictures) -> None:
        self._pictures = pictures
        self._scale = np.float32(0.25 if pictures.bits == 10 else 1)
        self._row = _row(pictures.colours, pictures.is_rgb)

    def of_raw(self, pixels: Pixels, index: int, *, in_full: bool) -> Look:
        """What frame `index` is to look like."""
        if self._pictures.is_mono:
            grey = self._grey(pixels)
            means = block_means(even(grey), BLOCK).ravel()
            look = Look(_limited(on_grid(grey, index)), _limited(means), None)
            return dataclasses.replace(look, luma=self._rounded(grey), mistakes=(
                (FULL_RANGE, means),)) if in_full else look
        colour = self._pictures.eight_bit_colour(pixels)
        means = block_means(even(colour), BLOCK)
        look = Look(self._luma(on_grid(colour, index)), self._colours(means), None)
        return dataclasses.replace(look, luma=self._full_luma(colour),
                                   mistakes=self._mistakes(means)) if in_full else look

    def blocks(self, picture: av.VideoFrame) -> Levels:
        """Means of every block of a decoded picture, as :class:`Look` has them."""
        luma = even(self._plane(picture))
        means = (block_means(luma, BLOCK) * self._scale).ravel()
        if self._pictures.is_mono:
            return means
        ratio = self._pictures.chroma
        lines, columns = luma.shape[0] // ratio, luma.shape[1] // ratio
        return np.concatenate([means, *(
            block_means(plane(picture, number)[:lines, :columns], BLOCK // ratio).ravel()
            for number in (1, 2))])

    def grid(self, picture: av.VideoFrame, index: int) -> Levels:
        """Luma of decoded picture `index` on its grid."""
        luma: Levels = on_grid(self._plane(picture), index).astype(np.float32) * self._scale
        return luma

    def luma(self, picture: av.VideoFrame) -> Pixels:
        """Luma of every pixel, as :class:`Look` has it. May be borrowed from the picture."""
        luma = self._plane(picture)
        return luma * self._scale if self._pictures.bits == 10 else luma

    def _plane(self, picture: av.VideoFrame) -> Pixels:
        """Luma without the padding; borrowed from the picture."""
        return plane(picture, 0)[: self._pictures.lines, : self._pictures.columns]

    def _grey(self, pixels: Pixels) -> Pixels:
        """0 to 255; not rounded where the picture has more than that."""
        if self._pictures.bits == 8:
            return self._pictures.eight_bit_grey(pixels)
        return pixels.reshape(self._pictures.spec.shape[:2]).astype(np.float32) * np.float32(
            255 / self._pictures.greatest)

    def _mistakes(self, means: Pixels) -> tuple[tuple[str, Levels], ...]:
        other = BT601 if self._pictures.colours.name == BT709.name else BT709
        luma = self._luma(means).ravel()
        others: Levels = cv2.transform(  # type: ignore[assignment]  # float32 as they are
            means, _row(other, self._pictures.is_rgb)).ravel()
        return ((FULL_RANGE, (luma - 16) * np.float32(255 / 219)), (f"matrix {other.name}", others))

    def _rounded(self, grey: Pixels) -> Pixels:
        return cv2.LUT(grey, _LIMITED) if self._pictures.bits == 8 else _limited(grey)

    def _luma(self, colour: Pixels) -> Levels:
        return cv2.transform(colour.astype(np.float32), self._row)  # type: ignore[return-value]

    def _full_luma(self, colour: Pixels) -> Pixels:
        rows = np.repeat(self._row, 3, axis=0)  # three: OpenCV is ten times slower at one
        return cv2.extractChannel(cv2.transform(colour, rows), 0)

    def _colours(self, means: Pixels) -> Levels:
        luma = self._luma(means).ravel()
        blue, red = (means[..., 0].ravel(), means[..., 2].ravel())[:: -1 if self._pictures.is_rgb
                                                                   else 1]
        return np.concatenate([luma, _chroma(blue, luma, self._pictures.colours.blue),
                               _chroma(red, luma, self._pictures.colours.red)])


def _row(colours: Colours, is_rgb: bool) -> NDArray[np.float64]:
    """Luma of limited range of a pixel's three values and 1."""
    weights = np.array([colours.blue, 1 - colours.red - colours.blue, colours.red])
    return np.append((weights[::-1] if is_rgb else weights) * 219 / 255, 16)[None]


def _limited(grey: Pixels) -> Levels:
    """0 to 255 as luma of limited range."""
    luma: Levels = 16 + grey.astype(np.float32, copy=False) * np.float32(219 / 255)
    return luma


def _chroma(primary: Levels, luma: Levels, weight: float) -> Levels:
    """Cb of blue or Cr of red, whose weight in luma this is."""
    difference = primary - (luma - 16) * np.float32(255 / 219)
    chroma: Levels = 128 + difference * np.float32(112 / 255 / (1 - weight))
    return chroma


def on_grid(pixels: Pixels, index: int) -> Pixels:
    """Every eighth pixel both ways, from a corner that visits all 64 places in turn."""
    line, column = divmod(index % (GRID * GRID), GRID)
    if pixels.shape[0] <= line or pixels.shape[1] <= column:
        line = column = 0
    return pixels[line::GRID, column::GRID]


def even(pixels: Pixels) -> Pixels:
    """Without an odd last line and column, which chroma has no sample of its own for."""
    lines, columns = (extent - extent % 2 or extent for extent in pixels.shape[:2])
    return pixels[:lines, :columns]


def block_means(pixels: Pixels, side: int) -> Levels:
    """Mean of every block of `side` pixels squared; where they do not fit, a little larger.

    Halved as often as that goes, which is what OpenCV is quick at.
    """
    lines, columns = pixels.shape[:2]
    size = (max(1, columns // side), max(1, lines // side))
    while side > 1 and lines % 2 == columns % 2 == side % 2 == 0:
        lines, columns, side = lines // 2, columns // 2, side // 2
        pixels = cv2.resize(pixels, (columns, lines), interpolation=cv2.INTER_AREA)
    if (columns, lines) != size:
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return pixels.astype(np.float32)


def psnr_db(own: Pixels, decoded: Pixels) -> float:
    """Of luma, with 255 for the greatest value; PERFECT_DB when both are the same."""
    mean_square = cv2.norm(own, decoded, cv2.NORM_L2SQR) / own.size
    if mean_square == 0:
        return PERFECT_DB
    return min(PERFECT_DB, 10 * math.log10(255 * 255 / mean_square))
