"""Whether the box may sleep now, and until when: one pure function, with its reason in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fieldrec.config.sleep import SleepConfig
from fieldrec.status import words

SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class View:
    """All that the rule may look at. Times are epoch nanoseconds."""

    now_ns: int
    held_by: Sequence[str]
    """Names of the leases."""
    idle_s: float
    """Since the last lease ended."""
    next_ns: int | None
    """When the box is wanted next; None: nothing is scheduled."""
    problem: str = ""
    """Why it cannot be woken, or could not be put to sleep just now."""


@dataclass(frozen=True, slots=True)
class Stay:
    """Awake, because…"""

    reason: str
    again_s: float | None
    """Look again after this long; None: when something changes."""


@dataclass(frozen=True, slots=True)
class Sleep:
    """It may sleep."""

    until_ns: int
    reason: str


def wake_ns(config: SleepConfig, next_ns: int) -> int:
    """When the box must be awake for what is scheduled then."""
    return next_ns - int(config.lead_s * SECOND_NS)


def decide(view: View, config: SleepConfig) -> Stay | Sleep:
    """The first of these that holds."""
    if config.mode == "never":
        return Stay("it never sleeps (sleep.mode)", None)
    if view.held_by:
        return Stay(f"held awake by {', '.join(view.held_by)}", None)
    if view.next_ns is None:
        return Stay("nothing is scheduled: nothing would wake it", None)
    if view.idle_s < config.idle_s:
        return Stay(f"idle for {words.duration(view.idle_s)} of "
                    f"{words.duration(config.idle_s)}", config.idle_s - view.idle_s)
    until_ns = min(wake_ns(config, view.next_ns), view.now_ns + int(config.longest_s * SECOND_NS))
    asleep_s = (until_ns - view.now_ns) / SECOND_NS
    at = words.utc(view.next_ns)
    if asleep_s < config.min_s:
        return Stay(f"wanted at {at}: less than {words.duration(config.min_s)} to sleep", None)
    if view.problem:
        return Stay(view.problem, None)
    guard = "" if until_ns == wake_ns(config, view.next_ns) else ", looking in between"
    return Sleep(until_ns, f"wanted at {at}{guard}")
