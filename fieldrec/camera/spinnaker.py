"""Teledyne FLIR cameras (Blackfly, Grasshopper, Oryx…) through the maker's own SDK, PySpin.

For cameras that need what only Spinnaker has; the backend `genicam` records the same ones without
any SDK. Written after Teledyne's documentation of PySpin 4 and tried against a fake of it only,
**never on a camera**. Runs in the caller's thread; Spinnaker has threads of its own. One copy a
frame, from Spinnaker's buffer into the slot. The number is the camera's frame ID, the device time
the camera's clock; a frame that arrived incomplete is a gap.
"""

from __future__ import annotations

import contextlib
import functools
import math
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np

from fieldrec.camera import Pixels
from fieldrec.camera.block_ids import BlockCounter
from fieldrec.camera.found import FoundCamera
from fieldrec.camera.parameters import Parameter, Value
from fieldrec.camera.vendor_features import Features, Kind, VendorOptions
from fieldrec.core.clock import SystemClock
from fieldrec.core.errors import CameraError, CameraLost, CameraTimeout
from fieldrec.core.model import FrameHeader, FrameSpec

_HOW_TO_GET_IT = ("FLIR cameras by this backend need Spinnaker and its Python package PySpin, "
                  "whose wheels are not on the package index: install both from Teledyne's "
                  "download page, or use the backend 'genicam', which needs neither")
_LARGEST_ID = 0xFFFFFFFFFFFFFFFF
"""What stands for "no frame ID"."""

_T = TypeVar("_T")


class Options(VendorOptions):
    """Keys of a Teledyne FLIR camera. What is not given stays as the camera has it."""


class SpinnakerCamera:
    """See :class:`fieldrec.camera.Camera` and :class:`fieldrec.camera.parameters.Configurable`."""

    def __init__(self, serial: str, options: Options) -> None:
        self.serial = serial
        self.options = options
        self._who = f"FLIR {serial}"
        self._values = options.values()
        self._system: Any = None
        self._camera: Any = None
        self._features: Features | None = None
        self._started = False
        self._blocks = BlockCounter()

    def open(self) -> FrameSpec:
        """Find the camera by its serial and configure it; the error lists the cameras there are."""
        self.close()
        spin = _spin()
        try:
            self._system = spin.System.GetInstance()
            self._camera = _by_serial(spin, self._system, self.serial)
            self._camera.Init()
            self._features = features = Features(
                self._who, functools.partial(_feature, spin, self._camera.GetNodeMap()),
                (spin.SpinnakerException,))
            self._set_stream(spin)
            features.set({"AcquisitionMode": "Continuous", **self._values})
            return features.spec(self.options.AcquisitionFrameRate)
        except spin.SpinnakerException as error:
            self.close()
            raise CameraError(f"{self._who}: {_reason(error)}") from error
        except CameraError:
            self.close()
            raise

    def start(self) -> None:
        self._known("start")
        self._blocks = BlockCounter()
        if not self._started:
            self._asking(self._camera.BeginAcquisition)
            self._started = True

    def grab(self, into: Pixels, timeout_s: float) -> FrameHeader:
        """`device_time_ns` is the camera's timestamp."""
        self._known("grab")
        if not self._started:
            raise CameraError(f"{self._who}: grab before start")
        deadline_s = time.monotonic() + timeout_s
        left_s = timeout_s
        with contextlib.suppress(_NoFrame):
            while True:
                header = self._grab_once(into, left_s)
                if header is not None:
                    return header
                left_s = deadline_s - time.monotonic()
                if left_s <= 0:
                    break
        raise CameraTimeout(f"{self._who}: no frame within {timeout_s:g} s")

    def stop(self) -> None:
        if self._started:
            self._quietly(self._camera.EndAcquisition)
        self._started = False

    def close(self) -> None:
        self.stop()
        self._features = None
        if self._camera is not None:
            self._quietly(self._camera.DeInit)
        # Spinnaker insists that nobody refers to a camera when its system goes.
        self._camera = None
        if self._system is not None:
            self._quietly(self._system.ReleaseInstance)
        self._system = None

    def parameters(self) -> tuple[Parameter, ...]:
        """Those that people look at, and those of `features`."""
        features = self._known("parameters")
        return self._asking(lambda: features.parameters(self.options.features))

    def configure(self, values: Mapping[str, Value]) -> FrameSpec:
        """Set them; they are set again when the camera was lost and comes back."""
        features = self._known("configure")
        self._asking(lambda: features.set(values))
        self._values = {**self._values, **values}
        return self._asking(lambda: features.spec(self.options.AcquisitionFrameRate))

    def _grab_once(self, into: Pixels, timeout_s: float) -> FrameHeader | None:
        """None for an incomplete frame; _NoFrame when none came in time."""
        spin = _spin()
        try:
            image = self._camera.GetNextImage(max(math.ceil(timeout_s * 1000), 1))
        except spin.SpinnakerException as error:
            if error.errorcode == spin.SPINNAKER_ERR_TIMEOUT:
                raise _NoFrame from error
            raise CameraLost(f"{self._who}: {_reason(error)}; check cable and power") from error
        arrived_ns = SystemClock().monotonic_ns()
        try:
            frame_id = image.GetFrameID()
            number = (self._blocks.skip() if frame_id == _LARGEST_ID
                      else self._blocks.number(frame_id))
            if image.IsIncomplete():
                return None
            pixels = image.GetNDArray()
            if (pixels.shape, pixels.dtype) != (into.shape, into.dtype):
                raise CameraLost(f"{self._who}: sent {pixels.dtype} of shape {pixels.shape}, not "
                                 f"{into.dtype} of {into.shape}; it is opened again")
            np.copyto(into, pixels)
            return FrameHeader(number=number, monotonic_ns=arrived_ns,
                               device_time_ns=image.GetTimeStamp() or None)
        finally:
            self._quietly(image.Release)

    def _set_stream(self, spin: Any) -> None:
        """Every frame in its order, from as many buffers as asked for."""
        stream = Features(self._who, functools.partial(
            _feature, spin, self._camera.GetTLStreamNodeMap()), (spin.SpinnakerException,))
        stream.prefer({"StreamBufferHandlingMode": "OldestFirst", "StreamBufferCountMode": "Manual",
                       "StreamBufferCountManual": self.options.buffers})

    def _known(self, verb: str) -> Features:
        if self._features is None:
            raise CameraError(f"{self._who}: {verb} before open")
        return self._features

    def _asking(self, call: Callable[[], _T]) -> _T:
        """Call the SDK on an open camera; CameraLost when that fails because it is gone."""
        try:
            return call()
        except (CameraError, _spin().SpinnakerException) as error:
            if not self._camera.IsValid():
                raise CameraLost(f"{self._who}: the camera was unplugged or lost power") from error
            if isinstance(error, CameraError):
                raise
            raise CameraError(f"{self._who}: {_reason(error)}") from error

    def _quietly(self, call: Callable[[], Any]) -> None:
        """Call what must not fail, on a camera that may be gone."""
        with contextlib.suppress(_spin().SpinnakerException):
            call()


class _NoFrame(Exception):
    """The SDK's time is up."""


class _SpinFeature:
    """A node of Spinnaker's; see :class:`fieldrec.camera.vendor_features.Feature`."""

    def __init__(self, spin: Any, node: Any) -> None:
        self._spin = spin
        self._node = node
        casts: dict[int, tuple[Kind, Any]] = {
            spin.intfIInteger: ("integer", spin.CIntegerPtr),
            spin.intfIFloat: ("float", spin.CFloatPtr),
            spin.intfIBoolean: ("boolean", spin.CBooleanPtr),
            spin.intfIEnumeration: ("enumeration", spin.CEnumerationPtr),
            spin.intfIString: ("string", spin.CStringPtr)}
        self._kind: Kind | None = None
        self._value = node
        if (found := casts.get(node.GetPrincipalInterfaceType())) is not None:
            self._kind, cast = found
            self._value = cast(node)

    def kind(self) -> Kind | None:
        return self._kind

    def read(self) -> Value:
        if self._kind == "enumeration":
            return str(self._value.GetCurrentEntry().GetSymbolic())
        value: Value = self._value.GetValue()
        return value

    def write(self, value: Value) -> None:
        if self._kind != "enumeration":
            self._value.SetValue(value)
            return
        entry = self._value.GetEntryByName(str(value))
        if not self._spin.IsReadable(entry):
            raise ValueError(value)
        self._value.SetIntValue(entry.GetValue())

    def limits(self) -> tuple[float | None, float | None, float | None]:
        step = self._value.GetInc() if self._kind == "integer" else None
        return self._value.GetMin(), self._value.GetMax(), step

    def choices(self) -> tuple[str, ...]:
        entries = map(self._spin.CEnumEntryPtr, self._value.GetEntries())
        return tuple(str(entry.GetSymbolic()) for entry in entries
                     if self._spin.IsReadable(entry))

    def unit(self) -> str:
        return str(self._value.GetUnit()) if self._kind == "float" else ""

    def writable(self) -> bool:
        return bool(self._spin.IsWritable(self._node))


def _feature(spin: Any, node_map: Any, name: str) -> _SpinFeature | None:
    node = node_map.GetNode(name)
    return None if node is None or not spin.IsReadable(node) else _SpinFeature(spin, node)


def _by_serial(spin: Any, system: Any, serial: str) -> Any:
    cameras = system.GetCameras()
    try:
        found = {_said(spin, camera, "DeviceSerialNumber"): camera for camera in cameras}
        if serial not in found:
            raise CameraError(f"FLIR {serial}: not found; cameras here: "
                              f"{', '.join(sorted(found)) or 'none'}; check cable and power")
        return found[serial]
    finally:
        cameras.Clear()


def _said(spin: Any, camera: Any, name: str) -> str:
    """What is known of a camera that is not open."""
    feature = _feature(spin, camera.GetTLDeviceNodeMap(), name)
    return "" if feature is None else str(feature.read())


def _spin() -> Any:
    try:
        import PySpin
    except ImportError as error:
        raise CameraError(_HOW_TO_GET_IT) from error
    return PySpin


def _reason(error: Exception) -> str:
    """Spinnaker's message without the place in its sources."""
    return " ".join(str(error).split()).removeprefix("Spinnaker: ").rstrip(".")


def find() -> list[FoundCamera]:
    """All cameras that Spinnaker sees; none is opened."""
    try:
        spin = _spin()
    except CameraError as error:
        return [FoundCamera("spinnaker", "", problem=str(error))]
    try:
        system = spin.System.GetInstance()
        try:
            return _listed(spin, system)
        finally:
            system.ReleaseInstance()
    except spin.SpinnakerException as error:
        return [FoundCamera("spinnaker", "", problem=f"Spinnaker: {_reason(error)}")]


def _listed(spin: Any, system: Any) -> list[FoundCamera]:
    cameras = system.GetCameras()
    try:
        return [FoundCamera("spinnaker", serial, model=_said(spin, camera, "DeviceModelName"),
                            spec=f"spinnaker:{serial}",
                            link=" ".join(filter(None, (
                                _said(spin, camera, "DeviceType"),
                                _said(spin, camera, "DeviceCurrentSpeed")))))
                for camera in cameras
                if (serial := _said(spin, camera, "DeviceSerialNumber"))]
    finally:
        cameras.Clear()


BACKEND = SpinnakerCamera
