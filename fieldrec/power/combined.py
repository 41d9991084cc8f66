"""One reading of what several sources say. Pure; called by the power watcher for each round.

The rule:

- A source that cannot be read says nothing, and does not hide one that can; it is named in the
  note. Only if none can be read is the combination a problem.
- Mains: with `mains_if: any`, if any source says so; with `all`, if none of those that know denies
  it. A tree of supplies without any battery (source "none") knows nothing of batteries elsewhere:
  it counts only where nobody else says anything.
- Charge: the lowest of all. But where every source that has a charge also says its energy and what
  it holds when full, they are taken for batteries side by side: all left over all full. When the
  charges differ by more than `disagree_percent` that is said, and the lowest counts even then, for
  one of them must be wrong, or is the one that ends first. Energy, power, voltage and runtime are
  of the source whose charge counts; sums where they are side by side.
- What a source says in words (a UPS's "low battery") counts if it is the worst said; one that is
  about to cut the power is not overruled by others' mains.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

from fieldrec.core.model import PowerLevel
from fieldrec.core.power_reading import PowerReading

_RANK = {PowerLevel.BATTERY: 1, PowerLevel.LOW: 2, PowerLevel.CRITICAL: 3}


def combined(readings: Sequence[PowerReading], *, mains_if: Literal["any", "all"],
             disagree_percent: float) -> PowerReading:
    """The reading of all, by the rule above; `readings` is not empty."""
    if len(readings) == 1:
        return readings[0]
    speaking = [reading for reading in readings if reading.source != "none"] or list(readings)
    readable = [reading for reading in speaking if _tells(reading)]
    silent = [reading for reading in speaking if reading.problem]
    notes = [reading.note for reading in speaking if reading.note]
    if not readable:
        return _nothing(speaking, mains_if)
    notes += [f"{reading.source} unreadable ({reading.problem})" for reading in silent]
    charged = [reading for reading in readable if reading.charge_percent is not None]
    figures = _figures(charged, disagree_percent, notes)
    forced = any(reading.forced for reading in readable)
    return replace(
        figures or readable[0],
        on_mains=False if forced else _mains(speaking, mains_if),
        charging=_charging(readable), says=_worst_said(readable), forced=forced, problem="",
        source=" + ".join(reading.source for reading in readable), note="; ".join(notes))


def _tells(reading: PowerReading) -> bool:
    """Whether it says anything of a charge, a level or mains without a complaint."""
    return not reading.problem and (reading.charge_percent is not None or reading.says is not None
                                    or reading.on_mains is not None)


def _nothing(speaking: Sequence[PowerReading], mains_if: Literal["any", "all"]) -> PowerReading:
    """Nobody can be read; what is known of mains stays."""
    problem = "; ".join(f"{reading.source}: {reading.problem or 'nothing said'}"
                        for reading in speaking)
    return PowerReading(_mains(speaking, mains_if), None, None, None, None,
                        " + ".join(reading.source for reading in speaking), problem=problem)


def _mains(readings: Sequence[PowerReading], mains_if: Literal["any", "all"]) -> bool | None:
    """Also a source whose battery cannot be read may know of mains."""
    known = [reading.on_mains for reading in readings if reading.on_mains is not None]
    if not known:
        return None
    return any(known) if mains_if == "any" else all(known)


def _charging(readings: Sequence[PowerReading]) -> bool | None:
    said = {reading.charging for reading in readings}
    return True if True in said else False if False in said else None


def _worst_said(readings: Sequence[PowerReading]) -> PowerLevel | None:
    said = [reading.says for reading in readings if reading.says is not None]
    return max(said, key=lambda level: _RANK.get(level, 0), default=None)


def _figures(charged: Sequence[PowerReading], disagree_percent: float, notes: list[str]
             ) -> PowerReading | None:
    """Charge, energy, power, voltage and runtime; adds to `notes` who disagrees."""
    if not charged:
        return None
    lowest = min(charged, key=_percent)
    if _percent(max(charged, key=_percent)) - _percent(lowest) > disagree_percent:
        said = ", ".join(f"{reading.source} {_percent(reading):.0f} %" for reading in charged)
        notes.append(f"{said}: they disagree, the lowest counts")
        return lowest
    if len(charged) == 1 or not all(reading.energy_mwh is not None and reading.energy_full_mwh
                                    for reading in charged):
        return lowest
    energy_mwh = _total(charged, lambda reading: reading.energy_mwh)
    full_mwh = _total(charged, lambda reading: reading.energy_full_mwh)
    return replace(
        lowest, energy_mwh=energy_mwh, energy_full_mwh=full_mwh, runtime_s=None,
        charge_percent=min(100.0, 100.0 * (energy_mwh or 0) / (full_mwh or 1)),
        power_mw=_total(charged, lambda reading: reading.power_mw))


def _percent(reading: PowerReading) -> float:
    return 100.0 if reading.charge_percent is None else reading.charge_percent


def _total(readings: Sequence[PowerReading], figure: Callable[[PowerReading], int | None]
           ) -> int | None:
    """Sum of a figure; None unless every one says it (half a sum misleads)."""
    values = [figure(reading) for reading in readings]
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None
