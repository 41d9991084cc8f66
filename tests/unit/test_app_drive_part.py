"""Drives as one part of the box: what goes before an eject does not hold it up for ever."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from fieldrec.app.deployment_log import DeploymentLog
from fieldrec.app.drive_part import DrivePart
from fieldrec.config import Config
from fieldrec.core.clock import SystemClock
from fieldrec.core.errors import DriveGone
from fieldrec.core.model import Drive, DriveState
from fieldrec.drives.table import Key
from fieldrec.drives.watcher import DriveWatcher


class HangingLog:
    """Brings the record when it is let."""

    def __init__(self) -> None:
        self.may, self.begun, self.ended = asyncio.Event(), 0, 0

    async def travel(self, *_: Any) -> None:
        self.begun += 1
        await self.may.wait()
        self.ended += 1


class Watcher:
    """One drive, without a disk."""

    def __init__(self) -> None:
        self.ejected: list[str] = []

    def drives(self) -> tuple[Drive, ...]:
        return (Drive("AB-12", "STUCK", "/dev/sdx", None, "ext4", 5000, 1000, 1000,
                      DriveState.READY, insertion=1),)

    def find(self, which: str) -> Key:
        assert which in ("STUCK", "/dev/sdx")
        return "AB-12", "/dev/sdx"

    def lease(self, fs_uuid: str) -> Any:
        raise DriveGone("it was pulled out")

    async def eject(self, which: str, *, note: str) -> None:
        self.ejected.append(which)


@pytest.mark.asyncio
async def test_a_drive_that_hangs_is_ejected_all_the_same_and_asked_once() -> None:
    """The watcher says whether it is safe."""
    log, watcher, said = HangingLog(), Watcher(), asyncio.Queue[str]()
    part = DrivePart(Config(), SystemClock(), cast(DeploymentLog, log), lambda: (),
                     faults=lambda: None, say=lambda text, _severity: said.put_nowait(text),
                     bring_s=0.01)
    part.watcher = cast(DriveWatcher, watcher)
    await part.eject("STUCK")
    await part.eject("/dev/sdx")
    assert (watcher.ejected, log.begun) == (["/dev/sdx", "/dev/sdx"], 1)
    assert said.get_nowait() == ("drive STUCK does not answer (waited 0.01 s); try again later; "
                                 "record and README are not on it yet")
    log.may.set()
    assert "README and report were not written" in await said.get()  # it is no real one
    await part.eject("STUCK")
    assert log.ended == 2
