"""Whether something moves in front of a camera: cheap looks at few pixels, with hysteresis.

Called by the store thread with every frame; between two looks that is one comparison. Pure but for
its own memory, which is all taken at the beginning, save some of the size of a few hundred cells.

A look makes cells of the picture, about a thousandth of its pixels in number, each the mean of
4 x 4 pixels spread over it: single ones are noisier than the threshold. They are compared with a
background that follows slowly (BACKGROUND_S): an animal that creeps is seen, what was put there
and stays is not for ever. A change of the light that most cells share is taken out first, as a
factor. What is left of one (hard shadows, one lamp of two) counts as motion until the background
has followed: a little over three times BACKGROUND_S for the hardest step there is, black to white.
"""

from __future__ import annotations

import math
import re

import numpy as np

from fieldrec.camera import Pixels
from fieldrec.config.recording import MotionConfig
from fieldrec.core.errors import CameraError
from fieldrec.core.model import FrameSpec

BACKGROUND_S = 3.0
"""Time constant of the background. An animal that stops is background after twice that; one that
creeps is seen while a cell changes by more than `threshold` within it."""
MOST_CELLS, FEWEST_CELLS = 4096, 256
SIDE = 4
"""Pixels that are looked at in each direction of a cell."""
LIGHT_FACTOR = 8.0
"""A change of the light up to so many times is taken out."""
_DARK, _BRIGHT = 8.0, 215.0
"""Grey levels below and above which a cell tells little about the light: parts of it may be
clipped."""
_LIGHT_CHANGED = 0.03
"""Below this the light is the same, and cells that are too bright to tell are looked at too."""


class MotionTrigger:
    """Says of every frame whether it shall be kept."""

    def __init__(self, config: MotionConfig, spec: FrameSpec) -> None:
        """CameraError for frames that are no pixels (packets)."""
        bits = re.fullmatch(r"(?:MONO|BGR|RGB|BAYER_?[A-Z]{2})_?(\d+)", spec.pixel_format)
        if bits is None or spec.dtype not in ("uint8", "uint16"):
            raise CameraError(f"record.trigger: motion cannot be seen in {spec.pixel_format} "
                              "frames; let the camera give pixels, or set the trigger to none")
        self._config = config
        self._levels = np.float32(2.0 ** (8 - int(bits[1])))
        self._area, size = _looked_at(spec, mosaic=spec.pixel_format.startswith("BAYER"))
        self._size = size[::-1]
        shape = (*size, *spec.shape[2:])
        self._pixels = np.zeros((SIDE * size[0], SIDE * size[1], *spec.shape[2:]), spec.dtype)
        self._cells = np.zeros(shape, spec.dtype)
        self._now, self._background, self._expected = (
            np.zeros(shape, np.float32) for _ in range(3))
        self._changed, self._tells = np.zeros(shape, bool), np.zeros(shape, bool)
        self._period_ns = int(1e9 / config.look_hz)
        self._early_ns = int(min(0.5e9 / spec.nominal_hz, 0.5 * self._period_ns))
        self._looked_ns: int | None = None
        self._looks_with_motion = 0
        self._moving = False
        self._keep_until_ns: int | None = None
        self.share_percent = 0.0
        """Of the picture that had changed at the last look."""

    @property
    def moving(self) -> bool:
        """Whether there was motion at the last look."""
        return self._moving

    def wants(self, pixels: Pixels, monotonic_ns: int) -> bool:
        """Whether there is motion, or was within `postroll_s` before. `pixels`: a frame of the
        spec, whose time is `monotonic_ns`."""
        looked_ns = self._looked_ns
        if looked_ns is None or not (
                0 <= monotonic_ns - looked_ns < self._period_ns - self._early_ns):
            self._look(pixels, monotonic_ns, looked_ns)
        return self._keep_until_ns is not None and monotonic_ns <= self._keep_until_ns

    def _look(self, pixels: Pixels, now_ns: int, before_ns: int | None) -> None:
        self._looked_ns = now_ns
        self._see(pixels)
        elapsed_s = math.inf if before_ns is None else (now_ns - before_ns) / 1e9
        if not 0 <= elapsed_s < BACKGROUND_S + 1 / self._config.look_hz:
            # the first look, or a pause: nothing that could be compared
            np.copyto(self._background, self._now)
            self._keep_until_ns = None
        else:
            self._compare()
            self._follow(elapsed_s)
        self._judge(now_ns)

    def _see(self, pixels: Pixels) -> None:
        """The picture as cells, in grey levels of 8 bits."""
        import cv2

        np.copyto(self._pixels, pixels[self._area])
        cv2.resize(self._pixels, self._size, dst=self._cells, interpolation=cv2.INTER_AREA)
        np.multiply(self._cells, self._levels, out=self._now)

    def _compare(self) -> None:
        """Find how much of the picture differs from the background by more than the threshold."""
        light, expected, changed = self._light(), self._expected, self._changed
        np.multiply(self._background, light, out=expected)
        np.subtract(self._now, expected, out=expected)
        np.abs(expected, out=expected)
        np.greater(expected, self._config.threshold, out=changed)
        if abs(light - 1) > _LIGHT_CHANGED:
            for levels in (self._now, self._background):
                np.less(levels, _BRIGHT, out=self._tells)
                np.logical_and(changed, self._tells, out=changed)
        cells = changed if changed.ndim == 2 else changed.any(axis=2)
        self.share_percent = 100 * float(np.count_nonzero(cells)) / cells.size

    def _light(self) -> float:
        """How many times brighter it is than the background, by most cells that can tell."""
        tells = (self._background > _DARK) & (self._background < _BRIGHT)
        if np.count_nonzero(tells) * 4 < tells.size:
            return 1.0
        factor = float(np.median(self._now[tells] / self._background[tells]))
        return min(max(factor, 1 / LIGHT_FACTOR), LIGHT_FACTOR)

    def _follow(self, elapsed_s: float) -> None:
        """Let the background follow by the time that has passed, rate of looks or not."""
        share = np.float32(1 - math.exp(-elapsed_s / BACKGROUND_S))
        np.subtract(self._now, self._background, out=self._expected)
        np.multiply(self._expected, share, out=self._expected)
        np.add(self._background, self._expected, out=self._background)

    def _judge(self, now_ns: int) -> None:
        config = self._config
        if self._moving:
            self._moving = self.share_percent >= config.leave_percent
        else:
            above = self.share_percent >= config.area_percent
            self._looks_with_motion = self._looks_with_motion + 1 if above else 0
            self._moving = self._looks_with_motion >= config.frames
        if self._moving:
            self._keep_until_ns = now_ns + int(config.postroll_s * 1e9)


def _looked_at(spec: FrameSpec, *, mosaic: bool) -> tuple[tuple[slice, slice], tuple[int, int]]:
    """Which pixels are looked at, in the middle of the picture, and (rows, columns) of cells."""
    height, width = spec.shape[:2]
    wanted = min(max(height * width / 1000, FEWEST_CELLS), MOST_CELLS)
    step = max(1, int(math.sqrt(height * width / wanted) / SIDE))
    if mosaic and step % 2 == 0:
        step -= 1  # an odd one meets all four colours
    rows, columns = max(1, height // (SIDE * step)), max(1, width // (SIDE * step))
    return tuple(_middle(length, cells * SIDE, step) for length, cells in (  # type: ignore[return-value]
        (height, rows), (width, columns))), (rows, columns)


def _middle(length: int, count: int, step: int) -> slice:
    first = (length - (count - 1) * step - 1) // 2
    return slice(first, first + (count - 1) * step + 1, step)
