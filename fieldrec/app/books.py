"""The books of the box: what was used, which copies were verified, which drives had faults; with
the file that they are kept in. On the event loop; the file in thread ``books``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from fieldrec.core.workers import Worker
from fieldrec.jobs.book_rows import BOOKS_NAME, BookRows
from fieldrec.jobs.energy_book import EnergyBook
from fieldrec.jobs.suspects import Capacities, Suspects
from fieldrec.jobs.verified_copies import VerifiedCopies

Say = Callable[[str, str], None]


class Books:
    """`energy`, `copies`, `suspects` and `capacities`; whoever changes them calls :meth:`touch`."""

    def __init__(self, private: Path, say: Say) -> None:
        self.energy = EnergyBook()
        self.copies = VerifiedCopies()
        self.suspects = Suspects()
        self.capacities = Capacities()
        self._rows = BookRows(private / BOOKS_NAME)
        self._say = say
        self._worker = Worker("books")
        self._dirty = asyncio.Event()
        self._trouble = ""
        self._idle = (0.0, 0.0)
        """As written last."""
        self._closed = False

    async def open(self) -> None:
        """Read the file. Never fails for a bad one (I6)."""
        books, trouble = await self._worker.run(lambda _stop: self._rows.load())
        if trouble:
            self._say(f"books of energy and copies: {trouble}", "warning")
        self.energy = EnergyBook(books.entries, books.idle_mw, books.idle_s)
        self.copies = VerifiedCopies(books.copies)
        self.suspects = Suspects(books.suspects)
        self.capacities = Capacities(books.capacities)
        self._idle = self.energy.idle

    def touch(self) -> None:
        """Something is to be written."""
        self._dirty.set()

    async def run(self) -> None:
        """Write whatever is new, until cancelled."""
        while True:
            await self._dirty.wait()
            await self.write()

    async def write(self) -> None:
        """Write what is new now; once lost, it is lost, and said once."""
        self._dirty.clear()
        entries, self.energy.new = self.energy.new, []
        copies, self.copies.new = self.copies.new, []
        gone, self.copies.gone = self.copies.gone, []
        suspects, self.suspects.new = self.suspects.new, []
        capacities, self.capacities.new = self.capacities.new, []
        idle = self.energy.idle
        if not (entries or copies or gone or suspects or capacities or idle != self._idle):
            return
        self._idle = idle
        trouble = await self._worker.run(
            lambda _stop: self._rows.save(entries, idle, copies, gone, suspects,
                                          capacities))
        if trouble and not self._trouble:
            self._say(f"books of energy and copies cannot be written: {trouble}; make room or "
                      "check the disk", "warning")
        self._trouble = trouble

    async def close(self) -> None:
        """Write the rest and close the file. Idempotent."""
        if not self._closed:
            self._closed = True
            await self.write()
            await self._worker.run(lambda _stop: self._rows.close())
            self._worker.close()
