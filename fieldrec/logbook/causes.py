"""Why nothing was recorded although it should have been: the words of an end, as one of few causes.

Pure. The words are those of the recorder, the session, power and schedule; a cause that nobody
knows is UNEXPLAINED and never guessed.
"""

from __future__ import annotations

import enum
import re


class Cause(enum.StrEnum):
    """As it is written in tables; the order is that of a legend."""

    POWER = "power"
    """Battery low or critical, or power was cut."""
    CRASH = "crash"
    """fieldrec was killed, or failed."""
    OFF = "fieldrec off"
    """It was stopped in order, or the box slept or was switched off."""
    CAMERA = "camera"
    DISK = "disk"
    CLOCK = "clock"
    PAUSED = "paused"
    """By the operator."""
    OTHER = "other"
    """Known, in words; none of the others."""
    UNEXPLAINED = "unexplained"


_VOLUNTARY = re.compile(
    r"stopped\Z|stopped by |duration|split\b|camera ended|closed\Z|motion|window (is )?over"
    r"|end of (the )?window|schedule|start cancelled|session ended", re.I)
_CAUSES = (
    (Cause.POWER, re.compile(r"battery|power|critical|charge", re.I)),
    (Cause.CLOCK, re.compile(r"clock|time was set", re.I)),
    (Cause.DISK, re.compile(r"disk|store|folder|storage|space|read-only|room|sync failed", re.I)),
    (Cause.CAMERA, re.compile(r"camera|frame|exposure|usb", re.I)),
    (Cause.CRASH, re.compile(r"killed|crash|restarted", re.I)),
    (Cause.PAUSED, re.compile(r"paused", re.I)),
    (Cause.OFF, re.compile(r"fieldrec (was )?(stopped|off|not running)|not running|"
                           r"box was off|was off|asleep|sleep|switched off|shut ?down", re.I)),
)


def is_voluntary(reason: str) -> bool:
    """Whether a recording ended as somebody wanted it to: what follows is no gap."""
    return _VOLUNTARY.match(reason) is not None


def cause_of(words: str) -> Cause:
    """The cause that an end, or a missed window, was given."""
    if not words.strip():
        return Cause.UNEXPLAINED
    for cause, pattern in _CAUSES[-1:] + _CAUSES[:-1]:  # "fieldrec stopped" before all
        if pattern.search(words):
            return cause
    return Cause.UNEXPLAINED if words.strip() in ("unknown", "unexplained") else Cause.OTHER
