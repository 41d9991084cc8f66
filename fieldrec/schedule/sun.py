"""When the sun rises, sets and passes certain depths below the horizon, at a place.

Pure, any thread. Where the sun stands follows the low-accuracy formulae of J. Meeus, Astronomical
Algorithms (2nd ed., ch. 25 and 28), which NOAA's solar calculator uses as well: good to a second or
two of time between 1900 and 2100; what refraction does near the horizon is uncertain by more.
Sunrise and sunset are when the sun's upper edge touches a level horizon, its centre being 50' below
(34' refraction, 16' radius); dawn and dusk when its centre stands 6 (civil), 12 (nautical) or 18
(astronomical) degrees below, as almanacs have it.

The events of a date are those of the *solar day* around the date's noon: the rising ones before it,
the setting ones after it, also where they fall beyond midnight (near midnight sun, or where the
zone's clocks are far from the sun). Every solar day has one noon; every other event happens once or
never: :class:`Never` says on which side the sun stays then.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from enum import Enum
from zoneinfo import ZoneInfo

from fieldrec.schedule.place import Place
from fieldrec.schedule.zones import DAY_S, instant_of

NOON_S = DAY_S // 2
_EPOCH_CENTURIES = (2440587.5 - 2451545.0) / 36525  # 1970 from J2000, in Julian centuries
_CENTURY_S = 36525 * DAY_S
REMEMBERED = 512
"""Events whose moments are remembered. A schedule asks for those of the same few days at each of
its looks; working them out anew took most of an idle box's processor time."""
_ROUNDS = 8
"""Each round asks where the sun stands at the moment found by the last; they agree to a second
after two or three, near the beginning of polar day or night after a few more."""


class Never(Enum):
    """Why an event does not happen in a solar day."""

    BELOW = "the sun stays below"
    ABOVE = "the sun stays above"


class Half(Enum):
    """Where in the solar day an event is; the hour is the one it is usually near."""

    RISING = 6
    NOON = 12
    SETTING = 18


@dataclass(frozen=True, slots=True)
class Event:
    """One of the sun's daily moments."""

    name: str
    half: Half
    depth: float = 0.0
    """Degrees of the sun's centre below the horizon; of no meaning for noon."""


_DEPTHS = {"civil": 6.0, "nautical": 12.0, "astronomical": 18.0}
EVENTS: dict[str, Event] = {
    "sunrise": Event("sunrise", Half.RISING, 50 / 60),
    "noon": Event("noon", Half.NOON),
    "sunset": Event("sunset", Half.SETTING, 50 / 60),
    **{f"{kind}_dawn": Event(f"{kind}_dawn", Half.RISING, depth)
       for kind, depth in _DEPTHS.items()},
    **{f"{kind}_dusk": Event(f"{kind}_dusk", Half.SETTING, depth)
       for kind, depth in _DEPTHS.items()},
}
EVENTS |= {"dawn": EVENTS["civil_dawn"], "dusk": EVENTS["civil_dusk"]}
"""By the names that windows know: dawn and dusk are the civil ones."""


@functools.lru_cache(maxsize=REMEMBERED)
def instant_of_event(event: Event, day: int, place: Place, zone: ZoneInfo) -> int | Never:
    """When (seconds since 1970 began) an event of the date `day` (days since 1970) happens."""
    mean_noon = _mean_noon(day, place, zone)
    if event.half is Half.NOON:
        return round(_true_noon(mean_noon, mean_noon))
    return _passing(event, mean_noon, place)


def _passing(event: Event, mean_noon: float, place: Place) -> int | Never:
    """When the sun passes the event's depth, in the half day before or after noon."""
    towards = -1 if event.half is Half.RISING else 1
    at, cosine = mean_noon, 0.0
    for _ in range(_ROUNDS):
        declination, _equation_s = _sun(at)
        cosine = _cosine_of_hour_angle(event.depth, place.latitude, declination)
        angle = math.acos(min(1.0, max(-1.0, cosine)))
        then = _true_noon(mean_noon, at) + towards * angle / math.tau * DAY_S
        settled = abs(then - at) < 0.5
        at = then
        if settled:
            break
    if cosine > 1:
        return Never.BELOW
    return Never.ABOVE if cosine < -1 else round(at)


def _mean_noon(day: int, place: Place, zone: ZoneInfo) -> float:
    """When a sun of even pace passes south (or north) of the place, nearest to 12:00 on the
    zone's clocks that day."""
    clock_noon = instant_of(day * DAY_S + NOON_S, zone)
    at_zero = NOON_S - place.longitude / 360 * DAY_S
    return at_zero + math.floor((clock_noon - at_zero) / DAY_S + 0.5) * DAY_S


def _true_noon(mean_noon: float, at: float) -> float:
    """The true sun's noon, by the equation of time at the moment `at`."""
    return mean_noon - _sun(at)[1]


def _cosine_of_hour_angle(depth: float, latitude: float, declination: float) -> float:
    """Beyond 1 the sun stays deeper all day, beyond -1 it stays higher."""
    across = math.cos(math.radians(latitude)) * math.cos(declination)
    along = math.sin(math.radians(latitude)) * math.sin(declination)
    return (math.sin(math.radians(-depth)) - along) / max(across, 1e-12)


def _sun(at: float) -> tuple[float, float]:
    """(declination in radians, equation of time in seconds) at an instant."""
    t = _EPOCH_CENTURIES + at / _CENTURY_S
    longitude = math.radians(280.46646 + t * (36000.76983 + t * 0.0003032))
    anomaly = math.radians(357.52911 + t * (35999.05029 - t * 0.0001537))
    eccentricity = 0.016708634 - t * (0.000042037 + t * 0.0000001267)
    node = math.radians(125.04 - 1934.136 * t)
    centre = (math.sin(anomaly) * (1.914602 - t * (0.004817 + t * 0.000014))
              + math.sin(2 * anomaly) * (0.019993 - t * 0.000101)
              + math.sin(3 * anomaly) * 0.000289)
    apparent = longitude + math.radians(centre - 0.00569 - 0.00478 * math.sin(node))
    tilt = math.radians(23.439291 - t * 0.0130042 + 0.00256 * math.cos(node))
    y = math.tan(tilt / 2) ** 2
    equation = (y * math.sin(2 * longitude) - 2 * eccentricity * math.sin(anomaly)
                + 4 * eccentricity * y * math.sin(anomaly) * math.cos(2 * longitude)
                - y * y / 2 * math.sin(4 * longitude)
                - 1.25 * eccentricity ** 2 * math.sin(2 * anomaly))
    return math.asin(math.sin(tilt) * math.sin(apparent)), equation / math.tau * DAY_S
