"""The world's state, which outlives every boot of the box, and its diary.

Written by the process of a boot, read by the driver and the next boot. The state is replaced
whole; the diary is a file of JSON lines of what truly happened, for the judges.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.month.world import Battery


@dataclass
class State:
    """All that goes on while the box is off."""

    now_ns: int
    """The true time; also the box's monotonic clock, sleep and off time included."""
    ahead_ns: int = 0
    """Of the box's wall clock."""
    gps_ns: int | None = None
    """When GPS will set it right; None: it is right."""
    battery: Battery = field(default_factory=lambda: Battery(energy_mwh=0.0))
    done: int = 0
    """Happenings so far."""
    boots: int = 0
    inserted: dict[str, str] = field(default_factory=dict)
    """Drives that are in, by label: their devices."""
    put_in_ns: dict[str, int] = field(default_factory=dict)
    why_ended: str = ""
    """The last boot: cut, empty, power off, reboot, over."""
    off_until_ns: int = 0
    """After a cut: when power is back."""
    wake_ns: int | None = None
    """What the RTC was told, true time."""
    gauge: str | None = None
    gauge_until_ns: int = 0
    asleep_s: float = 0.0
    """In all."""


class Story:
    """State and diary of one month, in a folder."""

    def __init__(self, folder: Path) -> None:
        self._state, self._diary = folder / "state.json", folder / "diary.jsonl"

    def read(self) -> State:
        told = json.loads(self._state.read_text())
        return State(**{**told, "battery": Battery(**told["battery"])})

    def write(self, state: State) -> None:
        new = self._state.with_suffix(".new")
        new.write_text(json.dumps(asdict(state)))
        new.replace(self._state)

    def tell(self, at_ns: int, what: str, **facts: Any) -> None:
        """One line of the diary; durable against a kill, which is all it has to survive."""
        told = {"at_ns": at_ns, "what": what, "real_s": time.monotonic(), **facts}
        descriptor = os.open(self._diary, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(descriptor, json.dumps(told).encode() + b"\n")
        finally:
            os.close(descriptor)

    def diary(self, *what: str) -> list[dict[str, Any]]:
        """Every line, or those of some kinds, in order."""
        if not self._diary.exists():
            return []
        lines = [json.loads(line) for line in self._diary.read_text().splitlines()]
        return [line for line in lines if not what or line["what"] in what]
