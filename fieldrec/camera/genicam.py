"""GigE Vision and USB3 Vision cameras of any maker, without a vendor's SDK: through libaravis
(Debian: ``apt install libaravis-0.8-0``).

Runs in the caller's thread; the library has a thread for the heartbeat and, while frames come, one
that puts packets together. One copy per frame, from the library's buffer into the slot. The frame
number is the camera's block ID: a frame that lost packets, or found no free buffer, is a gap in it.
`monotonic_ns` is when the frame's first packet reached the host, `device_time_ns` the camera's own
clock in ns, which every frame carries.
"""

from __future__ import annotations

import ctypes
import difflib
import time
from collections.abc import Mapping
from typing import Any

from pydantic import AliasChoices, Field

from fieldrec.camera import CameraOptions, Pixels
from fieldrec.camera.aravis import AravisError, Seen, discover
from fieldrec.camera.aravis_device import SUCCESS, Device, Stream
from fieldrec.camera.block_ids import BlockCounter
from fieldrec.camera.feature_rules import OFTEN_CHANGED
from fieldrec.camera.found import FoundCamera
from fieldrec.camera.genicam_features import convenient_names, parameter_of, write_feature
from fieldrec.camera.parameters import Parameter, Value, check_value
from fieldrec.camera.pixel_formats import (
    PixelFormat,
    dtype_of,
    genicam_names,
    our_name,
    recordable,
    shape_of,
)
from fieldrec.camera.usb_link import usb_link
from fieldrec.core.clock import SystemClock
from fieldrec.core.errors import CameraError, CameraLost, CameraTimeout, UsageError
from fieldrec.core.model import FrameHeader, FrameSpec

_CLOCK = SystemClock()
_LINKS = {"GigEVision": "GigE", "USB3Vision": "USB"}
_UNKNOWN_HZ = 30.0
"""Nominal rate of a camera that does not tell one."""


class Options(CameraOptions):
    """Keys of a GigE Vision or USB3 Vision camera. What is not given stays as the camera has it.

    The camera is found by its `serial`, which may also be a device ID as `fieldrec cameras` lists
    it, or an IP address.
    """

    address: str | None = None
    """IP address of a GigE Vision camera: opened without looking around, which takes a second and
    does not cross routers."""
    AcquisitionFrameRate: float | None = Field(
        default=None, gt=0, validation_alias=AliasChoices("AcquisitionFrameRate", "hz"))
    """Frames per second; `hz` is another name for it."""
    ExposureTime: float | None = Field(default=None, gt=0)
    """Microseconds. Switches the camera's automatic exposure off."""
    Gain: float | None = None
    """As the camera counts it: dB on most. Switches automatic gain off."""
    pixel_format: PixelFormat | None = None
    """10, 12 and 14 bits are stored in 16, RGB8 as RGB, mosaics (BAYER_…) as they are."""
    width: int | None = Field(default=None, ge=1)
    height: int | None = Field(default=None, ge=1)
    offset_x: int | None = Field(default=None, ge=0)
    offset_y: int | None = Field(default=None, ge=0)
    binning: int | None = Field(default=None, ge=1)
    """By the camera, both ways; `width` and `height` count what is left."""
    buffers: int = Field(default=16, ge=2, le=1024)
    """Frames that the library holds while the capture thread is late."""
    packet_size: int | None = Field(default=None, ge=220, le=65507)
    """GigE Vision: bytes in a packet. Not given: the largest that gets through."""
    packet_resend: bool = True
    """GigE Vision: ask for lost packets again, where the camera can send them."""
    MotifEnableChunkTimestamp: bool = False
    """Take `device_time_ns` from the chunk data, of cameras that have chunks. Every frame has the
    camera's time without it, from its leader; the frame's time is epoch in both cases."""
    features: dict[str, bool | int | float | str] = Field(default_factory=dict)
    """Any other features by their GenICam names (TriggerMode, TriggerSource, PtpEnable…), set in
    this order after the keys above; a command is executed."""


class GenicamCamera:
    """See :class:`fieldrec.camera.Camera` and :class:`fieldrec.camera.parameters.Configurable`."""

    def __init__(self, serial: str, options: Options) -> None:
        self.serial = serial
        self.options = options
        self._who = f"GenICam camera {serial}"
        self._device: Device | None = None
        self._stream: Stream | None = None
        self._seen: dict[str, Parameter] = {}
        self._changed: dict[str, Value] = {}
        self._blocks = BlockCounter()
        self._last_ns = 0

    def open(self) -> FrameSpec:
        """Find the camera and configure it; the error lists the cameras there are."""
        self.close()
        try:
            self._device = Device(self._name())
            if not self._device.is_ours():
                raise CameraError(f"{self._who}: another program controls it (or did until 3 s "
                                  "ago); end that one")
            self._configure_all(self._device)
            return self._looks_like(self._device)
        except AravisError as error:
            self.close()
            raise CameraError(f"{self._who}: {error}; check cable, power and address") from error
        except CameraError:
            self.close()
            raise

    def start(self) -> None:
        device = self._open_device("start")
        self.stop()
        self._blocks, self._last_ns = BlockCounter(), 0
        try:
            self._stream = device.stream(self.options.buffers, resend=self.options.packet_resend,
                                         chunks=self.options.MotifEnableChunkTimestamp)
            device.camera("start_acquisition")
        except AravisError as error:
            self.stop()
            raise self._failed(error) from error

    def grab(self, into: Pixels, timeout_s: float) -> FrameHeader:
        """`device_time_ns` is None only for a camera whose clock stands at 0."""
        stream = self._stream
        if stream is None:
            self._open_device("grab")
            raise CameraError(f"{self._who}: grab before start")
        deadline_s = time.monotonic() + timeout_s
        while True:
            buffer = stream.take(max(deadline_s - time.monotonic(), 0.0))
            if buffer is not None:
                try:
                    if stream.status(buffer) == SUCCESS:
                        return self._copied(stream, buffer, into)
                except AravisError as error:
                    raise self._failed(error) from error
                finally:
                    stream.give_back(buffer)
            if time.monotonic() >= deadline_s:
                self._raise_if_gone()
                raise CameraTimeout(f"{self._who}: no frame within {timeout_s:g} s")

    def stop(self) -> None:
        stream, self._stream = self._stream, None
        if stream is None or self._device is None:
            return
        try:
            if self._device.is_ours():
                self._device.camera("stop_acquisition")
        except AravisError:
            pass  # it is gone: what counts is that our side ends
        finally:
            stream.close()

    def close(self) -> None:
        self.stop()
        device, self._device = self._device, None
        if device is not None:
            device.close()

    def parameters(self) -> tuple[Parameter, ...]:
        """Everything the camera describes, but what is for gurus; while frames come only those
        that are often changed are read anew."""
        device = self._open_device("parameters")
        try:
            if self._stream is None or not self._seen:
                self._seen = self._all(device)
            else:
                self._seen |= {name: found for name in OFTEN_CHANGED & self._seen.keys()
                               if (found := parameter_of(device, name)) is not None}
        except AravisError as error:
            raise self._failed(error) from error
        return tuple(self._seen.values())

    def configure(self, values: Mapping[str, Value]) -> FrameSpec:
        """They are set again whenever the camera is opened again."""
        device = self._open_device("configure")
        try:
            self._set(device, values)
            spec = self._looks_like(device)
        except AravisError as error:
            raise self._failed(error) from error
        self._changed |= values
        return spec

    def _name(self) -> str:
        """What the library opens: an address, or the device ID that discovery found."""
        wanted = self.options.address or self.serial
        if wanted.count(".") == 3 and wanted.replace(".", "").isdigit():
            return wanted
        cameras = discover()
        for camera in cameras:
            if wanted in (camera.serial, camera.id, camera.physical_id, camera.address):
                return camera.id
        here = ", ".join(sorted(camera.serial for camera in cameras)) or "none"
        raise CameraError(f"{self._who}: not found; cameras here: {here}; check cable, power and "
                          "address")

    def _configure_all(self, device: Device) -> None:
        options = self.options
        if device.is_available("AcquisitionMode"):
            self._set(device, {"AcquisitionMode": "Continuous"})
        self._choose_format(device)
        binning = dict.fromkeys(("BinningHorizontal", "BinningVertical"), options.binning)
        if options.width is not None or options.height is not None:  # a size must fit behind them
            for name in ("OffsetX", "OffsetY"):
                if device.is_writable(name):
                    device.write(name, 0)
        wanted: dict[str, Value | None] = {
            **binning, "Width": options.width, "Height": options.height,
            "OffsetX": options.offset_x, "OffsetY": options.offset_y,
            "AcquisitionFrameRate": options.AcquisitionFrameRate,
            "ExposureTime": options.ExposureTime, "Gain": options.Gain}
        self._set(device, {name: value for name, value in wanted.items() if value is not None})
        if options.MotifEnableChunkTimestamp:
            self._enable_chunks(device)
        self._set(device, options.features)
        self._set(device, self._changed)
        if device.is_gige:
            self._set_packet_size(device)

    def _set(self, device: Device, values: Mapping[str, Value]) -> None:
        """One after the other, each against the range that it has by then. CameraError."""
        for name, value in values.items():
            if device.kind(name) == "command":
                device.write(name, True)
                continue
            parameter = parameter_of(device, name)
            if parameter is None:
                near = difflib.get_close_matches(name, device.names(), n=1)
                hint = f"did you mean {near[0]}?" if near else "remove that option"
                raise CameraError(f"{self._who}: has no {name}; {hint}")
            try:
                write_feature(device, name, check_value(parameter, value))
            except UsageError as error:
                raise CameraError(f"{self._who}: {error}") from error
            except AravisError as error:
                if error.device_gone:
                    raise
                raise CameraError(f"{self._who}: {name} cannot be {value!r}: {error}") from error

    def _choose_format(self, device: Device) -> None:
        wanted = self.options.pixel_format
        if wanted is None:
            return
        offered = device.choices("PixelFormat")
        for name in genicam_names(wanted):
            if name in offered:
                device.write("PixelFormat", name)
                return
        raise CameraError(f"{self._who}: pixel_format cannot be {wanted}; the camera offers: "
                          f"{', '.join(map(str, map(our_name, recordable(offered))))}")

    def _enable_chunks(self, device: Device) -> None:
        if not device.camera("are_chunks_available"):
            raise CameraError(f"{self._who}: has no chunk data; remove MotifEnableChunkTimestamp: "
                              "the camera's time is kept with every frame without it")
        device.camera("set_chunks", b"Timestamp")

    def _set_packet_size(self, device: Device) -> None:
        if self.options.packet_size is not None:
            device.camera("gv_set_packet_size", self.options.packet_size)
            return
        try:
            device.camera("gv_auto_packet_size")
        except AravisError as error:
            if error.device_gone:
                raise
            # a camera that cannot send test packets keeps its size

    def _looks_like(self, device: Device) -> FrameSpec:
        told = str(device.read("PixelFormat"))
        ours = our_name(told)
        if ours is None:
            can = ", ".join(map(str, map(our_name, recordable(device.choices("PixelFormat")))))
            raise CameraError(f"{self._who}: its pixel format {told} cannot be recorded; set "
                              f"pixel_format to one of: {can}")
        rate = parameter_of(device, "AcquisitionFrameRate")
        return FrameSpec(
            shape=shape_of(ours, int(device.read("Height")), int(device.read("Width"))),
            dtype=dtype_of(ours), pixel_format=ours,
            nominal_hz=float(rate.value) if rate else _UNKNOWN_HZ)

    def _copied(self, stream: Stream, buffer: int, into: Pixels) -> FrameHeader:
        """Copy the picture; the header of its frame."""
        arrived_ns = self._arrival_ns(stream.host_time_ns(buffer))
        address, held_bytes, height, width = stream.picture(buffer)
        if (height, width) != into.shape[:2] or held_bytes < into.nbytes:
            raise CameraError(f"{self._who}: sends pictures of {width}x{height}, expected "
                              f"{into.shape[1]}x{into.shape[0]}; its settings were changed by "
                              "somebody else")
        ctypes.memmove(into.ctypes.data, address, into.nbytes)
        return FrameHeader(number=self._blocks.number(stream.frame_id(buffer)),
                           monotonic_ns=arrived_ns,
                           device_time_ns=stream.device_time_ns(buffer) or None)

    def _arrival_ns(self, epoch_ns: int) -> int:
        """The library's wall-clock time of a frame on the clock that is never set. A clock that was
        set between then and now gives itself away: the frame would come before the last one, or
        from the future."""
        now_ns = _CLOCK.monotonic_ns()
        arrived_ns = now_ns - (_CLOCK.epoch_ns() - epoch_ns)
        self._last_ns = arrived_ns if self._last_ns < arrived_ns <= now_ns else now_ns
        return self._last_ns

    def _open_device(self, verb: str) -> Device:
        if self._device is None:
            raise CameraError(f"{self._who}: {verb} before open")
        return self._device

    def _failed(self, error: AravisError) -> CameraError:
        kind = CameraLost if error.device_gone else CameraError
        return kind(f"{self._who}: {error}")

    def _raise_if_gone(self) -> None:
        if not self._open_device("grab").is_ours():
            raise CameraLost(f"{self._who}: it does not answer; it was unplugged, lost power, or "
                             "another program took it over")

    def _all(self, device: Device) -> dict[str, Parameter]:
        found = (parameter_of(device, name) for name in convenient_names(device))
        return {parameter.name: parameter for parameter in found if parameter is not None}


def find() -> list[FoundCamera]:
    """Cameras that answer on all networks and USB 3 ports; takes a second. They are not opened."""
    try:
        return [_found(camera) for camera in discover() if camera.protocol in _LINKS]
    except CameraError as error:
        return [FoundCamera("genicam", "", problem=str(error))]


def _found(camera: Seen) -> FoundCamera:
    link = _LINKS[camera.protocol]
    speed = f"GigE {camera.address}" if link == "GigE" else usb_link(camera.serial)
    return FoundCamera("genicam", camera.serial, model=f"{camera.vendor} {camera.model}",
                       spec=f"genicam:{camera.serial}", link=speed)


BACKEND: Any = GenicamCamera
