"""Basler cameras (GigE, USB3) through pypylon: ``pip install 'fieldrec[basler]'``.

Runs in the caller's thread; pylon has threads of its own, which end with the process. One copy
per frame, from pylon's buffer into the slot. The frame number is the camera's BlockID: a frame
that was dropped on the way, or arrived incomplete, is a gap in it. ``PYLON_CAMEMU=2`` in the
environment gives two emulated cameras, 0815-0000 and 0815-0001.
"""

from __future__ import annotations

import functools
import math
import time
import warnings
from typing import Any, Literal

import numpy as np
from pydantic import AliasChoices, Field

from fieldrec.camera import CameraOptions, Pixels
from fieldrec.core.clock import SystemClock
from fieldrec.core.errors import CameraError, CameraLost, CameraTimeout
from fieldrec.core.model import FrameHeader, FrameSpec

# Ours -> the camera's names for it (GenICam's, then Basler's older one) and numpy's type.
_FORMATS: dict[str, tuple[tuple[str, ...], str]] = {
    "MONO8": (("Mono8",), "uint8"),
    "MONO16": (("Mono16",), "uint16"),
    "BGR8": (("BGR8", "BGR8Packed"), "uint8"),
    "BAYER_RG8": (("BayerRG8",), "uint8"),
    "BAYER_GR8": (("BayerGR8",), "uint8"),
    "BAYER_GB8": (("BayerGB8",), "uint8"),
    "BAYER_BG8": (("BayerBG8",), "uint8"),
}
_RATE = ("AcquisitionFrameRate", "AcquisitionFrameRateAbs")
_RATE_READ = ("ResultingFrameRate", "ResultingFrameRateAbs", *_RATE)
_NO_BLOCK_ID = 2**64 - 1


class Options(CameraOptions):
    """Keys of a Basler camera. What is not given stays as the camera has it."""

    AcquisitionFrameRate: float | None = Field(
        default=None, gt=0, validation_alias=AliasChoices("AcquisitionFrameRate", "hz"))
    """Frames per second; `hz` is another name for it."""
    ExposureTime: float | None = Field(default=None, gt=0)
    """Microseconds."""
    Gain: float | None = None
    """As the camera counts it: dB on most."""
    pixel_format: Literal["MONO8", "MONO16", "BGR8", "BAYER_RG8", "BAYER_GR8", "BAYER_GB8",
                          "BAYER_BG8"] = "MONO8"
    width: int | None = Field(default=None, ge=1)
    height: int | None = Field(default=None, ge=1)
    buffers: int = Field(default=16, ge=2, le=1024)
    """Frames that pylon holds while the capture thread is late."""


class BaslerCamera:
    """See :class:`fieldrec.camera.Camera`."""

    def __init__(self, serial: str, options: Options) -> None:
        self.serial = serial
        self.options = options
        self._camera: Any = None
        self._blocks = BlockCounter()
        self._tick_ns = 1.0

    def open(self) -> FrameSpec:
        """Find the camera by its serial and configure it; the error lists the cameras there are."""
        self.close()
        pylon = _pylon()
        try:
            self._camera = pylon.InstantCamera(_find(pylon, self.serial))
            self._camera.Open()
            return self._configured()
        except _pylon_errors() as error:
            self.close()
            raise CameraError(f"Basler {self.serial}: {_reason(error)}") from error
        except CameraError:
            self.close()
            raise

    def start(self) -> None:
        if self._camera is None:
            raise CameraError(f"Basler {self.serial}: start before open")
        self._blocks = BlockCounter()
        try:
            if not self._camera.IsGrabbing():
                self._camera.StartGrabbing(_pylon().GrabStrategy_OneByOne)
        except _pylon_errors() as error:
            raise CameraError(f"Basler {self.serial}: {_reason(error)}") from error

    def grab(self, into: Pixels, timeout_s: float) -> FrameHeader:
        """`device_time_ns` is the camera's timestamp where it has one."""
        if self._camera is None:
            raise CameraError(f"Basler {self.serial}: grab before open")
        deadline_s = time.monotonic() + timeout_s
        try:
            if not self._camera.IsGrabbing():
                self._raise_if_removed()
                raise CameraError(f"Basler {self.serial}: grab before start")
            while True:
                header = self._grab_once(into, max(deadline_s - time.monotonic(), 0.0))
                if header is not None:
                    return header
                if time.monotonic() >= deadline_s:
                    raise CameraTimeout(f"Basler {self.serial}: no frame within {timeout_s:g} s")
        except _pylon_errors() as error:
            raise CameraLost(f"Basler {self.serial}: {_reason(error)}") from error

    def stop(self) -> None:
        self._quietly("StopGrabbing")

    def close(self) -> None:
        self.stop()
        self._quietly("Close")
        self._quietly("DetachDevice")
        self._camera = None

    def _configured(self) -> FrameSpec:
        options, camera = self.options, self._camera
        names, dtype = _FORMATS[options.pixel_format]
        self._choose("PixelFormat", names)
        self._set(("Width",), options.width)
        self._set(("Height",), options.height)
        if options.AcquisitionFrameRate is not None:
            self._set(("AcquisitionFrameRateEnable",), True, needed=False)
        self._set(_RATE, options.AcquisitionFrameRate)
        self._set(("ExposureTime", "ExposureTimeAbs"), options.ExposureTime)
        self._set(("Gain",), options.Gain)
        camera.MaxNumBuffer.Value = options.buffers
        ticks_hz = self._get(("GevTimestampTickFrequency",), 1e9)
        self._tick_ns = 1e9 / ticks_hz if ticks_hz > 0 else 1.0
        shape: tuple[int, ...] = (int(self._get(("Height",), 0)), int(self._get(("Width",), 0)))
        if options.pixel_format == "BGR8":
            shape = (*shape, 3)
        return FrameSpec(shape=shape, dtype=dtype, pixel_format=options.pixel_format,
                         nominal_hz=self._get(_RATE_READ, options.AcquisitionFrameRate or 30.0))

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
            with result.GetArrayZeroCopy() as pixels:
                np.copyto(into, pixels)
            device_ns = round(result.TimeStamp * self._tick_ns) or None
            return FrameHeader(number=self._blocks.number(block_id), monotonic_ns=arrived_ns,
                               device_time_ns=device_ns)
        finally:
            result.Release()

    def _raise_if_removed(self) -> None:
        if self._camera is not None and self._camera.IsCameraDeviceRemoved():
            raise CameraLost(f"Basler {self.serial}: the camera was unplugged or lost power")

    def _node(self, names: tuple[str, ...]) -> Any:
        """The first of these features that the camera has, or None."""
        nodes = self._camera.GetNodeMap()
        genicam = _genicam()
        for name in names:
            node = nodes.GetNode(name)
            if node is not None and genicam.IsAvailable(node):
                return node
        return None

    def _get(self, names: tuple[str, ...], default: float) -> float:
        node = self._node(names)
        return default if node is None else float(node.Value)

    def _set(self, names: tuple[str, ...], value: float | None, *, needed: bool = True) -> None:
        if value is None:
            return
        node = self._node(names)
        if node is None:
            if needed:
                raise CameraError(f"Basler {self.serial}: has no {names[0]}; remove that option")
            return
        try:
            node.Value = value
        except _pylon_errors() as error:
            raise CameraError(f"Basler {self.serial}: {names[0]} cannot be {value:g}"
                              f"{_allowed(node)}") from error

    def _choose(self, feature: str, names: tuple[str, ...]) -> None:
        node = self._node((feature,))
        offered = () if node is None else tuple(node.Symbolics)
        for name in names:
            if name in offered:
                node.Value = name
                return
        raise CameraError(f"Basler {self.serial}: {feature} cannot be {names[0]}; the camera "
                          f"offers: {', '.join(offered)}")

    def _quietly(self, method: str) -> None:
        """Call what must not fail, on a camera that may be gone."""
        if self._camera is None:
            return
        try:
            getattr(self._camera, method)()
        except _pylon_errors():
            return


class BlockCounter:
    """Frame numbers that run on from BlockIDs, which on GigE Vision 1 wrap from 65535 to 1."""

    def __init__(self) -> None:
        self._last = -1
        self._last_raw = -1
        self._wraps = 0

    def number(self, raw: int) -> int:
        """The number for a frame's BlockID; counted here when the camera gives none."""
        if raw == _NO_BLOCK_ID:
            return self.skip()
        if raw < self._last_raw and self._last_raw <= 65535:
            self._wraps += 1
        self._last_raw = raw
        self._last = raw + 65535 * self._wraps
        return self._last

    def skip(self) -> int:
        """Count a frame without BlockID."""
        self._last += 1
        return self._last


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


def _allowed(node: Any) -> str:
    low, high = getattr(node, "Min", None), getattr(node, "Max", None)
    return "" if low is None or high is None else f"; allowed: {low:g} to {high:g}"


def _reason(error: Exception) -> str:
    """pylon's message without the place in its sources."""
    return " ".join(str(error).split(" : ")[0].split())


BACKEND = BaslerCamera
