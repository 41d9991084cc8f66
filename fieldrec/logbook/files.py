"""The files of one logbook: appended to, rotated, gone on with after any cut. Blocking.

One thread at a time: that of the logbook. What was synced stays; what a failed write or sync leaves
in doubt is written again, in a new file where the old one cannot be trusted, under the same
numbers, by which readers know it. The first file is never removed: it says how the deployment
began. Each file begins with what it is and with the newest entries of :data:`STANDING` kinds, so
that no rotation loses with which configuration something was recorded.
"""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from fieldrec import __version__
from fieldrec.core import durable
from fieldrec.core.errors import StoreError
from fieldrec.core.notes import Kind
from fieldrec.logbook.lines import FORMAT, Entry, encode
from fieldrec.logbook.reading import FILE_NAME, Tally, entries_of, file_name, files_in, last_entry

STANDING = (Kind.VERSIONS, Kind.CONFIG, Kind.PLACE)
"""Kinds that hold until there is a newer one."""
FILES_IN_ALL = 8
"""A file takes this part of the bound; so much of the record is removed at once."""
LARGEST_FILE = 4 << 20
"""Bytes: the newest file is read at each start."""


@dataclass(frozen=True, slots=True)
class Before:
    """What a logbook held when it was opened."""

    last: Entry | None = None
    """Its last entry; None: it is a new one."""
    standing: dict[str, Entry] = field(default_factory=dict)
    """The newest entries of STANDING kinds."""
    unfinished: frozenset[str] = frozenset()
    """Recordings that began, and of whose finished figures nothing was said."""

    @property
    def in_order(self) -> bool:
        """Whether whoever wrote it ended in order."""
        return self.last is not None and self.last.kind == Kind.STOPPED


class Files:
    """Where entries go."""

    def __init__(self, folder: Path, *, box: str, deployment: str, max_bytes: int) -> None:
        self.folder = folder
        self._box = box
        self._deployment = deployment
        self._max_bytes = max_bytes
        self._file_bytes = min(max_bytes // FILES_IN_ALL, LARGEST_FILE)
        self._book = ""
        self._number = 0
        self._path = folder
        self._descriptor: int | None = None
        self._size = 0
        self._torn = False
        """What is last in the file may be half a line."""
        self._seq = 0
        self._written_seq = 0
        self._newest = Entry(0, 0, 0, "", "", "")
        self._standing: dict[str, bytes] = {}
        self._waiting: list[tuple[int, bytes]] = []
        """Numbered, and not written yet."""
        self._unsynced: list[tuple[int, bytes]] = []

    @property
    def in_doubt(self) -> bool:
        """Whether anything that was taken is not durable yet."""
        return bool(self._waiting or self._unsynced)

    def open(self) -> Before:
        """Find where to go on; makes the folder. OSError, StoreFull, SyncFailed."""
        durable.make_directories(self.folder)
        books = files_in(self.folder)
        if not books:
            self._book = uuid.uuid4().hex[:8]
            return Before()
        self._book, files = max(books.items(), key=lambda book: _last_ns(book[1]))
        self._number = _number(files[-1])
        return self._go_on(files)

    def take(self, entries: Iterable[Entry]) -> None:
        """Number entries; :meth:`write` writes them."""
        for entry in entries:
            self._seq += 1
            line = encode(replace(entry, seq=self._seq))
            self._waiting.append((self._seq, line))
            self._newest = entry
            if entry.kind in STANDING:
                self._standing[entry.kind] = line

    def write(self) -> None:
        """Write what waits; not yet durable. StoreFull, SyncFailed, OSError: it waits on."""
        while self._waiting:
            fit = self._fitting()
            if self._descriptor is None or not fit:
                self._next_file()
                fit = max(self._fitting(), 1)
            lines = self._waiting[:fit]
            data = (b"\n" if self._torn else b"") + b"".join(line for _, line in lines)
            self._torn = True
            durable.write(self._descriptor or 0, [data], self._path, len(data))
            self._torn = False
            self._size += len(data)
            self._written_seq = lines[-1][0]
            self._unsynced += lines
            del self._waiting[:fit]

    def sync(self) -> None:
        """Make what was written durable. StoreFull, SyncFailed: that file is not trusted any more,
        and what was not durable waits again."""
        if not self._unsynced or self._descriptor is None:
            return
        try:
            durable.fsync(self._descriptor, self._path)
        except Exception:
            self._waiting = [*self._unsynced, *self._waiting]
            self._written_seq = self._unsynced[0][0] - 1
            self._unsynced = []
            self.close()
            raise
        self._unsynced.clear()

    def close(self) -> None:
        """Let go of the file. Idempotent; a later write begins a new one."""
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            os.close(descriptor)

    # -- inside ----------------------------------------------------------------------------------

    def _go_on(self, files: list[Path]) -> Before:
        """Go on behind the last whole entry; in the newest file while it has room."""
        tally = Tally()
        last, standing = None, {}
        unfinished: set[str] = set()
        for path in reversed(files):
            for entry in entries_of([path], tally):
                last = entry if last is None or entry.seq > last.seq else last
                if entry.kind in STANDING:
                    standing[entry.kind] = entry
                elif entry.kind == Kind.RECORDING_BEGAN:
                    unfinished.add(entry.word("name"))
                elif entry.kind == Kind.RECORDING:
                    unfinished.discard(entry.word("name"))
            if last is not None:
                break
        self._seq = self._written_seq = 0 if last is None else last.seq
        self._standing = {kind: encode(entry) for kind, entry in standing.items()}
        if not tally.newer_format and not tally.unreadable:
            self._reopen(files[-1])
        return Before(last, standing, frozenset(unfinished))

    def _reopen(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC)
        self._descriptor, self._path = descriptor, path
        self._size = os.fstat(descriptor).st_size
        self._torn = self._size > 0 and os.pread(descriptor, 1, self._size - 1) != b"\n"

    def _fitting(self) -> int:
        """How many of those that wait go into the file that is open."""
        size, count = self._size, 0
        for _, line in self._waiting:
            size += len(line)
            if size > self._file_bytes:
                break
            count += 1
        return count

    def _next_file(self) -> None:
        """Begin a new file, durable with its head before anything goes into it."""
        self.sync()
        self.close()
        path = self._next_path()
        head = b"".join([self._head(), *self._standing_written()])
        descriptor = durable.create(path, append=True)
        try:
            durable.write(descriptor, [head], path, len(head))
            durable.fsync(descriptor, path)
            durable.fsync_directory(self.folder)
        except Exception:
            os.close(descriptor)
            with contextlib.suppress(OSError, StoreError):  # empty or half: nothing is in it
                durable.unlink(path, missing_ok=True)
            raise
        self._descriptor, self._path, self._size, self._torn = descriptor, path, len(head), False
        self._prune()

    def _next_path(self) -> Path:
        """A name that nothing has: a disk that failed may have kept a file that was removed."""
        while True:
            self._number += 1
            path = self.folder / file_name(self._number, self._book)
            if not os.path.lexists(path):
                return path

    def _head(self) -> bytes:
        """Its number is that of the entry before it, so that it takes none away."""
        return encode(replace(self._newest, seq=self._written_seq, kind=Kind.FILE, text="", facts={
            "format": FORMAT, "box": self._box, "deployment": self._deployment,
            "program": f"fieldrec {__version__}"}))

    def _standing_written(self) -> list[bytes]:
        """Those that hold at this point of the record."""
        waiting = {line for _, line in self._waiting}
        return [line for line in self._standing.values() if line not in waiting]

    def _prune(self) -> None:
        """Remove the oldest files but the first, until another file fits into the bound."""
        files = files_in(self.folder).get(self._book, [])
        sizes = {path: path.stat().st_size for path in files}
        for path in files[1:-1]:
            if sum(sizes.values()) + self._file_bytes <= self._max_bytes:
                return
            durable.unlink(path, missing_ok=True)
            del sizes[path]


def _last_ns(files: list[Path]) -> int:
    entry = last_entry(files[-1])
    return 0 if entry is None else entry.time_ns


def _number(path: Path) -> int:
    match = FILE_NAME.match(path.name)
    return int(match[1]) if match is not None else 0
