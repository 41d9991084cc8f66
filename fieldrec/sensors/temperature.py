"""How warm the processor is: the kernel's thermal zones and hwmon chips.

Blocking, though only for as long as the kernel takes to ask a sensor; called by the app's
temperature worker. Never raises: a sensor that is missing, unreadable or says nonsense is left out.

Of several sensors the warmest counts. Zones are taken by their type, chips by their name: graphics,
radios, disks and batteries have sensors too, and say nothing of the processor. Only where none
names the processor the board's own zone (acpitz) counts. Units are the kernel's
(Documentation/ABI/testing/sysfs-class-thermal, sysfs-class-hwmon): m°C.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

LEAST_C = -45.0
"""Below this nothing that records still runs…"""
MOST_C = 130.0
"""…nor above this: sensors that are not connected say -273, 255 or the like."""
NOT_READ_C = 0.0
"""Exactly this is what many drivers say before they have measured."""
_ZONES = ("x86-pkg-temp", "cpu", "soc", "bcm2835-thermal", "tcpu", "tj-thermal", "package",
          "cluster", "core", "big", "little", "center-thermal")
"""How the types of the processor's zones begin, in lower case and with "-" for "_"."""
_BOARD = "acpitz"
_CHIPS = ("coretemp", "k10temp", "k8temp", "zenpower", "cpu-thermal", "soc-thermal",
          "scpi-sensors", "scmi-sensors", "bcm2835")


def read(root: Path = Path("/sys")) -> float | None:
    """°C of the warmest sensor of the processor; None where nothing tells."""
    own = [*_zones(root, _ZONES), *_chips(root)]
    return max(own or _zones(root, (_BOARD,)), default=None)


def _zones(root: Path, kinds: tuple[str, ...]) -> Iterator[float]:
    for zone in _listed(root / "class" / "thermal", "thermal_zone*"):
        if _name(zone / "type").startswith(kinds):
            yield from _celsius(zone / "temp")


def _chips(root: Path) -> Iterator[float]:
    for chip in _listed(root / "class" / "hwmon", "hwmon*"):
        if _name(chip / "name").startswith(_CHIPS):
            for file in _listed(chip, "temp*_input"):
                yield from _celsius(file)


def _celsius(file: Path) -> Iterator[float]:
    """What a file of m°C says, if that can be."""
    try:
        value = int(_text(file)) / 1000
    except ValueError:
        return
    if LEAST_C <= value <= MOST_C and value != NOT_READ_C:
        yield value


def _name(file: Path) -> str:
    return _text(file).lower().replace("_", "-")


def _listed(folder: Path, pattern: str) -> list[Path]:
    try:
        return sorted(folder.glob(pattern))
    except OSError:
        return []


def _text(file: Path) -> str:
    """"" for what cannot be read; a driver answers EAGAIN, EIO or ENODATA."""
    try:
        with file.open("rb") as stream:
            return stream.read(64).decode("ascii", errors="replace").strip()
    except OSError:
        return ""
