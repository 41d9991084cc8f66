"""recovered.json: what recoveries did to a store, kept in the store for whoever reads it later.

Blocking; whoever holds the store's lock. A file beside metadata.yaml, which imgstore does not mind:
a JSON list with one entry per recovery that changed something. An entry is begun on disk before
the first change and marked finished before ``.lock`` goes, so that a recovery that was killed and
run again gives one entry that counts everything.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fieldrec import __version__
from fieldrec.core import durable

NOTE_NAME = "recovered.json"
PROGRAM = f"fieldrec {__version__}"


@dataclass(frozen=True, slots=True)
class Estimate:
    """Which frames of a chunk have numbers or times that nobody measured."""

    chunk: str
    """"000003", as it was called when it was recovered."""
    frames: int
    numbers: str
    """How they were estimated; "" where they are known."""
    times: str


@dataclass(slots=True)
class Entry:
    """One recovery."""

    when_utc: str
    program: str = PROGRAM
    frames_kept: int = 0
    """Frames that the store listed at the end."""
    frames_damaged: int = 0
    """Frames that were begun and are not whole."""
    chunks_repaired: list[str] = field(default_factory=list)
    estimated: list[Estimate] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    begun: dict[str, int] = field(default_factory=dict)
    """Only while unfinished: frames that were logged or begun in each chunk that is repaired."""
    finished: bool = True


def read_entries(root: Path) -> list[Entry]:
    """Every recovery of a store, oldest first; none where there was none. ValueError, OSError."""
    try:
        text = (root / NOTE_NAME).read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    return parse_entries(text)


def parse_entries(text: str) -> list[Entry]:
    """The entries of a recovered.json. ValueError for anything else."""
    try:
        rows = json.loads(text)
        if not isinstance(rows, list):
            raise TypeError("not a list")
        return [_entry(row) for row in rows]
    except (TypeError, ValueError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(f"not a list of recoveries: {error}") from error


def _entry(row: Mapping[str, Any]) -> Entry:
    begun = row.get("unfinished")
    return Entry(
        str(row["when"]), str(row["program"]), int(row["frames_kept"]),
        int(row["frames_damaged"]), [str(name) for name in row["chunks_repaired"]],
        [Estimate(str(one["chunk"]), int(one["frames"]), str(one["numbers"]), str(one["times"]))
         for one in row["estimated"]],
        [str(note) for note in row["notes"]],
        {str(name): int(count) for name, count in (begun or {}).items()}, begun is None)


def entries_text(entries: list[Entry]) -> str:
    """The text of a recovered.json."""
    return json.dumps([_row(entry) for entry in entries], indent=1) + "\n"


def _row(entry: Entry) -> dict[str, Any]:
    row: dict[str, Any] = {
        "when": entry.when_utc, "program": entry.program, "frames_kept": entry.frames_kept,
        "frames_damaged": entry.frames_damaged, "chunks_repaired": entry.chunks_repaired,
        "estimated": [{"chunk": one.chunk, "frames": one.frames, "numbers": one.numbers,
                       "times": one.times} for one in entry.estimated],
        "notes": entry.notes}
    if not entry.finished:
        row["unfinished"] = entry.begun
    return row


class Journal:
    """The entry of the recovery that is going on; nothing is written while nothing changes."""

    def __init__(self, root: Path, now_s: float) -> None:
        """Reads what is there: an unfinished entry goes on, one that cannot be read is put aside
        as recovered.json.broken. OSError."""
        self._path = root / NOTE_NAME
        self._earlier: list[Entry] = []
        self._on_disk = False
        self.entry = Entry(datetime.fromtimestamp(now_s, UTC).isoformat(timespec="seconds"),
                           finished=False)
        try:
            self._earlier = read_entries(root)
        except ValueError as error:
            aside = self._path.with_name(f"{NOTE_NAME}.broken")
            durable.rename(self._path, aside)
            self.say(f"{NOTE_NAME} of earlier recoveries could not be read ({error}) and is now "
                     f"{aside.name}")
        if self._earlier and not self._earlier[-1].finished:
            self.entry = self._earlier.pop()
            self._on_disk = True

    @property
    def changed(self) -> bool:
        """Whether there is something to tell."""
        entry = self.entry
        return bool(entry.chunks_repaired or entry.estimated or entry.notes or entry.begun)

    def say(self, text: str) -> None:
        """Keep one line, once."""
        if text not in self.entry.notes:
            self.entry.notes.append(text)

    def intend(self, chunk: str, begun: int, estimate: Estimate | None = None) -> None:
        """Put on disk, before anything of a chunk is changed, how many frames were begun in it
        and what of them gets into its index as an estimate.

        Of a chunk that an earlier, killed recovery began with, the count it found then stays.
        """
        self.entry.begun.setdefault(chunk, begun)
        if estimate is not None:
            others = [one for one in self.entry.estimated if one.chunk != chunk]
            self.entry.estimated = [*others, estimate]
        self.save()

    def count(self, chunk: str, begun: int) -> None:
        """So many frames were begun, as was found out while the chunk was repaired."""
        self.entry.begun[chunk] = max(begun, self.entry.begun.get(chunk, 0))

    @property
    def unsettled(self) -> list[str]:
        """Chunks that a killed recovery began with and did not get to count."""
        return [name for name in self.entry.begun if name not in self.entry.chunks_repaired]

    def settle(self, chunk: str, kept: int) -> int:
        """A chunk is repaired and has so many frames; return how many of it are damaged."""
        damaged = max(0, self.entry.begun.get(chunk, kept) - kept)
        if chunk not in self.entry.chunks_repaired:
            self.entry.chunks_repaired.append(chunk)
            self.entry.frames_damaged += damaged
        return damaged

    def save(self) -> None:
        """Put the entry on disk as unfinished."""
        self._write(finished=False)

    def finish(self, frames_kept: int) -> None:
        """Put the entry on disk as it stays; nothing when nothing was changed."""
        self.entry.frames_kept = frames_kept
        if self.changed:
            self._write(finished=True)
        elif self._on_disk:
            self._restore()

    def _restore(self) -> None:
        if self._earlier:
            self._put(self._earlier)
        else:
            durable.unlink(self._path, missing_ok=True)

    def _write(self, *, finished: bool) -> None:
        self.entry.finished = finished
        self._put([*self._earlier, self.entry])
        self._on_disk = True

    def _put(self, entries: list[Entry]) -> None:
        durable.write_atomic(self._path, entries_text(entries).encode("ascii"))
