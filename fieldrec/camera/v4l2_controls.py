"""A V4L2 device's controls as parameters: under GenICam names where there is one, and under their
own.

Runs in the caller's thread, between two frames or before the first. A control that GenICam counts
in other units or words (ExposureTime in microseconds, exposure_time_absolute in hundreds of them)
is there twice, once under each name; one that only has another name (Gain) is there once, the
driver's name being its alias. A value that an automatic governs turns that automatic off.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from fieldrec.camera import v4l2_abi as abi
from fieldrec.camera.parameters import Parameter, Value, allowed
from fieldrec.camera.v4l2 import MOST_ENTRIES, Device
from fieldrec.core.errors import CameraError, CameraLost

_NEXT = 0x80000000
_INTEGER, _BOOLEAN, _MENU, _INTEGER64, _BITMASK, _INTEGER_MENU = 1, 2, 3, 5, 8, 9
_DISABLED, _GRABBED, _READ_ONLY, _WRITE_ONLY = 0x1, 0x2, 0x4, 0x40

_GAIN, _ANALOGUE_GAIN, _AUTOGAIN = 0x00980913, 0x009E0903, 0x00980912
_EXPOSURE_AUTO, _EXPOSURE_ABSOLUTE = 0x009A0901, 0x009A0902
_AUTO_WHITE, _WHITE_TEMPERATURE = 0x0098090C, 0x0098091A
_BRIGHTNESS, _BLACK_LEVEL, _HFLIP, _VFLIP = 0x00980900, 0x0098090B, 0x00980914, 0x00980915
_EXPOSURE_MANUAL, _EXPOSURE_SHUTTER, _EXPOSURE_APERTURE = 1, 2, 3

_SAME = {"Gain": (_GAIN, _ANALOGUE_GAIN), "BlackLevel": (_BLACK_LEVEL, _BRIGHTNESS),
         "ReverseX": (_HFLIP,), "ReverseY": (_VFLIP,)}
"""GenICam's name: controls that are the same in the same numbers; the first that there is."""
_AUTOMATICS = {"GainAuto": _AUTOGAIN, "BalanceWhiteAuto": _AUTO_WHITE}
"""Booleans that GenICam calls Off and Continuous."""
_GOVERNED_BY = {_EXPOSURE_ABSOLUTE: _EXPOSURE_AUTO, _GAIN: _AUTOGAIN,
                _WHITE_TEMPERATURE: _AUTO_WHITE}
_OFF, _ON = "Off", "Continuous"
_US = 100
"""Microseconds in a unit of V4L2's exposure time."""


@dataclass(frozen=True, slots=True)
class Control:
    """One control of the driver."""

    id: int
    name: str
    """As v4l2-ctl shows it: exposure_time_absolute."""
    type: int
    minimum: int
    maximum: int
    step: int
    flags: int
    menu: Mapping[int, str]


class Controls:
    """The controls of one open device; they are listed once."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._all = {control.id: control for control in _controls(device)}

    def parameters(self) -> tuple[Parameter, ...]:
        """All with their values now. CameraLost."""
        own: dict[int, Parameter] = {}
        for control in self._all.values():
            if not control.flags & _WRITE_ONLY:
                own[control.id] = _parameter(control, self._read(control))
        genicam = []
        for name, ids in _SAME.items():
            found = next((id_ for id_ in ids if id_ in own), None)
            if found is not None:
                parameter = own.pop(found)
                genicam.append(replace(parameter, name=name, alias=parameter.name))
        return (*self._converted(own), *genicam, *own.values())

    def set(self, values: Mapping[str, Value]) -> None:
        """Set them by either name, in their order but automatics first, so that a value that one
        of them governs can follow. CameraError names the value and its range; CameraLost."""
        for name in sorted(values, key=lambda name: not self._is_automatic(name)):
            self._set(name, values[name])

    def has(self, name: str) -> bool:
        """Whether :meth:`set` knows the name."""
        return self._find(name) is not None

    def _converted(self, own: Mapping[int, Parameter]) -> Iterator[Parameter]:
        if _EXPOSURE_ABSOLUTE in own:
            plain = own[_EXPOSURE_ABSOLUTE]
            low, high, step = (float((n or 0) * _US) for n in (plain.minimum, plain.maximum,
                                                               plain.increment))
            yield Parameter("ExposureTime", float(plain.value) * _US, low, high, step, unit="us",
                            writable=plain.writable)
        if _EXPOSURE_AUTO in own:
            raw = self._read(self._all[_EXPOSURE_AUTO])
            yield Parameter("ExposureAuto", _OFF if raw in (_EXPOSURE_MANUAL, _EXPOSURE_SHUTTER)
                            else _ON, choices=(_OFF, _ON), writable=own[_EXPOSURE_AUTO].writable)
        for name, id_ in _AUTOMATICS.items():
            if id_ in own:
                yield Parameter(name, _ON if own[id_].value else _OFF, choices=(_OFF, _ON),
                                writable=own[id_].writable)

    def _find(self, name: str) -> Control | None:
        ids = {"ExposureTime": (_EXPOSURE_ABSOLUTE,), "ExposureAuto": (_EXPOSURE_AUTO,),
               **{auto: (id_,) for auto, id_ in _AUTOMATICS.items()}, **_SAME}.get(name, ())
        for id_ in ids:
            if id_ in self._all:
                return self._all[id_]
        return next((control for control in self._all.values() if control.name == name), None)

    def _is_automatic(self, name: str) -> bool:
        control = self._find(name)
        return control is not None and control.id in _GOVERNED_BY.values()

    def _set(self, name: str, value: Value) -> None:
        control = self._find(name)
        if control is None:
            known = sorted(parameter.name for parameter in self.parameters())
            raise CameraError(f"{self._device.path}: has no {name}; it has: {', '.join(known)}")
        raw = self._raw(name, control, value)
        if raw is None:
            raise CameraError(f"{self._device.path}: {name} cannot be {value}; allowed: "
                              f"{self._allowed(name, control)}")
        automatic = self._all.get(_GOVERNED_BY.get(control.id, 0))
        try:
            if automatic is not None:
                self._write(automatic, _automatic_value(automatic, on=False))
            self._write(control, raw)
        except OSError as error:
            failure = self._device.failure(error, f"{name} cannot be {value}")
            if isinstance(failure, CameraLost):
                raise failure from error
            reason = ("something else governs it now" if error.errno == errno.EACCES
                      else os.strerror(error.errno or 0))
            raise CameraError(f"{self._device.path}: {name} cannot be {value}: {reason}; allowed: "
                              f"{self._allowed(name, control)}") from error

    def _raw(self, name: str, control: Control, value: Value) -> int | None:
        """The driver's number for a value; None for none of its."""
        if name == "ExposureAuto" or name in _AUTOMATICS:
            words = {_ON.casefold(): True, "true": True, _OFF.casefold(): False, "false": False}
            on = words.get(str(value).casefold())
            return None if on is None else _automatic_value(control, on=on)
        if control.menu:
            wanted = str(value).casefold()
            return next((number for number, text in control.menu.items()
                         if wanted in (text.casefold(), str(number))), None)
        try:
            number = float(value) / (_US if name == "ExposureTime" else 1)
        except ValueError:
            return None
        return round(number) if control.minimum <= round(number) <= control.maximum else None

    def _allowed(self, name: str, control: Control) -> str:
        known = {parameter.name: parameter for parameter in self.parameters()}
        return allowed(known.get(name) or _parameter(control, control.minimum))

    def _read(self, control: Control) -> int:
        one = abi.ExtControl(id=control.id)
        try:
            self._device.ask(abi.G_EXT_CTRLS, _single(one))
        except OSError as error:
            failure = self._device.failure(error, f"{control.name} cannot be read")
            if isinstance(failure, CameraLost):
                raise failure from error
            return control.minimum  # some controls cannot be read at times; none is worth failing
        return _number_in(one, control)

    def _write(self, control: Control, raw: int) -> None:
        self._device.ask(abi.S_EXT_CTRLS, _single(abi.ExtControl(id=control.id, value64=raw)))


def _automatic_value(control: Control, *, on: bool) -> int:
    if control.id != _EXPOSURE_AUTO:
        return int(on)
    if not on:
        return _EXPOSURE_MANUAL
    return _EXPOSURE_APERTURE if _EXPOSURE_APERTURE in control.menu else 0


def _parameter(control: Control, raw: int) -> Parameter:
    writable = not control.flags & (_READ_ONLY | _GRABBED)
    unit = "K" if control.id == _WHITE_TEMPERATURE else "100 us" * (
        control.id == _EXPOSURE_ABSOLUTE)
    if control.type == _BOOLEAN:
        return Parameter(control.name, bool(raw), writable=writable)
    if control.type in (_MENU, _INTEGER_MENU):
        return Parameter(control.name, control.menu.get(raw, str(raw)),
                         choices=tuple(control.menu.values()), writable=writable)
    return Parameter(control.name, raw, float(control.minimum), float(control.maximum),
                     float(control.step), unit=unit, writable=writable)


def _controls(device: Device) -> Iterator[Control]:
    """All that can be set as one number or word; buttons, texts and arrays are left out."""
    id_ = 0
    for _ in range(MOST_ENTRIES):
        query = abi.QueryExtCtrl(id=id_ | _NEXT)
        try:
            device.ask(abi.QUERY_EXT_CTRL, query)
        except OSError:
            return
        id_ = query.id
        if query.flags & _DISABLED or query.nr_of_dims or query.type not in (
                _INTEGER, _BOOLEAN, _MENU, _INTEGER64, _BITMASK, _INTEGER_MENU):
            continue
        menu = (dict(_menu(device, query)) if query.type in (_MENU, _INTEGER_MENU) else {})
        yield Control(query.id, control_name(query.name), query.type, query.minimum,
                      query.maximum, query.step, query.flags, menu)


def _menu(device: Device, query: abi.QueryExtCtrl) -> Iterator[tuple[int, str]]:
    """The entries there are; a menu may have holes."""
    for index in range(query.minimum, min(query.maximum, query.minimum + MOST_ENTRIES) + 1):
        entry = abi.QueryMenu(id=query.id, index=index)
        try:
            device.ask(abi.QUERYMENU, entry)
        except OSError:
            continue
        text = bytes(entry.name)
        yield index, (str(int.from_bytes(text[:8], "little", signed=True))
                      if query.type == _INTEGER_MENU
                      else text.partition(b"\0")[0].decode(errors="replace"))


def control_name(said: bytes) -> str:
    """The driver's "Exposure Time, Absolute" as exposure_time_absolute, like v4l2-ctl."""
    return re.sub(r"[^a-z0-9]+", "_", said.decode(errors="replace").lower()).strip("_")


def _single(one: abi.ExtControl) -> abi.ExtControls:
    return abi.ExtControls(count=1, controls=ctypes.pointer(one))


def _number_in(one: abi.ExtControl, control: Control) -> int:
    if control.type == _INTEGER64:
        return int(one.value64)
    low: int = one.value64 & 0xFFFFFFFF
    return low - (1 << 32) if low >= 1 << 31 and control.minimum < 0 else low
