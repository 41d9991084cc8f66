"""Whether frames reach the disk: what feeds the watchdog. Called by the beat, on the loop.

A turning event loop proves little: the store threads do the work. Where one of them has frames
waiting in its ring and has stored none for STALL_S, something is stuck (I8 cannot be kept), and
systemd may start fieldrec anew; a disk that is only slow catches up long before.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from fieldrec.core.model import CameraState
from fieldrec.core.snapshot import RecorderStatus
from fieldrec.status import systemd

STALL_S = 60.0
"""Cards stall for seconds, sync of a slow disk for tens of seconds."""


class Progress:
    """Looks at the recorders again and again."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[tuple[str, int], float]] = {}
        """Per camera: (recording, frames stored), and when that was new."""

    def problem(self, recorders: Sequence[RecorderStatus], monotonic_s: float) -> str:
        """What is stuck, in words; "" while all is well."""
        for recorder in recorders:
            now = (recorder.recording, recorder.frame_count)
            waiting = recorder.state is CameraState.RECORDING and recorder.ring_used > 0
            before, since_s = self._last.get(recorder.key, (now, monotonic_s))
            if not waiting or before != now:
                before, since_s = now, monotonic_s
            self._last[recorder.key] = (before, since_s)
            if monotonic_s - since_s >= STALL_S:
                return (f"camera {recorder.key}: frames wait, but none was stored for "
                        f"{STALL_S:.0f} s; check the disk")
        return ""


class Alive:
    """Tells systemd that all is well, no more often than it wants to hear it."""

    def __init__(self) -> None:
        self._fed_s = -math.inf
        self._line = ""

    def tell(self, line: str, monotonic_s: float) -> None:
        """Feed the watchdog; `line` is for `systemctl status`, sent when it has changed."""
        interval_s = systemd.watchdog_interval_s()
        if interval_s is not None and monotonic_s - self._fed_s >= interval_s / 2:
            self._fed_s = monotonic_s
            systemd.watchdog()
        if line != self._line:
            self._line = line
            systemd.status(line)
