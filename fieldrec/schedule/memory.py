"""What the schedule remembers over restarts: when the box was awake, and which windows it is in.

Values, and the way to and from JSON; no I/O. Times are epoch nanoseconds by the wall clock of that
moment. Losing it costs nothing that was recorded: a window that runs is entered, what was missed
is not known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

MOST_LIVED = 64
"""Stretches that are remembered; the latest of them."""
MOST_DONE = 64
"""Moments of one task."""
JOIN_NS = 1_000_000_000
"""Stretches this close to each other are one."""


@dataclass(slots=True)
class Entered:
    """A window that the box is in."""

    task: str
    begins_ns: int
    ends_ns: int
    by_cron: bool
    ended_by_hand: bool = False
    """The operator stopped: nothing more is recorded for this window."""

    @property
    def length_ns(self) -> int:
        """From its beginning to its end."""
        return self.ends_ns - self.begins_ns


class Lived:
    """The stretches of wall clock time that the box was awake for. What fell into one of them was
    dealt with and is never done again, however often the clock is set back to it."""

    def __init__(self, stretches: list[tuple[int, int]] | None = None) -> None:
        self.stretches = stretches or []
        """(after, up to and including), in order, apart from each other."""

    def __contains__(self, time_ns: int) -> bool:
        return any(after < time_ns <= until for after, until in self.stretches)

    def add(self, after_ns: int, until_ns: int) -> None:
        """The box was awake in (after, until]."""
        if until_ns <= after_ns:
            return
        apart = []
        for after, until in self.stretches:
            if until + JOIN_NS < after_ns or until_ns + JOIN_NS < after:
                apart.append((after, until))
            else:
                after_ns, until_ns = min(after, after_ns), max(until, until_ns)
        self.stretches = sorted([*apart, (after_ns, until_ns)])[-MOST_LIVED:]


@dataclass(slots=True)
class Memory:
    """All of it."""

    at_ns: int | None = None
    """When the box was last known to be awake; None: this is its first time."""
    lived: Lived = field(default_factory=Lived)
    entered: dict[str, Entered] = field(default_factory=dict)
    """By task."""
    done: dict[str, list[int]] = field(default_factory=dict)
    """By task: moments that were done late, in time that the box did not live through."""
    ended_by: str = ""
    """Why fieldrec ended; "" while it runs, and after a power cut."""

    def note_done(self, task: str, at_ns: int) -> None:
        """This moment is not done again."""
        self.done[task] = [*self.done.get(task, []), at_ns][-MOST_DONE:]

    def as_json(self) -> dict[str, Any]:
        """JSON-ready values."""
        return {
            "version": 1, "at_ns": self.at_ns, "ended_by": self.ended_by, "done": self.done,
            "lived": [list(stretch) for stretch in self.lived.stretches],
            "entered": [{"task": one.task, "begins_ns": one.begins_ns, "ends_ns": one.ends_ns,
                         "by_cron": one.by_cron, "ended_by_hand": one.ended_by_hand}
                        for one in self.entered.values()]}

    @classmethod
    def from_json(cls, values: object) -> Memory:
        """The reverse. ValueError for what was never written by us."""
        if not isinstance(values, Mapping) or values.get("version") != 1:
            raise ValueError("not what the schedule remembers")
        try:
            at_ns = values["at_ns"]
            entered = [Entered(str(one["task"]), int(one["begins_ns"]), int(one["ends_ns"]),
                               bool(one["by_cron"]), bool(one["ended_by_hand"]))
                       for one in values["entered"]]
            lived = Lived()
            for after, until in values["lived"]:
                lived.add(int(after), int(until))
            done = {str(task): [int(one) for one in moments][-MOST_DONE:]
                    for task, moments in values["done"].items()}
            return cls(None if at_ns is None else int(at_ns), lived,
                       {one.task: one for one in entered}, done,
                       str(values.get("ended_by", "")))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"not what the schedule remembers: {error!r}") from error
