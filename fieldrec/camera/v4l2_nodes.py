"""Which V4L2 cameras are plugged in, and which /dev/videoN is meant by a serial or a USB path.

Asks udev's database (pyudev), the kernel's sysfs where udev has nothing; opens no device. The
number in /dev/videoN follows the order in which cameras were found and may change at any start:
only a serial, or the socket a camera is plugged into, means the same camera tomorrow. Two cameras
of one serial (cheap ones often have the same, or none) are told apart by their USB path, never by
luck.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyudev

from fieldrec.core.errors import CameraError


@dataclass(frozen=True, slots=True)
class Node:
    """One device that gives pictures."""

    device: str
    """/dev/video0"""
    model: str
    serial: str
    """The camera's own; "" for one that has none."""
    long_serial: str
    """udev's ID_SERIAL: maker, model and serial."""
    usb_path: str
    """Bus, ports and interface, 1-1.2:1.0; "" for one that is not on USB."""
    id_path: str
    """udev's ID_PATH, also of cameras that are not on USB."""
    speed_mbps: int | None
    """What the USB link was negotiated to."""

    def is_at(self, path: str) -> bool:
        """Whether `path` names its place: 1-1.2:1.0, 1-1.2 or an ID_PATH."""
        return bool(path) and path in (self.usb_path, self.usb_path.partition(":")[0],
                                       self.id_path)

    def has_serial(self, serial: str) -> bool:
        """Whether that is its serial, short or long."""
        return bool(serial) and serial in (self.serial, self.long_serial)

    @property
    def place(self) -> str:
        """Where it is, to be told from another like it."""
        return self.usb_path or self.id_path or self.device

    @property
    def link(self) -> str:
        """"USB 480 Mbit/s at 1-1.2:1.0"."""
        if not self.usb_path:
            return self.id_path
        speed = f" {self.speed_mbps} Mbit/s" if self.speed_mbps else ""
        return f"USB{speed} at {self.usb_path}"

    def __str__(self) -> str:
        known = ", ".join(filter(None, (self.model, self.serial and f"serial {self.serial}",
                                        self.usb_path and f"at {self.usb_path}")))
        return f"{self.device} ({known})" if known else self.device


def nodes() -> list[Node]:
    """All there are now, by number. Milliseconds. OSError when there is no /sys."""
    context = pyudev.Context()
    found = [_node(device) for device in context.list_devices(subsystem="video4linux")
             if _gives_pictures(device)]
    return sorted(found, key=lambda node: (len(node.device), node.device))


def resolve(wanted: str, usb_path: str, found: Sequence[Node]) -> str:
    """The device node of `wanted` (a path in /dev, a serial or a USB path; "" for whatever is at
    `usb_path`). CameraError says which cameras there are when none or several fit."""
    if "/" in wanted:
        if not usb_path:
            return _existing(wanted, found)
        wanted_node = os.path.realpath(wanted)
        fits = [node for node in found if node.device == wanted_node]
    elif wanted:
        fits = [node for node in found if node.has_serial(wanted)] or [
            node for node in found if node.is_at(wanted)]
    else:
        fits = list(found)
    if usb_path:
        fits = [node for node in fits if node.is_at(usb_path)]
    name = " at ".join(filter(None, (wanted, usb_path))) or "camera"
    if len(fits) > 1:
        raise CameraError(f"V4L2 {name}: {len(fits)} cameras are called that: {_list(fits)}; say "
                          f"which by the option usb_path")
    if not fits:
        raise CameraError(f"V4L2 {name}: not found; cameras here: {_list(found)}; check cable and "
                          "power")
    return fits[0].device


def _existing(path: str, found: Sequence[Node]) -> str:
    try:
        os.stat(path)  # noqa: PTH116 - a name of udev's is only looked at, and kept as it is
    except OSError as error:
        raise CameraError(f"{path}: {os.strerror(error.errno or 0)}; cameras here: "
                          f"{_list(found)}") from error
    return os.path.realpath(path)


def _list(found: Sequence[Node]) -> str:
    return ", ".join(map(str, found)) or "none"


def _gives_pictures(device: Any) -> bool:
    if device.device_node is None:
        return False
    said = device.properties.get("ID_V4L_CAPABILITIES")
    if said is not None and ":capture:" not in said:
        return False
    # The second node of one USB interface carries metadata; without udev only its index says so.
    return _attribute(device, "index") in ("", "0")


def _node(device: Any) -> Node:
    properties = device.properties
    interface = device.find_parent("usb", "usb_interface")
    usb = device.find_parent("usb", "usb_device")
    speed = _attribute(usb, "speed")
    return Node(device=device.device_node,
                model=(properties.get("ID_V4L_PRODUCT") or _attribute(device, "name")
                       or properties.get("ID_MODEL", "").replace("_", " ")),
                serial=properties.get("ID_SERIAL_SHORT") or _attribute(usb, "serial"),
                long_serial=properties.get("ID_SERIAL", ""),
                usb_path="" if interface is None else interface.sys_name,
                id_path=properties.get("ID_PATH", ""),
                speed_mbps=round(float(speed)) if speed.replace(".", "", 1).isdigit() else None)


def _attribute(device: Any, name: str) -> str:
    """A sysfs attribute as text; "" for one that cannot be read."""
    if device is None:
        return ""
    try:
        value: bytes = device.attributes.get(name) or b""
    except OSError:  # it was just unplugged
        return ""
    return value.decode(errors="replace").strip()
