"""What a deployment came to, made of its logbooks, for whoever writes a report: the command, and a
drive's visit. Blocking; nothing is written."""

from __future__ import annotations

import contextlib
import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

import yaml

from fieldrec import __version__
from fieldrec.core.errors import StoreError
from fieldrec.core.model import Recording
from fieldrec.core.notes import Kind
from fieldrec.logbook import page
from fieldrec.logbook import text as plain
from fieldrec.logbook.drawing import Drawing
from fieldrec.logbook.reading import Found, Tally, entries_in, landmarks
from fieldrec.logbook.record import Record
from fieldrec.schedule.place import Place
from fieldrec.schedule.window import Window

MOST_NIGHTS = 800
NIGHT = "from sunset to sunrise"
OnDisk = Callable[[Record], Sequence[Recording]]
"""Recordings of a record's time that lie where they can be looked at: they know best."""


@dataclass(frozen=True)
class Known:
    """What the logbook says about how its entries are to be read."""

    zone_name: str
    place: tuple[float, float] | None
    steps: list[tuple[str, int, int]]


@dataclass(frozen=True)
class Reported:
    """A record with all that its pages need."""

    record: Record
    tally: Tally
    known: Known

    def html(self, zone: tzinfo, lies: Sequence[str] = ()) -> str:
        """The page; `lies`: what lies where, a line each."""
        return page.render(self.record, self.tally, zone, lies=lies, nights=nights_of(
            self.record, self.known, zone), made_by=f"fieldrec {__version__}")

    def text(self, zone: tzinfo, lies: Sequence[str] = ()) -> str:
        """The same as plain text."""
        return plain.render(self.record, self.tally, zone, lies)


def report_of(books: Sequence[Found], from_ns: int | None = None, until_ns: int | None = None,
              on_disk: OnDisk = lambda _record: ()) -> Reported:
    """The record in the logbooks of one deployment of one box (one for each disk that was its first
    for a while). StoreError when they cannot be read."""
    known, tally = known_of(books), Tally()
    return Reported(_record(books, known, tally, from_ns, until_ns, on_disk), tally, known)


def known_of(books: Sequence[Found]) -> Known:
    """What they say about how their entries are to be read."""
    zone_name, place = "UTC", None
    steps: dict[tuple[str, int], int] = {}
    for book in books:
        try:
            for entry in landmarks(book.folder):
                if entry.kind == Kind.CLOCK_STEP:
                    moved_s = entry.number("moved_s") or 0.0
                    steps[entry.boot_id, entry.boottime_ns] = round(moved_s * 1e9)
                elif entry.kind == Kind.CONFIG:
                    zone_name, place = _of_config(entry.word("yaml"))
        except OSError as error:
            raise StoreError(f"{book.folder}: {error.strerror}") from error
    return Known(zone_name, place, [(boot, at, moved) for (boot, at), moved in steps.items()])


def _of_config(text: str) -> tuple[str, tuple[float, float] | None]:
    """Zone and place of a configuration; what cannot be understood is not known."""
    try:
        values = yaml.safe_load(text)
        zone_name = str(values["system"]["timezone"])
    except (yaml.YAMLError, KeyError, TypeError):
        return "UTC", None
    with contextlib.suppress(KeyError, TypeError, ValueError):
        location = values["schedule"]["location"]
        return zone_name, (float(location["latitude"]), float(location["longitude"]))
    return zone_name, None


def _record(books: Sequence[Found], known: Known, tally: Tally, from_ns: int | None,
            until_ns: int | None, on_disk: OnDisk) -> Record:
    drawing = Drawing(from_ns=from_ns, until_ns=until_ns, steps=known.steps)
    try:
        streams = [entries_in(book.folder, tally) for book in books]
        entries = streams[0] if len(streams) == 1 else heapq.merge(
            *streams, key=lambda entry: entry.time_ns)
        for entry in entries:
            drawing.take(entry)
    except OSError as error:
        raise StoreError(f"{error.filename}: {error.strerror}") from error
    drawing.record.box, drawing.record.deployment = books[0].box, books[0].deployment
    return drawing.done(on_disk(drawing.record))


def nights_of(record: Record, known: Known, zone: tzinfo) -> list[tuple[int, int]]:
    """When the sun was below the horizon, where the place is known."""
    at = record.place or known.place
    if at is None or not isinstance(zone, ZoneInfo):
        return []
    begin = _moment(record.from_ns)
    end = _moment(record.until_ns)
    if begin is None or end is None or end - begin > timedelta(days=MOST_NIGHTS):
        return []
    spans = Window.parse(NIGHT).spans(begin, end, zone, Place(*at))
    return [(round(span.begins.timestamp() * 1e9), round(span.ends.timestamp() * 1e9))
            for span in spans]


def _moment(time_ns: int) -> datetime | None:
    with contextlib.suppress(ValueError, OverflowError, OSError):
        return datetime.fromtimestamp(time_ns / 1e9, UTC)
    return None


