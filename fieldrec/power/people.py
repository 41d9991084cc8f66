"""Who sits at a terminal of this machine: where a key was pressed last, and when. Blocking, short.

As w(1) has it: the kernel sets a terminal's time of last access when its input is read (to 8 s).
Login records are not asked: newer systems have no utmp, and who is logged in for weeks, or by
themselves at boot, sits nowhere. A pseudo-terminal (ssh, screen) is made by somebody, so its making
counts as a key; a virtual console is made at boot and given to whoever logs in, so only a key after
that counts. Serial lines are left out: on them machines talk.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_VIRTUAL = re.compile(r"tty[1-9]\d*")


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody at a terminal."""

    terminal: str
    """"tty1", "pts/0"."""
    last_key_ns: int
    """Epoch, by the clock as it was then."""


def people(devices: Path = Path("/dev")) -> tuple[Person, ...]:
    """Every terminal that somebody has used, however long ago."""
    found = []
    for path in sorted(devices.glob("pts/[0-9]*")) + sorted(devices.glob("tty[1-9]*")):
        name = path.relative_to(devices).as_posix()
        try:
            facts = path.stat()
        except OSError:
            continue  # closed meanwhile
        if name.startswith("pts/") or (_VIRTUAL.fullmatch(name)
                                       and facts.st_atime_ns > facts.st_ctime_ns):
            found.append(Person(name, facts.st_atime_ns))
    return tuple(found)
