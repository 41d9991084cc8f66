"""Run as a program under umockdev-wrapper: the real watcher over supplies whose changes are real
uevents on a netlink socket. Prints one JSON line for each thing done and what the watcher said.

umockdev's library is called through ctypes: Debian's Python bindings serve Debian's Python only.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json

from fieldrec.config.power import PowerConfig
from fieldrec.core.clock import SystemClock
from fieldrec.core.model import PowerState
from fieldrec.power import watcher
from tests.fakes.waiting import PATIENCE_S

SUPPLIES = """P: /devices/acpi/power_supply/AC
E: SUBSYSTEM=power_supply
A: type=Mains\\n
A: online=1\\n

P: /devices/acpi/power_supply/BAT0
E: SUBSYSTEM=power_supply
A: type=Battery\\n
A: present=1\\n
A: status=Charging\\n
A: capacity=90\\n
"""
BATTERY, MAINS = "/sys/devices/acpi/power_supply/BAT0", "/sys/devices/acpi/power_supply/AC"
NEVER_S = 600.0
"""No poll comes within the test: whatever is seen was brought by an event."""
STEPS: list[tuple[str, list[tuple[str, str, str]]]] = [
    (MAINS, [(MAINS, "online", "0"), (BATTERY, "status", "Discharging")]),
    (BATTERY, [(BATTERY, "capacity", "20")]),
    (BATTERY, [(BATTERY, "capacity", "5")]),
    (MAINS, [(MAINS, "online", "1")]),
]


class Testbed:
    """The devices above, in a /sys of their own for this process."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL("libumockdev.so.0")
        self._library.umockdev_testbed_new.restype = ctypes.c_void_p
        self._testbed = ctypes.c_void_p(self._library.umockdev_testbed_new())
        self._library.umockdev_testbed_add_from_string(self._testbed, SUPPLIES.encode(), None)

    def set(self, device: str, attribute: str, value: str) -> None:
        self._library.umockdev_testbed_set_attribute(
            self._testbed, device.encode(), attribute.encode(), f"{value}\n".encode())

    def report(self, device: str, action: str) -> None:
        self._library.umockdev_testbed_uevent(self._testbed, device.encode(), action.encode())


async def main() -> None:
    watcher.LEAST_PAUSE_S = 0.01
    testbed = Testbed()
    states: asyncio.Queue[PowerState] = asyncio.Queue()
    config = PowerConfig(poll_s=NEVER_S, poll_often_s=NEVER_S, dwell_s=0)
    task = asyncio.create_task(watcher.run(config, SystemClock(), states.put_nowait))
    try:
        async with asyncio.timeout(PATIENCE_S):
            told(await states.get())
            for device, changes in STEPS:
                for path, attribute, value in changes:
                    testbed.set(path, attribute, value)
                testbed.report(device, "change")
                told(await states.get())
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def told(state: PowerState) -> None:
    print(json.dumps([state.level.value, state.charge_percent]), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
