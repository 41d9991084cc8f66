"""What the schedule wants now: the calendar, two clocks, and what is remembered. Pure; the app's
schedule calls it at every moment of the calendar, at every step of the wall clock, and does what
it says.

The rules, which a property test holds against an oracle:

- A moment is done once. What fell into time that the box lived through is never done again, however
  often the clock is set back. What the clock was set forward over, or what came while the box was
  off, is missed; with `late: start` a task's last missed moment is done late (but for stop), others
  are done should the clock come back to them.
- A window by time of day (`from dusk to dawn`) runs whenever the wall clock says so, also when the
  clock was set into its middle. When the clock is set back to before the beginning of a window that
  the box is in, it stays in it, if it begins within EARLY_NS, or its own length.
- A recording that a cron line starts has a length: it is over when that has passed by the monotonic
  clock, whatever the wall clock does.
- A window that the operator ended is not entered again; the task's next one is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from fieldrec.schedule.calendar import SECOND_NS, Calendar, Planned
from fieldrec.schedule.memory import Entered, Lived, Memory

STEP_NS = 1 * SECOND_NS
"""A wall clock that is this far from where it should be was set…"""
DRIFT = 0.001
"""…unless it only drifted: share of the time since it was looked at."""
EARLY_NS = 3600 * SECOND_NS
"""A window goes on when the clock is set back to this long before its beginning."""
GRACE_NS = 60 * SECOND_NS
"""A moment is done this late (a box that was suspended, a loop that was held up); later it is
missed."""
ASLEEP_NS = 900 * SECOND_NS
"""The owner looks every few minutes; after so long a pause the box was suspended."""
SAME_NS = 900 * SECOND_NS
"""Beginnings of one window that are computed twice differ by less: the place has become known
better."""
MOST_TOLD = 20
"""Missed windows and moments of one task that are told one by one."""


@dataclass(frozen=True, slots=True)
class Enter:
    """A window began, or was found running."""

    window: Planned
    late_ns: int
    """How long ago it began; 0 when it was on time."""


@dataclass(frozen=True, slots=True)
class Prolong:
    """The task's next window began while the box was still in its last one."""

    window: Planned


@dataclass(frozen=True, slots=True)
class Leave:
    """A window is over."""

    entered: Entered
    why: str


@dataclass(frozen=True, slots=True)
class Fire:
    """A moment of a task that does not record."""

    task: str
    at_ns: int
    late_ns: int = 0
    """How long ago it was due, where that is longer than GRACE_NS."""


@dataclass(frozen=True, slots=True)
class Missed:
    """A window, part of one, or a moment (`begins_ns` equal to `ends_ns`), that was not kept."""

    task: str
    begins_ns: int
    ends_ns: int
    cause: str
    kind: Literal["window", "rest", "moment"]
    """`rest`: what came after its beginning."""
    more: bool = False
    """There are more of this task, which are not told."""


Step = Enter | Prolong | Leave | Fire | Missed


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Wall clock times that have come: (after, up to and including)."""

    after_ns: int
    until_ns: int
    cause: str
    """Why the box did not live through it; "" where it did."""

    @property
    def lived_after_ns(self) -> int:
        """What comes after this was dealt with, and is not done again."""
        return max(self.after_ns, self.until_ns - GRACE_NS) if self.cause else self.after_ns


class Deciding:
    """The schedule's mind. `memory` is written down by its owner."""

    def __init__(self, calendar: Calendar, memory: Memory, *, late: Literal["start", "skip"]
                 ) -> None:
        self.calendar = calendar
        self.memory = memory
        self._late = late
        self._mono_ns: int | None = None
        """Of the last look; None: this process has not looked yet."""
        self._over_mono_ns: dict[str, int] = {}
        """When entered windows are over by the monotonic clock, by task."""

    @property
    def wanted(self) -> list[Entered]:
        """Windows for which something is to be recorded now, the earliest first."""
        return sorted((one for one in self.memory.entered.values() if not one.ended_by_hand),
                      key=lambda one: (one.begins_ns, one.task))

    def look(self, wall_ns: int, mono_ns: int, away: str = "") -> list[Step]:
        """What has changed since the last look. `away`: why nobody looked since then, when that
        was not because nothing was to be done (the box was off; the clock was wrong)."""
        memory = self.memory
        before = Lived(list(memory.lived.stretches))
        fresh = self._mono_ns is None
        stretches = self._since(wall_ns, mono_ns, away)
        steps: list[Step] = []
        for stretch in stretches:
            steps += self._moments_in(stretch, before)
            steps += self._missed_windows(stretch)
        for stretch in stretches:
            memory.lived.add(stretch.lived_after_ns, stretch.until_ns)
        steps += self._left(wall_ns, mono_ns)
        steps += self._entered(wall_ns, mono_ns, before, fresh=fresh)
        memory.at_ns, self._mono_ns = wall_ns, mono_ns
        return steps

    def look_blind(self, mono_ns: int) -> list[Step]:
        """While the wall clock is wrong: windows end by the monotonic clock, none begins. The next
        :meth:`look` is told so (`away`)."""
        return self._left(None, mono_ns)

    def end_by_hand(self) -> list[Entered]:
        """The operator stopped: nothing more for the windows that run. Those that this ended."""
        ended = self.wanted
        for one in ended:
            one.ended_by_hand = True
        return ended

    def forget(self, task: str) -> Entered | None:
        """A task was taken away, or switched off; the window of it that the box was in."""
        self._over_mono_ns.pop(task, None)
        return self.memory.entered.pop(task, None)

    def next_look_ns(self, wall_ns: int, mono_ns: int) -> int | None:
        """When to look again, by the wall clock as it goes now; None: never, if nothing happens."""
        found = [wall_ns + over_ns - mono_ns for over_ns in self._over_mono_ns.values()]
        found += [one.ends_ns for one in self.memory.entered.values() if not one.by_cron]
        change_ns = self.calendar.next_change(wall_ns)
        return min(found if change_ns is None else [*found, change_ns], default=None)

    # --- what time did ----------------------------------------------------------------------------

    def _since(self, wall_ns: int, mono_ns: int, away: str) -> list[_Stretch]:
        """The wall clock times that have come since the last look: lived through, or not."""
        at_ns = self.memory.at_ns
        if at_ns is None:
            return []
        if self._mono_ns is None or away:
            return [_Stretch(at_ns, wall_ns, away or "fieldrec did not run")]
        passed_ns = max(0, mono_ns - self._mono_ns)
        expected_ns = at_ns + passed_ns
        if abs(wall_ns - expected_ns) <= max(STEP_NS, int(passed_ns * DRIFT)):
            return [_Stretch(at_ns, wall_ns, "the box was asleep" * (passed_ns > ASLEEP_NS))]
        return [_Stretch(at_ns, expected_ns, "the box was asleep" * (passed_ns > ASLEEP_NS)),
                _Stretch(expected_ns, wall_ns, "the clock was set forward over it")]

    def _moments_in(self, stretch: _Stretch, before: Lived) -> list[Step]:
        """Moments that are due, and those that are missed."""
        due: list[Fire] = []
        missed: list[Step] = []
        edge_ns = max(stretch.after_ns, stretch.until_ns - GRACE_NS)
        for task in self.calendar.moments:
            due += [Fire(task.name, at_ns)
                    for at_ns in self.calendar.fires(task, edge_ns, stretch.until_ns)
                    if not self._is_done(task.name, at_ns, before)]
            last_ns = self.calendar.last_fire(task, stretch.after_ns, edge_ns)
            if last_ns is None:
                continue
            late = self._late == "start" and task.what != "stop" \
                and not self._is_done(task.name, last_ns, before)
            if late:
                self.memory.note_done(task.name, last_ns)
                due.append(Fire(task.name, last_ns, stretch.until_ns - last_ns))
            fires = (at_ns for at_ns in self.calendar.fires(task, stretch.after_ns, edge_ns)
                     if not self._is_done(task.name, at_ns, before))
            missed += _told(task.name, list(islice(fires, MOST_TOLD + 1)),
                            stretch.cause or "the box was held up")
        return [*missed, *sorted(due, key=lambda fire: fire.at_ns)]

    def _is_done(self, task: str, at_ns: int, before: Lived) -> bool:
        """Whether the box lived through this moment, or has made up for it."""
        return at_ns in before or at_ns in self.memory.done.get(task, ())

    def _missed_windows(self, stretch: _Stretch) -> Iterator[Step]:
        """Windows, or parts of them, in time that was not lived through."""
        after_ns, until_ns = stretch.after_ns, stretch.until_ns
        if not stretch.cause or until_ns <= after_ns:
            return
        for task in self.calendar.starts:
            windows = (one for one in self.calendar.windows(after_ns, until_ns, (task,))
                       if one.ends_ns > after_ns and one.begins_ns < until_ns
                       and not self._was_over(one, after_ns))
            for number, one in enumerate(islice(windows, MOST_TOLD + 1)):
                yield Missed(task.name, max(one.begins_ns, after_ns), min(one.ends_ns, until_ns),
                             stretch.cause, "window" if one.begins_ns >= after_ns else "rest",
                             more=number == MOST_TOLD)

    def _was_over(self, window: Planned, after_ns: int) -> bool:
        """A window that the operator, or its length, had ended when the box was awake last."""
        entered = self.memory.entered.get(window.task)
        if entered is not None and _same(window, entered):
            return entered.ended_by_hand
        return window.by_cron and window.begins_ns <= after_ns

    # --- windows ----------------------------------------------------------------------------------

    def _left(self, wall_ns: int | None, mono_ns: int) -> list[Step]:
        steps: list[Step] = []
        for one in list(self.memory.entered.values()):
            why = self._why_over(one, wall_ns, mono_ns)
            if why:
                self.forget(one.task)
                if not one.ended_by_hand:
                    steps.append(Leave(one, why))
        return steps

    def _why_over(self, one: Entered, wall_ns: int | None, mono_ns: int) -> str:
        """"" while it is not over."""
        over_mono_ns = self._over_mono_ns.get(one.task)
        if over_mono_ns is None:  # from an earlier life of this process
            left_ns = one.length_ns if wall_ns is None else min(one.ends_ns - wall_ns,
                                                                one.length_ns)
            over_mono_ns = self._over_mono_ns[one.task] = mono_ns + left_ns
        if one.by_cron or wall_ns is None:
            return "its time is over" if mono_ns >= over_mono_ns else ""
        if wall_ns >= one.ends_ns:
            return "its time is over"
        if wall_ns < one.begins_ns - min(EARLY_NS, one.length_ns):
            return "the clock was set back to long before it"
        self._over_mono_ns[one.task] = mono_ns + one.ends_ns - wall_ns
        return ""

    def _entered(self, wall_ns: int, mono_ns: int, before: Lived, *, fresh: bool) -> list[Step]:
        steps: list[Step] = []
        for window in self.calendar.running(wall_ns):
            now = self.memory.entered.get(window.task)
            if now is not None and _same(window, now):
                if not window.by_cron:  # dusk is known better by now
                    now.begins_ns, now.ends_ns = window.begins_ns, window.ends_ns
                continue
            if window.by_cron and self._is_done(window.task, window.begins_ns, before):
                continue
            if now is not None and not window.by_cron and now.begins_ns > window.begins_ns:
                continue  # the clock was set back into the window before the one the box is in
            steps += self._enter(window, now, wall_ns, mono_ns, fresh=fresh)
        return steps

    def _enter(self, window: Planned, now: Entered | None, wall_ns: int, mono_ns: int, *,
               fresh: bool) -> Iterator[Step]:
        late_ns = wall_ns - window.begins_ns
        entered = Entered(window.task, window.begins_ns, window.ends_ns, window.by_cron)
        self.memory.entered[window.task] = entered
        self._over_mono_ns[window.task] = mono_ns + window.ends_ns - wall_ns
        if window.by_cron and late_ns > 0:
            self.memory.note_done(window.task, window.begins_ns)
        if fresh and self._late == "skip" and late_ns > GRACE_NS:
            entered.ended_by_hand = True
            yield Missed(window.task, wall_ns, window.ends_ns,
                         "it ran already when fieldrec began (schedule.late: skip)", "rest")
        elif now is not None and not now.ended_by_hand:
            yield Prolong(window)
        else:
            yield Enter(window, late_ns if late_ns > GRACE_NS else 0)


def _same(window: Planned, entered: Entered) -> bool:
    """Whether they are one window: a cron line's moments are exact, the sun's are computed."""
    off_ns = abs(window.begins_ns - entered.begins_ns)
    return off_ns == 0 if window.by_cron else off_ns < SAME_NS and (
        entered.begins_ns < window.ends_ns and window.begins_ns < entered.ends_ns)


def _told(task: str, moments: list[int], cause: str) -> Iterator[Missed]:
    for number, at_ns in enumerate(moments[:MOST_TOLD + 1]):
        yield Missed(task, at_ns, at_ns, cause, "moment", more=number == MOST_TOLD)
