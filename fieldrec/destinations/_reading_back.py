"""Digests of an item's files as the medium has them, several files at a time. Not a kind of
destination.

Threads "copy check" read and hash, each with files open of its own; the caller's thread alone is
told of bytes and compares. What one of them raises is raised there, once all have ended.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Iterator, Sequence

import xxhash

from fieldrec.core.past_cache import aligned_buffer
from fieldrec.core.thread_time import job_threads
from fieldrec.destinations import File, OnBytes
from fieldrec.destinations._item_files import ItemFiles, named

SLICE_BYTES = 4 * 1024 * 1024
FEW_BYTES = 8 * 1024 * 1024
"""Not worth threads."""


def digest_of(files: ItemFiles, wanted: File, view: memoryview, on_bytes: OnBytes) -> str:
    """XXH64 of one file, read in slices into `view`; "" where it has another size: that need not be
    read, and a stranger's may be endless."""
    digest = xxhash.xxh64()
    with named(wanted.relative), contextlib.closing(files.read(wanted.relative)) as file:
        if file.size_bytes != wanted.size_bytes:
            return ""
        for data in file.slices(lambda: view):
            digest.update(data)
            on_bytes(len(data))
    return digest.hexdigest()


def digests(wanted: Sequence[File], open_item: Callable[[], ItemFiles], on_bytes: OnBytes, *,
            threads: int) -> Iterator[tuple[File, str]]:
    """Of each of these files its XXH64, in the order in which they come. More than one of `threads`
    helps where the kernel reads; a daemon of a FUSE file system only loses its read-ahead."""
    threads = min(threads, len(wanted))
    if threads < 2 or sum(file.size_bytes for file in wanted) < FEW_BYTES:
        view = aligned_buffer(SLICE_BYTES)
        with contextlib.closing(open_item()) as files:
            for file in wanted:
                yield file, digest_of(files, file, view, on_bytes)
        return
    readers = _Readers(wanted, open_item, threads)
    try:
        yield from readers.found(on_bytes)
    finally:
        readers.end()


class _Readers:
    def __init__(self, wanted: Sequence[File], open_item: Callable[[], ItemFiles],
                 threads: int) -> None:
        self._wanted = iter(wanted)
        self._lock = threading.Lock()
        self._open_item = open_item
        self._ended = False
        self._said: queue.SimpleQueue[int | tuple[File, str] | BaseException | None] = (
            queue.SimpleQueue())
        self._threads = [threading.Thread(target=self._run, name="copy check")
                         for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    def found(self, on_bytes: OnBytes) -> Iterator[tuple[File, str]]:
        running = len(self._threads)
        while running:
            said = self._said.get()
            if isinstance(said, BaseException):
                raise said
            if said is None:
                running -= 1
            elif isinstance(said, int):
                on_bytes(said)
            else:
                yield said

    def end(self) -> None:
        self._ended = True
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        with job_threads.counted():
            try:
                view = aligned_buffer(SLICE_BYTES)
                with contextlib.closing(self._open_item()) as files:
                    while (file := self._next()) is not None:
                        self._said.put((file, digest_of(files, file, view, self._say)))
                self._said.put(None)
            except _Ended:
                pass
            except BaseException as error:  # noqa: BLE001 - raised where it is waited for
                self._said.put(error)

    def _next(self) -> File | None:
        with self._lock:
            return next(self._wanted, None)

    def _say(self, count_bytes: int) -> None:
        if self._ended:
            raise _Ended
        self._said.put(count_bytes)


class _Ended(Exception):
    """Nobody wants to know any more."""
