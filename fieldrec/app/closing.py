"""The end of the box, top to bottom: what SIGTERM, CRITICAL power, a finished command and tests
share (I7). On the loop.

Recordings, jobs, drives and (before the machine is switched off) the disks each have their share of
`system.shutdown_budget_s`. Then every channel is shown how it ended; what is stuck is named there.
The rest, sockets, rows and the folders' locks, is only given up when nothing is stuck: whoever
still writes keeps them until the process is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fieldrec.app.orderly_stop import OrderlyStop, Step
from fieldrec.app.tasks import Tasks
from fieldrec.core import durable
from fieldrec.core.errors import ShutdownStuck
from fieldrec.core.model import CameraState, DriveState
from fieldrec.core.workers import Worker
from fieldrec.drives.watcher import DriveWatcher
from fieldrec.jobs.job_queue import JobQueue
from fieldrec.record.session import Session

RECORDINGS, JOBS, DRIVES, DISKS, LATE, SHOWN = 0.45, 0.6, 0.78, 0.88, 0.92, 0.96
"""Parts of the budget at which the next step begins at the latest. Closing a store takes a sync or
two; stopping at a slice seconds; a drive's sync as long as the drive needs."""
BEFORE_OFF = 0.9
"""Of the budget: the rest is for the last look at the power, and the command."""


@dataclass
class Closing:
    """What is to be ended. Made when the end begins; :meth:`run` once."""

    budget_s: float
    tasks: Tasks
    publish: Callable[[], None]
    """Shows how it stands on every channel; not called before the box was built."""
    changed: Callable[[], None]
    exit: contextlib.AsyncExitStack
    """Sockets and locks."""
    workers: Sequence[Worker]
    why: str = "fieldrec stopped"
    """For the recordings that are closed now."""
    folders: Sequence[Path] = ()
    """Of recordings, on the disks that are synced where `switches_off`."""
    switches_off: bool = False
    """Whether the machine is switched off afterwards."""
    session: Session | None = None
    drives: DriveWatcher | None = None
    queue: JobQueue | None = None
    before_all: Sequence[Callable[[], Awaitable[None]]] = ()
    """Short, done beside the closing of recordings: nothing waits for them."""
    at_last: Sequence[Callable[[], Awaitable[None]]] = ()
    """When everything else has been said and done."""
    _stop: OrderlyStop = field(init=False)

    def __post_init__(self) -> None:
        share = BEFORE_OFF if self.switches_off else 1.0
        self._stop = OrderlyStop(self.budget_s * share, self.changed)

    @property
    def late(self) -> tuple[str, ...]:
        """What takes longer than its share, with what it hangs on where that is known."""
        details = {"recordings": self._recording, "jobs": self._running_jobs,
                   "drives": self._mounted}
        return tuple(f"{name} ({said})" if name in details and (said := details[name]()) else name
                     for name in self._stop.late)

    async def run(self) -> None:
        """ShutdownStuck names what did not end in the budget; what else went wrong is raised."""
        disks = [Step("disks", DISKS, self._sync)] if self.switches_off else []
        await self._stop.run([
            Step("recordings", RECORDINGS, self._end_recordings),
            Step("jobs", JOBS, lambda: self.tasks.cancel("recovery", "jobs", "automatic jobs")),
            Step("drives", DRIVES, self._end_drives), *disks], LATE)
        if self.tasks:
            self.publish()
        await self._stop.run([Step("consoles", SHOWN, self._end_consoles)], SHOWN)
        if not self._stop.late:
            await self._stop.run([Step("sockets and rows", 1.0, self._end_rest)], 1.0)
        if late := self.late:
            raise ShutdownStuck(
                f"the orderly stop took over {self.budget_s:g} s; stuck: {', '.join(late)}; "
                "leaving as it is, the next start recovers it")
        for worker in self.workers:
            worker.close()
        if self._stop.failed:
            raise self._stop.failed[0]

    # -- the steps -------------------------------------------------------------------------------

    async def _end_recordings(self) -> None:
        ends = [asyncio.ensure_future(act()) for act in (*self.before_all, self._end_session)]
        await asyncio.wait(ends)
        for end in ends:
            end.result()

    async def _end_session(self) -> None:
        if self.session is not None:
            await self.session.stop(self.why)
            await self.tasks.cancel("opening", "recording")
            await self.session.close()

    async def _end_drives(self) -> None:
        if self.drives is not None:
            await self.tasks.cancel("drives")
            await self.drives.close()

    async def _end_consoles(self) -> None:
        await self.tasks.cancel(*(name for name in self.tasks.running()
                                  if name.startswith("console ")))

    async def _end_rest(self) -> None:
        await self.tasks.cancel_all()
        await self.exit.aclose()
        for act in self.at_last:
            await act()
        if self.queue is not None:
            await self.queue.close()

    async def _sync(self) -> None:
        """All that was written to the disks of the recordings, and to drives that stay mounted:
        each disk in a thread of its own, for one that does not answer must not hold the others
        up, nor the end of the process."""
        loop = asyncio.get_running_loop()
        drives = () if self.drives is None else self.drives.drives()
        mounted = [drive.mount_point for drive in drives if drive.mount_point is not None]
        done = [loop.create_future() for _ in (*self.folders, *mounted)]
        for path, future in zip((*self.folders, *mounted), done, strict=True):
            threading.Thread(target=_sync_disk, args=(path, loop, future), daemon=True,
                             name=f"sync-{path.name}").start()
        for future in done:
            await future

    # -- what they hang on -----------------------------------------------------------------------

    def _recording(self) -> str:
        status = () if self.session is None else self.session.status()
        return ", ".join(one.key for one in status if one.state is CameraState.RECORDING)

    def _running_jobs(self) -> str:
        jobs = () if self.queue is None else self.queue.jobs()
        return ", ".join(f"{job.kind.value} {job.item}" for job in jobs
                         if not job.state.finished and job.state.value not in ("queued", "waiting"))

    def _mounted(self) -> str:
        drives = () if self.drives is None else self.drives.drives()
        return ", ".join(drive.label or drive.device for drive in drives
                         if drive.state in (DriveState.READY, DriveState.EJECTING))


def _sync_disk(path: Path, loop: asyncio.AbstractEventLoop, done: asyncio.Future[None]) -> None:
    """In a thread. A disk that is gone has nothing to sync."""
    with contextlib.suppress(Exception):
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            durable.sync_filesystem(descriptor, path)
        finally:
            os.close(descriptor)
    with contextlib.suppress(RuntimeError):  # the loop did not wait for it
        loop.call_soon_threadsafe(done.set_result, None)
