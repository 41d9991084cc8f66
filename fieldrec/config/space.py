"""The section about room on the disks: when it is said to get short, and what is then done."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from fieldrec.config.section import Section

ACTS = ("delete_verified", "export_on_battery", "stop")
"""What may be done to make room, in the order in which it is."""


class SpaceConfig(Section):
    """Room for recordings, over all recordings folders. Recording itself stops at
    `storage.stop_percent` and `storage.reserve_bytes`."""

    warn_hours: float = Field(default=12.0, gt=0, le=100_000)
    """Less than this is left at the present rate: WARN, which is only said."""
    act_hours: float = Field(default=3.0, gt=0, le=100_000)
    """Less than this: ACT, where `act` is done. A tier is left again above 1.25 of its limit."""
    warn_percent: float = Field(default=80.0, gt=0, le=100)
    """The same by how full the disks are, while no rate is known…"""
    act_percent: float = Field(default=90.0, gt=0, le=100)
    """…left again 2 points below."""
    readings: int = Field(default=3, ge=1, le=100)
    """A tier, and that a disk is full, is believed when so many readings in a row say so."""
    act: tuple[Literal["delete_verified", "export_on_battery", "stop"], ...] = ()
    """What is done at ACT, in this order; empty: nothing. `delete_verified`: the oldest recordings
    of which a verified copy is known, as many as are needed. `export_on_battery`: exports need no
    mains. `stop`: recording stops when neither of the others makes room."""
    copies: int = Field(default=1, ge=1, le=9)
    """Destinations at which a recording must be verified before `delete_verified` takes it."""

    @field_validator("act")
    @classmethod
    def _in_order(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if list(value) != [act for act in ACTS if act in value]:
            raise ValueError(f"each once, in this order: {', '.join(ACTS)}")
        return value

    @model_validator(mode="after")
    def _warns_before_it_acts(self) -> SpaceConfig:
        if not self.act_hours < self.warn_hours:
            raise ValueError(f"act_hours {self.act_hours:g} must be less than warn_hours "
                             f"{self.warn_hours:g}")
        if not self.warn_percent < self.act_percent:
            raise ValueError(f"warn_percent {self.warn_percent:g} must be less than act_percent "
                             f"{self.act_percent:g}")
        return self


def below_stop(space: SpaceConfig, stop_percent: float) -> SpaceConfig:
    """The section with its percent below `storage.stop_percent`, where nobody has set them."""
    if space.act_percent < stop_percent:
        return space
    return space.model_copy(update={"warn_percent": 0.85 * stop_percent,
                                    "act_percent": 0.95 * stop_percent})


def contradiction(space: SpaceConfig, stop_percent: float, raw: str) -> tuple[str, str] | None:
    """What the section asks for that others make impossible, as (key, why); None for nothing.
    `stop_percent` is storage's, `raw` is export's."""
    if "act_percent" in space.model_fields_set and space.act_percent >= stop_percent:
        return "act_percent", (f"{space.act_percent:g} must be less than storage.stop_percent "
                               f"{stop_percent:g}, at which recording stops")
    if "export_on_battery" in space.act and raw == "keep":
        return "act", ("export_on_battery makes no room while export.raw is keep: exports would "
                       "only fill the disk; set export.raw to delete_verified, or leave it out")
    return None
