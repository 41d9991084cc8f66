"""A bare pack behind a voltage monitor (INA219, INA226…): a hwmon chip -> volts, watts, charge.

Read in the worker thread ``power hwmon``. The charge comes from a discharge curve (``curves``). A
pack's voltage sags under load and recovers after it, so it is smoothed twice: what the load drops
across the pack is added again where current and `resistance_mohm` are known, and the median of the
last `smooth_s` is taken, so that a load which lasts for less than half of that changes nothing. A
longer one makes the charge look lower than it is, by the sag: that errs to the safe side.

Units of the kernel's ABI (Documentation/hwmon/sysfs-interface): in*_input mV, curr*_input mA,
power*_input µW. The sign of the current depends on how the shunt is wired: only the magnitude is
taken. Chips are named by their driver; of two equal ones the device says which.
"""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from fieldrec.core.clock import Clock
from fieldrec.core.power_reading import PowerReading
from fieldrec.core.workers import Worker
from fieldrec.power import SourceOptions, curves

MOST_SAMPLES = 1000
"""Of the smoothing; a reading a second for a quarter of an hour."""
Attribute = Annotated[str, Field(pattern=r"^(in|curr|power)[0-9]{1,2}$")]


class Options(SourceOptions):
    """Keys of the source `hwmon`."""

    chip: str
    """The driver's name for it, as in /sys/class/hwmon/*/name: ina226, ina219…"""
    device: str = ""
    """Which of several: the end of its device's path, such as 1-0040 (bus 1, address 0x40)."""
    voltage: Attribute = "in1"
    """Which input has the pack's voltage; in1 is the bus voltage of INA2xx."""
    current: Attribute | None = None
    """curr1 of INA2xx: for the load's share of the sag, and for watts where `power` is not."""
    power: Attribute | None = None
    """power1 of INA2xx."""
    curve: tuple[tuple[float, float], ...] = ()
    """[[volts, percent], …] of the pack, in place of `chemistry` and `cells`."""
    chemistry: Literal["lifepo4", "lead", "liion"] | None = None
    cells: int | None = Field(default=None, ge=1, le=200)
    """In series: 4 of a 12.8 V LiFePO4 pack, 6 of a 12 V lead battery."""
    capacity_wh: float | None = Field(default=None, gt=0, le=1e6)
    """Of the full pack; with it the time left is known from the watts."""
    resistance_mohm: float = Field(default=0.0, ge=0, le=10_000)
    """Of pack and cable together; needs `current`."""
    smooth_s: float = Field(default=300.0, ge=0, le=3600)
    """Over which the median of the voltage is taken."""
    mains_above_v: float | None = Field(default=None, gt=0)
    """Only a charger raises the pack above this: then it is on mains (13.5 V for 12 V lead)."""
    path: Path = Path("/sys/class/hwmon")

    @model_validator(mode="after")
    def _one_curve(self) -> Options:
        if self.curve:
            if self.chemistry is not None or self.cells is not None:
                raise ValueError("expected curve, or chemistry and cells, not both")
            curves.checked(self.curve)
        elif self.chemistry is None or self.cells is None:
            raise ValueError("expected a curve, or chemistry and cells")
        if self.resistance_mohm and self.current is None:
            raise ValueError("resistance_mohm needs current, such as curr1")
        return self


class Hwmon:
    """One pack's voltage, and what follows from it."""

    every_s: float | None = None

    def __init__(self, options: Options, clock: Clock) -> None:
        self.name = f"hwmon {options.chip}" + (f" {options.device}" if options.device else "")
        self._options = options
        self._clock = clock
        self._worker = Worker("power hwmon")
        self._volts: deque[tuple[int, float]] = deque(maxlen=MOST_SAMPLES)
        """(when, volts at rest) of the last `smooth_s`."""
        if options.curve:
            self._curve = curves.checked(options.curve)
        else:
            self._curve = curves.curve_of(str(options.chemistry), options.cells or 1)

    def start(self, changed: Callable[[], None]) -> bool:
        return False

    async def read(self) -> PowerReading:
        return await self._worker.run(lambda _stop: self._read())

    def close(self) -> None:
        self._worker.close()

    def _read(self) -> PowerReading:
        options = self._options
        found = _chips(options.path, options.chip, options.device)
        if len(found) != 1:
            return self._problem(_not_one(options, found))
        chip = found[0]
        millivolts = _number(chip, options.voltage)
        if millivolts is None or millivolts <= 0:
            return self._problem(f"{options.voltage}_input: no voltage")
        milliamps = None if options.current is None else _number(chip, options.current)
        microwatts = None if options.power is None else _number(chip, options.power)
        at_rest = (millivolts + abs(milliamps or 0) * options.resistance_mohm / 1000) / 1000
        percent = curves.percent_at(self._curve, self._smoothed(at_rest))
        full_mwh = None if options.capacity_wh is None else round(options.capacity_wh * 1000)
        above = options.mains_above_v
        return PowerReading(
            on_mains=None if above is None else millivolts / 1000 > above,
            charge_percent=percent, voltage_mv=millivolts,
            power_mw=_milliwatts(millivolts, milliamps, microwatts),
            charging=None, source=self.name,
            energy_mwh=None if full_mwh is None else round(full_mwh * percent / 100),
            energy_full_mwh=full_mwh)

    def _smoothed(self, volts: float) -> float:
        now_ns = self._clock.monotonic_ns()
        self._volts.append((now_ns, volts))
        while now_ns - self._volts[0][0] > self._options.smooth_s * 1e9:
            self._volts.popleft()
        return statistics.median(value for _, value in self._volts)

    def _problem(self, text: str) -> PowerReading:
        return PowerReading(None, None, None, None, None, self.name, problem=text)


SOURCE = Hwmon


def _chips(root: Path, name: str, device: str) -> list[Path]:
    try:
        there = sorted(root.iterdir())
    except OSError:
        return []
    return [path for path in there if _text(path / "name") == name
            and (not device or (path / "device").resolve().name == device)]


def _not_one(options: Options, found: list[Path]) -> str:
    if found:
        devices = ", ".join((path / "device").resolve().name for path in found)
        return f"{len(found)} chips {options.chip}; say which by the option device: {devices}"
    try:
        names = sorted({_text(path / "name") for path in options.path.iterdir()} - {""})
    except OSError:
        names = []
    which = f" at {options.device}" if options.device else ""
    return f"no chip {options.chip}{which}; there are: {', '.join(names[:20]) or 'none'}"


def _milliwatts(millivolts: int, milliamps: int | None, microwatts: int | None) -> int | None:
    if microwatts is not None:
        return abs(microwatts) // 1000
    return None if milliamps is None else millivolts * abs(milliamps) // 1000


def _number(chip: Path, attribute: str) -> int | None:
    try:
        value = int(_text(chip / f"{attribute}_input"))
    except ValueError:
        return None
    return value if abs(value) < 1 << 63 else None


def _text(path: Path) -> str:
    """A file of sysfs; "" where it is missing or refuses."""
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""
