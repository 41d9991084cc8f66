"""From what a V4L2 driver sends to the pixels of a slot: one function per pair of formats.

Runs in the capture thread, once a frame. Each function reads the driver's own buffer and writes
into the slot; other memory is only taken for a decoded JPEG, which OpenCV does not write into
memory of ours, and for a part of a packed mosaic while it is unpacked. MONO8 of YUV is its
brightness plane as sent, without any conversion. Mosaics of 10 and 12 bits become 16-bit numbers
with their value unchanged (BAYER_RG10: 0 to 1023).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fieldrec.camera import Pixels
from fieldrec.camera.v4l2 import Layout

Bytes = NDArray[np.uint8]
Put = Callable[[Bytes, Pixels], bool]
"""Puts what came (all bytes of one buffer) into a slot; False for a picture that is not whole."""
_Rows = Callable[[Bytes, Pixels], None]

END_OF_JPEG = b"\xff\xd9"
_MOSAICS = {"RG": ("RGGB", "RG10", "RG12", "pRAA", "pRCC", "RG16"),
            "GR": ("GRBG", "BA10", "BA12", "pgAA", "pgCC", "GR16"),
            "BG": ("BA81", "BG10", "BG12", "pBAA", "pBCC", "BYR2"),
            "GB": ("GBRG", "GB10", "GB12", "pGAA", "pGCC", "GB16")}
"""By their first two pixels; fourcc of 8, 10, 12, packed 10, packed 12 and 16 bits."""


def choices(code: str) -> tuple[str, ...]:
    """Pixel formats that this wire format can become, () for one unknown here."""
    return tuple(pixel_format for pixel_format, wires in _CHEAPEST.items() if code in wires)


def wire_formats(pixel_format: str) -> tuple[str, ...]:
    """Wire formats that can become `pixel_format`, the one with the least work first."""
    return tuple(_CHEAPEST.get(pixel_format, ()))


def shape_of(pixel_format: str, width: int, height: int) -> tuple[int, ...]:
    """numpy shape of a slot."""
    return (height, width, 3) if pixel_format == "BGR8" else (height, width)


def dtype_of(pixel_format: str) -> str:
    """numpy name of a slot's numbers."""
    return "uint8" if pixel_format.endswith("8") else "uint16"


def putter(layout: Layout, pixel_format: str) -> Put:
    """What puts a buffer of this layout into a slot of `pixel_format`; the pair is one of
    :func:`wire_formats`."""
    make = _CHEAPEST[pixel_format][layout.fourcc]
    return make(layout)


def _raw(row_pixels: Callable[[Bytes], Pixels], *, pixel_bytes: float = 1.0
         ) -> Callable[[Layout], Put]:
    """One plane whose rows are what the slot has, seen through `row_pixels`."""
    def make(layout: Layout) -> Put:
        def put(data: Bytes, into: Pixels) -> bool:
            rows = _rows(data, layout, pixel_bytes)
            if rows is None:
                return False
            np.copyto(into, row_pixels(rows))
            return True
        return put
    return make


def _packed(bits: int) -> Callable[[Layout], Put]:
    """MIPI's packing: the upper 8 bits of 4 (or 2) pixels, then a byte of their lower bits."""
    group = 4 if bits == 10 else 2
    low_bits = bits - 8

    def make(layout: Layout) -> Put:
        def put(data: Bytes, into: Pixels) -> bool:
            rows = _rows(data, layout, bits / 8)
            if rows is None:
                return False
            groups = rows.reshape(layout.height, -1, group + 1)
            out = into.reshape(layout.height, -1, group)
            low = np.ascontiguousarray(groups[..., group])
            for place in range(group):
                # By way of a plane of its own: five times as fast as shifting in the slot.
                plane = groups[..., place].astype(np.uint16)
                plane <<= low_bits
                plane |= low >> (low_bits * place) & ((1 << low_bits) - 1)
                out[..., place] = plane
            return True
        return put
    return make


def _converted(name: str, channels: int) -> Callable[[Layout], Put]:
    """One packed plane, converted by OpenCV straight into the slot."""
    def make(layout: Layout) -> Put:
        import cv2

        code = getattr(cv2, name)

        def put(data: Bytes, into: Pixels) -> bool:
            rows = _rows(data, layout, channels)
            if rows is None:
                return False
            picture = rows if channels == 1 else rows.reshape(layout.height, layout.width, channels)
            cv2.cvtColor(picture, code, dst=into)
            return True
        return put
    return make


def _planar(name: str) -> Callable[[Layout], Put]:
    """YUV 4:2:0 whose two colours lie in one plane below the brightness, in half as many rows
    again. (With three planes the rows of the colours have another length; not supported.)"""
    def make(layout: Layout) -> Put:
        import cv2

        code = getattr(cv2, name)

        def put(data: Bytes, into: Pixels) -> bool:
            high = layout.height * 3 // 2
            rows = _rows(data, layout, 1, high)
            if rows is None:
                return False
            cv2.cvtColor(rows, code, dst=into)
            return True
        return put
    return make


def _jpeg(flag: str) -> Callable[[Layout], Put]:
    def make(_: Layout) -> Put:
        import cv2

        flags = getattr(cv2, flag) | cv2.IMREAD_IGNORE_ORIENTATION

        def put(data: Bytes, into: Pixels) -> bool:
            if not _ends_as_jpeg(data):
                return False  # torn on the way: older decoders fill the rest with grey
            picture = cv2.imdecode(data, flags)
            if picture is None:
                return False
            if picture.shape != into.shape:
                raise WrongSize(f"{picture.shape[1]}x{picture.shape[0]}")
            np.copyto(into, picture)
            return True
        return put
    return make


class WrongSize(Exception):
    """A picture came whose size is another than agreed; the text says which."""


def _ends_as_jpeg(data: Bytes) -> bool:
    """Whether the end mark is there; some cameras pad with zeros or worse after it."""
    return END_OF_JPEG in data[-64:].tobytes() or END_OF_JPEG in data.tobytes()


def _rows(data: Bytes, layout: Layout, pixel_bytes: float, high: int = 0) -> Bytes | None:
    """The buffer as rows without their padding; None when it is too short."""
    high = high or layout.height
    used = round(layout.width * pixel_bytes)
    line = max(layout.line_bytes, used)
    if data.size < line * (high - 1) + used:
        return None
    return np.lib.stride_tricks.as_strided(data, (high, used), (line, 1), writeable=False)


def _wide(rows: Bytes) -> NDArray[Any]:
    return rows.view("<u2")


def _same(rows: Bytes) -> Bytes:
    return rows


def _every_second(first: int, rows: Bytes) -> Bytes:
    return rows[:, first::2]


_copy = _raw(_same)
_copy16 = _raw(_wide, pixel_bytes=2.0)
_jpeg_grey, _jpeg_bgr = _jpeg("IMREAD_GRAYSCALE"), _jpeg("IMREAD_COLOR")
_CHEAPEST: dict[str, dict[str, Callable[[Layout], Put]]] = {
    "MONO8": {
        "GREY": _copy, "NV12": _copy, "NV21": _copy, "YU12": _copy, "YV12": _copy,
        "YUYV": _raw(functools.partial(_every_second, 0), pixel_bytes=2.0),
        "YVYU": _raw(functools.partial(_every_second, 0), pixel_bytes=2.0),
        "UYVY": _raw(functools.partial(_every_second, 1), pixel_bytes=2.0),
        "MJPG": _jpeg_grey, "JPEG": _jpeg_grey},
    "BGR8": {
        "BGR3": _raw(lambda rows: rows.reshape(rows.shape[0], -1, 3), pixel_bytes=3.0),
        "RGB3": _converted("COLOR_RGB2BGR", 3),
        "YUYV": _converted("COLOR_YUV2BGR_YUYV", 2), "YVYU": _converted("COLOR_YUV2BGR_YVYU", 2),
        "UYVY": _converted("COLOR_YUV2BGR_UYVY", 2),
        "NV12": _planar("COLOR_YUV2BGR_NV12"), "NV21": _planar("COLOR_YUV2BGR_NV21"),
        "MJPG": _jpeg_bgr, "JPEG": _jpeg_bgr,
        "GREY": _converted("COLOR_GRAY2BGR", 1)},
    "MONO10": {"Y10 ": _copy16, "Y10P": _packed(10)},
    "MONO12": {"Y12 ": _copy16, "Y12P": _packed(12)},
    "MONO16": {"Y16 ": _copy16},
}
for _order, _codes in _MOSAICS.items():
    _CHEAPEST[f"BAYER_{_order}8"] = {_codes[0]: _copy}
    _CHEAPEST[f"BAYER_{_order}10"] = {_codes[1]: _copy16, _codes[3]: _packed(10)}
    _CHEAPEST[f"BAYER_{_order}12"] = {_codes[2]: _copy16, _codes[4]: _packed(12)}
    _CHEAPEST[f"BAYER_{_order}16"] = {_codes[5]: _copy16}

PIXEL_FORMATS = tuple(_CHEAPEST)
"""All that slots may hold."""
