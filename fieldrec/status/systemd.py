"""What systemd wants to know: READY, STATUS, STOPPING, WATCHDOG, one datagram each.

Called from the event loop; never blocks and never raises: a full or missing socket costs one
message (I9). Does nothing where ``NOTIFY_SOCKET`` is not set. Protocol: sd_notify(3).
"""

from __future__ import annotations

import os
import socket

from fieldrec.status.words import safe_text


def ready(status: str = "recording can start") -> bool:
    """Started: storage is writable and the cameras have been tried."""
    return _notify("READY=1", _status(status))


def status(text: str) -> bool:
    """The line that `systemctl status` shows."""
    return _notify(_status(text))


def stopping(text: str = "stopping") -> bool:
    """An orderly stop has begun."""
    return _notify("STOPPING=1", _status(text))


def watchdog() -> bool:
    """Alive. Call it only while frames reach the disk, otherwise it proves a turning loop."""
    return _notify("WATCHDOG=1")


def watchdog_interval_s() -> float | None:
    """Seconds between two calls of :func:`watchdog` (half the limit), None without a watchdog."""
    limit_us = os.environ.get("WATCHDOG_USEC", "")
    for_pid = os.environ.get("WATCHDOG_PID", str(os.getpid()))
    if not limit_us.isdecimal() or int(limit_us) == 0 or for_pid != str(os.getpid()):
        return None
    return int(limit_us) / 2e6


def _status(text: str) -> str:
    return f"STATUS={safe_text(text)}"


def _notify(*lines: str) -> bool:
    """Send the lines as one datagram; whether it was sent."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as channel:
            channel.connect(address)
            channel.send("\n".join(lines).encode())
    except (OSError, ValueError):
        return False
    return True
