"""Whether drives are as large as they say, before the first recording is deleted for one (I5).

A drive is proven by its marker, by an earlier look that is in the books, or by a look made now, in
the thread of the job that wants to delete; what came of it is booked on the event loop, where all
else here runs. A copy asks for nothing of this.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from fieldrec.app.books import Books
from fieldrec.core.clock import Clock
from fieldrec.core.errors import DriveCounterfeit, JobRefused
from fieldrec.core.model import Drive
from fieldrec.destinations.drive import Prove
from fieldrec.drives import accept, capacity
from fieldrec.jobs.source import check
from fieldrec.jobs.suspects import DRIVE

Say = Callable[[str, str], None]


class DriveCapacity:
    """Owned by the app's :class:`~fieldrec.app.drive_faults.DriveFaults`."""

    def __init__(self, books: Books, clock: Clock, *, say: Say) -> None:
        self._books = books
        self._clock = clock
        self._say = say

    def known(self, drive: Drive) -> Drive:
        """With what it was proven to have."""
        marked = drive.marker.capacity_bytes if drive.marker and drive.marker.ours else 0
        return replace(drive, capacity_bytes=max(
            marked, self._books.capacities.of(drive.fs_uuid)))

    def is_proven(self, destination: str) -> bool:
        """Whether a destination is no drive, or one that was found as large as it says."""
        return not destination.startswith(DRIVE) \
            or self._books.capacities.of(destination.removeprefix(DRIVE)) > 0

    def prover(self, drive: Drive, *, unproven_moves: bool) -> Prove:
        """What is asked, in a job's thread, before anything is deleted for this drive."""
        loop = asyncio.get_running_loop()
        proven = drive.capacity_bytes
        if proven:  # for deletions while it is away
            self._note(drive.fs_uuid, proven)

        def prove(folder: int, place: Path, stop: threading.Event) -> None:
            nonlocal proven
            size = capacity.size_of(folder)
            if proven >= size:
                return
            name = drive.label or drive.fs_uuid
            if not capacity.cannot_tell(drive.fs_type, drive.size_bytes, drive.size_bytes):
                loop.call_soon_threadsafe(
                    self._say, f"looking whether drive {name} is as large as it says", "info")
            try:
                found = capacity.prove_file_system(folder, place, drive.fs_type, drive.device,
                                                   lambda: check(stop))
            except capacity.NotTold as why:
                if unproven_moves:
                    return
                raise JobRefused(accept.not_told(name, drive, str(why))) from why
            if not found.is_true:
                raise DriveCounterfeit(f"drive {name}: {capacity.verdict(found)}")
            proven = size
            loop.call_soon_threadsafe(self._note, drive.fs_uuid, size)

        return prove

    def _note(self, fs_uuid: str, capacity_bytes: int) -> None:
        if self._books.capacities.note(fs_uuid, capacity_bytes, self._clock.epoch_ns()):
            self._books.touch()
