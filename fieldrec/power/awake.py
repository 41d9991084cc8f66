"""Who keeps the box awake: named leases, each with a maximum. Pure; owned by the event loop.

A box that may sleep does so when no lease is left. Every lease ends by itself after its maximum, so
that a job that hangs cannot drain the battery for ever; only what may never be slept over (a camera
records, a drive is being written) has none, and says so with ``math.inf``. A lease that has ended
by its maximum does not hold again: whoever held it may ask for another when the cause is a new one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol

from fieldrec.core.clock import Clock
from fieldrec.core.errors import UsageError


@dataclass(frozen=True, slots=True)
class Holder:
    """One lease as people see it. Times are epoch nanoseconds by the clock as it is now."""

    name: str
    since_ns: int
    until_ns: int | None
    """When its maximum is over; None for what may never be slept over."""


@dataclass(frozen=True, slots=True)
class AwakeStatus:
    """Who keeps the box awake, and what becomes of it when nobody does. Times are epoch
    nanoseconds."""

    holders: tuple[Holder, ...]
    why: str
    """Why it does not sleep now."""
    wanted_ns: int | None
    """When it is wanted next; None: nothing is scheduled."""
    alarm_ns: int | None
    """When the RTC will wake the machine, as it was read back; None: no alarm was set by us."""
    problem: str = ""
    """Why the RTC cannot be relied on."""


class Sleep(Protocol):
    """What control needs of sleeping."""

    def status(self) -> AwakeStatus:
        """Who keeps the box awake."""
        ...

    def stay_awake(self, seconds: float) -> str:
        """Keep it awake for so long; 0: no longer."""
        ...


class Lease:
    """The box stays awake until this is released or its maximum is over; a context manager."""

    def __init__(self, awake: Awake, name: str, since_ns: int, max_s: float) -> None:
        self.name = name
        self.since_ns = since_ns
        """By the monotonic clock, as all times here."""
        self.max_s = max_s
        self.dropped = False
        """Its maximum is over: it does not hold any more."""
        self._awake = awake

    @property
    def due_ns(self) -> float:
        """When its maximum is over; `math.inf` for never."""
        return self.since_ns + self.max_s * 1e9

    def release(self) -> None:
        """Let the box sleep, as far as this lease is concerned. Idempotent."""
        self._awake.forget(self)

    def __enter__(self) -> Lease:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 traceback: TracebackType | None) -> None:
        self.release()


class Awake:
    """All leases. Maxima are looked at whenever anybody asks: whoever waits for the last one to end
    asks again at :meth:`due_in_s`."""

    def __init__(self, clock: Clock, *, on_change: Callable[[], None] = lambda: None,
                 on_drop: Callable[[Lease], None] = lambda _lease: None) -> None:
        """`on_change` is called when a lease came or went, `on_drop` for one over its maximum."""
        self._clock = clock
        self._on_change = on_change
        self._on_drop = on_drop
        self._leases: list[Lease] = []

    def lease(self, name: str, max_s: float) -> Lease:
        """Hold the box awake, for `max_s` seconds at most. Several may have the same name.
        UsageError for a maximum that is none."""
        if math.isnan(max_s) or max_s <= 0:
            raise UsageError(f"awake for {max_s:g} s: use a time above 0")
        lease = Lease(self, name, self._clock.monotonic_ns(), max_s)
        self._leases.append(lease)
        self._on_change()
        return lease

    def forget(self, lease: Lease) -> None:
        """Whoever held it does not any more. No effect on one that ended already."""
        if lease in self._leases:
            self._leases.remove(lease)
            self._on_change()

    def holders(self) -> tuple[Holder, ...]:
        """Who holds the box awake now, oldest first; () when it may sleep."""
        self._drop_overdue()
        ahead_ns = self._clock.epoch_ns() - self._clock.monotonic_ns()
        return tuple(
            Holder(lease.name, lease.since_ns + ahead_ns,
                   None if math.isinf(lease.due_ns) else int(lease.due_ns) + ahead_ns)
            for lease in self._leases)

    def due_in_s(self) -> float:
        """Seconds until the next maximum is over; `math.inf` when none will be."""
        self._drop_overdue()
        now_ns = self._clock.monotonic_ns()
        return min(((lease.due_ns - now_ns) / 1e9 for lease in self._leases), default=math.inf)

    def _drop_overdue(self) -> None:
        now_ns = self._clock.monotonic_ns()
        overdue = [lease for lease in self._leases if lease.due_ns <= now_ns]
        for lease in overdue:
            self._leases.remove(lease)
            lease.dropped = True
        for lease in overdue:
            self._on_drop(lease)
        if overdue:
            self._on_change()
