"""Writing an item's files at the speed of the medium: read ahead, write, make durable, read back.

Not a kind of destination (hence the underscore). Three threads, and what is between them is
bounded: "copy read" takes the files from their source into memory that is handed round; the
caller's thread writes them; "copy check" makes each batch durable and, where asked, reads it back
while the next one is written. Each waits for a disk nearly all of the time. The caller alone tells
the progress, and every error of the others is raised there, once all have ended: none is left
running, none is left open.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from fieldrec.core.io_priority import give_way
from fieldrec.core.past_cache import aligned_buffer
from fieldrec.core.thread_time import job_threads
from fieldrec.destinations import File, OnBytes, Source

SLICE_BYTES = 4 * 1024 * 1024
"""What one read and one write ask for; also between two looks at whether to stop."""
SLICES_AHEAD = 8
"""Read and not yet written: 32 MiB."""
BATCH_BYTES = 128 * 1024 * 1024
"""Between two syncs; what is read back was written at least so long before."""
BATCHES_BEHIND = 1
"""Whole batches that wait to be made durable, besides the one that is: then writing waits."""


class Target(Protocol):
    """Where the files go."""

    def new(self, file: File) -> NewFile:
        """Make a file, in place of what an earlier try left of it. Caller's thread."""
        ...

    def settle(self, batch: Sequence[File]) -> bool:
        """Make these files durable, and look at them where that is asked for; False when one is
        not what was read: nothing more is written then. Thread "copy check"."""
        ...


class NewFile(Protocol):
    """A file that is being written."""

    def write(self, data: memoryview) -> None:
        """Its next bytes."""
        ...

    def close(self) -> None:
        """That was all, or an error came."""
        ...


def write(files: Sequence[File], source: Source, target: Target, on_bytes: OnBytes) -> None:
    """Write these files of `source`; all are durable on return, unless `target` has found one that
    is not right: then it ends there. Raises what source, target or `on_bytes` raise."""
    buffers = Buffers(SLICES_AHEAD)
    ahead, behind = _Ahead(files, source, buffers), _Behind(target.settle)
    try:
        _write_all(files, ahead, behind, target, on_bytes)
    except BaseException:
        behind.end()
        raise
    finally:
        buffers.end()
        ahead.join()
        behind.join()
    if behind.error is not None:
        raise behind.error


def _write_all(files: Sequence[File], ahead: _Ahead, behind: _Behind, target: Target,
               on_bytes: OnBytes) -> None:
    batch: list[File] = []
    left = BATCH_BYTES
    for file in files:
        with contextlib.closing(target.new(file)) as new:
            for data in ahead.slices():
                new.write(data)
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

    def __init__(self, settle: Callable[[Sequence[File]], bool]) -> None:
        self._settle = settle
        self._batches: queue.Queue[Sequence[File] | None] = queue.Queue(BATCHES_BEHIND)
        self.ended = False
        """Whether a batch failed or was not right: no other one is looked at."""
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="copy check")
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
                    self.ended = not self._settle(batch)
                except BaseException as error:  # noqa: BLE001 - raised where it is waited for
                    self.error, self.ended = error, True
