"""How fast the disks fill: bytes per hour, smoothed. Event loop, once for each look at the disks.

Whole numbers throughout. What is recorded is counted by what the recorders say that they have
written, so deletions and exports beside a recording do not disturb it. Four rates, the first that
is known: of the recording under way; of the last recordings times the share of the time that the
schedule records; how fast free room has been shrinking lately; none (0).
"""

from __future__ import annotations

from collections.abc import Iterable

from fieldrec.core.snapshot import RecorderStatus

HOUR_NS = 3_600_000_000_000
SMOOTH_NS = 600_000_000_000
"""Over so much time the rate of a recording is smoothed: motion comes and goes."""
SETTLE_NS = 5_000_000_000
"""So long after its start a recording's rate is not believed yet."""
NET_NS = 6 * HOUR_NS
"""The same for what free room does while nothing is recorded: a night of it."""
NET_SETTLE_NS = HOUR_NS
PERMILLE = 1000


class WrittenBytes:
    """What the cameras have written since the start: recordings come and go, this only grows."""

    def __init__(self) -> None:
        self.total = 0
        self._last: dict[str, tuple[str, int]] = {}

    def look(self, recorders: Iterable[RecorderStatus]) -> int:
        """Add what was written since the last look; all of it."""
        for one in recorders:
            name, before = self._last.get(one.key, ("", 0))
            same = name == one.recording and one.written_bytes >= before
            self.total += max(one.written_bytes - (before if same else 0), 0)
            self._last[one.key] = one.recording, one.written_bytes
        return self.total


class SmoothRate:
    """Bytes per hour of a count that grows: the mean since it began, then over `smooth_ns`."""

    def __init__(self, smooth_ns: int, settle_ns: int) -> None:
        self._smooth_ns = smooth_ns
        self._settle_ns = settle_ns
        self._began_ns: int | None = None
        self._last_ns = 0
        self._last_bytes = 0
        self._rate = 0

    def begin(self) -> None:
        """Forget what was: something else is counted from now on."""
        self._began_ns = None

    def look(self, count_bytes: int, now_ns: int) -> None:
        """The count is this now. Times that do not go on are left out."""
        if self._began_ns is None:
            self._began_ns, self._rate = now_ns, 0
        elif now_ns > self._last_ns:
            step_ns = now_ns - self._last_ns
            sample = (count_bytes - self._last_bytes) * HOUR_NS // step_ns
            over_ns = max(min(now_ns - self._began_ns, self._smooth_ns), step_ns)
            self._rate += (sample - self._rate) * step_ns // over_ns
        else:
            return
        self._last_ns, self._last_bytes = now_ns, count_bytes

    def bytes_per_hour(self) -> int | None:
        """None before it has settled."""
        if self._began_ns is None or self._last_ns - self._began_ns < self._settle_ns:
            return None
        return self._rate


class SpaceRate:
    """The rate to judge the room by."""

    def __init__(self) -> None:
        self._written = SmoothRate(SMOOTH_NS, SETTLE_NS)
        self._net = SmoothRate(NET_NS, NET_SETTLE_NS)
        self._recording = False
        self._total = 0
        self._last: int | None = None
        """Of the last recording since the start; None before there was one that wrote."""

    def look(self, *, written_bytes: int, free_bytes: int, total_bytes: int, recording: bool,
             now_ns: int) -> None:
        """One look: `written_bytes` by :class:`WrittenBytes`; `now_ns` is monotonic."""
        if recording is not self._recording:
            self._recording = recording
            self._written.begin()
            self._net.begin()
        if total_bytes != self._total:  # a disk came or went: its room was not used up
            self._total = total_bytes
            self._net.begin()
        if recording:
            self._written.look(written_bytes, now_ns)
            self._last = self._written.bytes_per_hour() or self._last
        else:
            self._net.look(-free_bytes, now_ns)

    def bytes_per_hour(self, recorded: int | None = None, share: float | None = None) -> int:
        """`recorded`: of earlier recordings, where none was since the start; `share` of the time
        that is planned to be recorded, None where no schedule tells. 0: not known."""
        last = recorded if self._last is None else self._last
        if self._recording:
            return max(self._written.bytes_per_hour() or last or 0, 0)
        if last is not None and share is not None:
            return max(last, 0) * min(max(round(share * PERMILLE), 0), PERMILLE) // PERMILLE
        return max(self._net.bytes_per_hour() or 0, 0)
