"""What is uploaded of a recording: its store as one tar, its exports as they are. Blocking; thread
``upload NAME``. Nothing is written.

A store goes as Loopy takes it: ``imgstore.tar``, names relative to the store, regular files only,
no end-of-archive blocks. The bytes are the same at every reading as long as the fingerprint is, so
that an upload can go on at any offset after any restart. Frames are compared on the way with the
digests taken when they arrived.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Iterator
from dataclasses import replace

import xxhash

from fieldrec.core.errors import StoreDamaged
from fieldrec.destinations import File
from fieldrec.jobs import manifest
from fieldrec.jobs.source import SLICE_BYTES, Item, Reader, check
from fieldrec.store.tar_layout import Part, TarLayout

STORE_NAME = "imgstore.tar"


class StoreContent:
    """A store as one tar. Its length is told at the end, as Loopy has it."""

    name = STORE_NAME
    deferred = True

    def __init__(self, item: Item, stop: threading.Event) -> None:
        self._files = item.files
        self._layout = TarLayout([
            replace(file, relative=file.path.relative_to(item.path).as_posix())
            for file in item.files])
        self._reader = Reader(item, stop)
        self.total_bytes = self._layout.total_bytes

    def slices(self, begin: int) -> Iterator[memoryview | bytes]:
        """From byte `begin` of the tar. StoreDamaged, Stopped."""
        for piece in self._layout.pieces(begin):
            if isinstance(piece, Part):
                yield from self._rest_of(self._files[piece.number], piece.begin)
            else:
                yield piece

    def _rest_of(self, file: File, begin: int) -> Iterator[memoryview]:
        """A file from `begin` on; all of it is read, for only then its frame can be compared."""
        position = 0
        for data in self._reader.slices(file):
            skip = min(max(begin - position, 0), len(data))
            position += len(data)
            if skip < len(data):
                yield data[skip:]


class FileContent:
    """An export."""

    deferred = False

    def __init__(self, item: Item, stop: threading.Event) -> None:
        self._file, = item.files
        self._stop = stop
        self.name = item.path.name
        self.total_bytes = self._file.size_bytes

    def slices(self, begin: int) -> Iterator[memoryview]:
        """From byte `begin` of the file. StoreDamaged when it cannot be read, or changed since it
        was listed; Stopped."""
        file = self._file
        buffer = memoryview(bytearray(SLICE_BYTES))
        try:
            with file.path.open("rb", buffering=0) as raw:
                raw.seek(begin)
                while count := raw.readinto(buffer):
                    check(self._stop)
                    os.posix_fadvise(raw.fileno(), 0, raw.tell(), os.POSIX_FADV_DONTNEED)
                    yield buffer[:count]
                status = os.fstat(raw.fileno())
        except OSError as error:
            raise StoreDamaged(f"{file.path}: cannot be read: {error.strerror}") from error
        if (status.st_size, status.st_mtime_ns) != (file.size_bytes, file.mtime_ns):
            raise StoreDamaged(f"{file.path} changed while it was uploaded")


def content_of(item: Item, stop: threading.Event) -> StoreContent | FileContent:
    """An item as it is uploaded."""
    return (StoreContent if item.kind == manifest.STORE else FileContent)(item, stop)


def fingerprint(item: Item) -> str:
    """XXH64 over names, sizes and times: another one means that the bytes may be others too."""
    whole = xxhash.xxh64()
    for told in itertools.chain([item.kind, item.path.name], (
            f"{file.relative}\0{file.size_bytes}\0{file.mtime_ns}" for file in item.files)):
        whole.update(told.encode("utf-8", "surrogateescape") + b"\0\0")
    return whole.hexdigest()
