"""Past the page cache or through it: what the store thread does next. Store thread only.

`auto` measures. Which way is cheaper depends on file system, disk, frame size and rate, so the
first frames go both ways in turns, and the way that takes less of this thread's processor time is
kept and remembered for the file system for as long as the process lives. It is measured again when
the rate has changed, or when the ring was nearly full. Past the cache waits for the disk, though,
where the cache takes a burst at the speed of memory: while the ring is nearly full the way that
brings more frames to the disk is taken, each tried again now and then. What only waits in the cache
is not on the disk; but when the disk stands still the cache goes on taking frames.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fieldrec.core.model import Heat

Policy = Literal["auto", "direct", "buffered"]
"""As `store.write` has it."""

STALE_NS = 5_000_000_000
"""How long a measured rate is believed: disks stall, caches fill."""
TURNS = 3
"""How often each way is measured. The least counts: the end of a chunk may lie in any of them."""
TURN_FRAMES = 8
"""Frames in one of these turns, at least."""
PLAIN = 1.5
"""A way that takes this much more after LEAST_TURNS each need not be tried further: it costs."""
LEAST_TURNS = 2
WRITE_BACK_SHARE = 0.15
"""What kernel threads spend later on frames in the cache, of what writing them there takes (70-130
of 900-1200 ms/GB): this thread's clock does not see it."""
AS_GOOD = 1.25
"""Past the cache is taken, even so, if the other way carries less than this much more: it costs
less, and what waits in the cache makes the next sync long."""
RATE_CHANGE = 1.5
"""A rate higher or lower by this factor is another rate…"""
RATE_LOOKS = 8
"""…when it is so this many times in a row."""
AGAIN_NS = 60_000_000_000
"""Not measured again sooner: the dearer way has its turns too."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What was measured on a file system: processor time per frame either way, and what follows."""

    past_cache: bool
    hz: float
    past_cpu_ns: float
    through_cpu_ns: float


_known: dict[tuple[int, int], Choice] = {}
"""By file system (st_dev) and bytes of a frame."""


class _Trial:
    """Both ways in turns, and what a frame took at each."""

    def __init__(self, past_cache: bool) -> None:
        self.past_cache = past_cache
        self._turns = 0
        self._frames = self._cpu_ns = self._wall_ns = 0
        self._least = {True: math.inf, False: math.inf}
        self._hz = 0.0

    def add(self, frames: int, cpu_ns: int, wall_ns: int) -> Choice | None:
        """Frames that were written the way this asked for; the choice when there have been
        enough."""
        self._frames += frames
        self._cpu_ns += cpu_ns
        self._wall_ns += wall_ns
        if self._frames < TURN_FRAMES:
            return None
        least = self._least
        least[self.past_cache] = min(least[self.past_cache], self._cpu_ns / self._frames)
        self._hz = self._frames * 1e9 / max(1, self._wall_ns)
        self._frames = self._cpu_ns = self._wall_ns = 0
        self.past_cache = not self.past_cache
        self._turns += 1
        if self._turns % 2:
            return None
        past, through = least[True], least[False] * (1 + WRITE_BACK_SHARE)
        plain = max(past, through) >= PLAIN * min(past, through)
        if self._turns < (2 * LEAST_TURNS if plain else 2 * TURNS):
            return None
        return Choice(past <= through, self._hz, past, through)


class WriteMode:
    """Decides a few times a second; `past_cache` is the decision."""

    def __init__(self, policy: Policy = "auto", *,
                 cpu_ns: Callable[[], int] = time.thread_time_ns,
                 waiting_bytes: Callable[[], int] = lambda: bytes_in_cache()) -> None:
        """`cpu_ns`: processor time of the calling thread; `waiting_bytes`: what lies in the cache
        and not yet on a disk."""
        self.past_cache = policy != "buffered"
        self._fixed = policy != "auto"
        self._cpu_ns = cpu_ns
        self._waiting_bytes = waiting_bytes
        self._waiting: int | None = None
        """At the last look, while the ring was nearly full."""
        self._key: tuple[int, int] | None = None
        self.choice: Choice | None = None
        """None as long as it is being measured."""
        self._trial: _Trial | None = _Trial(self.past_cache)
        self._carried = _Carried()
        self._last: tuple[int, int, int] | None = None
        """Frames, time and processor time at the last look."""
        self._decided_ns: int | None = None
        self._was_hot = False
        self._other_rate = 0

    def begin(self, folder: Path, frame_bytes: int) -> None:
        """Frames of this size go to this folder's file system from now on: what is known of it
        counts."""
        if self._fixed:
            return
        try:
            key = folder.stat().st_dev, frame_bytes
        except OSError:
            return
        if key != self._key:
            self._key, self.choice, self._last = key, _known.get(key), None
            if self.choice is None:
                self._trial = _Trial(self.past_cache)
            else:
                self._trial, self.past_cache = None, self.choice.past_cache

    def look(self, heat: Heat, frame_count: int, now_ns: int) -> bool:
        """`frame_count` of the recording so far, `now_ns` by any clock that does not step."""
        if self._fixed:
            return self.past_cache
        cpu_ns, last = self._cpu_ns(), self._last
        self._last = frame_count, now_ns, cpu_ns
        if last is None or now_ns <= last[1] or frame_count < last[0]:
            return self.past_cache
        frames, wall_ns = frame_count - last[0], now_ns - last[1]
        if heat is Heat.HIGH:
            self._was_hot, self._trial = True, None
            on_disk = frames - self._only_in_cache()
            self.past_cache = self._carried.better(self.past_cache, on_disk * 1e9 / wall_ns, now_ns)
            return self.past_cache
        self._waiting = None
        if self._trial is not None:
            self._measure(self._trial.add(frames, cpu_ns - last[2], wall_ns), now_ns)
        else:
            self._settled(frames * 1e9 / wall_ns, now_ns)
        return self.past_cache

    def _only_in_cache(self) -> float:
        """Of the frames since the last look, those that have not reached the disk."""
        before, self._waiting = self._waiting, self._waiting_bytes()
        if self.past_cache or self._key is None or before is None:
            return 0.0
        return max(0, self._waiting - before) / max(1, self._key[1])

    def _measure(self, choice: Choice | None, now_ns: int) -> None:
        if choice is None:
            self.past_cache = self._trial is None or self._trial.past_cache
            return
        self._trial, self.choice, self._decided_ns = None, choice, now_ns
        self._other_rate, self.past_cache = 0, choice.past_cache
        if self._key is not None:
            _known[self._key] = choice

    def _settled(self, hz: float, now_ns: int) -> None:
        """The way that was chosen, unless it has to be chosen anew."""
        self.past_cache = self.choice is None or self.choice.past_cache
        if self.choice is not None and hz > 0:
            same = 1 / RATE_CHANGE <= hz / self.choice.hz <= RATE_CHANGE
            self._other_rate = 0 if same else self._other_rate + 1
        doubtful = self.choice is None or self._was_hot or self._other_rate >= RATE_LOOKS
        if self._decided_ns is None and self.choice is not None:
            self._decided_ns = now_ns  # by another recording, not long ago
        if doubtful and (self._decided_ns is None or now_ns - self._decided_ns >= AGAIN_NS):
            self._was_hot, self._decided_ns = False, now_ns
            self._trial = _Trial(self.past_cache)


class _Carried:
    """What either way carried lately while the ring was nearly full."""

    def __init__(self) -> None:
        self._hz = {True: 0.0, False: 0.0}
        self._at_ns: dict[bool, int | None] = {True: None, False: None}

    def better(self, past_cache: bool, hz: float, now_ns: int) -> bool:
        """`past_cache` carried `hz` until now: the way to take next."""
        self._hz[past_cache] = hz * AS_GOOD if past_cache else hz
        self._at_ns[past_cache] = now_ns
        other = not past_cache
        at_ns = self._at_ns[other]
        stale = at_ns is None or now_ns - at_ns > STALE_NS
        return other if stale or self._hz[other] > self._hz[past_cache] else past_cache


def bytes_in_cache(said: Path = Path("/proc/meminfo")) -> int:
    """What the kernel has not yet written back, of all files of the machine; takes about 50 µs."""
    found = 0
    try:
        for line in said.read_text().splitlines():
            if line.startswith(("Dirty:", "Writeback:")):
                found += int(line.split()[1]) * 1024
    except OSError:
        return 0
    return found
