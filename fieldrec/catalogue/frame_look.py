"""Whether a frame file is cut, told without reading its pixels: by its size, its head and its tail.

Blocking, any thread. A look, not a proof: what lies between is not read. Files that cannot be told
by it count as whole.
"""

from __future__ import annotations

import math
import os
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fieldrec.store.tar_frames import file_or_place

_HEAD_BYTES = 4096
_TAIL_BYTES = 64
_PNM = re.compile(rb"P[56]\s+(?:#[^\n]*\n\s*)*(\d{1,9})\s+(\d{1,9})\s+(\d{1,5})\s")
_NPY_LONGEST_HEADER = 10_000
_NPY_SHAPE = re.compile(rb"'shape': \(([\d, ]*)\)")
_NPY_TYPE = re.compile(rb"'descr': '[<>|=]([biufc])(\d+)'")


@dataclass(frozen=True, slots=True)
class Ends:
    """What was read of a file."""

    head: bytes
    tail: bytes
    size: int


def cut_text(path: Path, size: int, extension: str) -> str:
    """Why a file of this size is not whole; "" when nothing speaks against it. OSError."""
    if size == 0:
        return "empty"
    check = _CHECKS.get(extension)
    if check is None:
        return ""
    place = file_or_place(path)
    descriptor = os.open(place.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        head = os.pread(descriptor, min(_HEAD_BYTES, size), place.begin)
        last = min(_TAIL_BYTES, size)
        tail = os.pread(descriptor, last, place.begin + size - last)
    finally:
        os.close(descriptor)
    try:
        return "" if check(Ends(head, tail, size)) else f"cut short or damaged: {size} bytes"
    except (struct.error, ValueError):
        return f"damaged in its first bytes: {size} bytes"


def _npy(ends: Ends) -> bool:
    head = ends.head
    if not head.startswith(b"\x93NUMPY") or len(head) < 12:
        return False
    wide = head[6] >= 2
    start = (12 + _number("<I", head, 8)) if wide else 10 + _number("<H", head, 8)
    shape, kind = _NPY_SHAPE.search(head), _NPY_TYPE.search(head)
    if start > _NPY_LONGEST_HEADER or shape is None or kind is None:
        return False
    extents = [int(extent) for extent in shape[1].replace(b" ", b"").split(b",") if extent]
    return ends.size >= start + math.prod(extents) * int(kind[2])


def _png(ends: Ends) -> bool:
    return ends.head.startswith(b"\x89PNG\r\n\x1a\n") and b"IEND\xaeB`\x82" in ends.tail


def _jpg(ends: Ends) -> bool:
    return ends.head.startswith(b"\xff\xd8") and b"\xff\xd9" in ends.tail


def _bmp(ends: Ends) -> bool:
    return ends.head.startswith(b"BM") and ends.size >= _number("<I", ends.head, 2)


def _pnm(ends: Ends) -> bool:
    header = _PNM.match(ends.head)
    if header is None:
        return ends.head[:2] in (b"P2", b"P3")
    width, height, largest = (int(text) for text in header.groups())
    values = width * height * (3 if ends.head[1:2] == b"6" else 1)
    return ends.size >= header.end() + values * (1 if largest < 256 else 2)


def _tif(ends: Ends) -> bool:
    order = {b"II": "<I", b"MM": ">I"}.get(ends.head[:2])
    return order is not None and 8 <= _number(order, ends.head, 4) < ends.size


def _number(form: str, data: bytes, at: int) -> int:
    return int(struct.unpack_from(form, data, at)[0])


_CHECKS: dict[str, Callable[[Ends], bool]] = {
    "npy": _npy, "png": _png, "jpg": _jpg, "bmp": _bmp, "pgm": _pnm, "ppm": _pnm, "tif": _tif}
