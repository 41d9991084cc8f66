"""The section about when the box has time for exports."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated

from pydantic import BeforeValidator, Field, model_validator

from fieldrec.config.section import Section

DAY_MIN = 24 * 60
_HOURS = re.compile(r"^\s*([0-9]{1,2}):([0-9]{2})\s*-\s*([0-9]{1,2}):([0-9]{2})\s*\Z")


@dataclass(frozen=True, slots=True)
class Hours:
    """A span of every day by the wall clock, in minutes after midnight; it may span midnight."""

    begin_min: int
    """0 to 1439."""
    end_min: int
    """1 to 1440, the first minute that does not belong to it; at or below `begin_min`: of the next
    day."""

    def holds(self, minute: int) -> bool:
        """Whether this minute after midnight belongs to it."""
        if self.begin_min < self.end_min:
            return self.begin_min <= minute < self.end_min
        return minute >= self.begin_min or minute < self.end_min

    def __str__(self) -> str:
        return "-".join(f"{at // 60:02d}:{at % 60:02d}" for at in (self.begin_min, self.end_min))


def parse_hours(value: object) -> object:
    """Hours from "22:00-06:00"; ValueError says what is expected."""
    if isinstance(value, Hours):
        return value
    match = _HOURS.match(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError('expected hours such as "22:00-06:00", in quotes')
    begin_h, begin_min, end_h, end_min = (int(text) for text in match.groups())
    begin, end = begin_h * 60 + begin_min, end_h * 60 + end_min
    if begin_min > 59 or end_min > 59 or begin >= DAY_MIN or end > DAY_MIN:
        raise ValueError(f"{str(value).strip()}: expected times from 00:00 to 24:00")
    if begin == end:
        raise ValueError(f"{str(value).strip()}: begins when it ends; give a span, or leave it out")
    return Hours(begin, end)


class IdleConfig(Section):
    """When there is time for exports, besides that nothing may be recorded meanwhile."""

    before_schedule_min: float = Field(default=10.0, ge=0, le=24 * 60)
    """So many minutes before a scheduled recording no export begins or goes on that will not be
    ready by then."""
    max_temperature_c: float | None = Field(default=80.0, ge=20, le=120)
    """Exports wait while the processor is warmer; null: never for that…"""
    back_temperature_c: float = Field(default=75.0, ge=10, le=120)
    """…until it is below this."""
    quiet_hours: tuple[Annotated[Hours, BeforeValidator(parse_hours)], ...] = ()
    """Hours by the clock of `system.timezone` in which the box keeps quiet: no exports."""

    @model_validator(mode="after")
    def _limits_leave_something(self) -> IdleConfig:
        if self.max_temperature_c is not None and self.back_temperature_c >= self.max_temperature_c:
            raise ValueError("expected back_temperature_c < max_temperature_c")
        if all(any(hours.holds(minute) for hours in self.quiet_hours)
               for minute in range(DAY_MIN)):
            raise ValueError("quiet_hours leave no minute of the day: exports would never run; "
                             "shorten them")
        return self
