"""Teledyne FLIR cameras (Blackfly, Grasshopper, Oryx…) through the maker's own SDK, PySpin.

For cameras that need what only Spinnaker has; the backend `genicam` records the same ones without
any SDK. Written after Teledyne's documentation of PySpin 4 and tried against a fake of it only,
**never on a camera**. Runs in the caller's thread; Spinnaker has threads of its own. One copy a
frame, from Spinnaker's buffer into the slot. The number is the camera's frame ID, the device time
the camera's clock; a frame that arrived incomplete is a gap.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from fieldrec.camera import Pixels
from fieldrec.camera.block_ids import BlockCounter
from fieldrec.camera.found import FoundCamera
from fieldrec.camera.parameters import Parameter, Value
from fieldrec.camera.vendor_features import (
    Features,
    Kind,
    NoFrame,
    VendorOptions,
    VendorSettings,
    grab_whole,
)
from fieldrec.core.clock import SystemClock
from fieldrec.core.errors import CameraError, CameraLost
from fieldrec.core.model import FrameHeader, FrameSpec

_HOW_TO_GET_IT = ("FLIR cameras by this backend need Spinnaker and its Python package PySpin, "
                  "whose wheels are not on the package index: install both from Teledyne's "
                  "download page, or use the backend 'genicam', which needs neither")
_LARGEST_ID = 0xFFFFFFFFFFFFFFFF
"""What stands for "no frame ID"."""


class Options(VendorOptions):
    """Keys of a Teledyne FLIR camera. What is not given stays as the camera has it."""


class SpinnakerCamera:
    """See :class:`fieldrec.camera.Camera` and :class:`fieldrec.camera.parameters.Configurable`."""

    def __init__(self, serial: str, options: Options) -> None:
        self.serial = serial
        self.options = options
        self._who = f"FLIR {serial}"
        self._settings = VendorSettings(
            self._who, options, sdk_errors=lambda: (_spin().SpinnakerException,),
            is_there=lambda: bool(self._camera.IsValid()), reason=_reason)
        self._system: Any = None
        self._camera: Any = None
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
            self._set_stream(spin)
            return self._settings.use(Features(
                self._who, functools.partial(_feature, spin, self._camera.GetNodeMap()),
                (spin.SpinnakerException,)))
        except spin.SpinnakerException as error:
            self.close()
            raise CameraError(f"{self._who}: {_reason(error)}") from error
        except CameraError:
            self.close()
            raise

    def start(self) -> None:
        self._settings.known("start")
        self._blocks = BlockCounter()
        if not self._started:
            self._settings.asking(self._camera.BeginAcquisition)
            self._started = True

    def grab(self, into: Pixels, timeout_s: float) -> FrameHeader:
        """`device_time_ns` is the camera's timestamp."""
        self._settings.known("grab")
        if not self._started:
            raise CameraError(f"{self._who}: grab before start")
        return grab_whole(lambda left_s: self._grab_once(into, left_s), timeout_s, self._who)

    def stop(self) -> None:
        if self._started:
            self._settings.quietly(self._camera.EndAcquisition)
        self._started = False

    def close(self) -> None:
        self.stop()
        self._settings.forget()
        if self._camera is not None:
            self._settings.quietly(self._camera.DeInit)
        # Spinnaker insists that nobody refers to a camera when its system goes.
        self._camera = None
        if self._system is not None:
            self._settings.quietly(self._system.ReleaseInstance)
        self._system = None

    def parameters(self) -> tuple[Parameter, ...]:
        """As :meth:`VendorSettings.parameters`."""
        return self._settings.parameters()

    def configure(self, values: Mapping[str, Value]) -> FrameSpec:
        """As :meth:`VendorSettings.configure`."""
        return self._settings.configure(values)

    def _grab_once(self, into: Pixels, timeout_s: float) -> FrameHeader | None:
        """None for an incomplete frame; NoFrame when none came in time."""
        spin = _spin()
        try:
            image = self._camera.GetNextImage(max(math.ceil(timeout_s * 1000), 1))
        except spin.SpinnakerException as error:
            if error.errorcode == spin.SPINNAKER_ERR_TIMEOUT:
                raise NoFrame from error
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
            self._settings.quietly(image.Release)

    def _set_stream(self, spin: Any) -> None:
        """Every frame in its order, from as many buffers as asked for."""
        stream = Features(self._who, functools.partial(
            _feature, spin, self._camera.GetTLStreamNodeMap()), (spin.SpinnakerException,))
        stream.prefer({"StreamBufferHandlingMode": "OldestFirst", "StreamBufferCountMode": "Manual",
                       "StreamBufferCountManual": self.options.buffers})


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
