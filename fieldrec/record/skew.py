"""How far apart the cameras of a session began: the spread of their first frames. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Skew:
    """The first frames of cameras that were started together."""

    spread_ns: int
    offsets_ns: Mapping[str, int]
    """By camera, against the earliest."""

    def __str__(self) -> str:
        each = ", ".join(f"{key} +{offset / 1e6:.1f}" for key, offset in self.offsets_ns.items())
        return f"first frames within {self.spread_ns / 1e6:.1f} ms ({each})"


def skew_of(first_frames_ns: Mapping[str, int | None]) -> Skew | None:
    """None while a camera has no first frame yet, and for fewer than two cameras."""
    times = {key: first for key, first in first_frames_ns.items() if first is not None}
    if len(times) < max(2, len(first_frames_ns)):
        return None
    earliest = min(times.values())
    return Skew(max(times.values()) - earliest,
                {key: first - earliest for key, first in times.items()})
