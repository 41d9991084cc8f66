"""How fast a USB camera is connected, as the kernel tells. Reads sysfs; opens no device."""

from __future__ import annotations

from pathlib import Path

_DEVICES = Path("/sys/bus/usb/devices")


def usb_link(serial: str, devices: Path = _DEVICES) -> str:
    """"USB 5000 Mbit/s" of the USB device with this serial number; "USB" when it is not known."""
    for told in sorted(devices.glob("*/serial")):
        try:
            if told.read_text().strip() == serial:
                return f"USB {(told.parent / 'speed').read_text().strip()} Mbit/s"
        except OSError:
            continue
    return "USB"
