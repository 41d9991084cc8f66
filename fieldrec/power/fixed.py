"""A level or a charge from the configuration, for boxes without a gauge; read once, never again.

`level: mains` is what `power.source: mains` means: there is no battery to watch.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

from pydantic import Field, model_validator

from fieldrec.core.clock import Clock
from fieldrec.core.model import PowerLevel
from fieldrec.core.power_reading import PowerReading
from fieldrec.power import SourceOptions


class Options(SourceOptions):
    """Keys of the source `fixed`."""

    level: Literal["mains", "battery", "low", "critical"] | None = None
    """What the level is; with `percent` the worse of both counts."""
    percent: float | None = Field(default=None, ge=0, le=100)
    """Charge on battery, judged by the thresholds like any other."""

    @model_validator(mode="after")
    def _something_is_said(self) -> Options:
        if self.level is None and self.percent is None:
            raise ValueError("expected level or percent")
        return self


class Fixed:
    """Says the same for ever."""

    every_s: float | None = math.inf

    def __init__(self, options: Options, clock: Clock) -> None:
        self.name = "fixed"
        self._options = options

    def start(self, changed: Callable[[], None]) -> bool:
        return True

    async def read(self) -> PowerReading:
        level = None if self._options.level is None else PowerLevel(self._options.level)
        mains = level is PowerLevel.MAINS
        return PowerReading(mains, self._options.percent, None, None, None, "configured",
                            says=None if mains else level)

    def close(self) -> None:
        pass


SOURCE = Fixed
