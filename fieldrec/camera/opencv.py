"""V4L2 cameras: USB webcams, capture cards, sensors with raw mosaics. For video files see file.py.

Runs in the caller's thread, starts none. Frames are read from the driver's own buffers
(v4l2_stream.py says why not through OpenCV's VideoCapture) and put into the slot in one step;
OpenCV only converts. The frame number is the driver's: a frame that it dropped, sent damaged or
short, or that cannot be decoded, is a gap in it. Options and parameters go by GenICam names, and
by V4L2's own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, cast

from pydantic import AliasChoices, BeforeValidator, Field

from fieldrec.camera import CameraOptions, Pixels
from fieldrec.camera import v4l2_pixels as pixels
from fieldrec.camera.found import FoundCamera
from fieldrec.camera.parameters import Parameter, Value
from fieldrec.camera.v4l2 import Device, Kernel, Layout, SystemKernel, WireFormat
from fieldrec.camera.v4l2_controls import Controls
from fieldrec.camera.v4l2_nodes import Node, nodes, resolve
from fieldrec.camera.v4l2_stream import SequenceNumbers, Stream
from fieldrec.camera.v4l2_wish import Wish, choose, size_parameters
from fieldrec.core.clock import SystemClock
from fieldrec.core.errors import CameraError, CameraLost, CameraTimeout
from fieldrec.core.model import FrameHeader, FrameSpec

_STALE_NS = 5_000_000_000
"""A driver's stamp older than that is by another clock than it says."""
_KERNEL: Kernel = SystemKernel()

_SHAPED_BY = {"Width": "width", "Height": "height", "PixelFormat": "pixel_format",
              "AcquisitionFrameRate": "hz"}
"""Parameters that are not controls but the format itself, as a Wish calls them."""


def _from_yaml(value: Any) -> Any:
    """YAML reads a bare Off as false."""
    return ("Continuous" if value else "Off") if isinstance(value, bool) else value


_Automatic = Annotated[Literal["Off", "Continuous"], BeforeValidator(_from_yaml)]
_PixelFormat = Literal[
    "BGR8", "MONO8", "MONO10", "MONO12", "MONO16",
    "BAYER_RG8", "BAYER_RG10", "BAYER_RG12", "BAYER_RG16",
    "BAYER_GR8", "BAYER_GR10", "BAYER_GR12", "BAYER_GR16",
    "BAYER_BG8", "BAYER_BG10", "BAYER_BG12", "BAYER_BG16",
    "BAYER_GB8", "BAYER_GB10", "BAYER_GB12", "BAYER_GB16"]


class Options(CameraOptions):
    """Keys of a V4L2 camera. What is not given stays as the camera has it."""

    device: Annotated[str, BeforeValidator(str)] = ""
    """A serial, a USB path (1-1.2 or 1-1.2:1.0), a name that survives replugging
    (/dev/v4l/by-id/…, /dev/v4l/by-path/…), or /dev/video0, which may be another camera tomorrow.
    Default: whatever is at `usb_path`, or the camera whose serial is that of this entry."""
    usb_path: str = ""
    """The socket it is plugged into, where two cameras have the same serial, or none."""
    width: int | None = Field(default=None, ge=1)
    height: int | None = Field(default=None, ge=1)
    AcquisitionFrameRate: float | None = Field(
        default=None, gt=0, validation_alias=AliasChoices("AcquisitionFrameRate", "hz"))
    """Frames per second; `hz` is another name for it. The camera takes the nearest it can."""
    fourcc: str | None = Field(default=None, pattern=r"^[ -~]{4}$")
    """Format on the wire, four characters: MJPG, YUYV, GREY… Default: of those that reach the
    rate, the one that costs least to convert."""
    pixel_format: _PixelFormat = "BGR8"
    """What is stored. MONO8 of YUYV is its brightness as sent; BAYER_… is the sensor's mosaic."""
    ExposureTime: float | None = Field(default=None, gt=0)
    """Microseconds; turns ExposureAuto off."""
    ExposureAuto: _Automatic | None = None
    Gain: float | None = None
    """As the driver counts it; turns GainAuto off."""
    GainAuto: _Automatic | None = None
    BalanceWhiteAuto: _Automatic | None = None
    BlackLevel: float | None = None
    """As the driver counts it; its brightness, where it has no black level."""
    controls: dict[str, bool | int | float | str] = Field(default_factory=dict)
    """Any other control by its V4L2 name, e.g. power_line_frequency: 50 Hz (v4l2-ctl -L lists
    them, and so does the camera's parameter list)."""
    buffers: int = Field(default=8, ge=2, le=32)
    """Frames that the driver holds while the capture thread is late."""

    def wish(self) -> Wish:
        """What is asked of the format."""
        return Wish(self.pixel_format, self.fourcc, self.width, self.height,
                    self.AcquisitionFrameRate)

    def control_values(self) -> dict[str, Value]:
        """What is asked of the controls."""
        named = {name: getattr(self, name) for name in (
            "ExposureAuto", "GainAuto", "BalanceWhiteAuto", "ExposureTime", "Gain", "BlackLevel")}
        return {name: value for name, value in named.items() if value is not None} | self.controls


@dataclass(frozen=True, slots=True)
class _Opened:
    """All that is known of a camera while it is open."""

    device: Device
    controls: Controls
    formats: tuple[WireFormat, ...]


@dataclass(frozen=True, slots=True)
class _Shape:
    """What was agreed with the driver, and what is made of it."""

    layout: Layout
    put: pixels.Put
    spec: FrameSpec


class OpenCvCamera:
    """See :class:`fieldrec.camera.Camera` and :class:`fieldrec.camera.parameters.Configurable`."""

    def __init__(self, serial: str, options: Options) -> None:
        self.serial = serial
        self.options = options
        self._kernel = _KERNEL
        self._wish = options.wish()
        self._values = options.control_values()
        self._opened: _Opened | None = None
        self._shape: _Shape | None = None
        self._stream: Stream | None = None
        self._numbers = SequenceNumbers()
        self._last_ns = 0

    def open(self) -> FrameSpec:
        """Find the camera and set it up, also with what was configured since; some 100 ms at
        most. No frame is taken."""
        self.close()
        device = Device(self._find(), self._kernel)
        try:
            opened = _Opened(device, Controls(device), device.formats())
            opened.controls.set(self._values)
            self._shape = _shaped(opened, self._wish)
        except CameraError:
            device.close()
            raise
        self._opened = opened
        return self._shape.spec

    def start(self) -> None:
        """The driver begins with empty buffers: the next frame is taken from now on."""
        opened, _ = self._known("start")
        if self._stream is None:
            self._stream = Stream(opened.device, self.options.buffers)
            self._numbers = SequenceNumbers()

    def grab(self, into: Pixels, timeout_s: float) -> FrameHeader:
        """`monotonic_ns` is the driver's stamp of the frame where it has one. After `timeout_s` no
        further frame is waited for or decoded; one that has come is decoded to its end."""
        opened, shape = self._known("grab")
        stream, clock_ns = self._stream, self._kernel.clock_ns
        if stream is None:
            raise CameraError(f"{opened.device.path}: grab before start")
        deadline_ns = clock_ns() + round(timeout_s * 1e9)
        left_s = timeout_s
        while True:
            arrival = stream.take(left_s)
            if arrival is not None:
                try:
                    header = FrameHeader(number=self._numbers.number(arrival.sequence),
                                         monotonic_ns=self._arrived_ns(arrival.stamp_ns))
                    if arrival.whole and shape.put(arrival.data, into):
                        return header
                except pixels.WrongSize as size:
                    raise CameraLost(f"{opened.device.path}: sent a picture of {size}, not of "
                                     f"{shape.layout.width}x{shape.layout.height}; it is opened "
                                     "again") from size
                finally:
                    stream.give_back(arrival)
            left_s = (deadline_ns - clock_ns()) / 1e9
            if left_s <= 0:
                raise CameraTimeout(f"{opened.device.path}: no frame within {timeout_s:g} s")

    def stop(self) -> None:
        if self._stream is not None:
            self._stream.stop()
        self._stream = None

    def close(self) -> None:
        self.stop()
        if self._opened is not None:
            self._opened.device.close()
        self._opened = self._shape = None

    def parameters(self) -> tuple[Parameter, ...]:
        """Size, format and rate, then the driver's controls."""
        opened, shape = self._known("parameters")
        return (*size_parameters(opened.device, opened.formats, shape.layout,
                                 shape.spec.pixel_format, shape.spec.nominal_hz),
                *opened.controls.parameters())

    def configure(self, values: Mapping[str, Value]) -> FrameSpec:
        """Set them; they are set again when the camera was lost and comes back."""
        opened, shape = self._known("configure")
        wished = {_SHAPED_BY[name]: value for name, value in values.items() if name in _SHAPED_BY}
        controls = {name: value for name, value in values.items() if name not in _SHAPED_BY}
        if wished and self._stream is not None:
            raise CameraError(f"{opened.device.path}: size, format and rate cannot change while "
                              "frames come; stop first")
        opened.controls.set(controls)
        self._values = {**self._values, **controls}
        if not wished:
            return shape.spec
        wish = replace(self._wish, **cast(dict[str, Any], wished))
        try:
            self._shape = _shaped(opened, wish)
        except CameraError:
            with contextlib.suppress(CameraError):
                self._shape = _shaped(opened, self._wish)
            raise
        self._wish = wish
        return self._shape.spec

    def _known(self, verb: str) -> tuple[_Opened, _Shape]:
        if self._opened is None or self._shape is None:
            raise CameraError(f"V4L2 {self.serial}: {verb} before open")
        return self._opened, self._shape

    def _find(self) -> str:
        """The device node now; after replugging it may be another."""
        options = self.options
        if options.device or options.usb_path:
            return resolve(options.device, options.usb_path, nodes())
        return resolve(self.serial, "", nodes())

    def _arrived_ns(self, stamp_ns: int | None) -> int:
        """CLOCK_BOOTTIME of the frame: the driver stamps in CLOCK_MONOTONIC, which does not count
        suspended time; now, when its stamp makes no sense. Never runs back."""
        now_ns = SystemClock().monotonic_ns()
        arrived_ns = now_ns
        if stamp_ns is not None:
            age_ns = self._kernel.clock_ns() - stamp_ns
            if 0 <= age_ns < _STALE_NS:
                arrived_ns -= age_ns
        self._last_ns = max(arrived_ns, self._last_ns)
        return self._last_ns


def _shaped(opened: _Opened, wish: Wish) -> _Shape:
    """Agree on format, size and rate with the driver. CameraError, CameraLost."""
    device = opened.device
    layout = choose(device, opened.formats, wish)
    hz = device.rate() if wish.hz is None else device.set_rate(wish.hz)
    spec = FrameSpec(shape=pixels.shape_of(wish.pixel_format, layout.width, layout.height),
                     dtype=pixels.dtype_of(wish.pixel_format), pixel_format=wish.pixel_format,
                     nominal_hz=hz or wish.hz or 30.0)
    return _Shape(layout, pixels.putter(layout, wish.pixel_format), spec)


def find() -> list[FoundCamera]:
    """All cameras with V4L2 drivers. Each is opened for a moment to ask for its formats, which
    disturbs nobody who uses it."""
    try:
        here = nodes()
    except OSError as error:
        return [FoundCamera("opencv", "", problem=f"cannot look for cameras: {error}")]
    return [_found(node, here) for node in here]


def _found(node: Node, here: Sequence[Node]) -> FoundCamera:
    alone = sum(other.serial == node.serial for other in here) == 1
    name = node.serial if node.serial and alone else node.place
    formats: tuple[str, ...] = ()
    problem = ""
    try:
        device = Device(node.device, _KERNEL)
        try:
            formats = tuple(map(str, device.formats()))
        finally:
            device.close()
    except CameraError as error:
        problem = str(error)
    return FoundCamera("opencv", name, model=node.model, spec=f"opencv:{name}", link=node.link,
                       formats=formats, problem=problem)


BACKEND = OpenCvCamera
