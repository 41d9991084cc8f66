"""What share of the time an export may take beside a recording: none, unless configured, and none
while a ring fills. Event loop; asked at every picture of the box (ten a second at most)."""

from __future__ import annotations

from collections.abc import Sequence

from fieldrec.config import ExportConfig
from fieldrec.core.model import CameraState, Heat
from fieldrec.core.snapshot import RecorderStatus

CALM_S = 10.0
"""All rings must have kept nearly empty for this long before an export goes on: what held it up
would otherwise come back with it."""
_CALM = (Heat.NONE, Heat.LOW)


class BesideRecording:
    """The share, with hysteresis: it ends at once and comes back after a while."""

    def __init__(self, config: ExportConfig) -> None:
        self._config = config
        self._busy_s: float | None = None
        """When a ring was not calm last, or the recording began; None while nothing records."""
        self.share = 0.0
        """0: exports wait."""

    def look(self, recorders: Sequence[RecorderStatus], recording: bool, now_s: float) -> bool:
        """Judge anew; whether the share is another one now. `now_s` is monotonic."""
        before, self.share = self.share, self._judged(recorders, recording, now_s)
        return before != self.share

    def _judged(self, recorders: Sequence[RecorderStatus], recording: bool, now_s: float) -> float:
        if not recording or self._config.while_recording != "throttled":
            self._busy_s = None
            return 0.0
        calm = all(r.heat in _CALM for r in recorders if r.state is CameraState.RECORDING)
        if not calm or self._busy_s is None:
            self._busy_s = now_s
        return self._config.throttle_share if now_s - self._busy_s >= CALM_S else 0.0
