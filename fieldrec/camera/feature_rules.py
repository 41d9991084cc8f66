"""What is the same for the features of every GenICam camera, whatever library reads them. Pure."""

from __future__ import annotations

import math

BEYOND = 1e18
"""Bounds greater than this, and steps smaller than its inverse, stand for none."""
OFTEN_CHANGED = frozenset({
    "AcquisitionFrameRate", "ExposureTime", "Gain", "BlackLevel", "Gamma", "ExposureAuto",
    "GainAuto", "OffsetX", "OffsetY"})
"""What is read anew while frames come; the rest as it was last read. Asking a camera for all it
has takes up to seconds, and its frames do not wait."""
_NOT_LIVE = frozenset({"Width", "Height", "PixelFormat", "AcquisitionMode", "ChunkModeActive",
                       "GevSCPSPacketSize", "PayloadSize", "SensorTaps", "TestPattern"})
_NOT_LIVE_GROUPS = ("Binning", "Decimation", "Reverse", "UserSet", "ChunkEnable")


def is_live(name: str) -> bool:
    """Whether a feature may be changed while frames come, as far as its name tells."""
    return name not in _NOT_LIVE and not name.startswith(_NOT_LIVE_GROUPS)


def bound(value: float | None) -> float | None:
    """A least or greatest value; None for what only stands for one."""
    return None if value is None or not math.isfinite(value) or abs(value) > BEYOND else value


def step(value: float | None, *, whole: bool) -> float | None:
    """An increment; None where every number will do."""
    if value is None or value <= 1 / BEYOND or (whole and value == 1):
        return None
    return value
