"""The section about sleeping between scheduled recordings, and about what keeps the box awake."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from fieldrec.config.section import Section, located


class SleepConfig(Section):
    """When the box may sleep, how it does, and what wakes it."""

    mode: Literal["never", "between_windows"] = "never"
    """`between_windows`: it sleeps while nothing holds it awake and the next scheduled recording
    is far enough away. It never sleeps without a wake-up that the RTC has taken."""
    by: Literal["suspend", "power_off"] = "suspend"
    """`suspend` runs `command` and goes on when it wakes; `power_off` is an orderly stop and then
    `power.poweroff_command`: the RTC must be able to switch the machine on."""
    command: tuple[str, ...] = Field(default=("systemctl", "suspend"), min_length=1)
    """Puts the machine to sleep."""
    rtc: Path = Path("/sys/class/rtc/rtc0")
    """The clock whose `wakealarm` wakes the machine."""
    lead_s: float = Field(default=120.0, ge=0, le=3600)
    """It wakes this long before a scheduled recording: cameras and disks need their time."""
    min_s: float = Field(default=900.0, ge=60)
    """It does not go to sleep for less than this."""
    longest_s: float = Field(default=21_600.0, ge=300)
    """It wakes at least this often and looks: a guard against a wake-up that was lost."""
    idle_s: float = Field(default=60.0, ge=1)
    """Nothing must have held it awake for this long."""
    person_s: float = Field(default=1800.0, ge=0)
    """Somebody who is logged in, or gives commands, keeps it awake for this long after the last
    key."""
    job_max_s: float = Field(default=21_600.0, gt=0)
    """A job that hangs keeps it awake no longer than this."""
    drive_max_s: float = Field(default=900.0, gt=0)
    """A drive that is mounted keeps it awake no longer than this, unless it is being written."""
    wake_after_power_off: bool = True
    """Whether the RTC is told the next scheduled recording when the battery is CRITICAL and the
    machine is switched off."""

    @model_validator(mode="after")
    def _it_can_sleep(self) -> SleepConfig:
        if self.longest_s < self.min_s:
            raise located(("longest_s",), "expected no less than min_s: it would never sleep")
        return self
