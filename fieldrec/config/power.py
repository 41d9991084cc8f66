"""The section about battery and mains, and what their readings mean."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from fieldrec.config.section import Section


class PowerConfig(Section):
    """Battery and mains, and what their readings mean."""

    source: Literal["sysfs", "mains"] = "sysfs"
    """`sysfs` reads /sys/class/power_supply; `mains` says there is no battery to watch."""
    path: Path = Path("/sys/class/power_supply")
    poll_s: float = Field(default=10.0, ge=0.05, le=600)
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
    poweroff_command: tuple[str, ...] = ()
    """Run after the orderly stop at CRITICAL, e.g. [systemctl, poweroff]; empty: keep running."""

    @model_validator(mode="after")
    def _thresholds_are_ordered(self) -> PowerConfig:
        if not (self.critical_percent < self.critical_leave_percent
                <= self.low_leave_percent and self.low_percent < self.low_leave_percent
                and self.critical_percent <= self.low_percent):
            raise ValueError("expected critical_percent < critical_leave_percent and "
                             "critical_percent <= low_percent < low_leave_percent")
        return self
