"""Basler cameras (GigE, USB3) through pypylon: ``pip install 'fieldrec[basler]'``.

Runs in the caller's thread; pylon has threads of its own, which end with the process. One copy
per frame, from pylon's buffer into the slot. The frame number is the camera's BlockID: a frame
that was dropped on the way, or arrived incomplete, is a gap in it. ``PYLON_CAMEMU=2`` in the
environment gives two emulated cameras, 0815-0000 and 0815-0001.
"""

from __future__ import annotations

import difflib
import functools
import math
import time
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from pydantic import AliasChoices, Field

from fieldrec.camera import CameraOptions, Pixels
from fieldrec.camera.basler_nodes import OLDER, Nodes
from fieldrec.camera.block_ids import BlockCounter
from fieldrec.camera.feature_rules import OFTEN_CHANGED
from fieldrec.camera.found import FoundCamera
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

_RATE_READ = ("ResultingFrameRate", "ResultingFrameRateAbs", "AcquisitionFrameRate",
              *OLDER["AcquisitionFrameRate"])
_NO_BLOCK_ID = 2**64 - 1
_LINKS = {"BaslerGigE": "GigE", "BaslerUsb": "USB", "BaslerCamEmu": "emulated"}


class Options(CameraOptions):
    """Keys of a Basler camera. What is not given stays as the camera has it."""

    AcquisitionFrameRate: float | None = Field(
        default=None, gt=0, validation_alias=AliasChoices("AcquisitionFrameRate", "hz"))
    """Frames per second; `hz` is another name for it."""
    ExposureTime: float | None = Field(default=None, gt=0)
    """Microseconds. Switches the camera's automatic exposure off."""
    Gain: float | None = None
    """As the camera counts it: dB on most. Switches automatic gain off."""
    pixel_format: PixelFormat = "MONO8"
    """10 and 12 bits are stored in 16, RGB8 as RGB, mosaics (BAYER_…) as they are."""
    width: int | None = Field(default=None, ge=1)
    height: int | None = Field(default=None, ge=1)
    offset_x: int | None = Field(default=None, ge=0)
    offset_y: int | None = Field(default=None, ge=0)
    binning: int | None = Field(default=None, ge=1)
    """By the camera, both ways; `width` and `height` count what is left."""
    buffers: int = Field(default=16, ge=2, le=1024)
    """Frames that pylon holds while the capture thread is late."""
    MotifEnableChunkTimestamp: bool = False
    """Take `device_time_ns` from the chunk data (exposure, by the camera's clock) and not from the
    stream. A frame's own time is epoch in both cases: both are kept."""
    features: dict[str, bool | int | float | str] = Field(default_factory=dict)
    """Any other features by their GenICam names (TriggerMode, TriggerSource, PtpEnable,
    TestImageSelector…), set in this order after the keys above; a command is executed."""


class BaslerCamera:
    """See :class:`fieldrec.camera.Camera` and :class:`fieldrec.camera.parameters.Configurable`."""

    def __init__(self, serial: str, options: Options) -> None:
        self.serial = serial
        self.options = options
        self._who = f"Basler {serial}"
        self._camera: Any = None
        self._nodes: Nodes | None = None
        self._blocks = BlockCounter()
        self._tick_ns = 1.0
        self._seen: dict[str, Parameter] = {}
        self._changed: dict[str, Value] = {}

    def open(self) -> FrameSpec:
        """Find the camera by its serial and configure it; the error lists the cameras there are."""
        self.close()
        pylon = _pylon()
        try:
            self._camera = pylon.InstantCamera(_find(pylon, self.serial))
            self._camera.Open()
            self._nodes = Nodes(self._camera.GetNodeMap(), _genicam())
            self._configure_all(self._nodes)
            return self._looks_like(self._nodes)
        except _pylon_errors() as error:
            self.close()
            raise CameraError(f"{self._who}: {_reason(error)}") from error
        except CameraError:
            self.close()
            raise

    def start(self) -> None:
        self._open_nodes("start")
        self._blocks = BlockCounter()
        try:
            if not self._camera.IsGrabbing():
                self._camera.StartGrabbing(_pylon().GrabStrategy_OneByOne)
        except _pylon_errors() as error:
            raise CameraError(f"{self._who}: {_reason(error)}") from error

    def grab(self, into: Pixels, timeout_s: float) -> FrameHeader:
        """`device_time_ns` is the camera's timestamp where it has one."""
        self._open_nodes("grab")
        deadline_s = time.monotonic() + timeout_s
        try:
            if not self._camera.IsGrabbing():
                self._raise_if_removed()
                raise CameraError(f"{self._who}: grab before start")
            while True:
                header = self._grab_once(into, max(deadline_s - time.monotonic(), 0.0))
                if header is not None:
                    return header
                if time.monotonic() >= deadline_s:
                    raise CameraTimeout(f"{self._who}: no frame within {timeout_s:g} s")
        except _pylon_errors() as error:
            raise CameraLost(f"{self._who}: {_reason(error)}") from error

    def stop(self) -> None:
        self._quietly("StopGrabbing")

    def close(self) -> None:
        self.stop()
        self._quietly("Close")
        self._quietly("DetachDevice")
        self._camera = self._nodes = None

    def parameters(self) -> tuple[Parameter, ...]:
        """Everything the camera has for beginners and experts; while frames come only those that
        are often changed are read anew."""
        nodes = self._open_nodes("parameters")
        try:
            busy = self._camera.IsGrabbing() and self._seen
            names = [name for name in self._seen if name in OFTEN_CHANGED] if busy else (
                nodes.names())
            fresh = {name: found for name in names
                     if (found := nodes.parameter(name)) is not None}
        except _pylon_errors() as error:
            raise CameraError(f"{self._who}: {_reason(error)}") from error
        self._seen = {**self._seen, **fresh} if busy else fresh
        return tuple(self._seen.values())

    def configure(self, values: Mapping[str, Value]) -> FrameSpec:
        """They are set again whenever the camera is opened again."""
        nodes = self._open_nodes("configure")
        try:
            self._set(nodes, values)
            spec = self._looks_like(nodes)
        except _pylon_errors() as error:
            raise CameraError(f"{self._who}: {_reason(error)}") from error
        self._changed |= values
        return spec

    def _configure_all(self, nodes: Nodes) -> None:
        options = self.options
        self._choose_format(nodes)
        if options.width is not None or options.height is not None:  # a size must fit behind them
            for name in ("OffsetX", "OffsetY"):
                if nodes.node(name) is not None:
                    nodes.write(name, 0)
        wanted: dict[str, Value | None] = {
            "BinningHorizontal": options.binning, "BinningVertical": options.binning,
            "Width": options.width, "Height": options.height,
            "OffsetX": options.offset_x, "OffsetY": options.offset_y,
            "AcquisitionFrameRate": options.AcquisitionFrameRate,
            "ExposureTime": options.ExposureTime, "Gain": options.Gain}
        self._set(nodes, {name: value for name, value in wanted.items() if value is not None})
        if options.MotifEnableChunkTimestamp:
            self._enable_chunks(nodes)
        self._set(nodes, options.features)
        self._set(nodes, self._changed)
        self._camera.MaxNumBuffer.Value = options.buffers
        ticks_hz = nodes.number(("GevTimestampTickFrequency",), 1e9)
        self._tick_ns = 1e9 / ticks_hz if ticks_hz > 0 else 1.0

    def _set(self, nodes: Nodes, values: Mapping[str, Value]) -> None:
        """One after the other, each against the range that it has by then. CameraError."""
        for name, value in values.items():
            if nodes.is_command(name):
                nodes.write(name, True)
                continue
            parameter = nodes.parameter(name)
            if parameter is None:
                near = difflib.get_close_matches(name, nodes.names(), n=1)
                hint = f"did you mean {near[0]}?" if near else "remove that option"
                raise CameraError(f"{self._who}: has no {name}; {hint}")
            try:
                nodes.write(name, check_value(parameter, value))
            except UsageError as error:
                raise CameraError(f"{self._who}: {error}") from error
            except _pylon_errors() as error:
                raise CameraError(f"{self._who}: {name} cannot be {value!r}: "
                                  f"{_reason(error)}") from error

    def _choose_format(self, nodes: Nodes) -> None:
        wanted = self.options.pixel_format
        node = nodes.node("PixelFormat")
        offered = () if node is None else tuple(node.Symbolics)
        for name in genicam_names(wanted):
            if name in offered:
                node.Value = name
                return
        raise CameraError(f"{self._who}: pixel_format cannot be {wanted}; the camera offers: "
                          f"{', '.join(map(str, map(our_name, recordable(offered))))}")

    def _enable_chunks(self, nodes: Nodes) -> None:
        active = nodes.node("ChunkModeActive")
        if active is not None:
            active.Value = True
        if nodes.node("ChunkSelector") is None:
            raise CameraError(f"{self._who}: has no chunk timestamps; remove "
                              "MotifEnableChunkTimestamp: the camera's time, where it has a clock, "
                              "is kept without it")
        self._set(nodes, {"ChunkSelector": "Timestamp", "ChunkEnable": True})

    def _looks_like(self, nodes: Nodes) -> FrameSpec:
        told = str(nodes.node("PixelFormat").Value)
        ours = our_name(told)
        if ours is None:
            raise CameraError(f"{self._who}: its pixel format {told} cannot be recorded; set "
                              "another PixelFormat")
        height, width = (int(nodes.number((name,), 0)) for name in ("Height", "Width"))
        return FrameSpec(
            shape=shape_of(ours, height, width), dtype=dtype_of(ours), pixel_format=ours,
            nominal_hz=nodes.number(_RATE_READ, self.options.AcquisitionFrameRate or 30.0))

    def _grab_once(self, into: Pixels, timeout_s: float) -> FrameHeader | None:
        """One result of pylon; None for no frame in time and for an incomplete one."""
        result = self._camera.RetrieveResult(math.ceil(timeout_s * 1000),
                                             _pylon().TimeoutHandling_Return)
        arrived_ns = SystemClock().monotonic_ns()
        try:
            if not result.IsValid():
                self._raise_if_removed()
                return None
            block_id = result.BlockID
            if not result.GrabSucceeded():
                self._raise_if_removed()
                if block_id == _NO_BLOCK_ID:
                    self._blocks.skip()
                return None
            if (result.Height, result.Width) != into.shape[:2]:
                raise CameraError(f"{self._who}: sends pictures of {result.Width}x{result.Height}, "
                                  f"expected {into.shape[1]}x{into.shape[0]}; its settings were "
                                  "changed by somebody else")
            with result.GetArrayZeroCopy() as pixels:
                np.copyto(into, pixels)
            number = (self._blocks.skip() if block_id == _NO_BLOCK_ID
                      else self._blocks.number(block_id))
            return FrameHeader(number=number, monotonic_ns=arrived_ns,
                               device_time_ns=round(self._ticks(result) * self._tick_ns) or None)
        finally:
            result.Release()

    def _ticks(self, result: Any) -> int:
        """The frame's time by the camera's clock; 0 for none."""
        if self.options.MotifEnableChunkTimestamp:
            return int(result.ChunkTimestamp.Value)
        return int(result.TimeStamp)

    def _raise_if_removed(self) -> None:
        if self._camera is not None and self._camera.IsCameraDeviceRemoved():
            raise CameraLost(f"{self._who}: the camera was unplugged or lost power")

    def _open_nodes(self, verb: str) -> Nodes:
        if self._nodes is None:
            raise CameraError(f"{self._who}: {verb} before open")
        return self._nodes

    def _quietly(self, method: str) -> None:
        """Call what must not fail, on a camera that may be gone."""
        if self._camera is None:
            return
        try:
            getattr(self._camera, method)()
        except _pylon_errors():
            return


def find() -> list[FoundCamera]:
    """Cameras that pylon sees, without opening them; takes up to a second."""
    try:
        pylon = _pylon()
        seen = pylon.TlFactory.GetInstance().EnumerateDevices()
        return [_found(device) for device in seen]
    except CameraError as error:
        return [FoundCamera("basler", "", problem=str(error))]
    except _pylon_errors() as error:
        return [FoundCamera("basler", "", problem=f"pylon: {_reason(error)}")]


def _found(device: Any) -> FoundCamera:
    serial = device.GetSerialNumber()
    link = _LINKS.get(device.GetDeviceClass(), device.GetDeviceClass())
    if link == "GigE":
        link = f"GigE {device.GetIpAddress()}"
    elif link == "USB":
        link = usb_link(serial)
    return FoundCamera("basler", serial, model=f"{device.GetVendorName()} {device.GetModelName()}",
                       spec=f"basler:{serial}", link=link)


@functools.cache
def _pylon() -> Any:
    try:
        # SWIG's types warn while they are made; where warnings are errors, that crashes Python.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            from pypylon import pylon
    except ImportError as error:
        raise CameraError("Basler cameras need pypylon, which is not installed; run: "
                          "pip install 'fieldrec[basler]'") from error
    return pylon


def _genicam() -> Any:
    from pypylon import genicam

    return genicam


def _pylon_errors() -> tuple[type[Exception], ...]:
    return (_genicam().GenericException,)


def _find(pylon: Any, serial: str) -> Any:
    factory = pylon.TlFactory.GetInstance()
    found = {device.GetSerialNumber(): device for device in factory.EnumerateDevices()}
    if serial not in found:
        raise CameraError(f"Basler {serial}: not found; cameras here: "
                          f"{', '.join(sorted(found)) or 'none'}; check cable and power")
    return factory.CreateDevice(found[serial])


def _reason(error: Exception) -> str:
    """pylon's message without the place in its sources."""
    return " ".join(str(error).split(" : ")[0].split())


BACKEND = BaslerCamera
