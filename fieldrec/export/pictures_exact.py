"""From raw frames to the pictures of a lossless movie: every bit of every pixel, and back.

Runs in the export process. Grey and mosaics become grey pictures of their own depth, colours packed
BGR with an unused fourth byte: what FFV1 codes exactly, at any size, and what OpenCV, ffmpeg and
libavcodec give back exactly (OpenCV by default as 8 bits; whole with CAP_PROP_CONVERT_RGB 0 for 8
and 16 bits). A mosaic is not developed: the rules name its pattern.
"""

from __future__ import annotations

from typing import Any

import av
import cv2
from numpy.typing import NDArray

from fieldrec.core.errors import JobRefused
from fieldrec.core.model import FrameSpec
from fieldrec.export.colours import GREY, RGB
from fieldrec.export.pictures import plane

Pixels = NDArray[Any]

_GREY_FORMATS = {8: "gray", 10: "gray10le", 12: "gray12le", 16: "gray16le"}
_PATTERNS = {"RG": "RG/GB", "GR": "GR/BG", "BG": "BG/GR", "GB": "GB/RG"}
_BITS = {f"{name}{bits}": bits for name in ("MONO", *(f"BAYER_{p}" for p in _PATTERNS))
         for bits in _GREY_FORMATS}
_COLOUR = ("BGR8", "RGB8")


class ExactPictures:
    """The rules for the frames of one camera. JobRefused for a format they do not cover."""

    def __init__(self, spec: FrameSpec) -> None:
        self.spec = spec
        self.is_mono = spec.pixel_format not in _COLOUR
        self.is_exact = True
        self.bits = _BITS.get(spec.pixel_format, 8)
        if self.is_mono and spec.pixel_format not in _BITS:
            raise JobRefused(f"cannot export pixel format {spec.pixel_format!r} without loss: the "
                             f"known ones are {', '.join((*_BITS, *_COLOUR))}")
        channels = spec.shape[2] if len(spec.shape) == 3 else 1
        dtype = "uint8" if self.bits == 8 else "uint16"
        if channels != (1 if self.is_mono else 3) or spec.dtype != dtype:
            raise JobRefused(f"cannot export: frames of shape {spec.shape} and {spec.dtype} are "
                             f"not {spec.pixel_format}")
        self.height, self.width = spec.shape[:2]
        self.pixel_format = _GREY_FORMATS[self.bits] if self.is_mono else "bgr0"
        self.colours = GREY if self.is_mono else RGB

    def rules(self) -> dict[str, str]:
        """What was done to the pixels, for the sidecar, in words."""
        rules = {"pixels": f"exact, as {self.pixel_format}",
                 "range": f"full: 0 to {2 ** self.bits - 1}"}
        if self.spec.pixel_format.startswith("BAYER_"):
            rules["mosaic"] = (f"kept as grey, {self.spec.pixel_format}: the first lines are "
                               f"{_PATTERNS[self.spec.pixel_format[6:8]]}")
        return rules

    def convert(self, pixels: Pixels) -> av.VideoFrame:
        """The picture of one raw frame; a copy, `pixels` may be reused.

        JobRefused for a value of more bits than the pixel format says.
        """
        picture = av.VideoFrame(self.width, self.height, self.pixel_format)
        values = plane(picture, 0)
        if self.is_mono:
            self._refuse_deeper(pixels)
            values[:] = pixels.reshape(self.height, self.width)
        else:
            code = cv2.COLOR_RGB2BGRA if self.spec.pixel_format == "RGB8" else cv2.COLOR_BGR2BGRA
            cv2.cvtColor(pixels, code, values)
        return picture

    def decoded(self, picture: av.VideoFrame) -> Pixels:
        """The pixels of a decoded picture as the raw frame has them; may be borrowed from it."""
        values = plane(picture, 0)
        if self.is_mono:
            return values
        code = cv2.COLOR_BGRA2RGB if self.spec.pixel_format == "RGB8" else cv2.COLOR_BGRA2BGR
        return cv2.cvtColor(values, code)

    def _refuse_deeper(self, pixels: Pixels) -> None:
        if self.bits in (10, 12) and int(pixels.max()) >> self.bits:
            raise JobRefused(f"a frame has the value {int(pixels.max())}, more than the "
                             f"{self.bits} bits of {self.spec.pixel_format}: export it with "
                             "another preset, or keep the raw")
