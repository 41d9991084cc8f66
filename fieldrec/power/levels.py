"""What power readings mean: thresholds, hysteresis, dwell. Pure: no I/O, no clock of its own.

Owned by the power watcher's task. MAINS is believed at once. A better level is believed at once,
but only above the *leave* threshold. A worse level must be read for `dwell_s` without a better
reading between, so one bad reading (80 % -> 3 %) never stops a recording; the same holds for a jump
up while nothing charges. The first reading is believed at once, except CRITICAL: that is LOW until
the dwell is over. A battery that cannot be read keeps the level it had for `unreadable_s`, then
counts as LOW: silence on battery is no reason to go on as if full.

Where a source gives a level in words (a UPS's "low battery"), the worse of that and of its charge
counts, by the same dwell; and it holds until mains is back or the battery charges, because a
battery does not fill by itself. Only a source that is about to cut the power (`forced`) is believed
at once: it does not wait either.
"""

from __future__ import annotations

from fieldrec.config.power import PowerConfig
from fieldrec.core.model import PowerLevel, PowerState
from fieldrec.core.power_reading import PowerReading
from fieldrec.power.runtime import Estimate, Runtime

JUMP_POINTS = 20.0
"""A change of charge by more than this between two readings is doubted for the dwell: an hour's
drain in one poll is a bad reading or another battery."""

_RANK = {PowerLevel.MAINS: 0, PowerLevel.BATTERY: 1, PowerLevel.UNKNOWN: 1, PowerLevel.LOW: 2,
         PowerLevel.CRITICAL: 3}
_WORSE = (PowerLevel.BATTERY, PowerLevel.LOW, PowerLevel.CRITICAL)


class PowerJudge:
    """Turns readings, in order of time, into levels."""

    def __init__(self, config: PowerConfig) -> None:
        self._config = config
        self._level = PowerLevel.UNKNOWN
        self._since: dict[PowerLevel, int] = {}
        """Since when every readable reading was at least this bad."""
        self._percent: float | None = None
        """The charge that is believed."""
        self._doubted: tuple[float, int] | None = None
        """A jump that is not believed yet, and since when."""
        self._mains_percent: float | None = None
        """Charge when mains came: a charge that falls below it shows a supply that is too weak."""
        self._readable_ns: int | None = None
        self._undecided = False
        self._held: PowerLevel | None = None
        """What a source said in words, came to be believed, and is not over yet."""
        self._runtime = Runtime()

    @property
    def undecided(self) -> bool:
        """Whether a worse level, a jump or silence waits for its time: read again before long."""
        return self._undecided

    def update(self, reading: PowerReading, monotonic_ns: int) -> PowerState:
        """Take one reading; `monotonic_ns` must not run back. Returns the state from now on."""
        if self._readable_ns is None:
            self._readable_ns = monotonic_ns
        if _on_mains(reading) and not self._drains_on_mains(reading):
            return self._mains(reading, monotonic_ns)
        if reading.problem or (reading.charge_percent is None and reading.says is None):
            return self._unreadable(reading, monotonic_ns)
        return self._battery(reading, monotonic_ns)

    def _drains_on_mains(self, reading: PowerReading) -> bool:
        """Whether a supply is there but the battery falls all the same, down to the low threshold.

        A solar panel at dusk says "online" while the battery empties.
        """
        percent = reading.charge_percent
        if reading.charging is not False or percent is None or self._mains_percent is None:
            return False
        return percent < self._mains_percent and percent <= self._config.low_percent

    def _mains(self, reading: PowerReading, now_ns: int) -> PowerState:
        percent = reading.charge_percent
        if self._mains_percent is None or (percent is not None and percent > self._mains_percent):
            self._mains_percent = percent
        self._level = PowerLevel.MAINS
        self._since.clear()
        self._doubted = None
        self._held = None
        self._runtime.forget()
        self._percent = percent
        self._readable_ns = now_ns
        self._undecided = False
        if reading.source == "none":
            return _state(PowerLevel.MAINS, reading, None, None, "no battery found: taken as mains")
        charge = "" if percent is None else f", battery {percent:.0f} %"
        drains = ", draining: the supply is weak" if reading.charging is False else ""
        return _state(PowerLevel.MAINS, reading, percent, None, f"on mains{charge}{drains}")

    def _unreadable(self, reading: PowerReading, now_ns: int) -> PowerState:
        """Hold the level, then LOW; the level itself is kept for when the battery speaks again."""
        silent_s = (now_ns - (self._readable_ns or 0)) / 1e9
        why = reading.problem or "no charge figure"
        overdue = silent_s >= self._config.unreadable_s
        self._undecided = not overdue
        level = self._level
        if overdue and _RANK[level] < _RANK[PowerLevel.LOW]:
            level = PowerLevel.LOW
        after = "counts as low" if overdue else f"low after {self._config.unreadable_s:g} s"
        return _state(level, reading, None, None,
                      f"battery unreadable for {silent_s:.0f} s ({why}): {after}")

    def _battery(self, reading: PowerReading, now_ns: int) -> PowerState:
        if not _on_mains(reading):
            self._mains_percent = None
        if reading.charging is True:
            self._held = None
        self._readable_ns = now_ns
        percent = reading.charge_percent
        believed = None if percent is None else self._believe(percent, now_ns)
        counts = min(percent, believed) if percent is not None and believed is not None \
            else self._percent  # a figure that is left out makes nothing better
        candidate = self._candidate(counts, reading.says)
        for level in _WORSE:
            if _RANK[candidate] >= _RANK[level]:
                self._since.setdefault(level, now_ns)
            else:
                self._since.pop(level, None)
        first = self._level is PowerLevel.UNKNOWN
        self._level = candidate if reading.forced else self._settled(candidate, first, now_ns)
        self._hold(reading.says)
        self._undecided = _RANK[candidate] > _RANK[self._level] or self._doubted is not None
        left = None
        if self._doubted is None:
            left = self._runtime.update(reading, believed, now_ns)
        return _state(self._level, reading, believed, left,
                      self._reason(reading, believed, candidate))

    def _hold(self, says: PowerLevel | None) -> None:
        """Keep a bad level in words once it is believed."""
        if says is not None and _RANK[PowerLevel.LOW] <= _RANK[says] <= _RANK[self._level]:
            self._held = _worse(says, self._held)

    def _believe(self, percent: float, now_ns: int) -> float:
        """The charge to show: the reading, or during a doubted jump what was believed before."""
        before = self._percent
        if before is None or abs(percent - before) <= JUMP_POINTS:
            self._percent, self._doubted = percent, None
            return percent
        if self._doubted is None or abs(percent - self._doubted[0]) > JUMP_POINTS:
            self._doubted = (percent, now_ns)
        if now_ns - self._doubted[1] >= self._dwell_ns:
            self._percent, self._doubted = percent, None
            self._runtime.forget()
            return percent
        return before

    def _candidate(self, percent: float | None, says: PowerLevel | None) -> PowerLevel:
        """The worst of what the charge means, what is said in words, and what holds."""
        by_charge = PowerLevel.BATTERY if percent is None else self._by_charge(percent)
        return _worse(_worse(by_charge, says), self._held)

    def _by_charge(self, percent: float) -> PowerLevel:
        """The level of this charge, seen from the level we are at (hysteresis)."""
        config = self._config
        critical = (config.critical_leave_percent if self._level is PowerLevel.CRITICAL
                    else config.critical_percent)
        low = (config.low_leave_percent if self._level in (PowerLevel.LOW, PowerLevel.CRITICAL)
               else config.low_percent)
        if percent <= critical:
            return PowerLevel.CRITICAL
        return PowerLevel.LOW if percent <= low else PowerLevel.BATTERY

    def _settled(self, candidate: PowerLevel, first: bool, now_ns: int) -> PowerLevel:
        """The candidate if it is no worse; else the worst level that was read for the dwell."""
        if _RANK[candidate] <= _RANK[self._level]:
            return candidate
        if first:
            doubtful = candidate is PowerLevel.CRITICAL and self._dwell_ns > 0
            return PowerLevel.LOW if doubtful else candidate
        settled = self._level
        for level, since_ns in self._since.items():
            if _RANK[level] > _RANK[settled] and now_ns - since_ns >= self._dwell_ns:
                settled = level
        return settled

    @property
    def _dwell_ns(self) -> int:
        return int(self._config.dwell_s * 1e9)

    def _reason(self, reading: PowerReading, believed: float | None, candidate: PowerLevel) -> str:
        config, percent = self._config, reading.charge_percent
        if percent is not None and believed is not None and percent != believed:
            return (f"charge {percent:.0f} % read after {believed:.0f} %: "
                    f"believed if it stays for {config.dwell_s:g} s")
        text = "on battery" if percent is None else f"charge {percent:.0f} %"
        if self._held is self._level:
            forced = ", and that it cuts the power now" if reading.forced else ""
            text += f": {reading.source} itself says {self._level.value}{forced}"
        elif self._level is PowerLevel.CRITICAL:
            text += (f": critical at {config.critical_percent:g} %, "
                     f"left above {config.critical_leave_percent:g} %")
        elif self._level is PowerLevel.LOW and percent is not None:
            text += f": low at {config.low_percent:g} %, left above {config.low_leave_percent:g} %"
        elif percent is not None:
            text += " on battery"
        if _RANK[candidate] > _RANK[self._level]:
            text += f"; {candidate.value} if it stays for {config.dwell_s:g} s"
        return text


def _worse(level: PowerLevel, other: PowerLevel | None) -> PowerLevel:
    return level if other is None or _RANK[other] <= _RANK[level] else other


def _on_mains(reading: PowerReading) -> bool:
    return reading.on_mains is True


def _state(level: PowerLevel, reading: PowerReading, percent: float | None,
           left: Estimate | None, reason: str) -> PowerState:
    return PowerState(level=level, charge_percent=percent, voltage_mv=reading.voltage_mv,
                      power_mw=reading.power_mw, minutes_left=None if left is None else left[0],
                      source=reading.source,
                      reason=f"{reason}; {reading.note}" if reading.note else reason,
                      minutes_left_range=None if left is None else left[1])
