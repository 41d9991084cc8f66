"""Floor 2: power. One module per kind of source; adding one is adding one file.

A source module has ``Options`` (a pydantic model of its configuration keys) and ``SOURCE``, a class
that satisfies :class:`Source`. Sources say what they read and judge nothing: ``combined`` makes one
reading of all of theirs, ``levels`` says what it means, ``watcher`` runs it all on the event loop.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from fieldrec.config.section import Section
from fieldrec.core.clock import Clock
from fieldrec.core.power_reading import PowerReading


class SourceOptions(Section):
    """Base of every source's ``Options``: unknown keys forbidden, values frozen."""


class Source(Protocol):
    """One place that says how power is. Lives on the event loop, which it never blocks."""

    name: str
    """For people: what is read, and where."""
    every_s: float | None
    """Least time between two readings that nothing asks for; None: as configured for all."""

    def __init__(self, options: Any, clock: Clock) -> None:
        """Keep the options; touch nothing. `options` is the module's ``Options``."""
        ...

    def start(self, changed: Callable[[], None]) -> bool:
        """From now on call `changed` on the loop whenever something was reported to have changed;
        whether this source can hear of changes at all. Called once, before the first reading."""
        ...

    async def read(self) -> PowerReading:
        """One reading, within seconds; never two at a time. What is wrong outside (a gauge, a
        server, a program) is in its `problem`, in one line, not raised."""
        ...

    def close(self) -> None:
        """Free everything; no reading is under way. Idempotent."""
        ...
