"""Lucid cameras (Triton, Phoenix, Atlas) through the maker's own SDK, arena_api.

For cameras that need what only Arena has; the backend `genicam` records the same ones without any
SDK. Written after Lucid's documentation of arena_api 2 and tried against a fake of it only,
**never on a camera**. Runs in the caller's thread; Arena has threads of its own. One copy a frame,
from Arena's buffer into the slot. The number is the camera's frame ID, the device time the
camera's clock; a frame that arrived incomplete is a gap.
"""

from __future__ import annotations

import ctypes
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

_HOW_TO_GET_IT = ("Lucid cameras by this backend need the Arena SDK and its Python package "
                  "arena_api, which is not on the package index: install both from Lucid's "
                  "download page, or use the backend 'genicam', which needs neither")
# The SDK reports its failures as plain Python errors of many kinds.
_ERRORS = (Exception,)


class Options(VendorOptions):
    """Keys of a Lucid camera. What is not given stays as the camera has it."""


class ArenaCamera:
    """See :class:`fieldrec.camera.Camera` and :class:`fieldrec.camera.parameters.Configurable`."""

    def __init__(self, serial: str, options: Options) -> None:
        self.serial = serial
        self.options = options
        self._who = f"Lucid {serial}"
        self._settings = VendorSettings(self._who, options, sdk_errors=lambda: _ERRORS,
                                        is_there=self._is_there, reason=_reason)
        self._device: Any = None
        self._started = False
        self._blocks = BlockCounter()

    def open(self) -> FrameSpec:
        """Find the camera by its serial and configure it; the error lists the cameras there are."""
        self.close()
        system = _arena()
        try:
            infos = system.device_infos
            mine = [info for info in infos if info["serial"] == self.serial]
            if not mine:
                raise CameraError(f"{self._who}: not found; cameras here: "
                                  f"{_serials(infos)}; check cable and power")
            self._device = system.create_device(device_infos=mine)[0]
            Features(self._who, functools.partial(_feature, self._device.tl_stream_nodemap),
                     _ERRORS).prefer({"StreamBufferHandlingMode": "OldestFirst",
                                      "StreamAutoNegotiatePacketSize": True,
                                      "StreamPacketResendEnable": True})
            return self._settings.use(Features(
                self._who, functools.partial(_feature, self._device.nodemap), _ERRORS))
        except CameraError:
            self.close()
            raise
        except _ERRORS as error:
            self.close()
            raise CameraError(f"{self._who}: {_reason(error)}") from error

    def start(self) -> None:
        self._settings.known("start")
        self._blocks = BlockCounter()
        if not self._started:
            self._settings.asking(lambda: self._device.start_stream(self.options.buffers))
            self._started = True

    def grab(self, into: Pixels, timeout_s: float) -> FrameHeader:
        """`device_time_ns` is the camera's timestamp."""
        self._settings.known("grab")
        if not self._started:
            raise CameraError(f"{self._who}: grab before start")
        return grab_whole(lambda left_s: self._grab_once(into, left_s), timeout_s, self._who)

    def stop(self) -> None:
        if self._started:
            self._settings.quietly(self._device.stop_stream)
        self._started = False

    def close(self) -> None:
        self.stop()
        self._settings.forget()
        if self._device is not None:
            device, self._device = self._device, None
            self._settings.quietly(lambda: _arena().destroy_device(device))

    def parameters(self) -> tuple[Parameter, ...]:
        """As :meth:`VendorSettings.parameters`."""
        return self._settings.parameters()

    def configure(self, values: Mapping[str, Value]) -> FrameSpec:
        """As :meth:`VendorSettings.configure`."""
        return self._settings.configure(values)

    def _grab_once(self, into: Pixels, timeout_s: float) -> FrameHeader | None:
        """None for an incomplete frame; NoFrame when none came in time."""
        try:
            buffer = self._device.get_buffer(timeout=max(math.ceil(timeout_s * 1000), 1))
        except TimeoutError as error:
            if not self._is_there():
                raise CameraLost(f"{self._who}: the camera was unplugged or lost power") from error
            raise NoFrame from error
        except _ERRORS as error:
            raise CameraLost(f"{self._who}: {_reason(error)}; check cable and power") from error
        arrived_ns = SystemClock().monotonic_ns()
        try:
            number = self._blocks.number(buffer.frame_id)
            if buffer.is_incomplete:
                return None
            if buffer.size_filled < into.nbytes or (buffer.height, buffer.width) != into.shape[:2]:
                raise CameraLost(f"{self._who}: sent a picture of {buffer.width}x{buffer.height}, "
                                 f"not {into.shape[1]}x{into.shape[0]}; it is opened again")
            np.copyto(into, _pixels(buffer, into))
            return FrameHeader(number=number, monotonic_ns=arrived_ns,
                               device_time_ns=buffer.timestamp_ns or None)
        finally:
            self._settings.quietly(lambda: self._device.requeue_buffer(buffer))

    def _is_there(self) -> bool:
        try:
            return bool(self._device.is_connected())
        except _ERRORS:
            return False


def _pixels(buffer: Any, like: Pixels) -> Pixels:
    """The buffer's own memory as an array; `buffer.data` would make a list of every byte."""
    address = ctypes.cast(buffer.pdata, ctypes.c_void_p).value
    memory = memoryview((ctypes.c_uint8 * like.nbytes).from_address(address or 0))
    return np.asarray(memory).view(like.dtype).reshape(like.shape)


class _ArenaFeature:
    """A node of Arena's; see :class:`fieldrec.camera.vendor_features.Feature`."""

    _KINDS: Mapping[str, Kind] = {
        "INTEGER": "integer", "FLOAT": "float", "BOOLEAN": "boolean",
        "ENUMERATION": "enumeration", "STRING": "string"}

    def __init__(self, node: Any) -> None:
        self._node = node

    def kind(self) -> Kind | None:
        return self._KINDS.get(self._node.interface_type.name)

    def read(self) -> Value:
        value: Value = self._node.value
        return value

    def write(self, value: Value) -> None:
        if self.kind() == "enumeration" and value not in self.choices():
            raise ValueError(value)
        self._node.value = value

    def limits(self) -> tuple[float | None, float | None, float | None]:
        step = self._node.inc if self.kind() == "integer" else None
        return self._node.min, self._node.max, step

    def choices(self) -> tuple[str, ...]:
        entries = self._node.enumentry_nodes
        return tuple(name for name in self._node.enumentry_names if entries[name].is_readable)

    def unit(self) -> str:
        return str(self._node.unit) if self.kind() == "float" else ""

    def writable(self) -> bool:
        return bool(self._node.is_writable)


def _feature(nodemap: Any, name: str) -> _ArenaFeature | None:
    try:
        node = nodemap.get_node(name)
    except _ERRORS:  # it has no such node
        return None
    return _ArenaFeature(node) if node.is_readable else None


def _arena() -> Any:
    try:
        from arena_api.system import system
    except ImportError as error:
        raise CameraError(_HOW_TO_GET_IT) from error
    except OSError as error:  # the package is there, the SDK's libraries are not
        raise CameraError(f"{_HOW_TO_GET_IT} ({error})") from error
    return system


def _serials(infos: Any) -> str:
    return ", ".join(sorted(info["serial"] for info in infos)) or "none"


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def find() -> list[FoundCamera]:
    """All cameras that Arena sees; none is opened."""
    try:
        infos = _arena().device_infos
    except CameraError as error:
        return [FoundCamera("arena", "", problem=str(error))]
    except _ERRORS as error:
        return [FoundCamera("arena", "", problem=f"Arena: {_reason(error)}")]
    return [FoundCamera("arena", info["serial"], model=info["model"],
                        spec=f"arena:{info['serial']}", link=f"GigE {info['ip']}")
            for info in infos]


BACKEND = ArenaCamera
