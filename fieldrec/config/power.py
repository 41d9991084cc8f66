"""The section about battery and mains: which sources are asked, and what their readings mean."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from fieldrec.config.section import Section, located


def _command(value: object) -> object:
    """`none` and nothing as the empty command."""
    return () if value is None or value == "none" else value


class PowerSourceConfig(Section):
    """One source of readings, an item of `power.sources`."""

    type: str
    """Module in fieldrec/power: sysfs, nut, hwmon, command or fixed; mains: there is no battery."""
    options: dict[str, Any] = Field(default_factory=dict)
    """The source's own keys; `fieldrec config check` validates them too."""


class PowerConfig(Section):
    """Battery and mains, and what their readings mean."""

    source: str = "sysfs"
    """The one source, where it needs no options; `mains` says there is no battery to watch."""
    sources: tuple[PowerSourceConfig, ...] = ()
    """Several sources, or one with options; in place of `source`."""
    mains_if: Literal["any", "all"] = "any"
    """Of several sources that know of mains: `any` of them says so, for feeds beside each other (a
    charger beside a solar battery), or `all` of those that answer, for one behind the other (a UPS
    in front of the box's own battery)."""
    disagree_percent: float = Field(default=15.0, ge=0, le=100)
    """Sources whose charges differ by more than this disagree: that is shown, and the lower one
    counts."""
    path: Path = Path("/sys/class/power_supply")
    """Where the source `sysfs` reads, unless its own option says otherwise."""
    poll_s: float = Field(default=60.0, ge=0.05, le=600)
    """Between two readings of a source that reports its changes, while nothing happens…"""
    poll_often_s: float = Field(default=10.0, ge=0.05, le=600)
    """…and of one that does not, and of all of them while a worse level waits to be believed, and
    at LOW and CRITICAL. The shorter of the two counts."""
    low_percent: float = Field(default=25.0, ge=0, le=100)
    """At or below this charge on battery the level is LOW…"""
    low_leave_percent: float = Field(default=35.0, ge=0, le=100)
    """…until it is above this again, or on mains."""
    critical_percent: float = Field(default=10.0, ge=0, le=100)
    """At or below this charge on battery recordings are closed in order."""
    critical_leave_percent: float = Field(default=15.0, ge=0, le=100)
    dwell_s: float = Field(default=30.0, ge=0)
    """A worse level must be read for this long before it is believed."""
    unreadable_s: float = Field(default=120.0, ge=0)
    """A battery that cannot be read for this long counts as LOW."""
    poweroff_command: Annotated[tuple[str, ...], BeforeValidator(_command)] = (
        "systemctl", "poweroff")
    """Run after the orderly stop at CRITICAL; `none`: fieldrec goes on running, and records again
    when power is back."""

    @model_validator(mode="after")
    def _thresholds_are_ordered(self) -> PowerConfig:
        if not (self.critical_percent < self.critical_leave_percent
                <= self.low_leave_percent and self.low_percent < self.low_leave_percent
                and self.critical_percent <= self.low_percent):
            raise ValueError("expected critical_percent < critical_leave_percent and "
                             "critical_percent <= low_percent < low_leave_percent")
        return self

    @model_validator(mode="after")
    def _sources_are_given_once(self) -> PowerConfig:
        if self.sources and "source" in self.model_fields_set and self.source != "sysfs":
            raise located(("source",), "give source or sources, not both")
        return self
