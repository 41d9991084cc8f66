"""Writing an item's files at the speed of the medium: read ahead, write, make durable.

Not a kind of destination (hence the underscore). Three threads, and what is between them is
bounded: "copy read" takes the files from their source into memory that is handed round; the
caller's thread writes them; "copy sync" makes each batch durable while the next one is written.
Each waits for a disk nearly all of the time. The caller alone tells the progress, and every error
of the others is raised there, once all have ended: none is left running, none is left open.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from fieldrec.core.io_priority import give_way
from fieldrec.core.past_cache import aligned_buffer
from fieldrec.core.thread_time import job_threads
from fieldrec.destinations import File, OnBytes, Source
from fieldrec.destinations._item_files import NewFile

SLICE_BYTES = 4 * 1024 * 1024
"""What one read and one write ask for; also between two looks at whether to stop."""
SLICES_AHEAD = 8
"""Read and not yet written: 32 MiB."""
BATCH_BYTES = 128 * 1024 * 1024
"""Between two syncs."""
BATCHES_BEHIND = 1
"""Whole batches that wait to be made durable, besides the one that is: then writing waits."""


New = Callable[[File], NewFile]
"""Makes a file, in place of what an earlier try left of it. Caller's thread."""
Settle = Callable[[Sequence[File]], None]
"""Makes these files durable. Thread "copy sync"."""


def write(files: Sequence[File], source: Source, new: New, settle: Settle, on_bytes: OnBytes
          ) -> None:
    """Write these files of `source`; all are durable on return. Raises what `source`, `new`,
    `settle` or `on_bytes` raise; of an error of the medium, what `settle` said: that a file system
    is read-only by now is a consequence."""
    buffers = Buffers(SLICES_AHEAD)
    ahead, behind = _Ahead(files, source, buffers), _Behind(settle)
    error: BaseException | None = None
    try:
        _write_all(files, ahead, behind, new, on_bytes)
    except BaseException as found:  # noqa: BLE001 - raised when all have ended
        behind.end()
        error = found
    buffers.end()
    ahead.join()
    behind.join()
    if behind.error is not None and (error is None or isinstance(error, OSError)):
        raise behind.error  # with the cause that it has: its number says what is wrong
    if error is not None:
        raise error


def _write_all(files: Sequence[File], ahead: _Ahead, behind: _Behind, new: New, on_bytes: OnBytes
               ) -> None:
    batch: list[File] = []
    left = BATCH_BYTES
    for file in files:
        with contextlib.closing(new(file)) as made:
            for data in ahead.slices():
                made.write(data)
                on_bytes(len(data))
        batch.append(file)
        left -= file.size_bytes
        if left <= 0:
            behind.give(batch)
            batch, left = [], BATCH_BYTES
        if behind.ended:
            break
    behind.give(batch)
    behind.give(None)


class Buffers:
    """Pieces of memory that are handed round: they bound what a copy takes."""

    def __init__(self, count: int) -> None:
        self._free: queue.SimpleQueue[memoryview | None] = queue.SimpleQueue()
        self._ended = False
        for _ in range(count):
            self._free.put(aligned_buffer(SLICE_BYTES))

    def take(self) -> memoryview:
        """Wait for one; Ended when nobody shall wait any more."""
        buffer = self._free.get()
        if buffer is None or self._ended:
            raise _Ended
        return buffer

    def give(self, buffer: memoryview) -> None:
        """Back."""
        self._free.put(buffer)

    def end(self) -> None:
        """The next one who takes, or waits, gets none."""
        self._ended = True
        self._free.put(None)


class _Ended(Exception):
    """The copy is over; nobody wants to know."""


class _Ahead:
    """Reads the files, one after the other, in a thread of its own."""

    def __init__(self, files: Sequence[File], source: Source, buffers: Buffers) -> None:
        self._files = files
        self._source = source
        self._buffers = buffers
        self._taken = memoryview(b"")
        self._read: queue.SimpleQueue[_Piece | BaseException | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="copy read")
        self._thread.start()

    def slices(self) -> Iterator[memoryview]:
        """Of the next file; each is valid until the next one is asked for. Raises what reading
        raised: only when this has ended is the file known to be right."""
        while (piece := self._read.get()) is not None:
            if isinstance(piece, BaseException):
                raise piece
            yield piece.data
            self._buffers.give(piece.buffer)

    def join(self) -> None:
        """Wait until the thread has ended."""
        self._thread.join()

    def _run(self) -> None:
        give_way()  # whoever records to the disk that is read comes first
        with job_threads.counted():
            try:
                for file in self._files:
                    for data in self._source.slices(file, self._take):
                        self._read.put(_Piece(data, self._taken))
                    self._read.put(None)
            except _Ended:
                pass
            except BaseException as error:  # noqa: BLE001 - raised where it is waited for
                self._read.put(error)

    def _take(self) -> memoryview:
        self._taken = self._buffers.take()
        return self._taken


@dataclass(frozen=True, slots=True)
class _Piece:
    data: memoryview
    buffer: memoryview
    """That `data` lies in."""


class _Behind:
    """Makes batches durable, one after the other, in a thread of its own."""

    def __init__(self, settle: Settle) -> None:
        self._settle = settle
        self._batches: queue.Queue[Sequence[File] | None] = queue.Queue(BATCHES_BEHIND)
        self.ended = False
        """Whether a batch failed, or another thread: no other one is looked at."""
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="copy sync")
        self._thread.start()

    def give(self, batch: Sequence[File] | None) -> None:
        """The next batch, None after the last one; waits while others are under way."""
        self._batches.put(batch)

    def end(self) -> None:
        """Nothing more, and what waits is not looked at."""
        self.ended = True
        self._batches.put(None)

    def join(self) -> None:
        """Wait until the thread has ended."""
        self._thread.join()

    def _run(self) -> None:
        with job_threads.counted():
            while (batch := self._batches.get()) is not None:
                if self.ended:
                    continue
                try:
                    self._settle(batch)
                except BaseException as error:  # noqa: BLE001 - raised where it is waited for
                    self.error, self.ended = error, True
