"""What decides, frame by frame, whether it is kept: `record.trigger`.

Asked by the store thread for every frame while a recording is armed, so it must be cheap. What it
needs is imported only where a trigger is configured.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from fieldrec.camera import Pixels
from fieldrec.config import RecordConfig
from fieldrec.config.recording import MotionConfig
from fieldrec.core.model import FrameSpec


class Trigger(Protocol):
    """One for each recording that is armed."""

    def wants(self, pixels: Pixels, monotonic_ns: int) -> bool:
        """Whether this frame belongs to an event; true also for as long after one as is kept."""
        ...

    def said(self) -> Mapping[str, Any]:
        """What is written into the extra data of an event that begins now."""
        ...


NewTrigger = Callable[[FrameSpec], Trigger]


def trigger_of(record: RecordConfig) -> NewTrigger | None:
    """How to make the trigger that the configuration asks for; None for none.

    Making it raises CameraError for frames that it cannot judge.
    """
    if record.trigger == "none":
        return None

    return lambda spec: _Motion(record.motion, spec)


class _Motion:
    """Something moves in the picture."""

    def __init__(self, config: MotionConfig, spec: FrameSpec) -> None:
        from fieldrec.record.motion import MotionTrigger

        self._motion = MotionTrigger(config, spec)
        self.wants = self._motion.wants

    def said(self) -> Mapping[str, Any]:
        """How much of the picture moved."""
        return {"trigger": "motion", "trigger_share_percent": self._motion.share_percent}
