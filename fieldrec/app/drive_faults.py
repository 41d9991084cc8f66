"""Faults of drives as they happen: counted, said, and what follows from them. On the event loop.

A drive that has become suspect gets no more data, is said on every channel, and copies on it are
forgotten, so that nothing is deleted for them (I5).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fieldrec.app.books import Books
from fieldrec.app.drive_capacity import DriveCapacity
from fieldrec.core.clock import Clock
from fieldrec.core.errors import DriveCounterfeit, NotFoundError
from fieldrec.core.model import Drive, Job
from fieldrec.jobs.suspects import DRIVE, Suspect, describe, is_fault

Say = Callable[[str, str], None]


class DriveFaults:
    """Owned by the app."""

    def __init__(self, books: Books, clock: Clock, *, suspect_after: int, say: Say,
                 changed: Callable[[], None]) -> None:
        """`changed` is called when a drive has become suspect, or is trusted again."""
        self.capacity = DriveCapacity(books, clock, say=say)
        """Which drives are as large as they say."""
        self._books = books
        self._clock = clock
        self._suspect_after = suspect_after
        self._say = say
        self._changed = changed

    def job_failed(self, job: Job, error: BaseException) -> None:
        """A job has met an error, and may be tried again."""
        if not is_fault(job.destination, error):
            return
        fs_uuid = (job.destination or "").removeprefix(DRIVE)
        was = self._books.suspects.of(fs_uuid)
        enough = 1 if isinstance(error, DriveCounterfeit) else self._suspect_after
        now = self._books.suspects.fault(fs_uuid, job.destination_label, f"{job.item}: {error}",
                                         self._clock.epoch_ns(), enough)
        self._books.touch()
        name = now.label or fs_uuid
        if not now.is_suspect:
            self._say(f"drive {name}: fault {now.faults} of {self._suspect_after}, after which it "
                      f"is used no more: {error}", "warning")
        elif was is None or not was.is_suspect:
            self._condemn(now, job.destination or "")

    def _condemn(self, one: Suspect, destination: str) -> None:
        forgotten = self._books.copies.forget_all(destination)
        also = f"; {forgotten} copies on it count as verified no more" if forgotten else ""
        self._say(f"drive {one.label or one.fs_uuid} {describe(one)}: do not use it; replace it "
                  f"(`fieldrec drive trust {one.fs_uuid}` if you know better){also}", "error")
        self._changed()

    def why(self, drive: Drive) -> str:
        """Why a drive must not be relied on; "" while there is no reason."""
        found = self._books.suspects.of(drive.fs_uuid)
        return "" if found is None or not found.is_suspect else describe(found)

    def is_suspect(self, destination: str) -> bool:
        """Whether a destination is a drive that proves nothing."""
        return self._books.suspects.is_suspect(destination)

    def elsewhere(self, uuid: str, name: str, destination: str) -> bool:
        """Whether a recording has a verified copy at another destination than this one."""
        return any(copy.destination != destination
                   for copy in self._books.copies.named(uuid, name))

    async def trust(self, which: str, drives: Sequence[Drive]) -> str:
        """Hold nothing against a drive (label, UUID, device) any more; what was held, in words.
        NotFoundError when nothing was."""
        ids = {drive.fs_uuid for drive in drives if which in (drive.label, drive.device)}
        ids |= {one.fs_uuid for one in self._books.suspects.all()
                if which in (one.fs_uuid, one.label, DRIVE + one.fs_uuid)}
        held = [one for fs_uuid in sorted(ids)
                if (one := self._books.suspects.trust(fs_uuid)) is not None]
        if not held:
            known = ", ".join(f"{one.label or 'no label'} ({one.fs_uuid})"
                              for one in self._books.suspects.all()) or "none"
            raise NotFoundError(f"nothing is held against drive {which!r}; drives with faults: "
                                f"{known}")
        await self._books.write()
        self._changed()
        said = "; ".join(f"drive {one.label or one.fs_uuid} is trusted again; it {describe(one)}"
                         for one in held)
        self._say(said, "warning")
        return said
