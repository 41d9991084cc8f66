"""Where the box stands, for dawn and dusk. Pure, any thread."""

from __future__ import annotations

import math
from dataclasses import dataclass

from fieldrec.core.errors import ScheduleError


@dataclass(frozen=True, slots=True)
class Place:
    """A point on the earth, in degrees: north and east count upwards. ScheduleError if there is
    no such point."""

    latitude: float
    """-90 (south pole) to 90."""
    longitude: float
    """-180 to 180; east of Greenwich is positive."""

    def __post_init__(self) -> None:
        _check("latitude", self.latitude, 90, "north")
        _check("longitude", self.longitude, 180, "east")

    def __str__(self) -> str:
        return (f"{abs(self.latitude):.4f} {'N' if self.latitude >= 0 else 'S'} "
                f"{abs(self.longitude):.4f} {'E' if self.longitude >= 0 else 'W'}")


def _check(name: str, degrees: float, most: int, towards: str) -> None:
    if isinstance(degrees, bool) or not isinstance(degrees, int | float) \
            or not math.isfinite(degrees) or abs(degrees) > most:
        raise ScheduleError(f"{name}: {degrees!r} is not in degrees from -{most} to {most} "
                            f"({towards} is positive)")
