"""Whom the threads of a recording tell; each call is safe from any thread and does not block."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Listener:
    """Somebody on the loop."""

    changed: Callable[[], None]
    """There is something new to see."""
    event: Callable[[str, str], None]
    """(text, severity): what people should know."""
    closed: Callable[[str, int], None]
    """(name, frames): a store with frames in it has ended, in order or INTERRUPTED."""
    series_ended: Callable[[], None]
    """What was recorded between a start and its stop has ended; all its stores are closed."""
    ended: Callable[[], None]
    """The camera has stopped; the very last act of the store thread."""
