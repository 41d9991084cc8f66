"""Waiting for the wall clock: by the kernel's timer, and by the loop's."""

from __future__ import annotations

import asyncio
import ctypes
import errno
import os
import time

import pytest

from fieldrec.app.alarm import KernelAlarm, LoopAlarm, alarm_for
from fieldrec.core.clock import SystemClock
from tests.fakes.cameras import ManualClock
from tests.fakes.waiting import PATIENCE_S

pytestmark = pytest.mark.asyncio
SECOND_NS = 1_000_000_000


async def test_the_machines_clock_is_waited_for_by_the_kernel() -> None:
    alarm = alarm_for(SystemClock())
    assert isinstance(alarm, KernelAlarm)
    alarm.close()
    assert isinstance(alarm_for(ManualClock()), LoopAlarm)



async def test_it_wakes_at_the_moment_not_before() -> None:
    alarm, woken = KernelAlarm(), asyncio.Event()
    try:
        until_ns = time.time_ns() + 50_000_000
        async with asyncio.timeout(PATIENCE_S):
            await alarm.wait(until_ns, woken)
        assert time.time_ns() >= until_ns
        woken.clear()
        async with asyncio.timeout(PATIENCE_S):  # what has passed is due at once
            await alarm.wait(until_ns - SECOND_NS, woken)
    finally:
        alarm.close()


async def test_it_wakes_when_told_to() -> None:
    alarm, woken = KernelAlarm(), asyncio.Event()
    asyncio.get_running_loop().call_soon(woken.set)
    try:
        async with asyncio.timeout(PATIENCE_S):
            await alarm.wait(None, woken)
    finally:
        alarm.close()


async def test_a_clock_that_is_set_wakes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's clock is not a test's to set: the kernel's word for it is put in its mouth."""
    alarm, woken = KernelAlarm(), asyncio.Event()
    try:
        def cancelled(_descriptor: int, _count: int) -> bytes:
            raise OSError(errno.ECANCELED, os.strerror(errno.ECANCELED))

        monkeypatch.setattr(os, "read", cancelled)
        async with asyncio.timeout(PATIENCE_S):
            await alarm.wait(time.time_ns() + 1_000_000, woken)
        monkeypatch.undo()
        ctypes.set_errno(errno.ECANCELED)  # set between a look and a wait

        class Libc:
            def timerfd_settime(self, *_: object) -> int:
                ctypes.set_errno(errno.ECANCELED)
                return -1
        real, alarm._libc = alarm._libc, Libc()  # type: ignore[assignment]
        async with asyncio.timeout(PATIENCE_S):
            await alarm.wait(None, asyncio.Event())
        alarm._libc = real
    finally:
        alarm.close()


async def test_a_kernel_without_timers_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    class Libc:
        def __init__(self, *_: object, **__: object) -> None:
            """It has nothing."""
    monkeypatch.setattr(ctypes, "CDLL", Libc)
    assert isinstance(alarm_for(SystemClock()), LoopAlarm)


async def test_the_loops_alarm_waits_for_another_clock() -> None:
    clock, woken = ManualClock(), asyncio.Event()
    alarm = LoopAlarm(clock)
    async with asyncio.timeout(PATIENCE_S):
        await alarm.wait(clock.epoch_ns() - 1, woken)
        await alarm.wait(clock.epoch_ns() + 1_000_000, woken)
        woken.set()
        await alarm.wait(None, woken)
    alarm.close()
