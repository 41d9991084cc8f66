"""How a stored array becomes a BGR picture: the names that imgstore has for it, and OpenCV's work.

A store keeps what the camera gave (a Bayer mosaic, packed YUV); its ``encoding`` says how to show
it. The names follow from the constants of the OpenCV that is installed, as imgstore's do, so both
know the same ones. Pure functions, any thread; OpenCV is loaded when first asked.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

_PREFIX = "cv_"
_TO_BGR = re.compile(r"COLOR_(?P<source>\w+?)2BGR(?:_(?P<way>[A-Za-z0-9]+))?\Z")


@functools.cache
def codes() -> Mapping[str, int]:
    """Every known encoding ("cv_bayerbg", "cv_yuv_nv12", …) and OpenCV's number of it."""
    import cv2

    found: dict[str, int] = {}
    for constant in dir(cv2):
        match = _TO_BGR.match(constant)
        if match is None:
            continue
        name = _PREFIX + _folded(match["source"])
        if match["way"]:
            if "bayer" in name:  # other algorithms for the same mosaic, not other encodings
                continue
            name += "_" + _folded(match["way"])
        found[name] = int(getattr(cv2, constant))
    return MappingProxyType(found)


def check(code: str) -> None:
    """ValueError, saying which are known, unless `code` is an encoding."""
    if code not in codes():
        raise ValueError(f"encoding {code!r} is not known to this OpenCV; known are "
                         f"{', '.join(sorted(codes()))}")


def decode(pixels: NDArray[Any], code: str) -> NDArray[Any]:
    """The stored array as BGR (h, w, 3), in a new array of the same depth.

    Shapes are what OpenCV wants of the encoding: a Bayer mosaic (h, w) of 8 or 16 bits, packed
    YUV 4:2:2 (h, w, 2), planar and semi-planar YUV 4:2:0 (h * 3/2, w), RGB (h, w, 3).
    ValueError when the encoding is unknown or the array does not fit it.
    """
    import cv2

    check(code)
    if not pixels.dtype.isnative:  # OpenCV does not look at the byte order
        pixels = pixels.astype(pixels.dtype.newbyteorder("="))
    try:
        decoded: NDArray[Any] = np.asarray(cv2.cvtColor(pixels, codes()[code]))
    except cv2.error as error:
        raise ValueError(f"a {pixels.dtype} array of shape {pixels.shape} cannot be decoded as "
                         f"{code}") from error
    return decoded


def decoded_shape(shape: tuple[int, ...], code: str | None) -> tuple[int, ...]:
    """Shape of the picture that :func:`decode` makes of an array of this shape.

    (imgstore's `image_shape` says (h, w, 3) of every encoding, which is wrong for YUV 4:2:0, whose
    arrays are half as high again as their pictures.)
    """
    if not code:
        return shape
    height, width = shape[:2]
    return (height * 2 // 3 if is_planar_420(code) else height, width, 3)


def is_planar_420(code: str) -> bool:
    """Whether arrays of this encoding hold the colours in extra rows below the brightness."""
    return code.startswith(_PREFIX + "yuv420") or code in _PLANAR


_PLANAR = frozenset(f"cv_yuv_{name}" for name in ("nv12", "nv21", "i420", "iyuv", "yv12"))


def from_pylon(name: str | None) -> str | None:
    """Encoding of a camera's pixel format, by its pylon or GenICam name: "BayerRG8" is
    "cv_bayerbg". None for what is stored as it is shown: "Mono8", "BGR8", no name at all.

    GenICam names a mosaic by its first two pixels, OpenCV by the second and third of the second
    row: red and blue, and the two greens, change places. Depth and packing do not matter: frames
    are stored unpacked. ValueError for names that stand for no known encoding.
    """
    if not name or name == "None":
        return None
    mosaic = _GENICAM_BAYER.match(name)
    if mosaic is not None:
        return _BAYER[mosaic["order"].upper()]
    plain = _folded(name)
    if _SHOWN_AS_STORED.match(plain):
        return None
    try:
        return _GENICAM[plain.removesuffix("packed")]
    except KeyError:
        raise ValueError(f"pixel format {name!r} is not known; known are Mono, BGR, RGB, Bayer "
                         "and YUV 4:2:2 formats by their GenICam names") from None


_GENICAM_BAYER = re.compile(r"Bayer_?(?P<order>BG|RG|GB|GR)(?:_?\d+(?:p|g|Packed)?)?\Z",
                            re.IGNORECASE)
_BAYER = {"BG": "cv_bayerrg", "RG": "cv_bayerbg", "GB": "cv_bayergr", "GR": "cv_bayergb"}
_SHOWN_AS_STORED = re.compile(r"(?:mono|bgr)(?:\d+(?:p|packed)?)?\Z")
_GENICAM = {
    "rgb8": "cv_rgb", "rgb10": "cv_rgb", "rgb12": "cv_rgb", "rgb16": "cv_rgb",
    "rgba8": "cv_rgba", "bgra8": "cv_bgra",
    "yuv4228uyvy": "cv_yuv_uyvy", "ycbcr4228cbycry": "cv_yuv_uyvy",
    "yuv422": "cv_yuv_uyvy",  # "YUV422Packed", the older name
    "yuv4228": "cv_yuv_yuy2", "ycbcr4228": "cv_yuv_yuy2", "yuv422yuyv": "cv_yuv_yuy2",
}


def _folded(name: str) -> str:
    return name.lower().replace("_", "")
