"""What the queued jobs will come to, shown with them: by what earlier ones came to, in a task of
its own, because the catalogue may take a while. Event loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence

from fieldrec.core.errors import FieldrecError
from fieldrec.core.model import Job, JobKind, Recording
from fieldrec.export.presets import Preset, preset
from fieldrec.jobs.byte_pace import seconds_of
from fieldrec.jobs.history import predicted
from fieldrec.jobs.job_queue import JobQueue
from fieldrec.jobs.telling import phases_of

log = logging.getLogger(__name__)


class Expecting:
    """Looks at each job once, and again when the history has grown."""

    def __init__(self, queue: JobQueue, catalogue: Callable[[], Awaitable[Sequence[Recording]]],
                 own_presets: Mapping[str, Preset]) -> None:
        self._queue = queue
        self._catalogue = catalogue
        self._own_presets = own_presets
        self._seen: dict[int, int] = {}
        """Jobs looked at, with how much was known then."""
        self._task: asyncio.Task[None] | None = None

    def look(self) -> None:
        """Look at jobs that are new, unless that is being done. Returns at once."""
        if self._task is None and self._new():
            self._task = asyncio.create_task(self._look(), name="job sizes")
            self._task.add_done_callback(self._ended)

    async def close(self) -> None:
        """End what is being looked at."""
        if self._task is not None:
            self._task.remove_done_callback(self._ended)  # nothing is begun any more
            self._task.cancel()
            await asyncio.wait([self._task])

    def _new(self) -> list[Job]:
        known = self._queue.knowledge
        return [job for job in self._queue.jobs()
                if not job.state.finished and self._seen.get(job.id) != known]

    async def _look(self) -> None:
        new = self._new()
        try:
            found = {recording.uuid: recording for recording in await self._catalogue()}
        except FieldrecError:  # the job itself will say so
            found = {}
        known = self._queue.knowledge
        unfinished = {job.id for job in self._queue.jobs() if not job.state.finished}
        self._seen = {number: at for number, at in self._seen.items() if number in unfinished}
        for job in new:
            self._seen[job.id] = known
            recording = found.get(job.item_uuid)
            if recording is not None:
                self._expect(job, recording)

    def _expect(self, job: Job, recording: Recording) -> None:
        frees = job.kind in (JobKind.DELETE_RAW, JobKind.DELETE) or job.delete_source
        freed = recording.size_bytes if frees and recording.has_raw else 0
        if job.kind is JobKind.EXPORT:
            try:
                told = predicted(self._queue.samples, recording,
                                 preset(job.preset or "", self._own_presets))
            except FieldrecError:  # a preset that is gone: the job itself will say so
                return
            known = told is not None and told.seconds > 0
            self._queue.expect(job.id, told, freed, told.seconds if told and known else None)
            return
        phases = phases_of(job, recording, self._queue)
        self._queue.expect(job.id, None, freed, seconds_of(phases),
                           phases[0].size_bytes if phases else 0)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._task = None
        if task.cancelled():
            return
        if (error := task.exception()) is not None:
            log.error("what jobs will come to was not looked at", exc_info=error)
        else:
            self.look()
