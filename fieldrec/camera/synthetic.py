"""A camera without hardware: a moving pattern with the frame number burnt in, and scripted faults.

Runs in the caller's thread (``cap-<camera>``), starts none. A picture depends on its number and
the options alone, so what was recorded can be compared with what must have been there. Per frame:
one copy of a shifted view of a precomputed background into the slot, then a few cells.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from fieldrec.camera import CameraOptions, Pixels
from fieldrec.camera.burnt_number import MIN_HEIGHT, MIN_WIDTH, burn_number, read_number
from fieldrec.camera.pace import Pace
from fieldrec.core.errors import CameraEnded, CameraError, CameraLost
from fieldrec.core.model import FrameHeader, FrameSpec

__all__ = ["BACKEND", "Options", "SyntheticCamera", "burn_number", "read_number"]

_TILE = 256
"""Side of the background's repeating tile, in pixels; shifts wrap there without a seam."""


class Options(CameraOptions):
    """Keys of a synthetic camera."""

    width: int = Field(default=1280, ge=MIN_WIDTH, le=16384)
    height: int = Field(default=1024, ge=MIN_HEIGHT, le=16384)
    hz: float = Field(default=60.0, gt=0, le=10_000)
    """Frames per second."""
    pixel_format: Literal["MONO8", "BGR8", "MONO16"] = "MONO8"
    frames: int | None = Field(default=None, ge=0)
    """Frames handed out per start; then the camera has ended. Default: endless."""
    seed: int = Field(default=0, ge=0)
    """Chooses the pattern."""
    paced: bool = True
    """False: never wait; frames come at once and bear the times they would have had."""
    drop_when_late: bool = True
    """Skip numbers when frames are fetched too late, as a real camera does; else catch up."""
    buffers: int = Field(default=4, ge=1)
    """Frames that wait to be fetched before the oldest is dropped."""
    drop_every: int | None = Field(default=None, ge=2)
    """Fault: every n-th number (n-1, 2n-1, …) is missing."""
    fail_open: bool = False
    """Fault: the camera never opens."""
    fail_open_times: int = Field(default=0, ge=0)
    """Fault: the camera does not open at the first n attempts."""
    lost_after_frames: int | None = Field(default=None, ge=0)
    """Fault: the camera is gone after this many frames, once; opening it again helps."""
    stall_at: int | None = Field(default=None, ge=0)
    """Fault: frame number before which the camera falls silent…"""
    stall_s: float = Field(default=0.0, ge=0)
    """…for this long (in unpaced mode: of virtual time, used up by timeouts)."""


class SyntheticCamera:
    """See :class:`fieldrec.camera.Camera`."""

    def __init__(self, serial: str, options: Options) -> None:
        self.serial = serial
        self.options = options
        self._opens = 0
        self._lost_once = False
        self._background: Pixels | None = None
        self._pace: Pace | None = None
        self._origin_ns = 0
        self._next = 0
        self._given = 0
        self._gone = False

    def open(self) -> FrameSpec:
        """Compute the background (tens of ms); CameraError when the script says so."""
        options = self.options
        self._opens += 1
        if options.fail_open or self._opens <= options.fail_open_times:
            raise CameraError(f"synthetic camera {self.serial}: does not open, as its options "
                              f"ask (attempt {self._opens})")
        self._background = _background(options)
        self._gone = False
        shape: tuple[int, ...] = (options.height, options.width)
        if options.pixel_format == "BGR8":
            shape = (*shape, 3)
        return FrameSpec(shape=shape, dtype=self._background.dtype.name,
                         pixel_format=options.pixel_format, nominal_hz=options.hz)

    def start(self) -> None:
        """Number 0 is due now."""
        if self._background is None:
            raise CameraError(f"synthetic camera {self.serial}: start before open")
        self._pace = Pace(paced=self.options.paced)
        self._origin_ns = self._pace.now_ns()
        self._next = 0
        self._given = 0

    def grab(self, into: Pixels, timeout_s: float) -> FrameHeader:
        """`monotonic_ns` is the moment the frame was due; `device_time_ns` the same since start."""
        pace = self._pace
        if pace is None:
            raise CameraError(f"synthetic camera {self.serial}: grab before start")
        self._fail_as_scripted()
        number = self._number_after_drops(pace.now_ns())
        due_ns = self._due_ns(number)
        pace.wait(due_ns, timeout_s, f"synthetic camera {self.serial}")
        self.render(number, into)
        self._next = number + 1
        self._given += 1
        return FrameHeader(number=number, monotonic_ns=due_ns,
                           device_time_ns=due_ns - self._origin_ns)

    def stop(self) -> None:
        self._pace = None

    def close(self) -> None:
        self.stop()
        self._background = None

    def render(self, number: int, into: Pixels) -> None:
        """Put the picture of `number` into `into`; needs :meth:`open`, waits for nothing."""
        if self._background is None:
            raise CameraError(f"synthetic camera {self.serial}: render before open")
        x, y = 2 * number % _TILE, number % _TILE
        height, width = self.options.height, self.options.width
        np.copyto(into, self._background[y:y + height, x:x + width])
        burn_number(into, number)

    def _fail_as_scripted(self) -> None:
        options = self.options
        if self._given == options.lost_after_frames and not self._lost_once:
            self._lost_once = self._gone = True
        if self._gone:
            raise CameraLost(f"synthetic camera {self.serial}: gone after {self._given} frames, "
                             f"as its options ask")
        if options.frames is not None and self._given >= options.frames:
            raise CameraEnded(f"synthetic camera {self.serial}: all {options.frames} frames given")

    def _number_after_drops(self, now_ns: int) -> int:
        """The next number that the camera still has."""
        options = self.options
        number = self._next
        if options.drop_when_late:
            number = max(number, self._newest_due(now_ns) - options.buffers + 1)
        if options.drop_every is not None and (number + 1) % options.drop_every == 0:
            number += 1
        return number

    def _newest_due(self, now_ns: int) -> int:
        """Number of the last frame taken until now, -1 if none."""
        stall_at, stall_ns = self.options.stall_at, self._stall_ns()
        newest = _count(now_ns - self._origin_ns, self.options.hz)
        if stall_at is None or newest < stall_at:
            return newest
        return max(stall_at - 1, _count(now_ns - self._origin_ns - stall_ns, self.options.hz))

    def _due_ns(self, number: int) -> int:
        stalled = self.options.stall_at is not None and number >= self.options.stall_at
        return (self._origin_ns + round(number * 1e9 / self.options.hz)
                + (self._stall_ns() if stalled else 0))

    def _stall_ns(self) -> int:
        return int(self.options.stall_s * 1e9)


def _count(elapsed_ns: int, hz: float) -> int:
    return int(elapsed_ns * hz // 1e9)


def _background(options: Options) -> Pixels:
    """The pattern, larger than a frame by one tile in both directions."""
    tile = _tile(options.seed)
    repeats = (options.height // _TILE + 2, options.width // _TILE + 2)
    if options.pixel_format == "MONO16":
        return np.tile((tile * 65535).astype(np.uint16), repeats)
    grey = (tile * 255).astype(np.uint8)
    if options.pixel_format == "MONO8":
        return np.tile(grey, repeats)
    # Other seeds' tiles as colour channels, shifted against each other: every colour occurs.
    channels = [grey, np.roll(grey, _TILE // 3, axis=0), np.roll(grey.T, _TILE // 5, axis=1)]
    return np.tile(np.stack(channels, axis=-1), (*repeats, 1))


def _tile(seed: int) -> NDArray[Any]:
    """A seamless tile of values in [0, 1]: waves, blobs, edges and a little sensor noise."""
    random = np.random.default_rng(seed)
    y, x = np.meshgrid(np.arange(_TILE), np.arange(_TILE), indexing="ij")
    waves = np.zeros((_TILE, _TILE))
    for _ in range(6):
        down, across = random.integers(-5, 6, size=2)
        phase = random.uniform(0, 2 * np.pi)
        waves += np.sin(2 * np.pi * (down * y + across * x) / _TILE + phase)
    tile = 0.5 + waves / 16
    for _ in range(8):
        top, left = random.integers(0, _TILE, size=2)
        radius = random.integers(6, 24)
        distance = np.hypot((y - top + 128) % _TILE - 128, (x - left + 128) % _TILE - 128)
        tile[distance < radius] = random.uniform(0.1, 0.9)
    tile += random.normal(0, 0.01, tile.shape)
    clipped: NDArray[Any] = np.clip(tile, 0, 1)
    return clipped


BACKEND = SyntheticCamera
