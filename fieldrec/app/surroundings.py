"""What admission looks at besides recording, power and drives: the time of day, the schedule, heat
and room. Event loop; nothing here blocks.

Whoever knows one of these sets how it is asked; until then it holds up nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from zoneinfo import ZoneInfo

from fieldrec.config import Config
from fieldrec.core.clock import Clock
from fieldrec.core.model import Conditions, SpaceState
from fieldrec.jobs.quiet import quiet_from_ns, quiet_until_ns


class Surroundings:
    """Asked when jobs are decided about (:meth:`put_into`) and at every picture of the box
    (:meth:`look`), ten a second at most."""

    def __init__(self, config: Config, clock: Clock) -> None:
        self._idle = config.idle
        self._clock = clock
        self._timezone = config.system.timezone
        self._zone = ZoneInfo(config.system.timezone)
        # an export that may go on beside a recording need not be ready before it
        self._before_s = 0.0 if config.export.while_recording == "throttled" \
            else config.idle.before_schedule_min * 60
        self.next_start: Callable[[], tuple[int | None, str]] = lambda: (None, "")
        """The next start of a recording by the schedule, epoch ns, and what it is called."""
        self.space: Callable[[], SpaceState] = SpaceState
        self.export_on_battery: Callable[[], bool] = lambda: False
        """Whether exports may run on battery to make room, by `space.act` and its order."""
        self.temperature_c: Callable[[], float | None] = lambda: None
        """Of the processor."""
        self._too_warm = False
        self._looked: tuple[object, ...] = (None, SpaceState().tier, False, False)

    @property
    def is_too_warm(self) -> bool:
        """Whether exports wait for the processor to cool, as of the last look."""
        return self._too_warm

    def look(self) -> bool:
        """Judge the temperature anew; whether something has changed that jobs may have waited for
        or may run no more for. Time alone is the runner's to watch."""
        self._too_warm = too_warm(self._too_warm, self.temperature_c(),
                                  self._idle.max_temperature_c, self._idle.back_temperature_c)
        before = self._looked
        self._looked = (self.next_start()[0], self.space().tier, self.export_on_battery(),
                        self._too_warm)
        return self._looked != before

    def put_into(self, conditions: Conditions) -> Conditions:
        """The conditions with all this."""
        now_ns = self._clock.epoch_ns()
        start_ns, name = self.next_start()
        hours = self._idle.quiet_hours
        return dataclasses.replace(
            conditions, now_ns=now_ns, timezone=self._timezone, next_start_ns=start_ns,
            next_start_name=name, before_schedule_s=self._before_s,
            quiet_until_ns=quiet_until_ns(now_ns, self._zone, hours),
            quiet_from_ns=quiet_from_ns(now_ns, self._zone, hours),
            temperature_c=self.temperature_c(), too_warm=self._too_warm,
            max_temperature_c=self._idle.max_temperature_c,
            back_temperature_c=self._idle.back_temperature_c, space=self.space(),
            export_on_battery_when_full=self.export_on_battery())


def too_warm(before: bool, temperature_c: float | None, most_c: float | None, back_c: float
             ) -> bool:
    """Whether exports wait for the processor to cool: from above `most_c` until below `back_c`. A
    temperature that cannot be read holds up nothing: most machines have none to read."""
    if temperature_c is None or most_c is None:
        return False
    return temperature_c > most_c or (before and temperature_c >= back_c)
