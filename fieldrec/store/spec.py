"""What the frames of a store look like, as far as its metadata tells. Pure; any thread."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from fieldrec.core.model import FrameSpec
from fieldrec.store.metadata import StoreMetadata

_MOSAICS = {"bg": "RG", "rg": "BG", "gr": "GB", "gb": "GR",
            "rggb": "RG", "bggr": "BG", "gbrg": "GB", "grbg": "GR"}
"""OpenCV names a Bayer mosaic by the second and third pixel of its second row, or by its first
four pixels; GenICam by its first two."""
_PLAIN = {"gray": "MONO", "rgb": "RGB", "rgba": "RGBA", "bgra": "BGRA"}
_KINDS = {"u": "", "i": "S", "f": "F", "b": "B"}
"""What is added to the bits, so that nothing but unsigned integers is taken for "MONO16"."""


def frame_spec(metadata: StoreMetadata, user: Mapping[str, Any]) -> FrameSpec | None:
    """The spec that the metadata tells, None when it does not know the frame rate."""
    nominal_hz = nominal_rate(user)
    return None if nominal_hz is None else spec_at(metadata, user, nominal_hz)


def spec_at(metadata: StoreMetadata, user: Mapping[str, Any], nominal_hz: float) -> FrameSpec:
    """The same at a frame rate that is known from elsewhere."""
    dtype = stored_dtype(metadata)
    told = ours_in(user).get("pixel_format")
    return FrameSpec(metadata.imgshape, dtype,
                     str(told) if told else pixel_format(metadata.imgshape, dtype,
                                                         metadata.encoding), nominal_hz)


def stored_dtype(metadata: StoreMetadata) -> str:
    """Of the arrays that are read: video is 8 bits whatever a store says, but for movies."""
    return "uint8" if metadata.is_video and not metadata.is_movie else metadata.dtype


def ours_in(user: Mapping[str, Any]) -> Mapping[str, Any]:
    """What fieldrec noted in the user's metadata; empty in stores of others."""
    ours = user.get("fieldrec")
    return ours if isinstance(ours, dict) else {}


def nominal_rate(user: Mapping[str, Any]) -> float | None:
    """Frames per second as fieldrec noted them, or as Motif did: what the trigger hardware or the
    clock gave, then what the camera was set to, unless that was switched off."""
    told = [ours_in(user).get("nominal_hz"), user.get("hwframerate"),
            user.get("motifptpframerate")]
    if user.get("acquisitionframerateenable", True):
        told.append(user.get("acquisitionframerate"))
    return next((rate for rate in map(_rate, told) if rate is not None), None)


def _rate(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        rate = float(value)
    except (ValueError, OverflowError):
        return None
    return rate if math.isfinite(rate) and rate > 0 else None


def pixel_format(shape: tuple[int, ...], dtype: str, encoding: str | None = None) -> str:
    """GenICam-like name of the stored pixels: "MONO8", "BGR8", "BAYER_RG8" of "cv_bayerbg"; of an
    encoding that GenICam does not have, OpenCV's name: "YUV_NV12"."""
    kind = np.dtype(dtype)
    depth = f"{kind.itemsize * 8}{_KINDS.get(kind.kind, kind.kind.upper())}"
    name = (encoding or "").removeprefix("cv_").lower()
    if name.startswith("bayer") and name.removeprefix("bayer") in _MOSAICS:
        return f"BAYER_{_MOSAICS[name.removeprefix('bayer')]}{depth}"
    if name in _PLAIN:
        return _PLAIN[name] + depth
    if name:
        return name.upper()
    channels = shape[2] if len(shape) == 3 else 1
    return {3: "BGR", 4: "BGRA"}.get(channels, "MONO") + depth
