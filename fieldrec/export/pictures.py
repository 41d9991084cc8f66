"""From raw frames to the pictures of a movie, by rules that the sidecar states.

Runs in the export process. Everything becomes yuv420p, limited range, tagged with its matrix. The
luma that verification expects is computed from the raw frame by other means (numpy arithmetic
here, swscale for encoding), so that a wrong matrix or range cannot agree with itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import av
import cv2
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from numpy.typing import NDArray

from fieldrec.core.errors import JobRefused
from fieldrec.core.model import FrameSpec
from fieldrec.export.presets import Preset

Pixels = NDArray[Any]
Grey = NDArray[np.uint8]
Luma = NDArray[np.float32]

GRID = 4
"""Verification looks at every fourth pixel both ways; the grid moves from frame to frame."""
BLOCK = 8
"""…and at the mean of every block of this many pixels squared."""
HD_LINES = 720
"""From this height on players take untagged video for BT.709; we use it, and tag it."""

_MONO_SHIFT = {"MONO8": 0, "MONO10": 2, "MONO12": 4, "MONO16": 8}
_COLOUR = {"BGR8": "bgr24", "RGB8": "rgb24"}
_MOSAICS = {"RG": cv2.COLOR_BayerRGGB2BGR, "GR": cv2.COLOR_BayerGRBG2BGR,
            "BG": cv2.COLOR_BayerBGGR2BGR, "GB": cv2.COLOR_BayerGBRG2BGR}
_DEPTHS = {8: 0, 10: 2, 12: 4, 16: 8}
_BAYER = {f"BAYER_{pattern}{bits}": (code, shift)
          for pattern, code in _MOSAICS.items() for bits, shift in _DEPTHS.items()}
"""OpenCV's way to BGR, and by how much a deep mosaic is shifted before it."""
_LIMITED = np.rint(16 + np.arange(256) * (219 / 255)).astype(np.uint8)


@dataclass(frozen=True, slots=True)
class Colours:
    """A matrix between RGB and YCbCr and the H.273 code points that name it in the stream."""

    name: str
    red: float
    """Weight of red in luma."""
    blue: float
    space: int
    """swscale's name of the matrix."""
    matrix_code: int
    primaries_code: int
    transfer_code: int
    full_range: bool = False
    """Whether black is 0 and white the greatest value, or 16 and 235 of 255 (limited)."""


BT709 = Colours("bt709", 0.2126, 0.0722, Colorspace.ITU709, 1, 1, 1)
BT601 = Colours("bt601", 0.299, 0.114, Colorspace.ITU601, 6, 6, 6)


class Pictures:
    """The rules for the frames of one camera. JobRefused for a format they do not cover."""

    def __init__(self, spec: FrameSpec) -> None:
        known = {**_MONO_SHIFT, **_COLOUR, **_BAYER}
        if spec.pixel_format not in known:
            raise JobRefused(f"cannot export pixel format {spec.pixel_format!r}: "
                             f"the known ones are {', '.join(known)}")
        channels = spec.shape[2] if len(spec.shape) == 3 else 1
        if channels != (3 if spec.pixel_format in _COLOUR else 1):
            raise JobRefused(f"cannot export: frames of shape {spec.shape} are not "
                             f"{spec.pixel_format}")
        self.spec = spec
        self.lines, self.columns = spec.shape[0], spec.shape[1]
        self.height, self.width = self.lines + self.lines % 2, self.columns + self.columns % 2
        self.colours = BT709 if self.lines >= HD_LINES else BT601
        self.is_mono = spec.pixel_format in _MONO_SHIFT
        self.pixel_format = "yuv420p"
        self.is_exact = False
        self._reformatter = VideoReformatter()
        """One for all frames: making swscale's tables anew takes a fifth of a conversion."""

    def rules(self) -> dict[str, str]:
        """What was done to the pixels, for the sidecar, in words."""
        rules = {"range": "limited: black 16, white 235", "matrix": self.colours.name,
                 "chroma": "4:2:0"}
        if self.is_mono:
            shift = _MONO_SHIFT[self.spec.pixel_format]
            value = f"(v >> {shift})" if shift else "v"
            rules["luma"] = f"Y = round(16 + {value} * 219 / 255), Cb = Cr = 128"
        if self.spec.pixel_format in _BAYER:
            shift = _BAYER[self.spec.pixel_format][1]
            rules["demosaic"] = f"bilinear, of v >> {shift}" if shift else "bilinear"
        if (self.height, self.width) != (self.lines, self.columns):
            rules["padding"] = (f"{self.columns}x{self.lines} to {self.width}x{self.height}: "
                                "last column and line repeated")
        return rules

    def convert(self, pixels: Pixels) -> av.VideoFrame:
        """The picture of one raw frame; a copy, `pixels` may be reused. A millisecond or a few."""
        return self._from_mono(pixels) if self.is_mono else self._from_colour(pixels)

    def grid(self, pixels: Pixels, index: int) -> Luma:
        """Expected luma of frame `index` on its grid; see :func:`on_grid`."""
        if self.is_mono:
            grey = self._grey(on_grid(self._plane(pixels), index))
            luma: Luma = _LIMITED[grey].astype(np.float32)
            return luma
        return self._luma(on_grid(self._demosaiced(pixels), index))

    def blocks(self, pixels: Pixels) -> Luma:
        """Expected means of every block: luma, and in a third dimension Cb and Cr of colour."""
        if self.is_mono:
            return block_means(even(cv2.LUT(self._grey(self._plane(pixels)), _LIMITED)), BLOCK)
        means = block_means(even(self._demosaiced(pixels)), BLOCK)
        luma = self._luma(means)
        blue, red = (means[..., 0], means[..., 2])[:: -1 if self._is_rgb else 1]
        return np.dstack([luma, self._chroma(blue, luma, self.colours.blue),
                          self._chroma(red, luma, self.colours.red)])

    def decoded_luma(self, picture: av.VideoFrame) -> Grey:
        """Luma of a decoded picture without the padding; borrowed from it."""
        return plane(picture, 0)[: self.lines, : self.columns]

    def decoded_blocks(self, picture: av.VideoFrame) -> Luma:
        """What :meth:`blocks` expects, from a decoded picture."""
        luma = even(self.decoded_luma(picture))
        means = block_means(luma, BLOCK)
        if self.is_mono:
            return means
        lines, columns = luma.shape[0] // 2, luma.shape[1] // 2
        return np.dstack([means, *(block_means(plane(picture, number)[:lines, :columns], BLOCK // 2)
                                   for number in (1, 2))])

    def _from_mono(self, pixels: Pixels) -> av.VideoFrame:
        picture = av.VideoFrame(self.width, self.height, "yuv420p")
        luma = plane(picture, 0)
        cv2.LUT(self._grey(self._plane(pixels)), _LIMITED, luma[: self.lines, : self.columns])
        luma[: self.lines, self.columns :] = luma[: self.lines, self.columns - 1 : self.columns]
        luma[self.lines :] = luma[self.lines - 1]
        plane(picture, 1)[:] = 128
        plane(picture, 2)[:] = 128
        return picture

    def _from_colour(self, pixels: Pixels) -> av.VideoFrame:
        colour = self._demosaiced(pixels)
        if colour.shape[:2] != (self.height, self.width):
            colour = cv2.copyMakeBorder(colour, 0, self.height - self.lines, 0,
                                        self.width - self.columns, cv2.BORDER_REPLICATE)
        source = av.VideoFrame.from_numpy_buffer(
            np.ascontiguousarray(colour), _COLOUR.get(self.spec.pixel_format, "bgr24"))
        return self._reformatter.reformat(
            source, format="yuv420p", dst_colorspace=self.colours.space,
            src_color_range=ColorRange.JPEG, dst_color_range=ColorRange.MPEG,
            interpolation=Interpolation.BICUBIC | Interpolation.ACCURATE_RND, threads=1)

    def _plane(self, pixels: Pixels) -> Pixels:
        return pixels.reshape(self.lines, self.columns)

    def _grey(self, pixels: Pixels) -> Grey:
        """Eight bits per pixel by the stated shift."""
        return _eight_bits(pixels, _MONO_SHIFT[self.spec.pixel_format])

    def _demosaiced(self, pixels: Pixels) -> Pixels:
        if self.spec.pixel_format not in _BAYER:
            return pixels
        code, shift = _BAYER[self.spec.pixel_format]
        return cv2.cvtColor(_eight_bits(self._plane(pixels), shift), code)

    @property
    def _is_rgb(self) -> bool:
        return self.spec.pixel_format == "RGB8"

    def _luma(self, colour: Pixels) -> Luma:
        red, blue = self.colours.red, self.colours.blue
        weights = np.array([blue, 1 - red - blue, red], dtype=np.float32)
        if self._is_rgb:
            weights = weights[::-1]
        luma: Luma = 16 + (colour.astype(np.float32) @ weights) * np.float32(219 / 255)
        return luma

    def _chroma(self, primary: Luma, luma: Luma, weight: float) -> Luma:
        """Cb of blue or Cr of red, whose weight in luma this is."""
        difference = primary - (luma - 16) * np.float32(255 / 219)
        chroma: Luma = 128 + difference * np.float32(112 / 255 / (1 - weight))
        return chroma


def pictures_for(spec: FrameSpec, preset: Preset) -> Pictures:
    """The rules for a camera's frames in a movie of this preset. JobRefused for what it cannot."""
    from fieldrec.export.pictures_exact import ExactPictures

    if getattr(preset, "lossless", False):
        return ExactPictures(spec)  # type: ignore[return-value]
    return Pictures(spec)


def _eight_bits(pixels: Pixels, shift: int) -> Grey:
    if pixels.dtype == np.uint8:
        return pixels
    grey: Grey = np.minimum(pixels >> shift, 255).astype(np.uint8)
    return grey


def plane(picture: av.VideoFrame, number: int) -> Grey:
    """One plane of a yuv420p picture as an array over its memory, without the row padding."""
    memory = picture.planes[number]
    rows: Grey = np.frombuffer(memoryview(memory), np.uint8)
    return rows.reshape(memory.height, memory.line_size)[:, : memory.width]


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


def block_means(pixels: Pixels, side: int) -> Luma:
    """Mean of every block of `side` pixels squared; where they do not fit, a little larger."""
    size = (max(1, pixels.shape[1] // side), max(1, pixels.shape[0] // side))
    means: Luma = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    return means
