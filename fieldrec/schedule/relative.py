"""Tasks whose zero is the beginning of the recording under way (`camera_relative`).

They live in the recording's own time, which runs with the monotonic clock: the wall clock may be
set as it likes. Pure; on the event loop.
"""

from __future__ import annotations

from fieldrec.schedule.calendar import SECOND_NS, Calendar
from fieldrec.schedule.deciding import Fire

LOOKS_NS = tuple(seconds * SECOND_NS for seconds in (60, 3600, 86_400, 32 * 86_400))


class Relative:
    """One recording's time."""

    def __init__(self) -> None:
        self._since_ns: int | None = None
        """Beginning of the recording, epoch as it was then; None while nothing is recorded."""
        self._mono_ns = 0
        self._at_ns = 0
        """Up to here, in time since the beginning, everything was done."""

    def look(self, calendar: Calendar, since_ns: int | None, wall_ns: int, mono_ns: int
             ) -> list[Fire]:
        """What is due. `since_ns`: the beginning of the recording under way."""
        if since_ns != self._since_ns:
            passed_ns = 0 if since_ns is None else max(0, wall_ns - since_ns)
            self._since_ns, self._mono_ns, self._at_ns = since_ns, mono_ns - passed_ns, 0
        if since_ns is None:
            return []
        after_ns, self._at_ns = self._at_ns, mono_ns - self._mono_ns
        due = [Fire(task.name, at_ns) for task in calendar.relative
               for at_ns in calendar.fires(task, since_ns + after_ns, since_ns + self._at_ns,
                                           since_ns)]
        return sorted(due, key=lambda fire: fire.at_ns)

    def next_in_ns(self, calendar: Calendar, mono_ns: int) -> int | None:
        """How long until the next of them; None: none in the next month of this recording."""
        since_ns = self._since_ns
        if since_ns is None or not calendar.relative:
            return None
        now_ns = since_ns + mono_ns - self._mono_ns
        for look_ns in LOOKS_NS:
            found = [at_ns for task in calendar.relative
                     if (at_ns := next(calendar.fires(task, now_ns, now_ns + look_ns, since_ns),
                                       None)) is not None]
            if found:
                return min(found) - now_ns
        return None
