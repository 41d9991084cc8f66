"""How near the disks are to being full: readings in, tiers out. Pure: no I/O, no clock.

On the event loop, once for each look at the disks. A tier is believed when `readings` looks in a
row are beyond its limit, and left when as many are back over 1.25 of it (2 points of percent), so
one bad reading (a disk that does not answer, 0, a jump) never makes a tier nor ends one. All
figures are whole numbers of any size: no disk is too large and no rate too high or too low.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from fieldrec.config.space import SpaceConfig
from fieldrec.core.model import SpaceState, SpaceTier
from fieldrec.record.storage import size_text

LEAVE_PERMILLE = 1250
"""Of a limit in hours, above which its tier is left."""
LEAVE_POINTS = 2.0
"""Of percent below its limit, at which a tier is left."""
MOST_HOURS = 87_600
"""Ten years: what is left for longer is said as this."""
_ORDER = (SpaceTier.OK, SpaceTier.WARN, SpaceTier.ACT, SpaceTier.STOP)


@dataclass(frozen=True, slots=True)
class SpaceReading:
    """All recordings folders that can be used, at one look; each file system once."""

    total_bytes: int
    """0: none of them could be asked."""
    free_bytes: int
    left_bytes: int
    """What may still be written until recording has to stop."""


NOT_READ = SpaceReading(0, 0, 0)


class SpaceJudge:
    """Turns looks, in order of time, into tiers."""

    def __init__(self, config: SpaceConfig) -> None:
        self._config = config
        self._seen: deque[SpaceTier] = deque(maxlen=config.readings)
        """What the latest readings say, seen from the present tier; none after a bad one."""
        self._state = SpaceState()

    @property
    def state(self) -> SpaceState:
        """As judged last."""
        return self._state

    def update(self, reading: SpaceReading, bytes_per_hour: int) -> SpaceState:
        """Take one reading and the rate (0: not known). Returns the state from now on."""
        if reading.total_bytes <= 0:
            self._seen.clear()
            return self._state
        rate = max(bytes_per_hour, 0)
        self._seen.append(self._says(reading, rate))
        tier = self._settled()
        if tier is not self._state.tier:
            self._seen.clear()
        hours = _hours(reading.left_bytes, rate)
        self._state = SpaceState(tier, max(reading.left_bytes, 0), hours, rate,
                                 self._reason(tier, reading, hours, rate))
        return self._state

    def to_free(self, reading: SpaceReading, bytes_per_hour: int) -> int:
        """Bytes whose deletion leaves ACT; 0 where that is not the tier, or nothing is needed."""
        if _ORDER.index(self._state.tier) < _ORDER.index(SpaceTier.ACT):
            return 0
        if bytes_per_hour > 0:
            wanted = _of_hours(self._config.act_hours, bytes_per_hour) * LEAVE_PERMILLE // 1000
            return max(wanted - reading.left_bytes, 0)
        used = reading.total_bytes - reading.free_bytes
        leave = _permille(self._config.act_percent - LEAVE_POINTS)
        return max(used - reading.total_bytes * leave // 1000, 0)

    def _says(self, reading: SpaceReading, rate: int) -> SpaceTier:
        """The tier of this reading alone, with the limits as they are from the present tier."""
        if reading.left_bytes <= 0:
            return SpaceTier.STOP
        config = self._config
        for tier, hours, percent in ((SpaceTier.ACT, config.act_hours, config.act_percent),
                                     (SpaceTier.WARN, config.warn_hours, config.warn_percent)):
            inside = _ORDER.index(self._state.tier) >= _ORDER.index(tier)
            if rate > 0:
                limit = _of_hours(hours, rate) * (LEAVE_PERMILLE if inside else 1000)
                beyond = reading.left_bytes * 1000 < limit
            else:
                points = percent - LEAVE_POINTS if inside else percent
                used = reading.total_bytes - reading.free_bytes
                beyond = used * 1000 >= reading.total_bytes * _permille(points)
            if beyond:
                return tier
        return SpaceTier.OK

    def _settled(self) -> SpaceTier:
        """Another tier only when all of the last readings are on one side of the present one: the
        nearest to it of what they say."""
        present = _ORDER.index(self._state.tier)
        said = [_ORDER.index(tier) for tier in self._seen]
        if len(said) < self._config.readings:
            return self._state.tier
        if min(said) > present:
            return _ORDER[min(said)]
        return _ORDER[max(said)] if max(said) < present else self._state.tier

    def _reason(self, tier: SpaceTier, reading: SpaceReading, hours: float | None, rate: int
                ) -> str:
        config = self._config
        if tier is SpaceTier.OK:
            return ""
        if tier is SpaceTier.STOP:
            return f"full: {size_text(reading.free_bytes)} free"
        limit, percent = ((config.act_hours, config.act_percent) if tier is SpaceTier.ACT
                          else (config.warn_hours, config.warn_percent))
        if hours is not None:
            return (f"{hours:.1f} h left at {size_text(rate)}/h ({tier.value} below {limit:g} h, "
                    f"until above {limit * LEAVE_PERMILLE / 1000:g} h)")
        used = 100 * (1 - reading.free_bytes / reading.total_bytes)
        return (f"{used:.1f} % used ({tier.value} from {percent:g} %, until below "
                f"{percent - LEAVE_POINTS:g} %)")


def _hours(left_bytes: int, rate: int) -> float | None:
    if rate <= 0:
        return None
    return min(max(left_bytes, 0) * 1000 // rate, MOST_HOURS * 1000) / 1000


def _of_hours(hours: float, rate: int) -> int:
    """Bytes that are written in so many hours."""
    return round(hours * 1000) * rate // 1000


def _permille(percent: float) -> int:
    return max(round(percent * 10), 0)
