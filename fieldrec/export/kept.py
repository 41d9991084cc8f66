"""Frames of any store as a lossless movie keeps them: grey, mosaic, BGR or RGB, every bit.

Pure, no I/O. A mosaic is not developed, whatever the store's encoding says; a depth that nobody
told is taken for 16 bits, which holds them all.
"""

from __future__ import annotations

import numpy as np

from fieldrec.core.errors import JobRefused
from fieldrec.core.model import FrameSpec
from fieldrec.export.pictures_exact import ExactPictures
from fieldrec.store import encodings
from fieldrec.store.metadata import StoreMetadata
from fieldrec.store.spec import stored_dtype
from fieldrec.store.visible import colour_code

_MOSAICS = {encodings.from_pylon(f"Bayer{pattern}8"): f"BAYER_{pattern}"
            for pattern in ("RG", "GR", "BG", "GB")}


def kept(metadata: StoreMetadata, spec: FrameSpec, told_format: str) -> FrameSpec:
    """What a lossless movie's frames are, of which each is the stored one, (h, w, 1) as (h, w).

    `told_format` is the pixel format that the recorder wrote down, "" where none is told.
    JobRefused for what such a movie cannot keep.
    """
    shape, dtype = metadata.imgshape, np.dtype(stored_dtype(metadata))
    if not metadata.encoding and told_format and _is_known(spec):
        return spec
    code = colour_code(metadata.encoding, told_format)
    if len(shape) == 3 and shape[2] == 1:
        shape = shape[:2]
    name = _name(shape, dtype, code)
    if not name:
        stored = f"{code} " if code else ""
        raise JobRefused(f"frames of {stored}{dtype}, shape {metadata.imgshape}, cannot be kept "
                         "without loss in a movie, only grey and mosaics of 8 to 16 bits and "
                         "8-bit colours: use another preset, or keep the raw")
    return FrameSpec(shape, dtype.name, name, spec.nominal_hz)


def _is_known(spec: FrameSpec) -> bool:
    try:
        ExactPictures(spec)
    except JobRefused:
        return False
    return True


def _name(shape: tuple[int, ...], dtype: np.dtype[np.generic], code: str | None) -> str:
    """Pixel format of what is stored; "" where there is none."""
    if dtype not in (np.uint8, np.uint16):
        return ""
    bits = 8 * dtype.itemsize
    if len(shape) == 2:
        pattern = "MONO" if code is None else _MOSAICS.get(code, "")
        return f"{pattern}{bits}" if pattern else ""
    if len(shape) == 3 and shape[2] == 3 and bits == 8:
        return {None: "BGR8", "cv_rgb": "RGB8"}.get(code, "")
    return ""
