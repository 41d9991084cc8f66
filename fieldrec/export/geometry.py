"""Crop, scale, rotation and flip of a preset, between the stored frame and the movie's picture.

Runs in the export process, one thread. A mosaic stays one when it is cropped, rotated or flipped,
and its pattern moves with it, so a lossless movie of it is as good as the raw; scaled it would mix
its colours, so it is developed first (bilinear, 8 bits, BGR).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fieldrec.core.errors import JobRefused
from fieldrec.core.model import FrameSpec
from fieldrec.core.reshape import (
    Kind,
    Turn,
    is_within,
    kind_of,
    moved_mosaic,
    resize,
    scaled_shape,
    turn_of,
    turned,
)
from fieldrec.export.presets import Geometry
from fieldrec.export.reduced import Reduction

Pixels = NDArray[Any]
_Step = Callable[[Pixels], Pixels]


def geometry(spec: FrameSpec, wanted: Geometry | None) -> Reduction:
    """The way from frames of `spec` to the shape that a preset wants.

    `apply` allocates what it returns, or returns its argument, or a view of it. JobRefused, naming
    the key, for what cannot be done to pictures of this `spec`.
    """
    if wanted is None or wanted == Geometry():
        return Reduction(spec, lambda pixels: pixels, {})
    kind = kind_of(spec)
    if kind is None:
        raise JobRefused(f"geometry: pictures of format {spec.pixel_format} ({spec.dtype}, shape "
                         f"{spec.shape}) can only be exported as they are; use a preset without "
                         "it")
    plan = _Plan(spec, kind)
    plan.crop(wanted)
    plan.scale(wanted)
    plan.turn(turn_of(wanted.rotate, wanted.flip), wanted)
    return Reduction(plan.spec, plan.apply, plan.rules)


class _Plan:
    """The steps so far, and what comes out of them."""

    def __init__(self, spec: FrameSpec, kind: Kind) -> None:
        self.spec, self.kind = spec, kind
        self.rules: dict[str, str] = {}
        self._source = spec.shape
        self._steps: list[_Step] = []

    def apply(self, pixels: Pixels) -> Pixels:
        """All steps; of (h, w, 1) too, as stores give grey pictures at times."""
        picture = pixels.reshape(self._source)
        for step in self._steps:
            picture = step(picture)
        return np.ascontiguousarray(picture)

    def crop(self, wanted: Geometry) -> None:
        if wanted.crop is None:
            return
        x, y, width, height = wanted.crop
        high, wide = self.spec.shape[:2]
        if not is_within(wanted.crop, self.spec.shape):
            raise JobRefused(f"geometry.crop: [x, y, width, height] = {list(wanted.crop)} is not "
                             f"within the recording's picture of {wide}x{high}")
        self._steps.append(lambda pixels: pixels[y:y + height, x:x + width])
        self.rules["crop"] = f"{width}x{height} from ({x}, {y})"
        self._becomes((height, width), wanted.crop, Turn())

    def scale(self, wanted: Geometry) -> None:
        shape = _scaled(self.spec.shape, wanted)
        if shape == self.spec.shape:
            return
        high, wide = self.spec.shape[:2]
        if shape[0] > high or shape[1] > wide:
            raise JobRefused(f"geometry: {shape[1]}x{shape[0]} is larger than the picture of "
                             f"{wide}x{high}: pictures are only made smaller")
        if self.kind.mosaic:
            self._develop()
        self._steps.append(partial(_resized, shape=shape[:2]))
        self.rules["scale"] = f"{wide}x{high} to {shape[1]}x{shape[0]}, area means"
        self.spec = dataclasses.replace(self.spec, shape=(*shape[:2], *self.spec.shape[2:]))

    def turn(self, turn: Turn, wanted: Geometry) -> None:
        if not turn:
            return
        step = turned(turn)

        def apply(pixels: Pixels) -> Pixels:
            into = np.empty(turn.shape(pixels.shape), pixels.dtype)
            step(np.ascontiguousarray(pixels), into)
            return into

        self._steps.append(apply)
        told = [f"{wanted.rotate} degrees clockwise"] if wanted.rotate else []
        told += [f"flipped {wanted.flip}"] if wanted.flip != "none" else []
        self.rules["turn"] = ", then ".join(told)
        high, wide = self.spec.shape[:2]
        self._becomes(turn.shape((high, wide)), (0, 0, wide, high), turn)

    def _becomes(self, sides: tuple[int, ...], region: tuple[int, int, int, int], turn: Turn
                 ) -> None:
        pixel_format = self.spec.pixel_format
        if self.kind.mosaic:
            mosaic = moved_mosaic(self.kind.mosaic, region, turn)
            self.kind = dataclasses.replace(self.kind, mosaic=mosaic)
            pixel_format = f"BAYER_{mosaic}{self.kind.bits}"
            self.rules["mosaic"] = f"{pixel_format} after crop and turn"
        self.spec = dataclasses.replace(self.spec, shape=(*sides, *self.spec.shape[2:]),
                                        pixel_format=pixel_format)

    def _develop(self) -> None:
        """Make colours of a mosaic."""
        import cv2

        codes = {"RG": cv2.COLOR_BayerRGGB2BGR, "GR": cv2.COLOR_BayerGRBG2BGR,
                 "BG": cv2.COLOR_BayerBGGR2BGR, "GB": cv2.COLOR_BayerGBRG2BGR}
        code, shift = codes[self.kind.mosaic], self.kind.bits - 8

        def apply(pixels: Pixels) -> Pixels:
            if shift:
                pixels = np.minimum(pixels >> shift, 255).astype(np.uint8)
            return cv2.cvtColor(np.ascontiguousarray(pixels), code)

        self._steps.append(apply)
        self.rules["demosaic"] = (f"{self.spec.pixel_format}, bilinear"
                                  + (f", of v >> {shift}" if shift else "") + ", before scaling")
        self.rules.pop("mosaic", None)
        self.kind = Kind("BGR", "", 8)
        self.spec = FrameSpec((*self.spec.shape[:2], 3), "uint8", "BGR8", self.spec.nominal_hz)


def _scaled(shape: tuple[int, ...], wanted: Geometry) -> tuple[int, ...]:
    """Shape after scaling: of the sides not given one follows from the other."""
    high, wide = shape[:2]
    if wanted.width is None and wanted.height is None:
        return scaled_shape(shape, wanted.scale)
    width = wanted.width or max(1, int(wide * (wanted.height or high) / high + 0.5))
    height = wanted.height or max(1, int(high * width / wide + 0.5))
    return (height, width, *shape[2:])


def _resized(pixels: Pixels, shape: tuple[int, ...]) -> Pixels:
    into = np.empty((*shape, *pixels.shape[2:]), pixels.dtype)
    resize(pixels, into)
    return into
