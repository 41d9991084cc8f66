"""How long the battery lasts, and how sure that is. Pure; fed by the power judge.

Three ways, best first, each to an empty battery:

- what the source itself reckons (a UPS's battery.runtime): taken to be right within `OWN_DOUBT`, an
  assumption: it is reckoned from a new battery and the load of this moment;
- energy left over power drawn: the median power of the last half hour, because a box draws in
  bursts; the range is that of the middle 80 % of those readings, or `FEW_DOUBT` while they are few;
- the discharge of the last `WINDOW_S`, as the median of the slopes between all pairs of points
  (Theil and Sen: a quarter of the points may be wild), with the 95 % interval of Sen (Journal of
  the American Statistical Association 63, 1968, 1379-1389), widened by half a point at either end,
  for gauges give whole percents. Nothing is said before `LEAST_SPAN_S` and `LEAST_DROP_PERCENT`.

A battery that charges, mains and a jump of the charge that came to be believed begin anew.
"""

from __future__ import annotations

import math
import statistics
from collections import deque

from fieldrec.core.power_reading import PowerReading

Estimate = tuple[float, tuple[float, float]]
"""Minutes left, and between what they lie."""
Rates = tuple[float, float, float]

WINDOW_S = 3 * 3600.0
POINT_S = 120.0
"""At most one point of the discharge in so long: 90 in the window, 4005 pairs, 1 ms."""
LEAST_SPAN_S = 900.0
LEAST_DROP_PERCENT = 2.0
POWER_WINDOW_S = 1800.0
MOST_POWERS = 200
OWN_DOUBT = 0.25
FEW_DOUBT = 0.3
FEW = 10
LONGEST_MIN = 60.0 * 24 * 60
"""Two months: beyond that a slope says nothing."""
_Z95 = 1.96


class Runtime:
    """The estimate of one battery, or of several that are read as one."""

    def __init__(self) -> None:
        self._points: deque[tuple[int, float]] = deque()
        """(monotonic_ns, percent) of the discharge."""
        self._rates: Rates | None = None
        """Of the points as they are; worked out when one comes, not at each reading."""
        self._powers: deque[tuple[int, int]] = deque(maxlen=MOST_POWERS)
        """(monotonic_ns, mW)"""

    def forget(self) -> None:
        """Begin anew: on mains, while charging, after another battery came."""
        self._points.clear()
        self._powers.clear()
        self._rates = None

    def update(self, reading: PowerReading, percent: float | None, now_ns: int) -> Estimate | None:
        """Take a reading on battery, and the charge that is believed; None while nothing can be
        said."""
        if reading.charging is True:
            self.forget()
            return None
        self._note(reading, percent, now_ns)
        if reading.runtime_s is not None:
            minutes = reading.runtime_s / 60
            return minutes, (minutes * (1 - OWN_DOUBT), minutes * (1 + OWN_DOUBT))
        if reading.energy_mwh is not None and reading.power_mw:
            return _by_power(reading.energy_mwh, [power for _, power in self._powers])
        return None if percent is None or self._rates is None else _by_rates(self._rates, percent)

    def _note(self, reading: PowerReading, percent: float | None, now_ns: int) -> None:
        if reading.power_mw:
            self._powers.append((now_ns, reading.power_mw))
        while self._powers and now_ns - self._powers[0][0] > POWER_WINDOW_S * 1e9:
            self._powers.popleft()
        if percent is None:
            return
        if not self._points or now_ns - self._points[-1][0] >= POINT_S * 1e9:
            self._points.append((now_ns, percent))
            while now_ns - self._points[0][0] > WINDOW_S * 1e9:
                self._points.popleft()
            self._rates = _rates_of(list(self._points))


def _by_power(energy_mwh: int, powers: list[int]) -> Estimate | None:
    middle = statistics.median(powers)
    minutes = 60.0 * energy_mwh / middle
    if len(powers) < FEW:
        return minutes, (minutes / (1 + FEW_DOUBT), minutes * (1 + FEW_DOUBT))
    tenths = statistics.quantiles(powers, n=10, method="inclusive")
    return minutes, (60.0 * energy_mwh / tenths[-1], 60.0 * energy_mwh / tenths[0])


def _rates_of(points: list[tuple[int, float]]) -> Rates | None:
    """Percent a minute: the least, the most probable, the most; None while it is too soon."""
    count = len(points)
    if count < 3 or (points[-1][0] - points[0][0]) < LEAST_SPAN_S * 1e9 \
            or points[0][1] - points[-1][1] < LEAST_DROP_PERCENT:
        return None
    span_min = (points[-1][0] - points[0][0]) / 60e9
    rates = sorted(
        (before[1] - after[1]) / ((after[0] - before[0]) / 60e9)
        for number, before in enumerate(points) for after in points[number + 1:])
    spread = _Z95 * math.sqrt(count * (count - 1) * (2 * count + 5) / 18)
    least = rates[max(0, math.floor((len(rates) - spread) / 2))] - 1 / span_min
    most = rates[min(len(rates) - 1, math.ceil((len(rates) + spread) / 2))] + 1 / span_min
    return least, statistics.median(rates), most


def _by_rates(rates: Rates, percent: float) -> Estimate | None:
    """Minutes to empty at the rate of the discharge so far."""
    least, rate, most = rates
    if rate <= 0 or percent / rate > LONGEST_MIN:
        return None
    longest = LONGEST_MIN if least <= 0 else min(percent / least, LONGEST_MIN)
    return percent / rate, (percent / most, longest)
