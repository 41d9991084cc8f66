"""The kernel's events of one subsystem, from its netlink socket on the event loop.

Runs in the loop's thread; the socket is drained without blocking and nothing of it is read but that
something came: what changed is read from sysfs, which is up to date by then.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable
from typing import Any

import pyudev

log = logging.getLogger(__name__)


class Uevents:
    """Calls back for every burst of events; at most one descriptor."""

    def __init__(self, subsystem: str) -> None:
        self._subsystem = subsystem
        self._monitor: Any = None
        self._changed: Callable[[], None] = _nothing

    def start(self, changed: Callable[[], None]) -> bool:
        """Subscribe; False where the kernel gives no events (a container without netlink).

        Straight from the kernel, not by way of udevd, which need not run.
        """
        try:
            monitor = pyudev.Monitor.from_netlink(pyudev.Context(), source="kernel")
            monitor.filter_by(self._subsystem)
            monitor.start()
        except (OSError, ImportError) as error:
            log.warning("power: no events from the kernel (%s); polling only", error)
            return False
        self._changed = changed
        self._monitor = monitor
        asyncio.get_running_loop().add_reader(monitor.fileno(), self._drain)
        return True

    def close(self) -> None:
        """Unsubscribe. Idempotent."""
        if self._monitor is not None:
            asyncio.get_running_loop().remove_reader(self._monitor.fileno())
            self._monitor = None

    def _drain(self) -> None:
        """Empty the socket. An overflow (ENOBUFS) means events too; pyudev does not take the error
        off the socket, which would then be readable for ever."""
        monitor, came = self._monitor, False
        if monitor is None:
            return
        try:
            while monitor.poll(timeout=0) is not None:
                came = True
        except OSError:
            came = True
            with socket.socket(fileno=os.dup(monitor.fileno())) as twin:
                twin.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if came:
            self._changed()


def _nothing() -> None:
    """Nobody has asked yet."""
