"""Looks at every destination at once: is it there, may it be written to, what is free, why not.

Event loop; each is looked at in a thread of its own with a time limit, so that one that hangs, or
whose network is away, holds up nobody. What a look began has ended when it does, but for a folder
that hangs in the kernel. Nothing is written anywhere: a folder is asked for its
rights, a host whether the key may write there, Loopy whether it takes the account's key.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from fieldrec.app.conditions import folder_of
from fieldrec.app.visits import drive_destination
from fieldrec.config import Config, DestinationConfig
from fieldrec.config.destinations import FolderConfig, RsyncConfig
from fieldrec.config.loopy import LoopyConfig
from fieldrec.core.answering import Answering, Place
from fieldrec.core.errors import DestinationAway, FieldrecError
from fieldrec.core.model import Drive, DriveState, Job, JobState
from fieldrec.destinations.rsync import UNKNOWN_BYTES, RsyncDestination
from fieldrec.jobs.threads import in_thread

LIMIT_S = 10.0
"""For one look; a host far away may need some of it."""


Seen = tuple[bool | None, int | None]
"""(writable, free bytes) of a place that can be used; FieldrecError says why one cannot."""


@dataclass(frozen=True, slots=True)
class Health:
    """What is known of one destination now."""

    name: str
    kind: str
    """folder, rsync, loopy or drive."""
    where: str
    reachable: bool
    writable: bool | None = None
    """None where that cannot be asked without writing."""
    free_bytes: int | None = None
    """For us, after what is to be kept free; None where nobody says."""
    why: str = ""
    """Why it cannot be used now; "" when it can."""
    last_used_ns: int | None = None
    """Epoch, when the last job for it ended well; None where none is remembered."""


async def look_at_all(config: Config, drives: Sequence[Drive] = (), jobs: Sequence[Job] = (), *,
                      limit_s: float = LIMIT_S) -> list[Health]:
    """All of them, side by side, in the order of the configuration; then the drives."""
    answering = Answering(limit_s=limit_s / 2)  # it is sure after that time, or after twice that
    used = _last_used(jobs)
    looks = [_within(answering, name, one, used.get(name), limit_s)
             for name, one in config.destinations.items()]
    found = await asyncio.gather(*looks)
    return [*found, *(_drive(drive, used.get(drive_destination(drive))) for drive in drives
                      if drive.state is not DriveState.ABSENT)]


async def _within(answering: Answering, name: str, config: DestinationConfig,
                  used_ns: int | None, limit_s: float) -> Health:
    kind, where = _described(config)
    try:
        if isinstance(config, FolderConfig):
            writable, free = await _look_at_folder(answering.place(name), name, config)
        else:
            async with asyncio.timeout(limit_s):
                writable, free = await in_thread(f"look {name}", partial(_look, name, config))
    except FieldrecError as error:
        why = str(error).removeprefix(f"destination {name}: ").removeprefix(f"{name}: ")
        return Health(name, kind, where, not isinstance(error, DestinationAway), why=why,
                      last_used_ns=used_ns)
    except TimeoutError:
        return Health(name, kind, where, False, why=f"does not answer for {limit_s:.0f} s",
                      last_used_ns=used_ns)
    why = "no permission to write there" if writable is False else ""
    return Health(name, kind, where, True, writable, free, why, used_ns)


def _described(config: DestinationConfig) -> tuple[str, str]:
    if isinstance(config, FolderConfig):
        return "folder", str(config.path)
    if isinstance(config, RsyncConfig):
        return "rsync", config.target
    return "loopy", config.url


async def _look_at_folder(place: Place, name: str, config: FolderConfig) -> Seen:
    def look(_stop: threading.Event) -> Seen:
        with place.pulse.inside(), contextlib.closing(folder_of(name, config)) as folder:
            free = folder.free_bytes()
            return os.access(folder.opened(), os.W_OK), free

    return await place.run(f"look {name}", look)


def _look(name: str, config: RsyncConfig | LoopyConfig, stop: threading.Event) -> Seen:
    """Blocking."""
    if isinstance(config, RsyncConfig):
        destination = RsyncDestination(name, config)
        destination.heed(stop)
        room = destination.free_bytes()
        return destination.writable(), None if room >= UNKNOWN_BYTES else room
    return None, _room_at(name, config, stop)


def _room_at(name: str, config: LoopyConfig, stop: threading.Event) -> int | None:
    """What the account has left, where its server says so."""
    from fieldrec.destinations.loopy import Loopy

    with contextlib.closing(Loopy(name, config, stop=stop)) as server:
        return server.room_bytes()


def _drive(drive: Drive, used_ns: int | None) -> Health:
    ready = drive.state is DriveState.READY
    why = drive.suspect or ("" if ready else drive.reason or drive.state.value)
    return Health(drive.label or drive.fs_uuid, "drive", drive.device, ready,
                  True if ready else None, drive.free_bytes if ready else None, why, used_ns)


def _last_used(jobs: Sequence[Job]) -> Mapping[str, int]:
    used: dict[str, int] = {}
    for job in jobs:
        if job.destination is not None and job.state is JobState.DONE:
            used[job.destination] = max(job.changed_ns, used.get(job.destination, 0))
    return used
