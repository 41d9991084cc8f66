"""Reading a logbook, also one that was torn, damaged, or written by another version. Blocking.

What cannot be understood is skipped and counted, never guessed. Memory does not grow with the
length of a logbook. Entries come in the order in which they were written; what a new file repeats
from those before it, or was written a second time after a failed sync, comes once.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fieldrec.core.notes import Kind
from fieldrec.logbook.lines import FORMAT, LONGEST_LINE, Entry, decode

FILE_NAME = re.compile(r"([0-9]{6,9})-([0-9a-f]{8})\.jsonl\Z")
"""Number and book: two books of one deployment (its first disk was away for a while) may lie in one
folder."""
FOLDER_NAME = "logbook"


@dataclass(slots=True)
class Tally:
    """What a reading met."""

    lines: int = 0
    damaged: int = 0
    """Lines that were skipped: torn by a power cut, or changed since they were written."""
    missing: int = 0
    """Entries that are not there, by their numbers: rotated away, or in damaged lines."""
    newer_format: int = 0
    """Format of a file by a later fieldrec; 0 when there was none."""
    unreadable: list[str] = field(default_factory=list)
    """Files that could not be opened or read to their end, and why."""


@dataclass(frozen=True, slots=True)
class Found:
    """The logbook of one deployment of one box."""

    folder: Path
    box: str
    deployment: str
    last_ns: int
    """Epoch of its last entry; 0 when it has none."""


def file_name(number: int, book: str) -> str:
    """Name of a logbook's file."""
    return f"{number:06d}-{book}.jsonl"


def files_in(folder: Path) -> dict[str, list[Path]]:
    """The files of each book in a folder, in their order. OSError."""
    books: dict[str, list[tuple[int, Path]]] = {}
    for path in folder.iterdir():
        match = FILE_NAME.match(path.name)
        if match is not None and path.is_file() and not path.is_symlink():
            books.setdefault(match[2], []).append((int(match[1]), path))
    return {book: [path for _, path in sorted(files)] for book, files in sorted(books.items())}


def entries_of(files: Sequence[Path], tally: Tally) -> Iterator[Entry]:
    """All entries of one book, once each, in their order."""
    last = 0
    for path in files:
        for entry in _entries(path, tally):
            if entry.kind == Kind.FILE:
                form = entry.whole("format") or 0
                tally.newer_format = max(tally.newer_format, form if form > FORMAT else 0)
                continue
            if entry.seq <= last:
                continue
            tally.missing += entry.seq - last - 1
            last = entry.seq
            yield entry


def entries_in(folder: Path, tally: Tally) -> Iterator[Entry]:
    """All entries of a folder; of several books by their time."""
    books = [entries_of(files, tally) for files in files_in(folder).values()]
    if len(books) == 1:
        return books[0]
    return heapq.merge(*books, key=lambda entry: entry.time_ns)


def landmarks(folder: Path) -> Iterator[Entry]:
    """Entries that say how all others are to be read: steps of the clock, configurations. OSError.
    Looks at every line, and takes apart only these."""
    marks = (b'"kind":"clock_step"', b'"kind":"config"')
    for files in files_in(folder).values():
        for path in files:
            with path.open("rb") as file:
                while line := file.readline(LONGEST_LINE + 1):
                    if any(mark in line for mark in marks) and (entry := decode(line)) is not None:
                        yield entry


def last_entry(path: Path) -> Entry | None:
    """The last whole entry of a file; None when there is none. Reads its end only. OSError."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(size - 2 * LONGEST_LINE, 0))
        for line in reversed(file.read().split(b"\n")):
            entry = decode(line)
            if entry is not None:
                return entry
    return None


def find(path: Path) -> list[Found]:
    """Every logbook below a recordings folder, a drive, a destination or a logbook's own folder;
    the one that was written last comes first."""
    found = {folder.resolve(): one for folder in _candidates(path)
             if (one := _found(folder)) is not None}
    return sorted(found.values(), key=lambda one: (-one.last_ns, one.box, one.deployment))


def _candidates(path: Path) -> Iterator[Path]:
    yield path
    for top in ("", ".fieldrec", "*"):  # a drive has its recordings in a folder of their own
        for tree in (f"{FOLDER_NAME}/*", f"{FOLDER_NAME}/*/*"):
            yield from sorted(path.glob(f"{top}/{tree}" if top else tree))
    if FOLDER_NAME in path.parts[-2:]:
        yield from sorted(path.glob("*"))
        yield from sorted(path.glob("*/*"))


def _found(folder: Path) -> Found | None:
    """The logbook in a folder; None when there is none."""
    try:
        if not folder.is_dir():
            return None
        files = [path for book in files_in(folder).values() for path in book]
    except OSError:
        return None
    if not files:
        return None
    head = next(_entries(files[0], Tally()), None)
    lasts = [entry.time_ns for path in files[-3:] if (entry := _last_or_none(path)) is not None]
    box, deployment = ("", "") if head is None else (head.word("box"), head.word("deployment"))
    return Found(folder, box, deployment or folder.name, max(lasts, default=0))


def _last_or_none(path: Path) -> Entry | None:
    try:
        return last_entry(path)
    except OSError:
        return None


def _entries(path: Path, tally: Tally) -> Iterator[Entry]:
    """The whole lines of one file."""
    try:
        with path.open("rb") as file:
            while line := file.readline(LONGEST_LINE + 1):
                if line == b"\n":
                    continue  # put there after a torn line
                tally.lines += 1
                if not line.endswith(b"\n"):
                    _skip_line(file.readline, line)
                entry = decode(line)
                if entry is None:
                    tally.damaged += 1
                else:
                    yield entry
    except OSError as error:
        tally.unreadable.append(f"{path}: {error.strerror}")


def _skip_line(readline: object, line: bytes) -> None:
    """Read on to the end of a line that is longer than any of ours."""
    while callable(readline) and line and not line.endswith(b"\n"):
        line = readline(LONGEST_LINE + 1)
