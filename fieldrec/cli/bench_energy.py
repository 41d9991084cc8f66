"""The energy that a machine takes, where it says so: the processor's counters, or its battery.

Blocking, for microseconds: small files of sysfs. What is measured is the whole machine (battery) or
the whole processor (RAPL), whoever made it work.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from fieldrec.power import sysfs


class Meter(Protocol):
    """Told to look now and then; at least at the beginning and at the end."""

    source: str
    """What is measured, in words."""

    def look(self) -> None:
        """Count what was used since the last look."""

    @property
    def joules(self) -> float:
        """From the first look to the last."""


@dataclass
class Rapl:
    """The energy counters of the processor packages (Linux powercap), in microjoules."""

    counters: tuple[Path, ...]
    source: str = "the processor's own counter (RAPL), without the rest of the machine"
    joules: float = 0.0
    _last: list[int] = field(default_factory=list)

    def look(self) -> None:
        """A counter that began again from 0 has gone through its range."""
        now = [_integer(path / "energy_uj") for path in self.counters]
        for path, before, value in zip(self.counters, self._last, now, strict=False):
            wrapped = _integer(path / "max_energy_range_uj") if value < before else 0
            self.joules += (value - before + wrapped) / 1e6
        self._last = now


@dataclass
class Discharge:
    """What the batteries deliver, sampled: for a machine that runs on them."""

    supplies: Path
    source: str = "the battery's discharge, of the whole machine"
    joules: float = 0.0
    _last: tuple[float, float] | None = None

    def look(self) -> None:
        """The power is taken to have changed evenly since the last look."""
        power_mw = sysfs.read(self.supplies).power_mw
        if power_mw is None:
            return
        now_s, watts = time.monotonic(), power_mw / 1000
        if self._last is not None:
            self.joules += (now_s - self._last[0]) * (watts + self._last[1]) / 2
        self._last = (now_s, watts)


def meter(root: Path = Path("/sys/class")) -> Meter | None:
    """What this machine can tell: the discharge of its battery while it runs on that, else the
    counters of its processor; None when it tells nothing, or not to this user."""
    supplies = root / "power_supply"
    reading = sysfs.read(supplies)
    if reading.on_mains is False and reading.power_mw is not None:
        return Discharge(supplies)
    packages = [path for path in sorted((root / "powercap").glob("intel-rapl:*"))
                if path.name.count(":") == 1 and _is_readable(path / "energy_uj")]
    return Rapl(tuple(packages)) if packages else None


def _is_readable(path: Path) -> bool:
    try:
        _integer(path)
    except (OSError, ValueError):
        return False
    return True


def _integer(path: Path) -> int:
    return int(path.read_text())
