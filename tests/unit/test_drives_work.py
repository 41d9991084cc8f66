"""Blocking calls on drives, also those that hang."""

from __future__ import annotations

import asyncio
import threading

import pytest

from fieldrec.core.errors import DriveBusy
from fieldrec.drives.work import DriveWork

A, B = ("A", "/dev/sda1"), ("B", "/dev/sdb1")


@pytest.mark.asyncio
async def test_each_drive_has_its_thread() -> None:
    work = DriveWork()
    names = [await work.run(key, lambda _stop: threading.current_thread().name, 30, "")
             for key in (A, B, A)]
    work.close()
    assert names == ["drive-sda1", "drive-sdb1", "drive-sda1"]


@pytest.mark.asyncio
async def test_errors_come_back() -> None:
    work = DriveWork()
    with pytest.raises(OSError, match="EIO"):
        await work.run(A, lambda _stop: _fail(), 30, "")
    assert not work.hangs(A)
    work.close()


def _fail() -> None:
    raise OSError("EIO")


@pytest.mark.asyncio
async def test_a_drive_that_hangs_harms_no_other() -> None:
    work = DriveWork()
    freed, ended = threading.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def hang(_stop: threading.Event) -> None:
        freed.wait()
        loop.call_soon_threadsafe(ended.set)

    with pytest.raises(DriveBusy, match=r"drive A does not answer \(waited 0.01 s\); pull it out"):
        await work.run(A, hang, 0.01, "drive A does not answer")
    assert work.hangs(A)
    assert await work.run(B, lambda _stop: 7, 30, "") == 7
    work.close()  # returns although A hangs
    freed.set()
    await ended.wait()
    while work.hangs(A):  # noqa: ASYNC110 - a few turns of the loop
        await asyncio.sleep(0)
    for thread in threading.enumerate():
        if thread.name.startswith("drive-"):
            thread.join()
