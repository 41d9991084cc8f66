"""The recording that the schedule wants: begun, joined, tried again, ended; and never anybody
else's. On the event loop, in the schedule's task.

What the schedule records is its own from start to stop. A recording that a person (or
`record.autostart`) began is left alone, also at the end of a window; the schedule begins when it
has ended. While a window runs and nothing can be recorded (no camera, no room, no power) it is
tried again, with growing pauses and whenever something of that changes; what was not recorded is
noted with its cause.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from fieldrec.config import Config
from fieldrec.core.clock import Clock
from fieldrec.core.errors import FieldrecError
from fieldrec.core.notes import Kind, Note
from fieldrec.jobs import remembered
from fieldrec.record.asked import Asked
from fieldrec.record.session import Session
from fieldrec.schedule.memory import Entered
from fieldrec.schedule.tasks import Task
from fieldrec.status import words

TRY_AGAIN_S = (5.0, 10.0, 20.0, 40.0, 60.0)
"""Pauses between tries; the last one for as long as the window runs."""
SOONEST_S = 5.0
"""Not before, whatever changes: a start that fails changes something itself."""
LONGEST_S = 366 * 86_400.0
"""Asked for where recordings have a configured duration: the window says when they end."""
SHORT_NS = 1_000_000_000
"""A pause between two recordings that is not worth a note."""

Say = Callable[[str, str], None]


class Verbs(Protocol):
    """What is needed of the control."""

    async def begin(self, asked: Asked) -> list[str]:
        """Begin recording."""
        ...

    async def stop(self, reason: str = "stopped") -> list[str]:
        """End what is recorded."""
        ...


@dataclass(frozen=True, slots=True)
class Wish:
    """Something is to be recorded now."""

    task: str
    name: str | None
    metadata: dict[str, Any]
    cameras: tuple[str, ...] | None
    begins_ns: int
    ends_ns: int | None
    """None: until the clock is right."""

    @classmethod
    def of(cls, entered: Entered, task: Task | None) -> Wish:
        """What a window wants; `task` None: it was taken away meanwhile."""
        told = {} if task is None else task.arguments
        cameras = told.get("cameras")
        metadata = {**told.get("metadata", {}), "schedule_task": entered.task}
        if told.get("preset"):
            metadata[remembered.KEY] = told["preset"]
        return cls(entered.task, told.get("name") or entered.task, metadata,
                   None if cameras is None else tuple(cameras), entered.begins_ns,
                   entered.ends_ns)


@dataclass(slots=True)
class _Gap:
    """Nothing is recorded although it should be."""

    since_ns: int
    cause: str
    wishes: tuple[Wish, ...]


class ScheduledRecording:
    """Keeps the session to what is wished for."""

    def __init__(self, config: Config, *, control: Verbs, session: Session, clock: Clock, say: Say,
                 note: Note, forget_held_back: Callable[[], None]) -> None:
        """`forget_held_back`: what power had cut does not come back by itself; the schedule
        begins it anew."""
        self._config = config
        self._control = control
        self._session = session
        self._clock = clock
        self._say = say
        self._note = note
        self._forget_held_back = forget_held_back
        self._ours_ns: int | None = None
        """Beginning of the session that is the schedule's; None: none is."""
        self._gap: _Gap | None = None
        self._tries = 0
        self._tried_ns = 0
        """Of the monotonic clock, as the next."""
        self._began_ns = 0
        self._cameras: tuple[str, ...] | None = None
        """That were asked to record; None: all."""
        self._said_foreign = False
        self.stopping = False
        """While the schedule itself ends a recording."""

    @property
    def ours(self) -> bool:
        """Whether what is recorded now is the schedule's."""
        since_ns = self._session.recording_since_ns
        return since_ns is not None and since_ns == self._ours_ns

    async def keep(self, wishes: Sequence[Wish], why_over: str) -> float | None:
        """Begin, go on or end; seconds until it is to be tried again, None when all is well.
        `why_over`: reason of the end, where there are no wishes."""
        if self._ours_ns is not None and not self.ours:
            self._ended_by_itself(wishes)
        if not wishes:
            self._close_gap()
            self._said_foreign = False
            self._tries = 0
            if self.ours:
                await self._end(why_over)
            return None
        if self._session.recording_since_ns is None:
            return await self._try(wishes)
        if self.ours:
            await self._let_join(_cameras(wishes))
            self._close_gap()
        elif not self._said_foreign:
            self._said_foreign = True
            self._say(f"schedule: {_names(wishes)} waits: a recording begun by hand is under way",
                      "info")
        return None

    def ended_by_hand(self, ended: Sequence[Entered], tasks: Callable[[str], Task | None]) -> None:
        """The operator stopped: what is left of these windows is not recorded."""
        self._ours_ns = None
        self.ended_early(ended, tasks, "stopped by hand")
        if ended:
            names = ", ".join(one.task for one in ended)
            self._say(f"schedule: {names}: nothing more until the next window, stopped by hand",
                      "info")

    def ended_early(self, ended: Sequence[Entered], tasks: Callable[[str], Task | None],
                    cause: str) -> None:
        """What is left of these windows is not recorded."""
        self._close_gap()
        now_ns = self._clock.epoch_ns()
        for one in ended:
            if one.ends_ns > now_ns:
                self._missed(Wish.of(one, tasks(one.task)), now_ns, one.ends_ns, cause)

    # --- beginning and ending ---------------------------------------------------------------------

    async def _let_join(self, cameras: tuple[str, ...] | None) -> None:
        """Only what is new: a camera that has played out is not brought back."""
        if cameras != self._cameras:
            self._cameras = cameras
            await self._session.join(cameras)

    async def _try(self, wishes: Sequence[Wish]) -> float | None:
        """One attempt, unless the last one was just now."""
        now_ns = self._clock.monotonic_ns()
        if self._tries and (wait_s := SOONEST_S - (now_ns - self._tried_ns) / 1e9) > 0:
            return wait_s
        first = wishes[0]
        endless = self._config.record.duration_s is not None
        asked = Asked(first.name, first.metadata, LONGEST_S if endless else None,
                      _cameras(wishes), by_schedule=True)
        try:
            await self._control.begin(asked)
        except FieldrecError as error:
            return self._failed(wishes, str(error), now_ns)
        self._ours_ns = self._session.recording_since_ns
        self._cameras = _cameras(wishes)
        self._began_ns = now_ns
        self._said_foreign = False
        self._close_gap()
        self._tries = 0
        return None

    def _failed(self, wishes: Sequence[Wish], why: str, now_ns: int) -> float:
        pause_s = TRY_AGAIN_S[min(self._tries, len(TRY_AGAIN_S) - 1)]
        self._tries += 1
        self._tried_ns = now_ns
        gap = self._gap
        if gap is None or gap.cause != why:
            self._say(f"schedule: {_names(wishes)} is not recorded: {why}; tried again while its "
                      "window runs", "error")
        if gap is None or gap.cause != why or gap.wishes != tuple(wishes):
            self._close_gap()
            self._gap = _Gap(self._clock.epoch_ns(), why, tuple(wishes))
        return pause_s

    def _ended_by_itself(self, wishes: Sequence[Wish]) -> None:
        self._ours_ns = None
        self._forget_held_back()
        now_ns = self._clock.monotonic_ns()
        if now_ns - self._began_ns < SOONEST_S * 1e9:  # over at once: not begun again at once
            self._tries, self._tried_ns = self._tries + 1, now_ns
        reasons = dict.fromkeys(status.stop_reason for status in self._session.status()
                                if status.stop_reason)
        if wishes and self._gap is None:
            self._gap = _Gap(self._clock.epoch_ns(), "; ".join(reasons) or "the recording ended",
                             tuple(wishes))

    async def _end(self, why: str) -> None:
        self.stopping = True
        try:
            await self._control.stop(why)
        finally:
            self.stopping = False
            self._ours_ns = None

    # --- what was not recorded --------------------------------------------------------------------

    def _close_gap(self) -> None:
        gap, self._gap = self._gap, None
        if gap is None:
            return
        now_ns = self._clock.epoch_ns()
        if now_ns - gap.since_ns < SHORT_NS:
            return
        for wish in gap.wishes:
            until_ns = now_ns if wish.ends_ns is None else min(now_ns, wish.ends_ns)
            if until_ns > gap.since_ns:
                self._missed(wish, gap.since_ns, until_ns, gap.cause)

    def _missed(self, wish: Wish, begins_ns: int, ends_ns: int, cause: str) -> None:
        length = words.duration((ends_ns - begins_ns) / 1e9)
        facts: dict[str, Any] = {} if wish.cameras is None else {"cameras": wish.cameras}
        self._note(Kind.WINDOW_MISSED, f"{wish.task}: {length} not recorded: {cause}",
                   task=wish.task, begins_ns=begins_ns, ends_ns=ends_ns, cause=cause, **facts)


def _cameras(wishes: Sequence[Wish]) -> tuple[str, ...] | None:
    """Those of all wishes together; None: all."""
    found: dict[str, None] = {}
    for wish in wishes:
        if wish.cameras is None:
            return None
        found.update(dict.fromkeys(wish.cameras))
    return tuple(found)


def _names(wishes: Sequence[Wish]) -> str:
    return ", ".join(wish.task for wish in wishes)


