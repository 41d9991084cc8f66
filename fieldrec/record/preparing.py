"""Frames made ready for storing before they reach the ring: a camera around a camera.

Runs where the camera inside runs: the recorder's worker opens and closes it, the ``cap-<camera>``
thread grabs. The camera inside fills memory of this one, and what comes of it is written straight
into the slot; with nothing to do to the pixels it fills the slot itself, and with nothing to do at
all its own `grab` is called and nothing else. Times are those of the frames kept, and a gap in the
numbers stays one: frame n of the camera is frame n // every_nth here, and of each such group the
first that arrives is kept.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from fieldrec.camera import Camera, Pixels
from fieldrec.camera.parameters import Configurable, Parameter, Value, parameters_of
from fieldrec.config.recording import PrepareConfig
from fieldrec.core.errors import CameraError, StateError, UsageError
from fieldrec.core.model import FrameHeader, FrameSpec
from fieldrec.record.picture_plan import PicturePlan

ROTATE = "MotifImageRotate"
"""Motif's parameter: degrees clockwise, in place of `prepare.rotate`."""
FLIP = "ImageFlip"
"""Ours: in place of `prepare.flip`."""
FLIPS = ("none", "horizontal", "vertical", "both")
_KEYS = {ROTATE: "rotate", FLIP: "flip"}


def prepared(camera: Camera, config: PrepareConfig) -> PreparedCamera:
    """`camera` with its frames made as `config` wants them, now or, by :meth:`configure`, later.
    What cannot be done shows when it is opened: only then is its picture known."""
    return PreparedCamera(camera, config)


class PreparedCamera:
    """See :class:`fieldrec.camera.Camera` and :class:`fieldrec.camera.parameters.Configurable`."""

    def __init__(self, camera: Camera, config: PrepareConfig) -> None:
        self._camera = camera
        self._config = config
        self._plan: PicturePlan | None = None
        self._raw: FrameSpec | None = None
        self._running = False
        self._group: int | None = None
        self.grab: Callable[[Pixels, float], FrameHeader] = self._grab
        """As a camera's; of every group of `every_nth` numbers one frame comes. Another function
        after :meth:`open` and :meth:`configure`: the camera's own where it gives what is wanted."""

    def open(self) -> FrameSpec:
        """Open the camera inside; CameraError naming the key for what cannot be done to its
        pictures, with the camera closed again."""
        raw = self._camera.open()
        try:
            self._use(raw, PicturePlan(raw, self._config))
        except CameraError:
            self.close()
            raise
        return self._spec()

    def start(self) -> None:
        self._camera.start()
        self._running = True
        self._group = None

    def _grab(self, into: Pixels, timeout_s: float) -> FrameHeader:
        plan = self._plan
        source = None if plan is None else plan.source
        target = into if source is None else source
        header = self._kept(target, timeout_s)
        if plan is not None and source is not None:
            plan.finish(into)
        return header

    def stop(self) -> None:
        self._running = False
        self._camera.stop()

    def close(self) -> None:
        self._running = False
        self._camera.close()
        self._plan = self._raw = None

    def parameters(self) -> tuple[Parameter, ...]:
        """Those of the camera inside, and how its pictures are turned, where they can be."""
        inside = tuple(one for one in parameters_of(self._camera) if one.name not in _KEYS)
        if not self._can_turn():
            return inside
        config = self._config
        return (*inside, Parameter(ROTATE, config.rotate, minimum=0, maximum=270, increment=90,
                                   unit="deg"), Parameter(FLIP, config.flip, choices=FLIPS))

    def _can_turn(self) -> bool:
        if self._raw is None:
            return False
        try:
            PicturePlan(self._raw, PrepareConfig(rotate=180))
        except CameraError:  # packets, or a format that nobody understands
            return False
        return True

    def configure(self, values: Mapping[str, Value]) -> FrameSpec:
        """What the camera inside takes goes there. While frames come a rotation or a flip is
        refused (StateError) unless pictures stay of the same shape and format."""
        ours = {_KEYS[name]: value for name, value in values.items() if name in _KEYS}
        config = self._config
        if ours:
            config = PrepareConfig.model_validate(config.model_dump() | ours)
        if self._raw is None:
            raise CameraError("the camera is not open; open it first")
        plan = PicturePlan(self._raw, config)
        if self._running and not _alike(plan.spec, self._spec()):
            asked = " and ".join(f"{name} {values[name]}" for name in _KEYS if name in values)
            raise StateError(f"{asked} gives pictures of another shape or format, which cannot be "
                             "while recording; stop first")
        inside = {name: value for name, value in values.items() if name not in _KEYS}
        if inside:
            plan = self._configure_inside(inside, config)
        self._config = config
        self._use(self._raw, plan)
        return self._spec()

    def _configure_inside(self, values: Mapping[str, Value], config: PrepareConfig) -> PicturePlan:
        """Set the parameters of the camera inside; all as before when its pictures could then not
        be made ready (a region that lies outside)."""
        camera = self._camera
        if not isinstance(camera, Configurable):
            raise UsageError("this camera has no parameters")
        before = {one.name: one.value for one in camera.parameters() if one.name in values}
        self._raw = camera.configure(values)
        try:
            return PicturePlan(self._raw, config)
        except CameraError:
            self._raw = camera.configure(before)
            raise

    def _kept(self, target: Pixels, timeout_s: float) -> FrameHeader:
        """Grab until a frame comes that is kept."""
        nth = self._config.every_nth
        if nth == 1:
            return self._camera.grab(target, timeout_s)
        deadline_s = time.monotonic() + timeout_s
        while True:
            header = self._camera.grab(target, max(0.0, deadline_s - time.monotonic()))
            group = header.number // nth
            if group != self._group:
                self._group = group
                return replace(header, number=group)

    def _use(self, raw: FrameSpec, plan: PicturePlan) -> None:
        self._raw, self._plan = raw, plan
        as_it_is = plan.source is None and self._config.every_nth == 1
        self.grab = self._camera.grab if as_it_is else self._grab

    def _spec(self) -> FrameSpec:
        if self._raw is None or self._plan is None:
            raise CameraError("the camera is not open; open it first")
        return replace(self._plan.spec, nominal_hz=self._raw.nominal_hz / self._config.every_nth)


def _alike(one: FrameSpec, other: FrameSpec) -> bool:
    """Whether frames of both fit the same slot and mean the same."""
    return replace(one, nominal_hz=0) == replace(other, nominal_hz=0)
