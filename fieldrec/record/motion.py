"""Whether something moves in front of a camera: cheap looks at few pixels, with hysteresis.

Pure but for its own memory; called by the store thread with every frame, and looks at few of them.
"""
from __future__ import annotations

from fieldrec.camera import Pixels
from fieldrec.config.models import MotionConfig
from fieldrec.core.model import FrameSpec


class MotionTrigger:
    """Says of every frame whether it shall be kept."""

    def __init__(self, config: MotionConfig, spec: FrameSpec) -> None:
        self._config = config
        self._spec = spec

    def wants(self, pixels: Pixels, monotonic_ns: int) -> bool:
        """Whether there is motion, or was within `postroll_s`."""
        raise NotImplementedError
