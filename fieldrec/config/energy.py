"""The section about what the box runs on, as far as forecasts need it."""

from __future__ import annotations

from pydantic import Field

from fieldrec.config.section import Section


class EnergyConfig(Section):
    """Energy. What recording and jobs use is measured where the battery tells its power."""

    battery_wh: float | None = Field(default=None, gt=0, le=1_000_000)
    """What the full batteries hold; null: what the gauge says, if it does."""
