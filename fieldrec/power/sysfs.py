"""Batteries and mains as the kernel shows them: a tree like /sys/class/power_supply -> a reading.

Read in the worker thread ``power sysfs``; blocks that for as long as the gauges take (an I2C gauge
in trouble: seconds). No judgement here: hysteresis and dwell are in ``levels``. Any file may be
missing, or answer EINVAL, ENODATA or nonsense: then that figure is unknown, nothing else.

Rules. Supplies with scope "Device" (mice, headsets) and batteries with present = 0 are not ours.
Charge of several batteries: all left over all full, if each says its energy (else each its
charge); otherwise the lowest of their percentages. A battery without a charge figure is left out,
and only if none has one is the reading a problem. Mains: any supply online; with none to ask, the
batteries' status tells. No battery at all means MAINS: whatever supplies such a box is its mains.
But a battery that was there, or is expected by the configuration, and is gone is said; when no
other is left that is a problem, for a gauge's driver that dies does not charge a battery.

Units are those of the kernel's ABI (Documentation/ABI/testing/sysfs-class-power): µV, µA, µW, µWh,
µAh. Drivers differ in the sign of current and power, so only the magnitude is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import Field

from fieldrec.core.clock import Clock
from fieldrec.core.power_reading import PowerReading
from fieldrec.core.workers import Worker
from fieldrec.power import SourceOptions
from fieldrec.power.uevents import Uevents

_BATTERY_TYPES = frozenset({"Battery", "UPS"})
_MAINS_TYPES = frozenset({"Mains", "USB", "Wireless"})
_NOT_EMPTY_LEVELS = frozenset({"Normal", "High", "Full"})
_LEAST_RATIO = 0.5
"""Percent; below it only a gauge is believed that says a charge as well."""
_LEAST_PLAUSIBLE_UV = 100_000
"""Nothing runs on 0.1 V: a smaller "µV" is a driver that speaks mV (the kernel's test driver)."""


class Options(SourceOptions):
    """Keys of the source `sysfs`."""

    path: Path = Path("/sys/class/power_supply")
    batteries: tuple[str, ...] = ()
    """Names of the batteries that count, and must be there; none: all that are found."""
    disagree_percent: float = Field(default=15.0, ge=0, le=100)
    """Batteries without energy figures that differ by more are said to disagree."""


class Sysfs:
    """The supplies of one tree, read now and then and at each of the kernel's events."""

    every_s: float | None = None

    def __init__(self, options: Options, clock: Clock) -> None:
        self.name = "sysfs"
        self._options = options
        self._events = Uevents("power_supply")
        self._worker = Worker("power sysfs")
        self._known: set[str] = set(options.batteries)
        """Batteries that must be there: by the configuration, or because they were."""

    def start(self, changed: Callable[[], None]) -> bool:
        return self._events.start(changed)

    async def read(self) -> PowerReading:
        return await self._worker.run(lambda _stop: self._read())

    def close(self) -> None:
        self._events.close()
        self._worker.close()

    def _read(self) -> PowerReading:
        reading, there = _look(self._options.path, self._options.batteries,
                               self._options.disagree_percent)
        gone = sorted(self._known - there)
        if not self._options.batteries:
            self._known |= there
        if not gone:
            return reading
        said = f"{', '.join(map(_printable, gone))}: gone"
        if reading.source == "none":
            return PowerReading(_mains_without_battery(self._options.path), None, None, None, None,
                                "sysfs", problem=said)
        note = f"{said}; {reading.note}" if reading.note else said
        return replace(reading, note=note, problem=reading.problem and f"{said}; {reading.problem}")


SOURCE = Sysfs


@dataclass(frozen=True, slots=True)
class _Battery:
    """One battery's figures, None where it does not say."""

    name: str
    status: str
    percent: float | None
    energy_uwh: int | None
    energy_full_uwh: int | None
    charge_uah: int | None
    charge_full_uah: int | None
    voltage_uv: int | None
    power_uw: int | None


def read(root: Path) -> PowerReading:
    """Read every supply below `root` once. Never raises; what is wrong is in `problem`.

    `charging` is True while any battery charges, False while any discharges, None for neither
    (full, or held by the charger).
    """
    return _look(root, (), 100.0)[0]


def _look(root: Path, wanted: Iterable[str], disagree_percent: float
          ) -> tuple[PowerReading, set[str]]:
    """The reading of the `wanted` batteries (all, where none is named), and which are there."""
    try:
        supplies = sorted(root.iterdir())
    except FileNotFoundError:
        supplies = []
    except OSError as error:
        return PowerReading(None, None, None, None, None, "sysfs",
                            problem=f"{root}: {error.strerror}"), set()
    ours = [path for path in supplies if _text(path, "scope") != "Device"]
    slots = [path for path in ours if _text(path, "type") in _BATTERY_TYPES
             and (not wanted or path.name in wanted)]
    chargers = [path for path in ours if _text(path, "type") in _MAINS_TYPES]
    if not slots:
        return PowerReading(True, None, None, None, None, "none"), set()
    batteries = [_battery(path) for path in slots if _integer(path, "present") != 0]
    reading = _combined(batteries, _online(chargers), [*slots, *chargers])
    note = _disagreement(batteries, disagree_percent)
    return replace(reading, note=note), {path.name for path in slots}


def _combined(batteries: list[_Battery], online: bool | None, seen: list[Path]) -> PowerReading:
    """One reading of all batteries by the rules above."""
    percent = _charge_percent(batteries)
    voltages = [battery.voltage_uv for battery in batteries if battery.voltage_uv is not None]
    problem = ""
    if not batteries:
        problem = "no battery in its bay"
    elif percent is None:
        names = ", ".join(battery.name for battery in batteries)
        problem = f"{names}: no believable charge figure"
    return PowerReading(
        on_mains=online if online is not None else _mains_by_status(batteries),
        charge_percent=percent,
        voltage_mv=min(voltages) // 1000 if voltages else None,
        power_mw=_milli(_total(batteries, lambda battery: battery.power_uw)),
        charging=_charging(batteries),
        source="sysfs: " + ", ".join(_printable(path.name) for path in seen),
        problem=problem,
        energy_mwh=_milli(_total(batteries, lambda battery: battery.energy_uwh)),
        energy_full_mwh=_milli(_total(batteries, lambda battery: battery.energy_full_uwh)),
    )


def _charge_percent(batteries: list[_Battery]) -> float | None:
    """Charge of all batteries together; None when no battery says."""
    known = [battery for battery in batteries if battery.percent is not None]
    if len(known) < 2:
        return known[0].percent if known else None
    for pairs in _amounts(known):
        left = sum(left or 0 for left, _ in pairs)
        return min(100.0, 100.0 * left / sum(full or 0 for _, full in pairs))
    return min(battery.percent or 0.0 for battery in known)


def _amounts(batteries: list[_Battery]) -> list[list[tuple[int | None, int | None]]]:
    """(left, full) of each battery in one unit, in the units in which every one says both."""
    energy = [(b.energy_uwh, b.energy_full_uwh) for b in batteries]
    charge = [(b.charge_uah, b.charge_full_uah) for b in batteries]
    return [pairs for pairs in (energy, charge)
            if all(left is not None and full for left, full in pairs)]


def _disagreement(batteries: list[_Battery], most: float) -> str:
    """In words, where percentages alone are known and differ by more than `most`; else ""."""
    known = [battery for battery in batteries if battery.percent is not None]
    figures = [battery.percent or 0.0 for battery in known]
    if len(known) < 2 or _amounts(known) or max(figures) - min(figures) <= most:
        return ""
    said = ", ".join(f"{b.name} {b.percent:.0f} %" for b in known)
    return f"{said}: they disagree, the lowest counts"


def _charging(batteries: list[_Battery]) -> bool | None:
    statuses = {battery.status for battery in batteries}
    if "Charging" in statuses:
        return True
    return False if "Discharging" in statuses else None


def _mains_by_status(batteries: list[_Battery]) -> bool | None:
    """Whether something feeds the box, judged by the batteries alone; None when they do not say.

    "Not charging" means fed but held by the charger; a discharging battery beside it wins.
    """
    statuses = {battery.status for battery in batteries}
    if "Charging" in statuses:
        return True
    if "Discharging" in statuses:
        return False
    return True if statuses & {"Full", "Not charging"} else None


def _online(chargers: list[Path]) -> bool | None:
    """Whether any supply is online (1 fixed, 2 programmable); None when none says."""
    values = [_integer(path, "online") for path in chargers]
    known = [value for value in values if value is not None]
    return any(value > 0 for value in known) if known else None


def _mains_without_battery(root: Path) -> bool | None:
    """What the chargers say when the batteries are gone."""
    try:
        return _online([path for path in root.iterdir() if _text(path, "type") in _MAINS_TYPES])
    except OSError:
        return None


def _battery(path: Path) -> _Battery:
    """Read one battery."""
    voltage = _magnitude(path, "voltage_now")
    if voltage is not None and 0 < voltage < _LEAST_PLAUSIBLE_UV:
        voltage *= 1000
    power = _magnitude(path, "power_now")
    current = _magnitude(path, "current_now")
    if power is None and current is not None and voltage is not None:
        power = current * voltage // 1_000_000
    energy, energy_full = _amount(path, "energy_now"), _amount(path, "energy_full")
    charge, charge_full = _amount(path, "charge_now"), _amount(path, "charge_full")
    return _Battery(
        name=_printable(path.name), status=_text(path, "status"),
        percent=_percent(path, [(energy, energy_full), (charge, charge_full)]),
        energy_uwh=energy, energy_full_uwh=energy_full,
        charge_uah=charge, charge_full_uah=charge_full,
        voltage_uv=voltage or None, power_uw=power,
    )


def _percent(path: Path, pairs: list[tuple[int | None, int | None]]) -> float | None:
    """A believable charge, or None.

    Outside 0…100 (255 and -1 are what gauges say that do not know) the ratio of left to full
    stands in, unless that is next to nothing: such a gauge says nonsense everywhere. A 0 counts
    only if the ratio or the driver's own level does not speak against it: a gauge that has just
    started says 0 too.
    """
    ratio = next((100.0 * now / full for now, full in pairs if now is not None and full), None)
    if ratio is not None and not 0.0 <= ratio <= 120.0:
        ratio = None
    value = _integer(path, "capacity")
    if value is None:
        return None if ratio is None else min(ratio, 100.0)
    if not 0 <= value <= 100:
        return None if ratio is None or ratio < _LEAST_RATIO else min(ratio, 100.0)
    if value == 0 and ratio is not None:
        return min(ratio, 100.0)
    if value == 0 and _text(path, "capacity_level") in _NOT_EMPTY_LEVELS:
        return None
    return float(value)


def _total(batteries: list[_Battery], figure: Callable[[_Battery], int | None]) -> int | None:
    """Sum of a figure over all batteries; None unless every one says it (half a sum misleads)."""
    values = [figure(battery) for battery in batteries]
    known = [value for value in values if value is not None]
    return sum(known) if known and len(known) == len(values) else None


def _milli(micro: int | None) -> int | None:
    return None if micro is None else micro // 1000


def _text(path: Path, attribute: str) -> str:
    """An attribute as text; "" where it is missing or refuses."""
    try:
        return (path / attribute).read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""


def _integer(path: Path, attribute: str) -> int | None:
    """An attribute as an integer; None where it is missing, refuses or is none that the kernel
    has."""
    try:
        value = int(_text(path, attribute))
    except ValueError:
        return None
    return value if abs(value) < 1 << 63 else None


def _magnitude(path: Path, attribute: str) -> int | None:
    value = _integer(path, attribute)
    return None if value is None else abs(value)


def _amount(path: Path, attribute: str) -> int | None:
    """What is in a battery; -1 is what gauges say that do not know."""
    value = _integer(path, attribute)
    return None if value is None or value < 0 else value


def _printable(name: str) -> str:
    """A supply's name for people: HID devices put their own text into it."""
    return "".join(c if " " <= c <= "~" else "?" for c in name[:32])
