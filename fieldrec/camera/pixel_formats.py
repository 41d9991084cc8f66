"""Pixel formats under our names and GenICam's: what the vendor-neutral cameras can record.

Pure. Formats of 10 and 12 bits are those that GenICam unpacks into 16 ("Mono12", not "Mono12p"
or "Mono12Packed"): the value's bits are the lowest ones, as the camera sends them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, get_args

PixelFormat = Literal[
    "MONO8", "MONO10", "MONO12", "MONO14", "MONO16", "BGR8", "RGB8",
    "BAYER_RG8", "BAYER_GR8", "BAYER_GB8", "BAYER_BG8",
    "BAYER_RG10", "BAYER_GR10", "BAYER_GB10", "BAYER_BG10",
    "BAYER_RG12", "BAYER_GR12", "BAYER_GB12", "BAYER_BG12",
    "BAYER_RG16", "BAYER_GR16", "BAYER_GB16", "BAYER_BG16"]
"""Our names, as :class:`fieldrec.core.model.FrameSpec` and the stores have them."""


def genicam_names(ours: str) -> tuple[str, ...]:
    """What cameras call it: GenICam's name, then an older one."""
    if ours in ("BGR8", "RGB8"):
        return (ours, f"{ours}Packed")
    return (ours.replace("BAYER_", "Bayer").replace("MONO", "Mono"),)


_OURS = {name: ours for ours in get_args(PixelFormat) for name in genicam_names(ours)}


def our_name(genicam: str) -> str | None:
    """Our name of a camera's format; None for one that cannot be recorded."""
    return _OURS.get(genicam)


def recordable(genicam: Iterable[str]) -> tuple[str, ...]:
    """Those of a camera's formats that can be recorded, under the camera's names."""
    return tuple(name for name in genicam if name in _OURS)


def dtype_of(ours: str) -> str:
    """numpy's type of one value."""
    return "uint8" if ours.endswith("8") else "uint16"


def shape_of(ours: str, height: int, width: int) -> tuple[int, ...]:
    """Shape of a picture."""
    return (height, width, 3) if ours in ("BGR8", "RGB8") else (height, width)
