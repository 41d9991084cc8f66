"""The pictures of the synthetic camera: a pattern that moves, or a blob that does at times.

Pure but for its own memory; the caller's thread. A picture depends on its number, its time and the
:class:`Scene` alone, so what was recorded can be compared with what must have been there. Per
frame: one copy of a shifted view of a precomputed background, then a few cells.
"""

from __future__ import annotations

import functools
import re
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fieldrec.camera import Pixels
from fieldrec.camera.burnt_number import burn_number, burn_time

PixelFormat = Literal["MONO8", "MONO10", "MONO12", "MONO16", "BGR8", "BAYER_RG8", "BAYER_GR8",
                      "BAYER_GB8", "BAYER_BG8", "BAYER_RG16", "BAYER_GR16", "BAYER_GB16",
                      "BAYER_BG16"]
Pattern = Literal["Moving", "Still", "Black", "White"]
Burn = Literal["number+time", "number", "none"]

_TILE = 256
"""Side of the background's repeating tile, in pixels; shifts wrap there without a seam."""
_CHANNELS = {"B": 0, "G": 1, "R": 2}
_QUADS = {"RG": "RGGB", "BG": "BGGR", "GR": "GRBG", "GB": "GBRG"}


class Scene(NamedTuple):
    """All that pictures depend on, besides number and time."""

    height: int
    width: int
    offset_y: int = 0
    offset_x: int = 0
    pixel_format: str = "MONO8"
    seed: int = 0
    brightness: float = 1.0
    pattern: str = "Moving"
    burn: str = "number+time"
    moves: tuple[tuple[int, int], ...] = ()
    """Frames (first, end) during which a blob moves; if there are any, nothing else does."""


class Pictures:
    """The pictures of one scene."""

    def __init__(self, scene: Scene) -> None:
        """Computes the background: tens of ms, and four times a frame's memory at the most."""
        self.scene = scene
        name = scene.pixel_format
        self.bits = int("".join(re.findall(r"\d", name)))
        """Of a pixel, in one or two bytes."""
        self._white = 2 ** self.bits - 1
        self._background = _background(scene, self._white)
        self._step_y = 2 if name.startswith("BAYER") else 1  # odd shifts would swap its colours
        self._moving = scene.pattern == "Moving" and not scene.moves
        self._blob = _blob(scene, self._background.dtype, self._white)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a frame."""
        return (self.scene.height, self.scene.width, *self._background.shape[2:])

    @property
    def dtype(self) -> str:
        """Of a frame."""
        return self._background.dtype.name

    def draw(self, number: int, at_ns: int, into: Pixels) -> None:
        """Put picture `number`, taken `at_ns` after the start, into `into`."""
        scene, shown = self.scene, number if self._moving else 0
        x = (2 * shown + scene.offset_x) % _TILE
        y = (self._step_y * shown + scene.offset_y) % _TILE
        np.copyto(into, self._background[y:y + scene.height, x:x + scene.width])
        if scene.moves:
            self._put_blob(number, into)
        if scene.burn != "none":
            burn_number(into, number, white=self._white)
        if scene.burn == "number+time":
            burn_time(into, at_ns, white=self._white)

    def _put_blob(self, number: int, into: Pixels) -> None:
        height, width = self._blob.shape[:2]
        steps = sum(min(max(number - first, 0), end - first) for first, end in self.scene.moves)
        room = self.scene.width - width + 1
        x = steps * max(1, self.scene.width // 100) % room
        y = (self.scene.height - height) // 2
        into[y:y + height, x:x + width] = self._blob


def _blob(scene: Scene, dtype: np.dtype[Any], white: int) -> Pixels:
    """A square, about a fortieth of the picture; lighter towards its middle."""
    side = max(4, round((scene.height * scene.width / 40) ** 0.5))
    side = min(side, scene.height, scene.width)
    ramp = 1 - np.abs(np.linspace(-0.6, 0.6, side))
    blob: Pixels = (np.minimum.outer(ramp, ramp) * white).astype(dtype)
    return blob[..., np.newaxis] if scene.pixel_format == "BGR8" else blob


def _background(scene: Scene, white: int) -> Pixels:
    """The pattern, larger than a frame by one tile in both directions."""
    repeats = (scene.height // _TILE + 2, scene.width // _TILE + 2)
    tile = _coloured(scene.pixel_format, scene.seed) * white
    if scene.pattern in ("Black", "White"):
        tile = np.full_like(tile, white if scene.pattern == "White" else 0)
    if scene.brightness != 1:
        tile = np.minimum(tile * scene.brightness, white)
    tile = tile.astype(np.uint8 if white == 255 else np.uint16)
    return np.tile(tile, repeats if tile.ndim == 2 else (*repeats, 1))


def _coloured(pixel_format: str, seed: int) -> NDArray[Any]:
    """The tile in the pixel format's channels, or as its mosaic; values in [0, 1]."""
    grey = _tile(seed)
    if pixel_format.startswith("MONO"):
        return grey
    # The tile as colour channels that are shifted against each other: every colour occurs.
    channels = [grey, np.roll(grey, _TILE // 3, axis=0), np.roll(grey.T, _TILE // 5, axis=1)]
    if pixel_format == "BGR8":
        return np.stack(channels, axis=-1)
    mosaic = np.empty_like(grey)
    for place, colour in enumerate(_QUADS[pixel_format[6:8]]):
        at = (slice(place // 2, None, 2), slice(place % 2, None, 2))
        mosaic[at] = channels[_CHANNELS[colour]][at]
    return mosaic


@functools.lru_cache(maxsize=8)
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
    clipped.flags.writeable = False
    return clipped
