"""The event list and the snapshot that is made of everything. On the loop only."""

from __future__ import annotations

import logging
from collections import deque

from fieldrec.core.clock import Clock
from fieldrec.core.snapshot import Event

log = logging.getLogger("fieldrec")

EVENTS_KEPT = 200
"""In memory, for whoever looks; the log has them all."""
_LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class Events:
    """What happened, newest last; each is logged once."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._events: deque[Event] = deque(maxlen=EVENTS_KEPT)

    def add(self, text: str, severity: str = "info") -> None:
        """Note one line."""
        line = " ".join(text.split())
        self._events.append(Event(self._clock.epoch_ns(), line, severity))
        log.log(_LEVELS.get(severity, logging.INFO), "%s", line)

    def latest(self) -> tuple[Event, ...]:
        """All that are kept, oldest first."""
        return tuple(self._events)
