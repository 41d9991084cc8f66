"""What a source of power says at one moment: the noun between the sources and their judges, frozen.

Units are in the names.
"""

from __future__ import annotations

from dataclasses import dataclass

from fieldrec.core.model import PowerLevel


@dataclass(frozen=True, slots=True)
class PowerReading:
    """What one source said at one moment, before any judgement."""

    on_mains: bool | None
    charge_percent: float | None
    voltage_mv: int | None
    power_mw: int | None
    charging: bool | None
    source: str
    problem: str = ""
    """Why the source could not be read; "" when it could."""
    energy_mwh: int | None = None
    """What is left in the batteries, where the gauge says so."""
    energy_full_mwh: int | None = None
    """What they hold when full."""
    runtime_s: float | None = None
    """How long they last, by the source's own reckoning."""
    says: PowerLevel | None = None
    """A level that the source gives in words (a UPS's "low battery"), whatever its figures."""
    forced: bool = False
    """The source is about to cut the power: nothing is waited for."""
    note: str = ""
    """For people: sources that are silent or disagree."""
