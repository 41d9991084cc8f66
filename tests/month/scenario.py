"""What happens in a month: a table of days, by hand where something is to happen, else by seed.

A scenario is data. Times are local hours of `ZONE` on day n (from 0); the box itself knows nothing
of it but what its configuration says.
"""

from __future__ import annotations

import datetime as dt
import random
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

ZONE = "Europe/Vienna"
LATITUDE, LONGITUDE = 47.76, 16.80
"""A lake in the reeds; in the month that is simulated its clocks are put forward."""
BEGINS = dt.datetime(2027, 3, 10, 12, tzinfo=ZoneInfo(ZONE))


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that the world does to the box."""

    at_ns: int
    """The true time, epoch."""
    what: str
    """insert, take, pull, eject (a drive); start, stop (the operator); reboot (in order); cut
    (power gone for `minutes`); flat_rtc (the same, and the clock comes up wrong until GPS has a
    fix, so many minutes after the start); gauge (it says nonsense for `minutes`)."""
    which: str = ""
    minutes: float = 0.0


@dataclass(frozen=True)
class Scenario:
    """The whole month."""

    seed: int
    days: int
    happenings: tuple[Happening, ...]
    overcast: dict[int, float] = field(default_factory=dict)
    """Days (from 0) on which so little of the sun comes through; the others by seed."""
    drives: tuple[str, ...] = ("FIELD-01", "FIELD-02")
    disk_mb: int = 40
    """Of the recordings' disk: too small for the month, so that room gets short."""
    period_s: float = 60.0
    """From frame to frame."""
    ends_h: float = 12.0
    """The local hour of the last day at which it ends."""
    sleep: str = "never"
    """power.sleep's mode."""

    @property
    def begins_ns(self) -> int:
        return int(BEGINS.timestamp()) * 10**9

    @property
    def ends_ns(self) -> int:
        return moment_ns(self.days, self.ends_h)


def moment_ns(day: int, hour: float) -> int:
    """True epoch time of a local hour on a day of the scenario."""
    local = dt.datetime.combine(BEGINS.date() + dt.timedelta(days=day), dt.time(),
                                ZoneInfo(ZONE)) + dt.timedelta(hours=hour)
    return int(local.timestamp() * 1e9)


def short(seed: int = 1) -> Scenario:
    """Two days for the suite: a cut, a flat clock, a night that empties the battery, a visit."""
    return Scenario(seed, 2, _ordered([
        Happening(moment_ns(0, 23.3), "cut", minutes=40),
        Happening(moment_ns(1, 9.0), "flat_rtc", minutes=5),
        Happening(moment_ns(1, 11.4), "cut", minutes=40),  # over the whole of noon's recording
        Happening(moment_ns(2, 12.2), "insert", "FIELD-01"),
        Happening(moment_ns(2, 13.5), "take", "FIELD-01"),
    ]), overcast={0: 0.15, 1: 0.03, 2: 1.0}, drives=("FIELD-01",), period_s=300.0, ends_h=14.5)


def month(seed: int, days: int = 30, sleep: str = "never") -> Scenario:
    """A month: visits twice a week, storms, cuts, a clock that fails, an operator who tries
    things."""
    chance = random.Random(f"{seed} happenings")
    found: list[Happening] = []
    for day in range(2, days, 3):
        found += _visit(day, chance, f"FIELD-0{1 + day // 3 % 2}")
    for day in _some(days, 5, chance):
        found.append(Happening(moment_ns(day, chance.uniform(0, 24)), "cut",
                               minutes=chance.choice((1, 20, 90, 400))))
    for day in _some(days, 2, chance):
        found.append(Happening(moment_ns(day, chance.uniform(0, 24)), "flat_rtc",
                               minutes=chance.uniform(2, 40)))
    for day in _some(days, 4, chance):
        found += _operator(day, chance)
    for day in _some(days, 6, chance):
        found.append(Happening(moment_ns(day, chance.uniform(0, 24)), "gauge",
                               chance.choice(("0", "255", "-1", "")), chance.choice((1, 6))))
    found += [Happening(moment_ns(day, chance.uniform(8, 20)), "reboot")
              for day in _some(days, 2, chance)]
    storms = {day: 0.03 for first in _some(days - 3, max(1, days // 12), chance)
              for day in range(first, first + 3)}
    return Scenario(seed, days, _ordered(found), overcast=storms, period_s=120.0, sleep=sleep)


def _visit(day: int, chance: random.Random, drive: str) -> list[Happening]:
    hour = chance.uniform(7, 19)
    leaves = "pull" if chance.random() < 0.2 else "take"
    minutes = chance.uniform(1, 12) if leaves == "pull" else chance.uniform(60, 180)
    return [Happening(moment_ns(day, hour), "insert", drive),
            Happening(moment_ns(day, hour + minutes / 60), leaves, drive)]


def _operator(day: int, chance: random.Random) -> list[Happening]:
    hour = chance.uniform(9, 16)
    return [Happening(moment_ns(day, hour), "start", "byhand"),
            Happening(moment_ns(day, hour + chance.uniform(0.1, 1.5)), "stop")]


def _some(days: int, count: int, chance: random.Random) -> list[int]:
    return sorted(chance.sample(range(1, max(2, days)), min(count, max(1, days - 1))))


def _ordered(happenings: list[Happening]) -> tuple[Happening, ...]:
    return tuple(sorted(happenings, key=lambda one: one.at_ns))
