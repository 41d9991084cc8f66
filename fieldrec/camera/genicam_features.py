"""Features of an open libaravis camera as :class:`fieldrec.camera.parameters.Parameter`.

Called by whoever owns the camera. Three of them, AcquisitionFrameRate, ExposureTime and Gain, go
through functions of the library that know under which names, with which switches and in which unit
each maker has them; the rest is taken as the camera describes it.
"""

from __future__ import annotations

from dataclasses import dataclass

from fieldrec.camera.aravis import AravisError
from fieldrec.camera.aravis_device import Device
from fieldrec.camera.feature_rules import bound, is_live, step
from fieldrec.camera.parameters import Parameter, Value
from fieldrec.camera.pixel_formats import recordable

_NO_LIMITS = (None, None, None)


@dataclass(frozen=True, slots=True)
class _Convenient:
    """A feature that the library sets for us."""

    function: str
    """The middle of ``arv_camera_get_…``."""
    unit: str
    makers: tuple[str, ...]
    """Other names that makers have for it."""
    auto: str = ""
    """The feature that must be Off for it to be set."""


_CONVENIENT = {
    "AcquisitionFrameRate": _Convenient(
        "frame_rate", "Hz", ("AcquisitionFrameRateAbs", "AcquisitionFrameRateRaw", "FPS")),
    "ExposureTime": _Convenient(
        "exposure_time", "us", ("ExposureTimeAbs", "ExposureTimeRaw"), "ExposureAuto"),
    "Gain": _Convenient("gain", "", ("GainAbs", "GainRaw"), "GainAuto"),
}


def convenient_names(device: Device) -> list[str]:
    """All features of the camera, the three above first and not a second time under the maker's
    name. AravisError."""
    hidden = {maker for feature in _CONVENIENT.values() for maker in feature.makers}
    return list(dict.fromkeys([*_CONVENIENT, *(name for name in device.names()
                                               if name not in hidden)]))


def parameter_of(device: Device, name: str) -> Parameter | None:
    """The feature with its value and range now; None when the camera does not have it, or not in
    its present state, and for commands. AravisError."""
    feature = _CONVENIENT.get(name)
    if feature is not None and device.camera(f"is_{feature.function}_available"):
        return _convenient(device, name, feature)
    if not device.is_available(name):
        return None
    kind = device.kind(name)
    if kind in ("command", "other", None):
        return None
    try:
        value = device.read(name)
    except AravisError as error:
        if error.device_gone:
            raise
        return None  # one that can only be written, or whose description is broken
    low, high, by = _limits(device, name) if kind in ("integer", "float") else _NO_LIMITS
    choices = device.choices(name) if kind == "enumeration" else ()
    return Parameter(
        name, value, bound(low), bound(high), step(by, whole=kind == "integer"),
        recordable(choices) if name == "PixelFormat" else choices, device.unit(name),
        live=is_live(name), writable=device.is_writable(name))


def write_feature(device: Device, name: str, value: Value) -> None:
    """Set it, what switches it to automatic off before. AravisError."""
    feature = _CONVENIENT.get(name)
    if feature is None or not device.camera(f"is_{feature.function}_available"):
        device.write(name, value)
        return
    if name == "AcquisitionFrameRate" and _is_triggered(device):
        # the library would switch the trigger off
        device.write(next((own for own in (name, *feature.makers) if device.is_available(own)),
                          name), value)
        return
    if feature.auto and device.is_writable(feature.auto) and device.read(feature.auto) != "Off":
        device.write(feature.auto, "Off")
    device.camera(f"set_{feature.function}", float(value))


def _convenient(device: Device, name: str, feature: _Convenient) -> Parameter:
    low, high = device.camera_bounds(feature.function)
    alias = next((maker for maker in feature.makers if device.is_available(maker)), "")
    return Parameter(
        name, float(device.camera(f"get_{feature.function}")), bound(low), bound(high),
        unit=feature.unit or device.unit(name), alias=alias)


def _limits(device: Device, name: str) -> tuple[float | None, float | None, float | None]:
    """Of a number; none of one that is computed and has no range."""
    try:
        return device.limits(name)
    except AravisError as error:
        if error.device_gone:
            raise
        return _NO_LIMITS


def _is_triggered(device: Device) -> bool:
    return device.is_available("TriggerMode") and device.read("TriggerMode") == "On"
