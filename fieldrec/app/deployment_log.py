"""The record of the deployment in a running box: opened, kept, brought along. On the loop.

Owns the logbook, what follows the board (keeping_log.py) and the copies at destinations. Blocking
work is done by the worker ``logbook copy`` and the logbook's own thread. A disk that fails here
costs entries, never a frame (I9).
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from fieldrec import __version__
from fieldrec.app.about_box import config_text, versions
from fieldrec.app.keeping_log import KeepingLog
from fieldrec.config import Config
from fieldrec.core.clock import Clock
from fieldrec.core.errors import FieldrecError, StateError
from fieldrec.core.model import Job, JobState, Recording
from fieldrec.core.notes import JsonValue, Kind
from fieldrec.core.snapshot import Snapshot
from fieldrec.core.workers import Worker
from fieldrec.destinations import Destination
from fieldrec.jobs.logbook_copy import copy_logbooks
from fieldrec.jobs.places import DestinationFactory
from fieldrec.jobs.root_history import close_history
from fieldrec.jobs.threads import at
from fieldrec.logbook import deployments
from fieldrec.logbook.book import Logbook
from fieldrec.logbook.files import Before
from fieldrec.logbook.reading import FOLDER_NAME
from fieldrec.status.board import Board

Say = Callable[[str, str], None]
_UNDER_WAY = (JobState.QUEUED, JobState.RUNNING, JobState.VERIFYING, JobState.COMMITTING,
              JobState.DELETING_SOURCE)
SETTLE_S = 1.0
"""After the end of a job, until the next one for the same destination has begun."""
EARLY_NOTES = 200
"""Kept until the logbook is there."""


class DeploymentLog:
    """Made with the app; without `config.logbook.enabled`, or for a command (`kept` False), it
    keeps nothing and costs nothing."""

    def __init__(self, config: Config, clock: Clock, *, kept: bool, daemon: bool,
                 say_from_anywhere: Say) -> None:
        """`daemon`: it runs until it is stopped, so that its end is the end of something wanted."""
        self._config = config
        self._clock = clock
        self._kept = kept and config.logbook.enabled
        self._daemon = daemon
        self._say = say_from_anywhere
        self._early: deque[tuple[str, str, dict[str, JsonValue]]] = deque(maxlen=EARLY_NOTES)
        self._book: Logbook | None = None
        self._keeping: KeepingLog | None = None
        self._logbooks: Path | None = None
        self._worker = Worker("logbook copy")
        self._due: set[str] = set()
        """Destinations to which something was brought."""
        self._due_changed = asyncio.Event()
        self._ended = False

    def note(self, kind: str, text: str, **facts: JsonValue) -> None:
        """Put one entry into the record (:class:`~fieldrec.core.notes.Note`). Never blocks."""
        if not self._kept or self._ended:
            return
        if self._book is None:
            self._early.append((kind, text, facts))
        else:
            self._book.note(kind, text, **facts)

    @property
    def logbooks(self) -> Path | None:
        """The folder of all deployments' records; None where none is kept."""
        return self._logbooks

    @property
    def is_worth_keeping(self) -> bool:
        """Whether the record counts although nothing was recorded: why not is in it."""
        return self._book is not None and self._daemon

    async def open(self, private: Path) -> None:
        """Go on with the deployment's logbook in a private folder; the first entries."""
        if self._kept:
            logbooks = self._logbooks = private / FOLDER_NAME
            await self._begin(logbooks, await self._worker.run(lambda _: self._name(logbooks)))

    async def run(self, board: Board) -> None:
        """Follow the board until cancelled."""
        version = -1
        while True:
            snapshot = await board.wait_changed(version, None)
            version = snapshot.version
            self.follow(snapshot)

    def follow(self, snapshot: Snapshot) -> None:
        """Note what has changed."""
        if self._keeping is not None:
            self._keeping.follow(snapshot)

    def recordings(self, recordings: Sequence[Recording]) -> None:
        """The catalogue was read."""
        if self._keeping is not None:
            self._keeping.recordings(recordings)

    def job(self, job: Job) -> None:
        """A job has changed."""
        if job.state is JobState.WAITING and job.destination in self._due:
            self._due_changed.set()  # it was under way when the last one ended
        if not job.state.finished:
            return
        if self._keeping is not None:
            self._keeping.job(job)
        if job.destination is not None:
            self._due.add(job.destination)
            self._due_changed.set()

    async def begin_deployment(self, name: str) -> None:
        """From now on another deployment. StateError where no record is kept; StoreError."""
        if self._book is None or self._logbooks is None:
            raise StateError("no deployment record is kept here; see logbook.enabled")
        if name == self._book.deployment:
            return
        logbooks, before = self._logbooks, self._book
        before.note(Kind.STOPPED, f"deployment {name} begins", reason=f"deployment {name} begins")
        await self._worker.run(lambda _: before.close())
        await self._worker.run(lambda _: deployments.begin(
            logbooks, name, self._config.system.deployment))
        await self._begin(logbooks, name)

    # -- to destinations ---------------------------------------------------------------------------

    async def travel_on_change(self, destinations: Callable[[], Mapping[str, DestinationFactory]],
                               jobs: Callable[[], Sequence[Job]]) -> None:
        """Bring the record to each destination when no job for it is under way any more; until
        cancelled. One that waits for something else may wait for days."""
        while True:
            await self._due_changed.wait()
            await asyncio.sleep(SETTLE_S)
            self._due_changed.clear()
            await self.travel_due(destinations, jobs)

    async def travel_due(self, destinations: Callable[[], Mapping[str, DestinationFactory]],
                         jobs: Callable[[], Sequence[Job]]) -> None:
        """Bring the record to each destination that it is due at, now; where a job is under way it
        stays due. A command that does a job and ends has no other moment."""
        busy = {job.destination for job in jobs() if job.state in _UNDER_WAY}
        for name in sorted(self._due - busy):
            self._due.discard(name)
            await self.travel(name, destinations())

    async def travel(self, name: str, destinations: Mapping[str, DestinationFactory]) -> None:
        """Bring the record to a destination, now, and its history (jobs/root_history) up to date;
        what does not work is said."""
        factory = destinations.get(name)
        if factory is None:
            return
        self._due.discard(name)
        # The errors name the place as people do; here a drive is known by its id.
        await self._at(factory, self._copy_books, "the deployment record was not copied")
        await self._at(factory, self._close_history, "no history was written")

    async def _at(self, factory: DestinationFactory, work: Callable[[Destination], None],
                  failed: str) -> None:
        try:
            with factory() as destination:
                def closing() -> None:
                    try:
                        work(destination)
                    finally:
                        destination.close()

                await at(destination, lambda _stop: closing())
        except (FieldrecError, OSError) as error:
            self._say(f"{failed}: {error}", "warning")

    def _copy_books(self, destination: Destination) -> None:
        if self._book is not None and self._logbooks is not None:
            self._book.flush()
            copy_logbooks(self._logbooks, self._config.system.name, destination)

    def _close_history(self, destination: Destination) -> None:
        close_history(destination, self._clock.epoch_ns())

    # -- the end -----------------------------------------------------------------------------------

    def end(self, snapshot: Snapshot, reason: str) -> None:
        """Note the end of this run; nothing is noted after it. Idempotent."""
        if not self._ended:
            self.follow(snapshot)
            text = reason if reason.startswith("fieldrec") else f"fieldrec stopped: {reason}"
            self.note(Kind.STOPPED, text, reason=reason, over=not self._daemon)
            self._ended = True

    async def close(self) -> None:
        """Write the rest, end the threads; the folder is let go of."""
        book = self._book
        if book is not None:
            await self._worker.run(lambda _: book.close())
        self._worker.close()

    # -- inside ------------------------------------------------------------------------------------

    def _name(self, logbooks: Path) -> str:
        configured = self._config.system.deployment
        try:
            return deployments.current(logbooks, configured)
        except (FieldrecError, OSError) as error:
            self._say(f"the deployment record cannot be written: {error}", "error")
            return configured

    async def _begin(self, logbooks: Path, name: str) -> None:
        config = self._config
        book = Logbook(logbooks / name, box=config.system.name, deployment=name,
                       clock=self._clock, max_bytes=config.logbook.max_bytes,
                       on_problem=lambda text: self._say(text, "error"))
        before = await self._worker.run(lambda _: book.open())
        about = await self._worker.run(lambda _: (versions(), config_text(config)))
        self._book = book
        self._keeping = KeepingLog(book.note, config.logbook, self._clock,
                                   unfinished=before.unfinished)
        text, facts = self._how_it_began(before, book.boot_id)
        self._keeping.started(text, *about, facts, standing={
            kind: entry.facts for kind, entry in before.standing.items()})
        self._note_place()
        while self._early:
            kind, said, more = self._early.popleft()
            book.note(kind, said, **more)

    def _how_it_began(self, before: Before, boot_id: str
                      ) -> tuple[str, dict[str, str | int | None]]:
        """In words, and as facts of the entry."""
        last = before.last
        facts: dict[str, str | int | None] = {
            "program": f"fieldrec {__version__}", "pid": os.getpid(),
            "last_ns": None if last is None else last.time_ns}
        if last is None:
            return "the record begins", {**facts, "previous": "first"}
        if before.in_order:
            return "fieldrec started", {**facts, "previous": "in order"}
        if last.boot_id == boot_id:
            return ("fieldrec started; before, it was killed or failed", {
                **facts, "previous": "killed"})
        return "fieldrec started; before, power was cut", {**facts, "previous": "power cut"}

    def _note_place(self) -> None:
        place = self._config.schedule.location
        latitude = getattr(place, "latitude", None)
        longitude = getattr(place, "longitude", None)
        if latitude is not None and longitude is not None:
            self.note(Kind.PLACE, f"{latitude:.5f}, {longitude:.5f}", latitude=latitude,
                      longitude=longitude, source="configuration")

