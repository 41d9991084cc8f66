"""From raw frames to the pictures of a movie that people watch: YCbCr, limited range, tagged.

Runs in the export process, a Pictures in one thread at a time. Eight bits but for yuv420p10le.
Colours are multiplied with OpenCV's fixed-point arithmetic, right to 0.65 of a level and without
bias; swscale takes as long as that with a bias of half a level, and twice as long without it.
"""

from __future__ import annotations

from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from fieldrec.core.errors import JobRefused
from fieldrec.core.model import FrameSpec
from fieldrec.export.colours import BT601, BT709, Colours
from fieldrec.export.pictures import plane

Pixels = NDArray[Any]
Grey = NDArray[np.uint8]

HD_LINES = 720
"""From this height on players take untagged video for BT.709; we use it, and tag it."""
PIXEL_FORMATS = {"yuv420p": "4:2:0", "yuv444p": "4:4:4", "yuv420p10le": "4:2:0"}
"""What we can make, and where its colours are. Of gray, decoders make yuv420p or gray, which OpenCV
and ffmpeg then take for full range; and chroma that is the same everywhere costs nothing."""

_STRIPE = 32
"""Lines that are converted at a time: what lies between the steps stays in the cache."""
_MONO_BITS = {"MONO8": 8, "MONO10": 10, "MONO12": 12, "MONO16": 16}
_COLOUR = ("BGR8", "RGB8")
_MOSAICS = {"RG": cv2.COLOR_BayerRGGB2BGR, "GR": cv2.COLOR_BayerGRBG2BGR,
            "BG": cv2.COLOR_BayerBGGR2BGR, "GB": cv2.COLOR_BayerGBRG2BGR}
_BAYER = {f"BAYER_{pattern}{bits}": (code, bits)
          for pattern, code in _MOSAICS.items() for bits in (8, 10, 12, 16)}
"""OpenCV's way to BGR, and how deep the mosaic is before it."""


class LossyPictures:
    """The rules for the frames of one camera. JobRefused for a format they do not cover."""

    def __init__(self, spec: FrameSpec, pixel_format: str = "yuv420p",
                 colours: Colours | None = None) -> None:
        """Without `colours`, those that players expect at that size."""
        _refuse_unknown(spec, pixel_format)
        self.spec, self.pixel_format, self.is_exact = spec, pixel_format, False
        self.is_mono = spec.pixel_format in _MONO_BITS
        self.is_rgb = spec.pixel_format == "RGB8"
        self.bits = 10 if pixel_format == "yuv420p10le" else 8
        self.chroma = 1 if pixel_format == "yuv444p" else 2
        """Pixels of luma along a side of one of chroma."""
        self.lines, self.columns = spec.shape[0], spec.shape[1]
        self.height, self.width = self.lines + self.lines % 2, self.columns + self.columns % 2
        self.colours = colours or (BT709 if self.lines >= HD_LINES else BT601)
        rows = np.array(self.colours.rows)
        self._rows = rows[:, [2, 1, 0, 3]] if self.is_rgb else rows
        self._deep = np.rint(64 + np.arange(65_536) * (876 / self.greatest)).clip(
            64, 940).astype(np.uint16)

    def rules(self) -> dict[str, str]:
        """What was done to the pixels, for the sidecar, in words."""
        black, white, grey = (64, 940, 512) if self.bits == 10 else (16, 235, 128)
        rules = {"range": f"limited: black {black}, white {white}", "matrix": self.colours.name,
                 "chroma": PIXEL_FORMATS[self.pixel_format]}
        shift = self._shift
        if self.is_mono:
            value = f"(v >> {shift})" if shift else "v"
            rules["luma"] = (f"Y = round(64 + v * 876 / {self.greatest})"
                             if self.bits == 10 else f"Y = round(16 + {value} * 219 / 255)")
            rules["luma"] += f", Cb = Cr = {grey}"
        if self.spec.pixel_format in _BAYER:
            rules["demosaic"] = f"bilinear, of v >> {shift}" if shift else "bilinear"
        if (self.height, self.width) != (self.lines, self.columns):
            rules["padding"] = (f"{self.columns}x{self.lines} to {self.width}x{self.height}: "
                                "last column and line repeated")
        return rules

    def convert(self, pixels: Pixels) -> av.VideoFrame:
        """The picture of one raw frame; a copy, `pixels` may be reused. A millisecond or two."""
        picture = av.VideoFrame(self.width, self.height, self.pixel_format)
        if self.is_mono:
            self._put_mono(pixels.reshape(self.lines, self.columns), picture)
        else:
            self._put_colour(self.eight_bit_colour(pixels), picture)
        return picture

    def eight_bit_grey(self, pixels: Pixels) -> Grey:
        """(h, w) of a mono frame, by the stated shift. May be the frame itself."""
        return _eight_bits(pixels.reshape(self.lines, self.columns), self._shift)

    def eight_bit_colour(self, pixels: Pixels) -> Grey:
        """(h, w, 3), BGR but for RGB8, which stays so. May be the frame itself."""
        if self.spec.pixel_format not in _BAYER:
            return pixels
        code, _ = _BAYER[self.spec.pixel_format]
        mosaic = _eight_bits(pixels.reshape(self.lines, self.columns), self._shift)
        colour: Grey = cv2.cvtColor(mosaic, code)  # type: ignore[assignment]  # of the same depth
        return colour

    @property
    def greatest(self) -> int:
        """The greatest value of a mono frame: white."""
        return (1 << self._mono_bits) - 1

    @property
    def _mono_bits(self) -> int:
        return _MONO_BITS.get(self.spec.pixel_format, 8)

    @property
    def _shift(self) -> int:
        return _BAYER.get(self.spec.pixel_format, (0, self._mono_bits))[1] - 8

    def _put_mono(self, pixels: Pixels, picture: av.VideoFrame) -> None:
        luma = plane(picture, 0)
        inner = luma[: self.lines, : self.columns]
        if self.bits == 10:
            np.take(self._deep, pixels, out=inner)
        else:
            cv2.convertScaleAbs(_eight_bits(pixels, self._shift), inner, 219 / 255, 16)
        luma[: self.lines, self.columns :] = luma[: self.lines, self.columns - 1 : self.columns]
        luma[self.lines :] = luma[self.lines - 1]
        for number in range(1, len(picture.planes)):
            plane(picture, number)[:] = 512 if self.bits == 10 else 128

    def _put_colour(self, colour: Pixels, picture: av.VideoFrame) -> None:
        if colour.shape[:2] != (self.height, self.width):
            colour = cv2.copyMakeBorder(colour, 0, self.height - self.lines, 0,
                                        self.width - self.columns, cv2.BORDER_REPLICATE)
        planes = [plane(picture, number) for number in range(3)]
        for line in range(0, self.height, _STRIPE):
            self._put_stripe(colour[line:line + _STRIPE], planes[0][line:line + _STRIPE], [
                chroma[line // self.chroma:(line + _STRIPE) // self.chroma]
                for chroma in planes[1:]])

    def _put_stripe(self, colour: Pixels, luma: Grey, chroma: list[Grey]) -> None:
        """Of an even number of lines."""
        coded = cv2.transform(colour, self._rows)
        cv2.extractChannel(coded, 0, luma)
        if self.chroma == 2:
            half = cv2.resize(colour, (colour.shape[1] // 2, colour.shape[0] // 2),
                              interpolation=cv2.INTER_AREA)
            coded = cv2.transform(half, self._rows)
        cv2.mixChannels([coded], chroma, [1, 0, 2, 1])


def _refuse_unknown(spec: FrameSpec, pixel_format: str) -> None:
    known = (*_MONO_BITS, *_COLOUR, *_BAYER)
    if spec.pixel_format not in known:
        raise JobRefused(f"cannot export pixel format {spec.pixel_format!r}: the known ones are "
                         f"{', '.join(known)}")
    channels = spec.shape[2] if len(spec.shape) == 3 else 1
    if channels != (3 if spec.pixel_format in _COLOUR else 1):
        raise JobRefused(f"cannot export: frames of shape {spec.shape} are not "
                         f"{spec.pixel_format}")
    if pixel_format not in PIXEL_FORMATS:
        why = ("full range is not shown right by every player" if "j" in pixel_format
               else "it is for lossless codecs" if pixel_format == "native"
               else "not every player shows it right")
        raise JobRefused(f"cannot export to pixel_format {pixel_format} ({why}): give one of "
                         f"{', '.join(PIXEL_FORMATS)}")
    if pixel_format == "yuv420p10le" and spec.pixel_format not in _MONO_BITS:
        raise JobRefused(f"cannot export {spec.pixel_format} to pixel_format {pixel_format}, which "
                         "is for mono cameras: give yuv420p or yuv444p")


def _eight_bits(pixels: Pixels, shift: int) -> Grey:
    """v >> shift, at most 255: rounding is shifted by as much as makes it the floor."""
    if pixels.dtype == np.uint8:
        return pixels
    grey: Grey = cv2.convertScaleAbs(  # type: ignore[assignment]  # which gives eight bits
        pixels, None, 2.0 ** -shift, 2.0 ** -(shift + 1) - 0.5)
    return grey
