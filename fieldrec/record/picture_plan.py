"""What `prepare:` does to a picture: from the camera's FrameSpec to the stored one, step by step.

Made when a camera is opened, run in its ``cap-<camera>`` thread. A plan owns the memory between its
steps: the first one reads a view of the camera's picture (a region costs nothing by itself), the
last one writes into the ring's slot; nothing is allocated for a frame.

Sizes: what does not fill a bin is cut off at the right and at the bottom; a scaled side is rounded
to the nearest pixel (halves up), at least one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from fieldrec.camera import Pixels
from fieldrec.config.recording import PrepareConfig
from fieldrec.core.errors import CameraError
from fieldrec.core.model import FrameSpec
from fieldrec.core.reshape import (
    Kind,
    Step,
    Turn,
    is_within,
    kind_of,
    moved_mosaic,
    resize,
    scaled_shape,
    turn_of,
    turned,
)

_PACKETS = ("H264", "H265", "HEVC", "MJPEG")


class PicturePlan:
    """How one camera's pictures get into the slot."""

    def __init__(self, spec: FrameSpec, config: PrepareConfig) -> None:
        """CameraError, naming the key, for what cannot be done to pictures of this `spec`."""
        self.spec = spec
        """What comes out; at the camera's rate."""
        self.source: Pixels | None = None
        """Where the camera's picture belongs; None: straight into the slot."""
        self._view: Pixels = np.empty(0)
        self._between: list[tuple[Step, Pixels]] = []
        self._last: Step = _copy
        if config.every_nth != 1 or touches_pixels(config):
            _refuse_packets(spec)
        if not touches_pixels(config):
            return
        kind = _kind(spec)
        source = _memory(spec.shape, spec.dtype)
        self._view = _region(source, config)
        steps = list(_steps(self._view.shape, kind, spec, config))
        if not steps and self._view is source:
            return  # grey of a grey camera: the picture is what it should be
        self.source = source
        *before, (self._last, shape) = steps or [(_copy, self._view.shape)]
        self._between = [(step, _memory(made, spec.dtype)) for step, made in before]
        self.spec = replace(spec, shape=shape, pixel_format=_format(kind, spec, config))

    def finish(self, into: Pixels) -> None:
        """Make the picture that lies in :attr:`source` the one that is stored, in `into`."""
        picture = self._view
        for step, between in self._between:
            step(picture, between)
            picture = between
        self._last(picture, into)


def touches_pixels(config: PrepareConfig) -> bool:
    """Whether the stored picture is another than the camera's."""
    return (config.region is not None or config.binning != 1 or config.scale != 1 or config.grey
            or config.rotate != 0 or config.flip != "none")


def _memory(shape: tuple[int, ...], dtype: str) -> Pixels:
    """Room for a picture, every page touched: no page fault hits the camera thread."""
    memory: Pixels = np.empty(shape, dtype)
    memory.fill(0)
    return memory


def _refuse_packets(spec: FrameSpec) -> None:
    if spec.pixel_format in _PACKETS:
        raise CameraError(f"prepare: the camera gives {spec.pixel_format} packets, which are "
                          "stored as they come; leave `prepare` out, or let the camera give pixels")


def _kind(spec: FrameSpec) -> Kind:
    """The pixel format taken apart."""
    kind = kind_of(spec)
    if kind is None:
        raise CameraError(f"prepare: pictures of format {spec.pixel_format} ({spec.dtype}) can "
                          "only be stored as they are; let the camera give MONO, BGR or BAYER")
    return kind


def _region(picture: Pixels, config: PrepareConfig) -> Pixels:
    """The view of the region, or all of it."""
    if config.region is None:
        return picture
    x, y, width, height = config.region
    high, wide = picture.shape[:2]
    if not is_within(config.region, picture.shape):
        raise CameraError(f"prepare.region: [x, y, width, height] = {list(config.region)} is not "
                          f"within the camera's picture of {wide}x{high}")
    return picture[y:y + height, x:x + width]


def _steps(shape: tuple[int, ...], kind: Kind, spec: FrameSpec, config: PrepareConfig
           ) -> Iterator[tuple[Step, tuple[int, ...]]]:
    """Generate (step, shape of what it makes), in the order that PrepareConfig tells."""
    if kind.mosaic:
        _refuse_for_mosaic(spec, config)
    if config.binning != 1:
        shape = _binned(shape, config.binning)
        yield _bin(config.binning), shape
    if config.scale != 1:
        shape = scaled_shape(shape, config.scale)
        yield resize, shape
    if config.grey and kind.colour:
        shape = shape[:2]
        yield _grey(kind.colour), shape
    turn = _turn(config)
    if turn:
        shape = turn.shape(shape)
        yield turned(turn), shape


def _refuse_for_mosaic(spec: FrameSpec, config: PrepareConfig) -> None:
    asked = [key for key, wanted in (("binning", config.binning != 1), ("scale", config.scale != 1),
                                     ("grey", config.grey)) if wanted]
    if asked:
        raise CameraError(f"prepare.{asked[0]}: mixes the colours of a mosaic "
                          f"({spec.pixel_format}); leave it out, or let the camera do it (its "
                          "own binning, MONO8 or BGR8)")


def _binned(shape: tuple[int, ...], binning: int) -> tuple[int, ...]:
    high, wide = shape[:2]
    if min(high, wide) < binning:
        raise CameraError(f"prepare.binning: {binning} is more than the picture of {wide}x{high} "
                          "has")
    return (high // binning, wide // binning, *shape[2:])


def _copy(source: Pixels, into: Pixels) -> None:
    np.copyto(into, source)


def _bin(binning: int) -> Step:
    def step(source: Pixels, into: Pixels) -> None:
        high, wide = into.shape[:2]
        resize(source[:high * binning, :wide * binning], into)
    return step


def _grey(order: str) -> Step:
    import cv2

    code = cv2.COLOR_BGR2GRAY if order == "BGR" else cv2.COLOR_RGB2GRAY

    def step(source: Pixels, into: Pixels) -> None:
        cv2.cvtColor(source, code, dst=into)
    return step


def _turn(config: PrepareConfig) -> Turn:
    return turn_of(config.rotate, config.flip)


def _format(kind: Kind, spec: FrameSpec, config: PrepareConfig) -> str:
    """Pixel format of what comes out."""
    if config.grey and kind.colour:
        return f"MONO{kind.bits}"
    if not kind.mosaic:
        return spec.pixel_format
    region = config.region or (0, 0, spec.shape[1], spec.shape[0])
    return f"BAYER_{moved_mosaic(kind.mosaic, region, _turn(config))}{kind.bits}"
