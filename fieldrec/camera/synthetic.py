"""A camera without hardware: a moving pattern with frame number and time burnt in, scripted faults.

Runs in the caller's thread (``cap-<camera>``), starts none. A picture depends on its number, the
options and the parameters alone, so what was recorded can be compared with what must have been
there (synthetic_picture.py draws it). Its parameters have ranges that depend on each other, as a
real camera's do; opening it sets them back to what the options say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import get_args

from pydantic import Field

from fieldrec.camera import CameraOptions, Pixels
from fieldrec.camera.burnt_number import (
    MIN_HEIGHT,
    MIN_WIDTH,
    burn_number,
    read_number,
    read_time_us,
)
from fieldrec.camera.found import FoundCamera
from fieldrec.camera.pace import Pace
from fieldrec.camera.parameters import Parameter, Value
from fieldrec.camera.synthetic_parameters import (
    LEAST_EXPOSURE_US,
    MOST_GAIN_DB,
    Settings,
    as_parameters,
    changed,
)
from fieldrec.camera.synthetic_picture import Burn, Pattern, Pictures, PixelFormat, Scene
from fieldrec.core.clock import SystemClock
from fieldrec.core.errors import CameraEnded, CameraError, CameraLost
from fieldrec.core.model import FrameHeader, FrameSpec

__all__ = ["BACKEND", "Options", "SyntheticCamera", "burn_number", "find", "read_number",
           "read_time_us"]

_BURST_NS = 1000
"""Between two frames of a burst."""


class Options(CameraOptions):
    """Keys of a synthetic camera."""

    width: int = Field(default=1280, ge=MIN_WIDTH, le=16384)
    height: int = Field(default=1024, ge=MIN_HEIGHT, le=16384)
    hz: float = Field(default=60.0, gt=0, le=10_000)
    """Frames per second."""
    pixel_format: PixelFormat = "MONO8"
    """MONO10 to MONO16 and the deep mosaics in 16 bits a pixel, in its lower ones."""
    frames: int | None = Field(default=None, ge=0)
    """Frames handed out per start; then the camera has ended. Default: endless."""
    seed: int = Field(default=0, ge=0)
    """Chooses the pattern."""
    ExposureTime: float | None = Field(default=None, ge=LEAST_EXPOSURE_US)
    """Microseconds, at most a frame period. Default: that, or 10 ms; then the pattern is as bright
    as it is."""
    Gain: float = Field(default=0.0, ge=0, le=MOST_GAIN_DB)
    """dB."""
    test_pattern: Pattern = "Moving"
    moves: tuple[tuple[int, int], ...] = ()
    """Frames (first, end) during which a blob moves. If there are any, nothing else moves but what
    is burnt in; for a trigger by motion set `burn: none` as well."""
    burn: Burn = "number+time"
    """What is written into the picture; the time is that since the start."""
    paced: bool = True
    """False: never wait; frames come at once and bear the times they would have had."""
    drop_when_late: bool = True
    """Skip numbers when frames are fetched too late, as a real camera does; else catch up."""
    buffers: int = Field(default=4, ge=1)
    """Frames that wait to be fetched before the oldest is dropped."""
    drop_every: int | None = Field(default=None, ge=2)
    """Fault: every n-th number (n-1, 2n-1, …) is missing."""
    burst: int = Field(default=1, ge=1, le=10_000)
    """Fault: frames come in groups of so many, together, when the last of them is due."""
    jitter_s: float = Field(default=0.0, ge=0, le=10)
    """Fault: each frame comes late by up to this; by how much depends on its number."""
    wrong_size_at: int | None = Field(default=None, ge=0)
    """Fault: frame number that comes with half the height of the others, once; opened again, the
    camera gives that size."""
    fail_open: bool = False
    """Fault: the camera never opens."""
    fail_open_times: int = Field(default=0, ge=0)
    """Fault: the camera does not open at the first n attempts."""
    lost_after_frames: int | None = Field(default=None, ge=0)
    """Fault: the camera is gone after this many frames since the start…"""
    lost_after_s: float | None = Field(default=None, ge=0)
    """…or when this much time has passed since then…"""
    lost_times: int = Field(default=1, ge=0)
    """…so many times in all…"""
    back_after_opens: int = Field(default=0, ge=0)
    """…and when it was lost, it does not open at the first n attempts…"""
    back_after_s: float = Field(default=0.0, ge=0)
    """…nor within this time."""
    stall_at: int | None = Field(default=None, ge=0)
    """Fault: frame number before which the camera falls silent…"""
    stall_s: float = Field(default=0.0, ge=0)
    """…for this long (in unpaced mode: of virtual time, used up by timeouts)."""


class SyntheticCamera:
    """See :class:`fieldrec.camera.Camera` and :class:`fieldrec.camera.parameters.Configurable`."""

    def __init__(self, serial: str, options: Options) -> None:
        self.serial = serial
        self.options = options
        self._opens = 0
        self._losses = 0
        self._sent_wrong_size = False
        self._closed_opens = options.fail_open_times
        self._away_until_ns = 0
        self._settings = _settings_of(options)
        self._pictures: Pictures | None = None
        self._pace: Pace | None = None
        self._origin_ns = 0
        self._since_number, self._since_ns = 0, 0
        self._latest_ns = -1
        self._next = 0
        self._given = 0
        self._gone = False

    def open(self) -> FrameSpec:
        """Compute the background (tens of ms); CameraError when the script says so."""
        self._opens += 1
        if self.options.fail_open or self._closed_opens > 0:
            self._closed_opens -= 1
            raise self._error("does not open, as its options ask "
                              f"(attempt {self._opens})")
        if SystemClock().monotonic_ns() < self._away_until_ns:
            raise self._error("is still away, as its options ask")
        self._settings = _settings_of(self.options)
        if self._sent_wrong_size:
            self._settings = replace(self._settings, height=self.options.height // 2)
        self._pictures = Pictures(self._scene())
        self._gone = False
        return self._spec(self._pictures)

    def start(self) -> None:
        """Number 0 is due now."""
        if self._pictures is None:
            raise self._error("start before open")
        self._pace = Pace(paced=self.options.paced)
        self._origin_ns = self._pace.now_ns()
        self._since_number, self._since_ns = 0, 0
        self._latest_ns = -1
        self._next = 0
        self._given = 0

    def grab(self, into: Pixels, timeout_s: float) -> FrameHeader:
        """`monotonic_ns` is the moment the frame came (without faults: was due); `device_time_ns`
        the one at which it was due, since the start."""
        pace = self._pace
        if pace is None:
            raise self._error("grab before start")
        self._fail_as_scripted(pace.now_ns())
        number = self._number_after_drops(pace.now_ns())
        came_ns = self._origin_ns + self._comes_ns(number)
        pace.wait(came_ns, timeout_s, f"synthetic camera {self.serial}")
        self._check_size(number)
        self.render(number, into)
        self._next = number + 1
        self._latest_ns = came_ns - self._origin_ns
        self._given += 1
        return FrameHeader(number=number, monotonic_ns=came_ns,
                           device_time_ns=self._due_ns(number))

    def stop(self) -> None:
        self._pace = None

    def close(self) -> None:
        self.stop()
        self._pictures = None

    def render(self, number: int, into: Pixels) -> None:
        """Put the picture of `number` into `into`; needs :meth:`open`, waits for nothing."""
        if self._pictures is None:
            raise self._error("render before open")
        self._pictures.draw(number, self._due_ns(number), into)

    def parameters(self) -> tuple[Parameter, ...]:
        """With ranges that depend on each other: the exposure's on the frame rate, an offset's on
        the size."""
        if self._pictures is None:
            raise self._error("parameters before open")
        return as_parameters(self._settings)

    def configure(self, values: Mapping[str, Value]) -> FrameSpec:
        """Takes effect with the next frame; tens of ms for all but the frame rate."""
        if self._pictures is None:
            raise self._error("configure before open")
        self._since_ns = self._due_ns(self._next) - self._stall_ns(self._next)
        self._since_number = self._next
        self._settings = changed(self._settings, values)
        if self._scene() != self._pictures.scene:
            self._pictures = Pictures(self._scene())
        return self._spec(self._pictures)

    def _scene(self) -> Scene:
        settings, options = self._settings, self.options
        return Scene(settings.height, settings.width, settings.offset_y, settings.offset_x,
                     settings.pixel_format, options.seed, settings.brightness, settings.pattern,
                     options.burn, options.moves)

    def _spec(self, pictures: Pictures) -> FrameSpec:
        return FrameSpec(pictures.shape, pictures.dtype, self._settings.pixel_format,
                         self._settings.hz)

    def _error(self, what: str) -> CameraError:
        return CameraError(f"synthetic camera {self.serial}: {what}")

    def _fail_as_scripted(self, now_ns: int) -> None:
        options = self.options
        since_s = (now_ns - self._origin_ns) / 1e9
        lost = self._given == options.lost_after_frames or (
            options.lost_after_s is not None and since_s >= options.lost_after_s)
        if lost and not self._gone and self._losses < options.lost_times:
            self._losses += 1
            self._gone = True
            self._closed_opens = options.back_after_opens
            self._away_until_ns = SystemClock().monotonic_ns() + int(options.back_after_s * 1e9)
        if self._gone:
            raise CameraLost(f"synthetic camera {self.serial}: gone after {self._given} frames, "
                             f"as its options ask")
        if options.frames is not None and self._given >= options.frames:
            raise CameraEnded(f"synthetic camera {self.serial}: all {options.frames} frames given")

    def _check_size(self, number: int) -> None:
        """As a backend does that finds a picture which does not fit the slot."""
        if number == self.options.wrong_size_at and not self._sent_wrong_size:
            self._sent_wrong_size = True
            height, width = self._settings.height, self._settings.width
            raise self._error(f"sent a picture of {width}x{height // 2}, not {width}x{height}, as "
                              "its options ask; close and open it")

    def _number_after_drops(self, now_ns: int) -> int:
        """The next number that the camera still has."""
        options = self.options
        number = self._next
        if options.drop_when_late:
            kept = max(options.buffers, options.burst)
            number = max(number, self._newest_come(now_ns) - kept + 1)
        if options.drop_every is not None and (number + 1) % options.drop_every == 0:
            number += 1
        return number

    def _newest_come(self, now_ns: int) -> int:
        """Number of the last frame that could be fetched until now, -1 if none."""
        since_ns = now_ns - self._origin_ns - self._since_ns
        newest = self._since_number + _count(since_ns, self._settings.hz)
        stall_at = self.options.stall_at
        if stall_at is not None and newest >= stall_at:
            newest = max(stall_at - 1, self._since_number + _count(
                since_ns - self._stall_ns(stall_at), self._settings.hz))
        return (newest + 1) // self.options.burst * self.options.burst - 1

    def _comes_ns(self, number: int) -> int:
        """When a frame can be fetched, in nanoseconds since the start."""
        burst, jitter_s = self.options.burst, self.options.jitter_s
        place = number % burst
        comes_ns = self._due_ns(number - place + burst - 1) + place * _BURST_NS
        if jitter_s:
            # a later one than this may come sooner, but they keep their order
            comes_ns = max(comes_ns + self._late_ns(number), self._latest_ns + 1)
        return comes_ns

    def _late_ns(self, number: int) -> int:
        """By how much the jitter delays a frame: like random, but depends on the number alone."""
        part = (number * 2654435761 + self.options.seed) % 2**32 / 2**32
        return int(part * self.options.jitter_s * 1e9)

    def _due_ns(self, number: int) -> int:
        """When a frame is taken, in nanoseconds since the start."""
        return (self._since_ns + round((number - self._since_number) * 1e9 / self._settings.hz)
                + self._stall_ns(number))

    def _stall_ns(self, number: int) -> int:
        """How much later frames are for the stall, from a number on."""
        stalled = self.options.stall_at is not None and number >= self.options.stall_at
        return int(self.options.stall_s * 1e9) if stalled else 0


def find() -> list[FoundCamera]:
    """The one that there always is."""
    return [FoundCamera("synthetic", "synthetic", model="test pattern", spec="synthetic",
                        link="none", formats=get_args(PixelFormat))]


def _settings_of(options: Options) -> Settings:
    settings = Settings.of(width=options.width, height=options.height, hz=options.hz,
                           pixel_format=options.pixel_format, pattern=options.test_pattern)
    asked: dict[str, Value] = {"Gain": options.Gain}
    if options.ExposureTime is not None:
        asked["ExposureTime"] = options.ExposureTime
    return changed(settings, asked)


def _count(elapsed_ns: int, hz: float) -> int:
    return int(elapsed_ns * hz // 1e9)


BACKEND = SyntheticCamera
