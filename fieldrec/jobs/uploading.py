"""What an upload does, step by step. Event loop; the work in a thread ``upload NAME`` for each.

Nothing is ever deleted for an upload: what was sent cannot be read back (I5). Where each upload
stands is kept in a file of its own (upload_rows.py) before its first byte goes out, so that it goes
on there after a stop at a slice, a restart, or days without a network. A source that has changed
since is another one: its upload begins anew.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fieldrec.config.loopy import LoopyConfig
from fieldrec.core.clock import Clock, SystemClock
from fieldrec.core.errors import FieldrecError, JobRefused, NotFoundError, StoreDamaged
from fieldrec.core.model import Job, JobKind, JobState, Recording
from fieldrec.jobs import manifest
from fieldrec.jobs.admission import describe_place
from fieldrec.jobs.byte_pace import WRITE, Phase
from fieldrec.jobs.job_queue import JobQueue
from fieldrec.jobs.places import NotYet, check_ready
from fieldrec.jobs.source import Item, Stopped, changed_since, items_of
from fieldrec.jobs.telling import Telling
from fieldrec.jobs.threads import in_thread
from fieldrec.jobs.upload_content import content_of, fingerprint
from fieldrec.jobs.upload_rows import FILE_NAME, UploadRow, UploadRows
from fieldrec.record.storage import size_text

if TYPE_CHECKING:  # loaded when something is uploaded: most boxes never do
    from fieldrec.destinations.loopy import Loopy

log = logging.getLogger(__name__)

FORGET_S = 5.0
"""A server is given so long to hear that an upload was cancelled."""
CHANGED_MOST = 3
"""Times that a recording may change while it is uploaded before the job gives up."""
MakeUploader = Callable[[str, LoopyConfig, threading.Event], "Loopy"]


def make_loopy(name: str, config: LoopyConfig, stop: threading.Event) -> Loopy:
    """The configured server; reads the key."""
    from fieldrec.destinations.loopy import Loopy

    return Loopy(name, config, stop=stop)


class Uploading:
    """Performs uploads for the :class:`~fieldrec.jobs.perform.Performer`."""

    def __init__(self, queue: JobQueue, places: Mapping[str, LoopyConfig], *,
                 make: MakeUploader = make_loopy, clock: Clock | None = None) -> None:
        """`places`: the destinations that take uploads."""
        self._queue = queue
        self._places = places
        self._make = make
        self._clock = clock or SystemClock()

    async def upload(self, job: Job, recording: Recording | None) -> str:
        """Upload what is wanted of the recording and is not there yet; in words, what it came to.
        On cancel it stops at a slice and can be performed again."""
        place = self._places.get(job.destination or "")
        if place is None:
            raise JobRefused(f"{describe_place(job)} takes no uploads")
        if recording is None:
            raise NotFoundError(f"{job.item} is gone; there is nothing to upload")
        check_ready(recording, "uploaded")
        self._check_exported(job, recording, place)
        telling = Telling(self._queue, job, [Phase(WRITE, 0, self._queue.rate(
            job.destination or "", WRITE))])
        run = _Run(job, recording, place, self._make, self._queue, telling, self._clock)
        done = await in_thread(f"upload {job.destination}", run.run)
        await telling.remember(job.destination or "")
        return done

    def check_raw_is_free(self, job: Job) -> None:
        """NotYet while the raw that a job would delete is still to be uploaded."""
        for other in self._queue.jobs():
            place = self._places.get(other.destination or "")
            if other.kind is JobKind.UPLOAD and other.item_uuid == job.item_uuid \
                    and not other.state.finished and place is not None \
                    and place.upload != "exported":
                raise NotYet(f"job {other.id} uploads the raw of {job.item} first")

    def _check_exported(self, job: Job, recording: Recording, place: LoopyConfig) -> None:
        """NotYet while an export that is to go along is only queued; JobRefused when what is wanted
        is not there."""
        if place.upload != "raw":
            for other in self._queue.jobs():
                if (other.kind, other.item_uuid) == (JobKind.EXPORT, job.item_uuid) \
                        and other.destination is None and not other.state.finished:
                    raise NotYet(f"job {other.id} exports {job.item} first")
        if place.upload == "exported" and not recording.exports:
            raise JobRefused(f"{job.item} has no export to upload; `fieldrec export` makes one, "
                             f"or set destinations.{job.destination}.upload to raw")
        if place.upload == "raw" and not recording.has_raw:
            raise JobRefused(f"the raw of {job.item} is not here any more; set "
                             f"destinations.{job.destination}.upload to exported")


@dataclass
class _Run:
    """One run of one job, in its thread."""

    job: Job
    recording: Recording
    place: LoopyConfig
    make: MakeUploader
    queue: JobQueue
    telling: Telling
    clock: Clock
    kept: int = 0
    """Bytes of what is told that were there before this run."""

    def run(self, stop: threading.Event) -> str:
        """All items, one after the other."""
        from fieldrec.destinations.http_call import Halted

        rows = UploadRows(self.queue.path.with_name(FILE_NAME))
        with contextlib.closing(rows), contextlib.closing(
                self.make(self._name, self.place, stop)) as server:
            if rows.trouble:
                log.warning("uploads: %s", rows.trouble)
            try:
                return self._all(rows, server, stop)
            except Halted:
                self._forget_if_cancelled(rows)
                raise Stopped from None
            except Stopped:
                self._forget_if_cancelled(rows)
                raise

    @property
    def _name(self) -> str:
        return self.job.destination or ""

    def _all(self, rows: UploadRows, server: Loopy, stop: threading.Event) -> str:
        items = self._wanted()
        sizes = [content_of(item, stop).total_bytes for item in items]
        sent = [self._item(item, rows, server, stop, sum(sizes[:number]), sum(sizes))
                for number, item in enumerate(items)]
        if not any(sent):
            return "uploaded already"
        return f"{size_text(sum(sent))} uploaded; not verified, for it cannot be read back"

    def _wanted(self) -> list[Item]:
        kinds = {"exported": (manifest.EXPORT,), "raw": (manifest.STORE,),
                 "both": (manifest.STORE, manifest.EXPORT)}[self.place.upload]
        return [item for item in items_of(self.recording) if item.kind in kinds]

    def _item(self, item: Item, rows: UploadRows, server: Loopy, stop: threading.Event,
              before: int, whole: int) -> int:
        """One item; its bytes, 0 when it is there already."""
        for left in reversed(range(CHANGED_MOST)):
            content = content_of(item, stop)
            row = self._row(item, rows, content.total_bytes)
            on_progress = self._on_progress(before, whole)
            if row.done_ns:
                on_progress(content.total_bytes)
                return 0
            try:
                server.upload(content, row.location or None, on_progress=on_progress,
                              on_begun=lambda at, row=row: rows.put(  # type: ignore[misc]
                                  replace(row, location=at)))
            except StoreDamaged:
                if left == 0 or changed_since(item) is None:
                    raise
                item = next(one for one in self._wanted() if one.path == item.path)
                continue
            rows.put(replace(row, location="", done_ns=self.clock.epoch_ns()))
            return content.total_bytes
        return 0

    def _row(self, item: Item, rows: UploadRows, total_bytes: int) -> UploadRow:
        """What is known of this item as it is now. An upload of what it was goes no further."""
        new = UploadRow(self._name, self.job.item_uuid, item.path.name, fingerprint(item), "",
                        total_bytes, 0)
        known = rows.get(new.key)
        if known is not None and known.fingerprint == new.fingerprint:
            return known
        if known is not None:
            self._forget(rows, known)
        return new

    def _on_progress(self, before: int, whole: int) -> Callable[[int], None]:
        """Tells of an item that comes after so many bytes of others. Its first word is where it
        goes on, which took no time."""
        first = True

        def tell(done: int) -> None:
            nonlocal first
            self.kept += done if first else 0
            first = False
            self.telling.progress(WRITE, before + done, whole, self.kept)

        return tell

    def _forget_if_cancelled(self, rows: UploadRows) -> None:
        """An upload that was cancelled will not go on: nobody keeps what there is of it."""
        with contextlib.suppress(NotFoundError):
            if self.queue.job(self.job.id).state is not JobState.CANCELLED:
                return
        for item in self._wanted():
            known = rows.get((self._name, self.job.item_uuid, item.path.name))
            if known is not None and not known.done_ns:
                self._forget(rows, known)

    def _forget(self, rows: UploadRows, row: UploadRow) -> None:
        rows.remove(row.key)
        if not row.location:
            return
        brief = self.place.model_copy(update={"timeout_s": FORGET_S})
        with contextlib.suppress(FieldrecError), contextlib.closing(
                self.make(self._name, brief, threading.Event())) as server:
            server.forget(row.location)


def places_of(destinations: Mapping[str, object]) -> dict[str, LoopyConfig]:
    """Those of the configured destinations that take uploads."""
    return {name: one for name, one in destinations.items() if isinstance(one, LoopyConfig)}

