"""Ximea cameras (xiC, xiQ, xiB, xiX…) through the maker's own API, xiAPI.

Written after Ximea's own Python module (package 4.27 of its Linux software) and tried against a
fake of it only, **never on a camera**. Runs in the caller's thread; xiAPI has threads of its own.
One copy a frame, from xiAPI's buffer into the slot. The number counts what the sensor took since
the start, the device time is the camera's clock: a frame that did not get through is a gap.

Its automatic exposure governs the gain as well, so that ExposureAuto and GainAuto are one.
"""

from __future__ import annotations

import contextlib
import ctypes
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
from pydantic import AliasChoices, BeforeValidator, Field

from fieldrec.camera import CameraOptions, Pixels
from fieldrec.camera.found import FoundCamera
from fieldrec.camera.parameters import Parameter, Value, allowed
from fieldrec.camera.pixel_formats import dtype_of, shape_of
from fieldrec.core.clock import SystemClock
from fieldrec.core.errors import CameraError, CameraLost, CameraTimeout
from fieldrec.core.model import FrameHeader, FrameSpec

_HOW_TO_GET_IT = ("Ximea cameras need xiAPI and its Python module: install Ximea's Linux Software "
                  "Package, then copy its folder api/Python/v3/ximea into this Python's "
                  "site-packages (or run: pip install ximea-py, which has the same files but not "
                  "xiAPI itself)")
_TIMEOUT = 10
"""xiAPI's status for "no image in time"."""
_T = TypeVar("_T")

# Ours -> xiAPI's. XI_RGB24 has its bytes in the order blue, green, red.
_FORMATS = {"MONO8": "XI_MONO8", "MONO16": "XI_MONO16", "BGR8": "XI_RGB24"}
_MOSAICS = {"XI_CFA_BAYER_RGGB": "RG", "XI_CFA_BAYER_GRBG": "GR", "XI_CFA_BAYER_BGGR": "BG",
            "XI_CFA_BAYER_GBRG": "GB"}


def _from_yaml(value: Any) -> Any:
    """YAML reads a bare Off as false."""
    return ("Continuous" if value else "Off") if isinstance(value, bool) else value


_Automatic = Annotated[Literal["Off", "Continuous"], BeforeValidator(_from_yaml)]


class Options(CameraOptions):
    """Keys of a Ximea camera. What is not given stays as the camera has it."""

    AcquisitionFrameRate: float | None = Field(
        default=None, gt=0, validation_alias=AliasChoices("AcquisitionFrameRate", "hz"))
    """Frames per second; `hz` is another name for it."""
    ExposureTime: float | None = Field(default=None, gt=0)
    """Microseconds; turns ExposureAuto off."""
    ExposureAuto: _Automatic | None = None
    """Of exposure and gain together."""
    Gain: float | None = None
    """dB; turns ExposureAuto off."""
    BalanceWhiteAuto: _Automatic | None = None
    pixel_format: Literal["MONO8", "MONO16", "BGR8", "BAYER_RG8", "BAYER_GR8", "BAYER_BG8",
                          "BAYER_GB8", "BAYER_RG16", "BAYER_GR16", "BAYER_BG16",
                          "BAYER_GB16"] = "MONO8"
    """BAYER_… must be the sensor's own mosaic."""
    width: int | None = Field(default=None, ge=1)
    height: int | None = Field(default=None, ge=1)
    buffers: int = Field(default=16, ge=2, le=1024)
    """Frames that xiAPI holds while the capture thread is late."""

    def values(self) -> dict[str, Value]:
        """What is asked of the parameters, in the order to set them."""
        asked: dict[str, Value | None] = {
            "Width": self.width, "Height": self.height,
            **{name: getattr(self, name) for name in (
                "ExposureAuto", "BalanceWhiteAuto", "AcquisitionFrameRate", "ExposureTime",
                "Gain")}}
        return {name: value for name, value in asked.items() if value is not None}


@dataclass(frozen=True, slots=True)
class _Named:
    """One parameter of xiAPI's that has a name in GenICam."""

    xi: str
    type: type[int] | type[float] | type[bool]
    unit: str = ""
    live: bool = True
    governed: bool = False
    """By the automatic exposure."""


_PARAMETERS = {
    "Width": _Named("width", int, "px", live=False),
    "Height": _Named("height", int, "px", live=False),
    "OffsetX": _Named("offsetX", int, "px"), "OffsetY": _Named("offsetY", int, "px"),
    "AcquisitionFrameRate": _Named("framerate", float, "Hz"),
    "ExposureTime": _Named("exposure", float, "us", governed=True),
    "ExposureAuto": _Named("aeag", bool),
    "Gain": _Named("gain", float, "dB", governed=True),
    "BalanceWhiteAuto": _Named("auto_wb", bool),
}


class XimeaCamera:
    """See :class:`fieldrec.camera.Camera` and :class:`fieldrec.camera.parameters.Configurable`."""

    def __init__(self, serial: str, options: Options) -> None:
        self.serial = serial
        self.options = options
        self._who = f"Ximea {serial}"
        self._values = options.values()
        self._camera: Any = None
        self._image: Any = None
        self._started = False

    def open(self) -> FrameSpec:
        """Find the camera by its serial and configure it; the error lists the cameras there are."""
        self.close()
        xiapi = _xiapi()
        camera = xiapi.Camera()
        try:
            serials = [serial for serial, _ in _present(xiapi)]
            if self.serial not in serials:
                raise CameraError(f"{self._who}: not found; cameras here: "
                                  f"{', '.join(serials) or 'none'}; check cable and power")
            camera.open_device_by_SN(self.serial)
            self._camera = camera
            self._image = xiapi.Image()
            self._set_format()
            camera.set_param("buffers_queue_size", self.options.buffers)
            self._set(self._values)
            return self._spec()
        except xiapi.Xi_error as error:
            self.close()
            raise CameraError(f"{self._who}: {error.descr}") from error
        except CameraError:
            self.close()
            raise

    def start(self) -> None:
        camera = self._known("start")
        if not self._started:
            self._asking(camera.start_acquisition)
            self._started = True

    def grab(self, into: Pixels, timeout_s: float) -> FrameHeader:
        """`device_time_ns` is the camera's timestamp, in whole microseconds."""
        camera, image, xiapi = self._known("grab"), self._image, _xiapi()
        if not self._started:
            raise CameraError(f"{self._who}: grab before start")
        try:
            camera.get_image(image, timeout=max(math.ceil(timeout_s * 1000), 1))
        except xiapi.Xi_error as error:
            if error.status == _TIMEOUT:
                raise CameraTimeout(f"{self._who}: no frame within {timeout_s:g} s") from error
            raise CameraLost(f"{self._who}: {error.descr}; check cable and power") from error
        arrived_ns = SystemClock().monotonic_ns()
        if (image.height, image.width) != into.shape[:2]:
            raise CameraLost(f"{self._who}: sent a picture of {image.width}x{image.height}, not "
                             f"{into.shape[1]}x{into.shape[0]}; it is opened again")
        np.copyto(into, _pixels(image, into))
        return FrameHeader(number=image.acq_nframe, monotonic_ns=arrived_ns,
                           device_time_ns=(image.tsSec * 1_000_000 + image.tsUSec) * 1000)

    def stop(self) -> None:
        if self._started:
            self._quietly(self._camera.stop_acquisition)
        self._started = False

    def close(self) -> None:
        self.stop()
        if self._camera is not None:
            self._quietly(self._camera.close_device)
        self._camera = self._image = None

    def parameters(self) -> tuple[Parameter, ...]:
        """Those that have a name in GenICam, as far as this model has them."""
        self._known("parameters")
        made = (self._parameter(name, known) for name, known in _PARAMETERS.items())
        return tuple(parameter for parameter in made if parameter is not None)

    def configure(self, values: Mapping[str, Value]) -> FrameSpec:
        """Set them; they are set again when the camera was lost and comes back."""
        self._known("configure")
        self._set(values)
        self._values = {**self._values, **values}
        return self._asking(self._spec)

    def _set_format(self) -> None:
        wanted = self.options.pixel_format
        if wanted.startswith("BAYER_"):
            has = _MOSAICS.get(self._camera.get_param("cfa"), "")
            if wanted[6:8] != has:
                offered = f"BAYER_{has}8, BAYER_{has}16, BGR8" if has else "MONO8, MONO16"
                raise CameraError(f"{self._who}: has no mosaic {wanted}; set pixel_format to one "
                                  f"of: {offered}")
            name = "XI_RAW8" if wanted.endswith("8") else "XI_RAW16"
        else:
            name = _FORMATS[wanted]
        self._camera.set_param("imgdataformat", name)

    def _set(self, values: Mapping[str, Value]) -> None:
        for name, value in values.items():
            known = _PARAMETERS.get(name)
            if known is None:
                raise CameraError(f"{self._who}: has no {name}; it has: {', '.join(_PARAMETERS)}")
            try:
                if known.governed:
                    self._camera.set_param("aeag", 0)
                if name == "AcquisitionFrameRate":
                    self._camera.set_param("acq_timing_mode", "XI_ACQ_TIMING_MODE_FRAME_RATE")
                self._camera.set_param(known.xi, _for_xi(known, value))
            except (_xiapi().Xi_error, ValueError) as error:
                self._raise_if_gone(error)
                parameter = self._parameter(name, known)
                range_ = "" if parameter is None else f"; allowed: {allowed(parameter)}"
                raise CameraError(f"{self._who}: {name} cannot be {value}{range_}") from error

    def _parameter(self, name: str, known: _Named) -> Parameter | None:
        get = self._camera.get_param
        try:
            value = known.type(get(known.xi))
            if known.type is bool:
                return Parameter(name, "Continuous" if value else "Off",
                                 choices=("Off", "Continuous"), alias=known.xi)
            low, high, step = (get(f"{known.xi}:{word}") for word in ("min", "max", "inc"))
        except _xiapi().Xi_error as error:
            self._raise_if_gone(error)
            return None  # this model has none
        return Parameter(name, value, low, high, step, unit=known.unit, live=known.live,
                         alias=known.xi)

    def _spec(self) -> FrameSpec:
        get, ours = self._camera.get_param, self.options.pixel_format
        return FrameSpec(shape=shape_of(ours, get("height"), get("width")), dtype=dtype_of(ours),
                         pixel_format=ours,
                         nominal_hz=get("framerate") or self.options.AcquisitionFrameRate or 30.0)

    def _known(self, verb: str) -> Any:
        if self._camera is None:
            raise CameraError(f"{self._who}: {verb} before open")
        return self._camera

    def _asking(self, call: Callable[[], _T]) -> _T:
        try:
            return call()
        except _xiapi().Xi_error as error:
            self._raise_if_gone(error)
            raise CameraError(f"{self._who}: {error.descr}") from error

    def _raise_if_gone(self, error: Exception) -> None:
        try:
            there = bool(self._camera.get_param("isexist"))
        except _xiapi().Xi_error:
            there = False
        if not there:
            raise CameraLost(f"{self._who}: the camera was unplugged or lost power") from error

    def _quietly(self, call: Callable[[], Any]) -> None:
        """Call what must not fail, on a camera that may be gone."""
        with contextlib.suppress(_xiapi().Xi_error):
            call()


def _for_xi(known: _Named, value: Value) -> Value:
    """In xiAPI's type. ValueError."""
    if known.type is bool:
        words = {"continuous": 1, "true": 1, "off": 0, "false": 0}
        if str(value).casefold() not in words:
            raise ValueError(value)
        return words[str(value).casefold()]
    return known.type(value)


def _pixels(image: Any, like: Pixels) -> Pixels:
    """xiAPI's own memory as an array: its rows may be padded."""
    row_bytes = like.nbytes // like.shape[0]
    line = row_bytes + image.padding_x
    memory = memoryview((ctypes.c_uint8 * (line * like.shape[0])).from_address(image.bp))
    rows = np.asarray(memory).reshape(like.shape[0], line)[:, :row_bytes]
    return rows.view(like.dtype).reshape(like.shape)


def _present(xiapi: Any) -> list[tuple[str, str]]:
    """Serial and model of every camera that xiAPI sees."""
    count = xiapi.Camera().get_number_devices()
    return [(_info(xiapi, index, "device_sn"), _info(xiapi, index, "device_name"))
            for index in range(count)]


def _info(xiapi: Any, index: int, name: str) -> str:
    said: bytes = xiapi.Camera(dev_id=index).get_device_info_string(name)
    return said.decode(errors="replace")


def _xiapi() -> Any:
    try:
        from ximea import xiapi
    except (ImportError, OSError) as error:  # OSError: the module is there, xiAPI's library is not
        raise CameraError(_HOW_TO_GET_IT) from error
    return xiapi


def find() -> list[FoundCamera]:
    """All cameras that xiAPI sees; none is opened."""
    try:
        xiapi = _xiapi()
        return [FoundCamera("ximea", serial, model=model, spec=f"ximea:{serial}")
                for serial, model in _present(xiapi)]
    except CameraError as error:
        return [FoundCamera("ximea", "", problem=str(error))]
    except xiapi.Xi_error as error:
        return [FoundCamera("ximea", "", problem=f"xiAPI: {error.descr}")]


BACKEND = XimeaCamera
