"""Whether the wall clock is known to be wrong. Pure but for what it is handed; on the event loop.

Known to be wrong is a clock that shows a time before this program was made, or (as long as nobody
has set it, and the kernel does not call it synchronised) a time well before one at which the box
was awake already: its battery is flat, and it begins again where some file or firmware left it.
That the kernel does not call it synchronised does not make it wrong: so is every clock that a
person has set.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

from fieldrec import __released__
from fieldrec.schedule.calendar import SECOND_NS, moment, nanoseconds

RELEASED_NS = nanoseconds(dt.datetime.fromisoformat(__released__).replace(tzinfo=dt.UTC))
BEHIND_NS = 3600 * SECOND_NS
"""A clock that was put back by less than this over a restart is believed: boxes without a clock
that runs on write the time down once an hour."""
SET_NS = 2 * SECOND_NS
"""A clock that moved this far against the monotonic one was set."""


class ClockSense:
    """Judges the wall clock, again and again."""

    def __init__(self, awake_ns: int | None, synchronised: Callable[[], bool]) -> None:
        """`awake_ns`: when the box was last known to be awake, in an earlier life."""
        self._awake_ns = awake_ns
        self._synchronised = synchronised
        self._ahead_ns: int | None = None
        """Wall clock minus monotonic clock at the first look."""
        self._was_set = False

    def problem(self, wall_ns: int, mono_ns: int) -> str:
        """Why it is known to be wrong, in words; "" when it is not."""
        if self._ahead_ns is None:
            self._ahead_ns = wall_ns - mono_ns
        self._was_set = self._was_set or abs(wall_ns - mono_ns - self._ahead_ns) > SET_NS
        shown = f"{moment(wall_ns):%Y-%m-%d %H:%M} UTC"
        if wall_ns < RELEASED_NS:
            return f"it shows {shown}, before this fieldrec was made"
        awake_ns = self._awake_ns
        if awake_ns is not None and wall_ns < awake_ns - BEHIND_NS and not self._was_set \
                and not self._synchronised():
            return (f"it shows {shown}, but the box was awake on {moment(awake_ns):%Y-%m-%d} at "
                    f"{moment(awake_ns):%H:%M} already")
        return ""
