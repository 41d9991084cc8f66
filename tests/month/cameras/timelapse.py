"""A camera of simulated time: a frame every so many simulated seconds, drawn by the synthetic one.

Found by the app as any backend is (box_life.py adds this folder to the package's path). What it
gave is written down in a file, a line a frame: that is what the stores are judged by. Each frame's
`device_time_ns` is the simulated moment, which no step of the wall clock moves and no two frames
of a month share.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from pydantic import Field

from fieldrec.camera import CameraOptions, Pixels
from fieldrec.camera.synthetic import Options as SyntheticOptions
from fieldrec.camera.synthetic import SyntheticCamera
from fieldrec.core.errors import CameraTimeout
from fieldrec.core.model import FrameHeader, FrameSpec

CLOCK: Any = None
"""The box's simulated clock; set before the app is made."""


class Options(CameraOptions):
    """Keys of a timelapse camera."""

    width: int = 64
    height: int = 48
    period_s: float = Field(default=60.0, gt=0)
    """Simulated seconds from frame to frame."""
    ledger: Path
    """Where it is written down what was given."""


class TimelapseCamera:
    """See :class:`fieldrec.camera.Camera`."""

    def __init__(self, serial: str, options: Options) -> None:
        self.serial = serial
        self.options = options
        self._drawn = SyntheticCamera(serial, SyntheticOptions(
            width=options.width, height=options.height, hz=1 / options.period_s, paced=False))
        self._next = 0
        self._origin_ns = 0
        self._ledger = -1

    def open(self) -> FrameSpec:
        return self._drawn.open()

    def start(self) -> None:
        CLOCK.begin()
        self._ledger = os.open(self.options.ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self._origin_ns = CLOCK.monotonic_ns()
        self._next = 0

    def grab(self, into: Pixels, timeout_s: float) -> FrameHeader:
        due_ns = self._origin_ns + int(self._next * self.options.period_s * 1e9)
        if not CLOCK.wait_until(due_ns, timeout_s):
            raise CameraTimeout(f"timelapse camera {self.serial}: the next frame is not due")
        number = self._next
        self._drawn.render(number, into)
        self._next += 1
        os.write(self._ledger, f"{self.serial} {number} {due_ns} {time.monotonic():.3f}\n".encode())
        return FrameHeader(number=number, monotonic_ns=due_ns, device_time_ns=due_ns)

    def stop(self) -> None:
        if self._ledger >= 0:
            os.close(self._ledger)
            self._ledger = -1
        CLOCK.end()

    def close(self) -> None:
        self.stop()
        self._drawn.close()


BACKEND = TimelapseCamera
