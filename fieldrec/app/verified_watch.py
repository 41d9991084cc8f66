"""Notes which copies were verified, when their jobs end. On the event loop; recordings are looked
at in thread ``fingerprints``."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence

from fieldrec.app.books import Books
from fieldrec.core.errors import FieldrecError
from fieldrec.core.model import Job, JobKind, JobState, Recording
from fieldrec.core.workers import Worker
from fieldrec.jobs.space_freeing import size_of
from fieldrec.jobs.verified_copies import VerifiedCopy, fingerprint

Say = Callable[[str, str], None]


class VerifiedWatch:
    """Owned by the app."""

    def __init__(self, books: Books, *,
                 recordings: Callable[[], Awaitable[Sequence[Recording]]], say: Say,
                 noted: Callable[[], None] = lambda: None,
                 proves: Callable[[str], bool] = lambda _destination: True) -> None:
        """`noted` is called when a copy was noted: something may go now; `proves` is asked whether
        a copy at a destination is one that a recording may go for (I5)."""
        self._proves = proves
        self._books = books
        self._recordings = recordings
        self._say = say
        self._noted = noted
        self._began_ns: dict[int, int] = {}
        """When a copy job began to look at its recording."""
        self._ended: asyncio.Queue[tuple[Job, int]] = asyncio.Queue()

    def job_changed(self, job: Job) -> None:
        """Called at every new state of a job."""
        if job.kind is JobKind.COPY and job.preset is None:
            if not self._proves(job.destination or ""):
                return
            if job.state is JobState.RUNNING:
                self._began_ns.setdefault(job.id, job.changed_ns)
            elif job.state is JobState.QUEUED:
                self._began_ns.pop(job.id, None)
            elif job.state.finished:
                began_ns = self._began_ns.pop(job.id, None)
                if job.state is JobState.DONE and began_ns is not None:
                    self._ended.put_nowait((job, began_ns))
        elif job.kind in (JobKind.DELETE, JobKind.MOVE) and job.state is JobState.DONE:
            self._forget(job)

    def recall(self, jobs: Iterable[Job]) -> None:
        """Called at the start: copies whose ends were not noted any more. What they began with is
        not older than the job. Where a later job looked at the same copy it may have been found
        wrong, and forgotten: that it was right once says nothing."""
        latest = {(job.item_uuid, job.item, job.destination): job
                  for job in sorted(jobs, key=lambda job: (job.changed_ns, job.id))
                  if job.kind in (JobKind.COPY, JobKind.MOVE, JobKind.DELETE)}
        for job in latest.values():
            if job.kind is JobKind.COPY and job.preset is None and job.state is JobState.DONE \
                    and self._proves(job.destination or "") and not any(
                    copy.destination == job.destination
                    for copy in self._books.copies.named(job.item_uuid, job.item)):
                self._ended.put_nowait((job, job.created_ns))

    async def run(self) -> None:
        """Note what has ended, until cancelled."""
        worker = Worker("fingerprints")
        try:
            while True:
                job, began_ns = await self._ended.get()
                await self._note(worker, job, began_ns)
        finally:
            worker.close()

    async def _note(self, worker: Worker, job: Job, began_ns: int) -> None:
        try:
            recording = next((one for one in await self._recordings()
                              if (one.uuid, one.name) == (job.item_uuid, job.item)), None)
            if recording is None or self._books.suspects.doubts(job.destination or "",
                                                                job.changed_ns):
                return
            found = recording
            print_ = await worker.run(lambda _stop: fingerprint(found, began_ns))
        except (FieldrecError, OSError) as error:
            self._say(f"{job.item}: that its copy is verified cannot be noted: {error}", "warning")
            return
        if print_:
            self._books.copies.add(VerifiedCopy(
                recording.uuid, recording.name, job.destination or "", job.destination_label,
                job.changed_ns, print_, size_of(recording)))
            self._books.touch()
            self._noted()

    def _forget(self, job: Job) -> None:
        for copy in self._books.copies.named(job.item_uuid, job.item):
            self._books.copies.forget(copy.uuid, copy.name, copy.destination)
            self._books.touch()
