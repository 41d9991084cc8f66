"""What verification sees of a raw frame and of a decoded picture, and what it says to the two.

Runs in the export process: looks are made in the thread that reads the raw, and judged in the one
that verifies. All is in levels of eight bits. The raw frame's side is computed with numpy from the
matrix's definition, not with what encoding used, so that a wrong matrix, range or depth shows.

Of every frame: luma on a grid of a sixteenth of the pixels, which moves from frame to frame, and
the mean of every block. Of every tenth, the first and the last: luma of every pixel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from fieldrec.export.pictures import plane
from fieldrec.export.pictures_lossy import LossyPictures

Pixels = NDArray[Any]
Levels = NDArray[np.float32]

GRID = 4
"""Every fourth pixel both ways; the grid moves from frame to frame."""
BLOCK = 8
"""Pixels along the side of a block."""
WINDOW = 8
"""SSIM's: uniform, of this many pixels squared, one at every fourth pixel."""
_STEP = 4
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
"""The constants of Wang et al. 2004."""
PERFECT_DB = 100.0
"""Stands for the infinite PSNR of identical pictures."""


@dataclass(frozen=True, slots=True)
class Look:
    """What verification keeps of one raw frame: a twentieth of it, and luma of every tenth."""

    grid: Levels
    blocks: Levels
    luma: Levels | None
    """Of every pixel, where the frame is compared in full."""


class LossyLooks:
    """What movies of these pictures should show, and what they do show."""

    def __init__(self, pictures: LossyPictures) -> None:
        self._pictures = pictures
        self._scale = np.float32(0.25 if pictures.bits == 10 else 1)
        red, blue = pictures.colours.red, pictures.colours.blue
        weights = np.array([blue, 1 - red - blue, red], dtype=np.float32)
        self._weights = weights[::-1] if pictures.is_rgb else weights

    def of_raw(self, pixels: Pixels, index: int, *, in_full: bool) -> Look:
        """What frame `index` is to look like."""
        if self._pictures.is_mono:
            grey = self._grey(pixels)
            return Look(_limited(on_grid(grey, index)), _limited(block_means(even(grey), BLOCK)),
                        _limited(grey) if in_full else None)
        colour = self._pictures.eight_bit_colour(pixels)
        return Look(self._luma(on_grid(colour, index)),
                    self._colours(block_means(even(colour), BLOCK)),
                    self._full_luma(colour) if in_full else None)

    def blocks(self, picture: av.VideoFrame) -> Levels:
        """Means of every block of a decoded picture: luma, and in a third dimension Cb and Cr of
        colour."""
        luma = even(self._plane(picture))
        means = block_means(luma, BLOCK) * self._scale
        if self._pictures.is_mono:
            return means
        ratio = self._pictures.chroma
        lines, columns = luma.shape[0] // ratio, luma.shape[1] // ratio
        return np.dstack([means, *(block_means(plane(picture, number)[:lines, :columns],
                                               BLOCK // ratio) for number in (1, 2))])

    def grid(self, picture: av.VideoFrame, index: int) -> Levels:
        """Luma of decoded picture `index` on its grid."""
        luma: Levels = on_grid(self._plane(picture), index).astype(np.float32) * self._scale
        return luma

    def luma(self, picture: av.VideoFrame) -> Levels:
        """Luma of every pixel."""
        luma: Levels = self._plane(picture).astype(np.float32)
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

    def _luma(self, colour: Pixels) -> Levels:
        return _limited(colour.astype(np.float32) @ self._weights)

    def _full_luma(self, colour: Pixels) -> Levels:
        row = np.append(self._weights * np.float32(219 / 255), np.float32(16))
        luma: Levels = cv2.transform(colour, row[None, :]).astype(np.float32)
        return luma

    def _colours(self, means: Pixels) -> Levels:
        luma = self._luma(means)
        blue, red = (means[..., 0], means[..., 2])[:: -1 if self._pictures.is_rgb else 1]
        return np.dstack([luma, _chroma(blue, luma, self._pictures.colours.blue),
                          _chroma(red, luma, self._pictures.colours.red)])


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
    """Every fourth pixel both ways, from a corner that visits all 16 places in turn."""
    line, column = divmod(index % (GRID * GRID), GRID)
    if pixels.shape[0] <= line or pixels.shape[1] <= column:
        line = column = 0
    return pixels[line::GRID, column::GRID]


def even(pixels: Pixels) -> Pixels:
    """Without an odd last line and column, which chroma has no sample of its own for."""
    lines, columns = (extent - extent % 2 or extent for extent in pixels.shape[:2])
    return pixels[:lines, :columns]


def block_means(pixels: Pixels, side: int) -> Levels:
    """Mean of every block of `side` pixels squared; where they do not fit, a little larger."""
    size = (max(1, pixels.shape[1] // side), max(1, pixels.shape[0] // side))
    means: Levels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    return means


def psnr_db(own: Levels, decoded: Levels) -> float:
    """Of luma, with 255 for the greatest value; PERFECT_DB when both are the same."""
    difference = (own - decoded).ravel()
    mean_square = float(np.dot(difference, difference)) / difference.size
    if mean_square == 0:
        return PERFECT_DB
    return min(PERFECT_DB, 10 * float(np.log10(255 * 255 / mean_square)))


def ssim(own: Levels, decoded: Levels) -> float:
    """Mean structural similarity of luma, in uniform windows of 8x8 pixels, 4 pixels apart."""
    mean_own, mean_decoded = _window_means(own), _window_means(decoded)
    difference = cv2.subtract(own, decoded)
    apart = _window_means(cv2.multiply(difference, difference))
    product = _window_means(cv2.multiply(own, decoded))
    covariance = product - mean_own * mean_decoded
    variances = apart + 2 * product - mean_own ** 2 - mean_decoded ** 2
    similar = ((2 * mean_own * mean_decoded + _C1) * (2 * covariance + _C2)
               / ((mean_own ** 2 + mean_decoded ** 2 + _C1) * (variances + _C2)))
    return float(similar.mean())


def _window_means(luma: Pixels) -> NDArray[np.float64]:
    """Of every window; of pictures smaller than one, of all their pixels."""
    lines, columns = (extent - extent % _STEP for extent in luma.shape)
    if min(lines, columns) < WINDOW:
        return np.array([[luma.mean(dtype=np.float64)]])
    quarters = cv2.resize(luma[:lines, :columns], (columns // _STEP, lines // _STEP),
                          interpolation=cv2.INTER_AREA).astype(np.float64)
    pairs = quarters[1:] + quarters[:-1]
    means: NDArray[np.float64] = (pairs[:, 1:] + pairs[:, :-1]) / 4
    return means
