"""The world around the box: sun and clouds, a battery with a charger, the kernel's view of both.

Pure arithmetic on simulated time but for the files of :class:`PowerSupply`; seeded: the same seed
gives the same sky. Energy is counted in mWh; the battery never gives more than it has: at 0 the box
has no power any more, which no box in order lets happen.
"""

from __future__ import annotations

import datetime as dt
import math
import random
from dataclasses import dataclass
from pathlib import Path

FULL_MWH = 160_000.0
"""A 160 Wh battery: what a box idles on for two days."""
PANEL_MW = 40_000.0
IDLE_MW, RECORDING_MW, EXPORT_MW, COPY_MW, ASLEEP_MW, OFF_MW = (
    3_000.0, 1_800.0, 3_500.0, 1_500.0, 250.0, 40.0)
NOMINAL_MV = 12_800


def sun_elevation_deg(moment: dt.datetime, latitude: float, longitude: float) -> float:
    """By the low-precision formulas of the Astronomical Almanac; within 0.1 degrees or so."""
    days = (moment - dt.datetime(2000, 1, 1, 12, tzinfo=dt.UTC)).total_seconds() / 86_400
    mean_deg = (280.460 + 0.9856474 * days) % 360
    anomaly = math.radians((357.528 + 0.9856003 * days) % 360)
    ecliptic = math.radians(mean_deg + 1.915 * math.sin(anomaly) + 0.020 * math.sin(2 * anomaly))
    tilt = math.radians(23.439 - 4e-7 * days)
    declination = math.asin(math.sin(tilt) * math.sin(ecliptic))
    right = math.degrees(math.atan2(math.cos(tilt) * math.sin(ecliptic), math.cos(ecliptic)))
    sidereal_deg = (280.46061837 + 360.98564736629 * days + longitude) % 360
    hour = math.radians((sidereal_deg - right + 180) % 360 - 180)
    phi = math.radians(latitude)
    return math.degrees(math.asin(math.sin(phi) * math.sin(declination)
                                  + math.cos(phi) * math.cos(declination) * math.cos(hour)))


class Sky:
    """How much of the sun comes through: a share for each day, with clouds that pass."""

    def __init__(self, seed: int, begins: dt.datetime, overcast: dict[int, float]) -> None:
        """`overcast`: days (from 0) whose share of sun is given."""
        self._seed = seed
        self._begins = begins
        self._overcast = overcast

    def share(self, moment: dt.datetime) -> float:
        """Of the panel's power that this sky lets through."""
        since = (moment - self._begins).total_seconds()
        day, hour = int(since // 86_400), int(since // 3600)
        of_day = self._overcast.get(day)
        if of_day is None:
            of_day = random.Random(f"{self._seed} day {day}").uniform(0.45, 1.0)
        return of_day * random.Random(f"{self._seed} hour {hour}").uniform(0.7, 1.0)


@dataclass(frozen=True, slots=True)
class Load:
    """What the box does."""

    on: bool = True
    asleep: bool = False
    recording: bool = False
    exporting: bool = False
    copying: bool = False

    @property
    def power_mw(self) -> float:
        if not self.on:
            return OFF_MW
        if self.asleep:
            return ASLEEP_MW
        return (IDLE_MW + RECORDING_MW * self.recording + EXPORT_MW * self.exporting
                + COPY_MW * self.copying)


@dataclass
class Battery:
    """What is left, and what came and went."""

    energy_mwh: float
    in_mwh: float = 0.0
    out_mwh: float = 0.0
    least_mwh: float = FULL_MWH
    charging: bool = False
    on_mains: bool = False
    """The panel gives more than the box takes."""
    power_mw: float = 0.0
    """What the battery gives, or takes (below 0)."""

    @property
    def percent(self) -> float:
        return 100 * self.energy_mwh / FULL_MWH

    def pass_time(self, seconds: float, panel_mw: float, load: Load) -> bool:
        """False when it is empty: the box has no power any more."""
        self.power_mw = load.power_mw - panel_mw
        self.on_mains = self.power_mw <= 0
        wanted = self.energy_mwh - self.power_mw * seconds / 3600
        self.charging = self.on_mains and wanted < FULL_MWH
        after = min(max(wanted, 0.0), FULL_MWH)
        self.in_mwh += max(0.0, panel_mw) * seconds / 3600
        self.out_mwh += load.power_mw * seconds / 3600
        self.energy_mwh = after
        self.least_mwh = min(self.least_mwh, after)
        return wanted > 0


class PowerSupply:
    """A folder like /sys/class/power_supply: a charger and a battery."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._charger, self._battery = root / "SOLAR", root / "BAT0"
        self._told: dict[Path, str] = {}
        for supply, kind in ((self._charger, "Mains"), (self._battery, "Battery")):
            supply.mkdir(parents=True, exist_ok=True)
            self._tell(supply / "type", kind)
        self._tell(self._battery / "present", "1")
        self._tell(self._battery / "energy_full", str(int(FULL_MWH * 1000)))

    def show(self, battery: Battery, *, nonsense: str = "") -> None:
        """`nonsense`: what a gauge that is out of order says in place of the charge."""
        full = battery.energy_mwh >= FULL_MWH
        status = "Full" if full else "Charging" if battery.charging else "Discharging"
        volts = NOMINAL_MV * (0.9 + 0.15 * battery.percent / 100)
        for path, value in (
                (self._charger / "online", str(int(battery.on_mains))),
                (self._battery / "status", status),
                (self._battery / "capacity", nonsense or str(round(battery.percent))),
                (self._battery / "energy_now", nonsense or str(int(battery.energy_mwh * 1000))),
                (self._battery / "power_now", str(abs(int(battery.power_mw * 1000)))),
                (self._battery / "voltage_now", str(int(volts * 1000)))):
            self._tell(path, value)

    def _tell(self, path: Path, value: str) -> None:
        if self._told.get(path) != value:
            self._told[path] = value
            new = path.with_name("." + path.name)
            new.write_text(value + "\n")
            new.replace(path)


def temperature_c(elevation_deg: float, load: Load) -> float:
    """Of the processor in a box in the sun."""
    return 18 + 0.5 * max(0.0, elevation_deg) + 15 * load.exporting + 5 * load.recording
