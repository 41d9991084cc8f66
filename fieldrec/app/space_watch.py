"""How long the disks last: judged at every look at them, said when the tier changes. On the event
loop; asks no disk itself and wakes nobody who sleeps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from fieldrec.config.space import SpaceConfig
from fieldrec.core.clock import Clock
from fieldrec.core.model import SpaceState, SpaceTier
from fieldrec.core.snapshot import RecorderStatus
from fieldrec.jobs.forecast import Span, recorded_hours
from fieldrec.record.folders import Folders
from fieldrec.record.space import SpaceJudge, SpaceReading
from fieldrec.record.space_rate import HOUR_NS, SpaceRate, WrittenBytes

Say = Callable[[str, str], None]
Windows = Callable[[int, int], Iterable[Span]]
"""Planned recordings that overlap (after, until], epoch."""
AHEAD_NS = 7 * 24 * HOUR_NS
"""So far ahead the schedule is looked at for the share of the time that it records."""
AGAIN_NS = HOUR_NS
_BEYOND = (SpaceTier.ACT, SpaceTier.STOP)


class SpaceWatch:
    """Owned by the app."""

    def __init__(self, config: SpaceConfig, folders: Folders, clock: Clock, *, say: Say,
                 recorded: Callable[[], int | None] = lambda: None,
                 windows: Windows | None = None, by_hours: bool = True) -> None:
        """`recorded`: bytes per hour of earlier recordings, None where there were none; `windows`:
        what the schedule plans, None where there is none. Not `by_hours`: how full the disks are is
        all that counts, as for a command that records for seconds."""
        self._config = config
        self._folders = folders
        self._clock = clock
        self._say = say
        self._recorded = recorded
        self.windows = windows
        self._by_hours = by_hours
        self._judge = SpaceJudge(config)
        self._rate = SpaceRate()
        self._written = WrittenBytes()
        self._looks = 0
        self._reading = SpaceReading(0, 0, 0)
        self._share: tuple[int, float | None] | None = None
        """When the schedule was looked at last (monotonic), and what it said."""

    @property
    def state(self) -> SpaceState:
        """As judged last."""
        return self._judge.state

    @property
    def looks(self) -> int:
        """At the disks, that were judged."""
        return self._looks

    @property
    def beyond(self) -> bool:
        """Whether what `space.act` says is to be done."""
        return self.state.tier in _BEYOND

    @property
    def written_bytes(self) -> int:
        """By all recordings since the start."""
        return self._written.total

    @property
    def to_free(self) -> int:
        """Bytes whose deletion leaves ACT."""
        return self._judge.to_free(self._reading, self.state.bytes_per_hour)

    def forget_plan(self) -> None:
        """The schedule is another one now."""
        self._share = None

    def look(self, recorders: Sequence[RecorderStatus], recording: bool) -> bool:
        """Called with every picture of the box; judges when the disks were looked at anew. Whether
        the tier has changed. Cheap."""
        written = self._written.look(recorders)
        if self._folders.looks == self._looks:
            return False
        self._looks = self._folders.looks
        reading = self._folders.room
        now_ns = self._clock.monotonic_ns()
        if reading.total_bytes:
            self._reading = reading
            self._rate.look(written_bytes=written, free_bytes=reading.free_bytes,
                            total_bytes=reading.total_bytes, recording=recording, now_ns=now_ns)
        before = self.state.tier
        rate = self._rate.bytes_per_hour(self._recorded(), self._planned_share(now_ns)) \
            if self._by_hours else 0
        after = self._judge.update(reading, rate)
        if after.tier is not before:
            self._tell(after)
        return after.tier is not before

    def _tell(self, state: SpaceState) -> None:
        if state.tier is SpaceTier.OK:
            self._say("there is room on the disks again", "info")
            return
        then = ""
        if state.tier is SpaceTier.ACT:
            then = "; to be done: " + (", ".join(act.replace("_", " ") for act in self._config.act)
                                       or "nothing (space.act is empty); make room")
        self._say(f"disk space {state.tier.value.upper()}: {state.reason}{then}",
                  "error" if state.tier is SpaceTier.STOP else "warning")

    def _planned_share(self, now_ns: int) -> float | None:
        """Of the time ahead; None where nothing is planned. Looking is not free: once an hour."""
        if self.windows is None:
            return None
        if self._share is None or now_ns - self._share[0] >= AGAIN_NS:
            since_ns = self._clock.epoch_ns()
            hours = recorded_hours(self.windows(since_ns, since_ns + AHEAD_NS), since_ns,
                                   since_ns + AHEAD_NS)
            self._share = now_ns, hours * HOUR_NS / AHEAD_NS if hours > 0 else None
        return self._share[1]
