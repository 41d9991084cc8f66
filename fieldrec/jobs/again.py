"""Which jobs wait before they are tried again, and what is said meanwhile. Event loop.

The pause grows from try to try, so that a folder that is away for an hour costs a few looks and no
battery. A drive that cannot be written to although it is there (somebody unmounted it by hand)
counts no attempt, but its pauses grow too, and end when it is taken out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

ATTEMPTS = 6
"""Tries of a job before a transient error becomes final."""
FIRST_S = 2.0
FACTOR = 4.0
LONGEST_S = 600.0
"""Pauses of 2, 8, 32, 128 and 512 s: a transient error has eleven minutes to pass."""
GONE_TOLD = 3
"""Times in a row that a drive may be gone before it is said that it is there all the same: the word
that it was pulled out comes a moment later."""


@dataclass(slots=True)
class _Pause:
    timer: asyncio.TimerHandle
    reason: str
    destination: str | None


class Again:
    """The pauses of all jobs."""

    def __init__(self, on_due: Callable[[], None], first_s: float = FIRST_S) -> None:
        self._on_due = on_due
        self._first_s = first_s
        self._pauses: dict[int, _Pause] = {}
        self._gone: dict[str, int] = {}
        """How often a destination was gone in a row."""
        self._away: dict[str, _Pause] = {}
        """Destinations that are not there, and until when they are not looked for."""

    def pause_s(self, tries: int) -> float:
        """Before the try after so many that failed in a row."""
        return min(self._first_s * FACTOR ** max(tries - 1, 0), LONGEST_S)

    def later(self, job_id: int, pause_s: float, reason: str, destination: str | None = None
              ) -> None:
        """Let a job wait; with a destination no longer than that is there."""
        self.forget(job_id)

        def due() -> None:
            self._pauses.pop(job_id, None)
            self._on_due()

        timer = asyncio.get_running_loop().call_later(pause_s, due)
        self._pauses[job_id] = _Pause(timer, reason, destination)

    def reason(self, job_id: int) -> str | None:
        """Why a job waits here; None when it does not."""
        pause = self._pauses.get(job_id)
        return None if pause is None else pause.reason

    def was_gone(self, destination: str) -> int:
        """Note that a destination was gone; how often in a row that has been so."""
        self._gone[destination] = self._gone.get(destination, 0) + 1
        return self._gone[destination]

    def is_away(self, destination: str, pause_s: float, reason: str) -> None:
        """Let every job for a destination wait: it is not there, whoever asks."""
        self.is_back(destination)

        def due() -> None:
            self._away.pop(destination, None)
            self._on_due()

        timer = asyncio.get_running_loop().call_later(pause_s, due)
        self._away[destination] = _Pause(timer, reason, destination)

    def away(self, destination: str | None) -> str | None:
        """Why no job for a destination is tried now; None when they may be."""
        pause = self._away.get(destination or "")
        return None if pause is None else pause.reason

    def is_back(self, destination: str) -> None:
        """It may be there again: jobs for it are tried at once. Idempotent."""
        pause = self._away.pop(destination, None)
        if pause is not None:
            pause.timer.cancel()

    def all_back(self) -> None:
        """Any of them may be."""
        for destination in list(self._away):
            self.is_back(destination)

    def went_well(self, destination: str) -> None:
        """A job has ended well there."""
        self._gone.pop(destination, None)

    def look(self, present: frozenset[str]) -> None:
        """Pauses of jobs whose destination is away end: admission says so of them, and when it is
        back they go on at once."""
        for job_id, pause in list(self._pauses.items()):
            if pause.destination is not None and pause.destination not in present:
                self.forget(job_id)
        self._gone = {name: times for name, times in self._gone.items() if name in present}

    def forget(self, job_id: int) -> None:
        """End a pause without a word. Idempotent."""
        pause = self._pauses.pop(job_id, None)
        if pause is not None:
            pause.timer.cancel()

    def close(self) -> None:
        """End all."""
        for job_id in list(self._pauses):
            self.forget(job_id)
        for destination in list(self._away):
            self.is_back(destination)
