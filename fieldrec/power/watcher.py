"""Watch the power: poll in a worker thread, sooner when the kernel reports a change.

One supervised task on the event loop; reading blocks only the worker ``power``. Keeps I9: a gauge
that hangs stops nothing but its own figures.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Callable, Iterator

import pyudev

from fieldrec.config.power import PowerConfig
from fieldrec.core.clock import Clock
from fieldrec.core.model import PowerLevel, PowerReading, PowerState
from fieldrec.core.workers import Worker
from fieldrec.power import sysfs
from fieldrec.power.levels import PowerJudge

log = logging.getLogger(__name__)

LEAST_PAUSE_S = 1.0
"""Between two readings while events pour in: some drivers report every second."""


async def run(config: PowerConfig, clock: Clock, on_state: Callable[[PowerState], None]) -> None:
    """Call `on_state` on the loop with the first state and whenever it changes; until cancelled.

    With ``source: mains`` it says MAINS once and waits. Otherwise a reading every `poll_s`, at an
    event of the subsystem, and three times per dwell while a worse level waits to be believed. On
    cancel the reading under way is finished first.
    """
    if config.source == "mains":
        on_state(PowerState(PowerLevel.MAINS, source="configured",
                            reason="power.source: mains, no battery is watched"))
        await asyncio.Event().wait()
    worker = Worker("power")
    try:
        with _events() as changed:
            await _poll(config, clock, on_state, worker, changed)
    finally:
        worker.close()


async def _poll(config: PowerConfig, clock: Clock, on_state: Callable[[PowerState], None],
                worker: Worker, changed: asyncio.Event) -> None:
    judge = PowerJudge(config)
    last: PowerState | None = None
    while True:
        changed.clear()
        reading: PowerReading = await worker.run(lambda _stop: sysfs.read(config.path))
        state = judge.update(reading, clock.monotonic_ns())
        if state != last:
            if last is None or state.level is not last.level:
                log.info("power: %s (%s)", state.level.value, state.reason)
            on_state(state)
            last = state
        least_s = min(LEAST_PAUSE_S, config.poll_s)
        await asyncio.sleep(least_s)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_pause_s(config, judge) - least_s):
                await changed.wait()


def _pause_s(config: PowerConfig, judge: PowerJudge) -> float:
    """How long to wait for the next reading when no event comes."""
    if judge.undecided:
        return min(config.poll_s, max(config.dwell_s / 3, LEAST_PAUSE_S))
    return config.poll_s


@contextlib.contextmanager
def _events() -> Iterator[asyncio.Event]:
    """An event that is set at each kernel event of a power supply; never set where none can come.

    Source "kernel": sysfs is up to date by then, and no udevd is needed.
    """
    loop = asyncio.get_running_loop()
    changed = asyncio.Event()
    monitor: pyudev.Monitor | None = None
    try:
        monitor = pyudev.Monitor.from_netlink(pyudev.Context(), source="kernel")
        monitor.filter_by("power_supply")
        monitor.start()
    except (OSError, ImportError) as error:
        log.warning("power: no events from the kernel (%s); polling only", error)
        monitor = None
    if monitor is None:
        yield changed
        return
    descriptor = monitor.fileno()
    loop.add_reader(descriptor, _drain, monitor, changed)
    try:
        yield changed
    finally:
        loop.remove_reader(descriptor)


def _drain(monitor: pyudev.Monitor, changed: asyncio.Event) -> None:
    """Empty the socket. An overflow (ENOBUFS) means events too; pyudev does not take the error off
    the socket, which would then be readable for ever."""
    try:
        while monitor.poll(timeout=0) is not None:
            changed.set()
    except OSError:
        changed.set()
        with socket.socket(fileno=os.dup(monitor.fileno())) as twin:
            twin.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
