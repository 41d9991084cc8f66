"""GenICam features through a vendor's SDK: the options, parameters and settings that the backends
spinnaker and arena have in common, and how they wait for a whole frame.

Each SDK has its own way to a feature; a backend wraps that as :class:`Feature`. Called by whoever
owns the camera. A value that an automatic governs turns that automatic off.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, Protocol, TypeVar

from pydantic import AliasChoices, BeforeValidator, Field

from fieldrec.camera import CameraOptions
from fieldrec.camera.parameters import Parameter, Value, allowed
from fieldrec.camera.pixel_formats import (
    PixelFormat,
    dtype_of,
    genicam_names,
    our_name,
    recordable,
    shape_of,
)
from fieldrec.core.errors import CameraError, CameraLost, CameraTimeout
from fieldrec.core.model import FrameHeader, FrameSpec

_T = TypeVar("_T")
Kind = Literal["integer", "float", "boolean", "enumeration", "string"]

_SHOWN = ("AcquisitionFrameRate", "ExposureTime", "ExposureAuto", "Gain", "GainAuto", "BlackLevel",
          "Gamma", "BalanceWhiteAuto", "PixelFormat", "Width", "Height", "OffsetX", "OffsetY",
          "ReverseX", "ReverseY", "BinningHorizontal", "BinningVertical", "TriggerMode",
          "TriggerSource", "TriggerSelector", "PtpEnable", "DeviceTemperature")
"""What people look at; any other feature can be set by its name all the same."""
_NOT_LIVE = frozenset({"Width", "Height", "PixelFormat", "ReverseX", "ReverseY",
                       "BinningHorizontal", "BinningVertical", "PtpEnable"})
_GOVERNED_BY = {"ExposureTime": "ExposureAuto", "Gain": "GainAuto",
                "AcquisitionFrameRate": "AcquisitionFrameRateAuto"}
_RATE_SWITCHES = ("AcquisitionFrameRateEnable", "AcquisitionFrameRateEnabled")
_RATE_READ = ("AcquisitionResultingFrameRate", "AcquisitionFrameRate")


def _from_yaml(value: Any) -> Any:
    """YAML reads a bare Off as false."""
    return ("On" if value else "Off") if isinstance(value, bool) else value


Word = Annotated[str, BeforeValidator(_from_yaml)]


class VendorOptions(CameraOptions):
    """Keys of a GenICam camera. What is not given stays as the camera has it."""

    AcquisitionFrameRate: float | None = Field(
        default=None, gt=0, validation_alias=AliasChoices("AcquisitionFrameRate", "hz"))
    """Frames per second; `hz` is another name for it."""
    ExposureTime: float | None = Field(default=None, gt=0)
    """Microseconds; turns ExposureAuto off."""
    ExposureAuto: Word | None = None
    """Off, Once or Continuous."""
    Gain: float | None = None
    """As the camera counts it, dB on most; turns GainAuto off."""
    GainAuto: Word | None = None
    BalanceWhiteAuto: Word | None = None
    BlackLevel: float | None = None
    pixel_format: PixelFormat | None = None
    width: int | None = Field(default=None, ge=1)
    height: int | None = Field(default=None, ge=1)
    features: dict[str, bool | int | float | str] = Field(default_factory=dict)
    """Any other features by their GenICam names, set in this order after the keys above."""
    buffers: int = Field(default=16, ge=2, le=1024)
    """Frames that the SDK holds while the capture thread is late."""

    def values(self) -> dict[str, Value]:
        """What is asked of the camera's features, in the order to set them: format, size, the
        automatics, then what they govern."""
        asked: dict[str, Value | None] = {
            "PixelFormat": self.pixel_format, "Width": self.width, "Height": self.height}
        for name in ("ExposureAuto", "GainAuto", "BalanceWhiteAuto", "BlackLevel",
                     "AcquisitionFrameRate", "ExposureTime", "Gain"):
            asked[name] = getattr(self, name)
        return {name: value for name, value in asked.items() if value is not None} | self.features


class Feature(Protocol):
    """One feature of an open camera, as an SDK has it. Any call may raise the SDK's errors."""

    def kind(self) -> Kind | None:
        """None for what is no value: a command, a category, a register."""
        ...

    def read(self) -> Value: ...

    def write(self, value: Value) -> None:
        """`value` is of the feature's kind."""
        ...

    def limits(self) -> tuple[float | None, float | None, float | None]:
        """Of a number: lowest, highest, step."""
        ...

    def choices(self) -> tuple[str, ...]:
        """Of an enumeration: what it can be now."""
        ...

    def unit(self) -> str: ...

    def writable(self) -> bool: ...


class Features:
    """The features of one open camera."""

    def __init__(self, camera: str, find: Callable[[str], Feature | None],
                 sdk_errors: tuple[type[Exception], ...]) -> None:
        """`camera` names it in errors; `find` gives a feature that is there now, or None."""
        self._camera = camera
        self._find = find
        self._errors = sdk_errors
        self._refusals: tuple[type[Exception], ...] = (*sdk_errors, ValueError, TypeError)

    def spec(self, asked_hz: float | None) -> FrameSpec:
        """What frames look like as the camera is set now. CameraError for a format that cannot be
        recorded."""
        name = str(self.read("PixelFormat", "Mono8"))
        ours = our_name(name)
        if ours is None:
            feature = self._find("PixelFormat")
            offered = recordable(() if feature is None else feature.choices())
            raise CameraError(f"{self._camera}: its PixelFormat {name} cannot be recorded; set "
                              f"pixel_format to one of: {', '.join(offered) or 'none'}")
        shape = shape_of(ours, int(self.read("Height", 0)), int(self.read("Width", 0)))
        hz = next((float(self.read(rate, 0.0)) for rate in _RATE_READ if self._find(rate)), 0.0)
        return FrameSpec(shape=shape, dtype=dtype_of(ours), pixel_format=ours,
                         nominal_hz=hz or asked_hz or 30.0)

    def parameters(self, further: Mapping[str, Value]) -> tuple[Parameter, ...]:
        """Those that people look at, and those in `further`, as far as the camera has them."""
        made = (self._parameter(name) for name in dict.fromkeys([*_SHOWN, *further]))
        return tuple(parameter for parameter in made if parameter is not None)

    def read(self, name: str, default: Value) -> Value:
        """The value now; `default` when there is no such feature."""
        feature = self._find(name)
        return default if feature is None else feature.read()

    def set(self, values: Mapping[str, Value]) -> None:
        """Set them in their order. CameraError names the feature and what is allowed."""
        for name, value in values.items():
            if name == "PixelFormat":
                self._set_format(str(value))
            elif name == "AcquisitionFrameRate":
                self.prefer(dict.fromkeys(_RATE_SWITCHES, True))
                self._set(name, value)
            else:
                self._set(name, value)

    def prefer(self, values: Mapping[str, Value]) -> None:
        """Set those that the camera has and lets us set now."""
        for name, value in values.items():
            feature = self._find(name) if name else None
            if feature is not None and feature.writable() and feature.read() != value:
                feature.write(value)

    def _set(self, name: str, value: Value) -> None:
        self.prefer({_GOVERNED_BY.get(name, ""): "Off"})
        feature = self._find(name)
        if feature is None:
            raise CameraError(f"{self._camera}: has no {name}; remove that option")
        try:
            feature.write(_of_kind(feature.kind(), value))
        except self._refusals as error:
            parameter = self._parameter(name)
            range_ = "" if parameter is None else f"; allowed: {allowed(parameter)}"
            raise CameraError(f"{self._camera}: {name} cannot be {value}{range_}") from error

    def _set_format(self, wanted: str) -> None:
        """By our name ("BAYER_RG8") or the camera's ("BayerRG8")."""
        feature = self._find("PixelFormat")
        offered = () if feature is None else feature.choices()
        for name in (wanted, *genicam_names(wanted)):
            if feature is not None and name in offered:
                feature.write(name)
                return
        raise CameraError(f"{self._camera}: PixelFormat cannot be {wanted}; the camera offers: "
                          f"{', '.join(offered) or 'none'}")

    def _parameter(self, name: str) -> Parameter | None:
        feature = self._find(name)
        kind = None if feature is None else feature.kind()
        if feature is None or kind is None:
            return None
        try:
            low, high, step = feature.limits() if kind in ("integer", "float") else (None,) * 3
            choices = feature.choices() if kind == "enumeration" else ()
            return Parameter(name, feature.read(), low, high, step,
                             recordable(choices) if name == "PixelFormat" else choices,
                             unit=feature.unit(), live=name not in _NOT_LIVE,
                             writable=feature.writable())
        except self._errors:
            return None  # one that cannot be read now


class VendorSettings:
    """What was asked of a camera, its features while it is open, and an SDK's errors in our words.
    """

    def __init__(self, camera: str, options: VendorOptions, *,
                 sdk_errors: Callable[[], tuple[type[Exception], ...]],
                 is_there: Callable[[], bool], reason: Callable[[Exception], str]) -> None:
        """`camera` names it in errors; `sdk_errors` is asked while it is open; `is_there`: whether
        an open camera still answers; `reason`: what an SDK's error says."""
        self._camera = camera
        self._options = options
        self._errors = sdk_errors
        self._is_there = is_there
        self._reason = reason
        self._values = options.values()
        self._features: Features | None = None

    def use(self, features: Features) -> FrameSpec:
        """The camera is open and has these: set all that was asked for. CameraError, and the SDK's
        errors."""
        self._features = features
        features.set({"AcquisitionMode": "Continuous", **self._values})
        return features.spec(self._options.AcquisitionFrameRate)

    def forget(self) -> None:
        """The camera is closed."""
        self._features = None

    def known(self, verb: str) -> Features:
        """The features. CameraError when the camera is not open."""
        if self._features is None:
            raise CameraError(f"{self._camera}: {verb} before open")
        return self._features

    def parameters(self) -> tuple[Parameter, ...]:
        """Those that people look at, and those of `features`."""
        features = self.known("parameters")
        return self.asking(lambda: features.parameters(self._options.features))

    def configure(self, values: Mapping[str, Value]) -> FrameSpec:
        """Set them; they are set again when the camera was lost and comes back."""
        features = self.known("configure")
        self.asking(lambda: features.set(values))
        self._values = {**self._values, **values}
        return self.asking(lambda: features.spec(self._options.AcquisitionFrameRate))

    def asking(self, call: Callable[[], _T]) -> _T:
        """Call the SDK on an open camera; CameraLost when that fails because it is gone."""
        errors: tuple[type[Exception], ...] = (CameraError, *self._errors())
        try:
            return call()
        except errors as error:
            if not self._is_there():
                raise CameraLost(f"{self._camera}: the camera was unplugged or lost power"
                                 ) from error
            if isinstance(error, CameraError):
                raise
            raise CameraError(f"{self._camera}: {self._reason(error)}") from error

    def quietly(self, call: Callable[[], Any]) -> None:
        """Call what must not fail, on a camera that may be gone."""
        with contextlib.suppress(*self._errors()):
            call()


class NoFrame(Exception):
    """An SDK's time is up."""


def grab_whole(grab_once: Callable[[float], FrameHeader | None], timeout_s: float, camera: str
               ) -> FrameHeader:
    """The next whole frame. `grab_once(timeout_s)` gives None for one that is not, and raises
    NoFrame when none came. CameraTimeout."""
    deadline_s = time.monotonic() + timeout_s
    left_s = timeout_s
    with contextlib.suppress(NoFrame):
        while True:
            header = grab_once(left_s)
            if header is not None:
                return header
            left_s = deadline_s - time.monotonic()
            if left_s <= 0:
                break
    raise CameraTimeout(f"{camera}: no frame within {timeout_s:g} s")


def _of_kind(kind: Kind | None, value: Value) -> Value:
    """`value` as the SDK wants it. ValueError."""
    if kind == "boolean":
        words = {"true": True, "on": True, "1": True, "false": False, "off": False, "0": False}
        truth = words.get(str(value).casefold())
        if truth is None:
            raise ValueError(value)
        return truth
    if kind == "integer":
        return int(value)
    if kind == "float":
        return float(value)
    return str(_from_yaml(value))
