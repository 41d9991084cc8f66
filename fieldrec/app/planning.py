"""What the box gives itself to do, planned anew whenever a recording, a job or a drive changes. One
task on the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from fieldrec.app.offload import Offload
from fieldrec.core.model import Drive, Job, Recording
from fieldrec.status.board import Board


class Planning:
    """Plans when told to, by the whole catalogue; what is planned twice is queued once."""

    def __init__(self, offload: Offload, *,
                 recordings: Callable[[], Awaitable[Sequence[Recording]]],
                 drives: Callable[[], Sequence[Drive]], jobs: Callable[[], Sequence[Job]],
                 replan: asyncio.Event,
                 make_room: Callable[[Sequence[Recording]], Awaitable[None]]) -> None:
        """`replan` is set by whoever changes something that a plan looks at; `make_room` does what
        `space.act` says when the disks are nearly full."""
        self._offload = offload
        self._recordings = recordings
        self._drives = drives
        self._jobs = jobs
        self._replan = replan
        self._make_room = make_room

    async def run(self) -> None:
        """Plan at every change until cancelled."""
        try:
            while True:
                self._replan.clear()
                await self._plan()
                await self._replan.wait()
        finally:
            await self._offload.close()

    async def settled(self, board: Board) -> None:
        """Return once no unfinished job is left and none is about to be planned."""
        version = -1
        while True:
            await self._plan()
            if all(job.state.finished for job in self._jobs()):
                return
            version = (await board.wait_changed(version, 1.0)).version

    async def _plan(self) -> None:
        recordings = await self._recordings()
        await self._offload.plan(recordings)
        await self._offload.serve(self._drives(), recordings)
        await self._make_room(recordings)
