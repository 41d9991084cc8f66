"""`fieldrec report`: what a deployment came to. `fieldrec deployment`: begin another one.

The report is made of the logbook, on the box (with or without a daemon) or of the copy on a drive,
on any computer. Nothing is written but the report.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fieldrec import __version__
from fieldrec.cli.out import echo
from fieldrec.cli.where import Where, expanded, where_options
from fieldrec.core.errors import NotFoundError, StoreError, UsageError

if TYPE_CHECKING:
    from fieldrec.core.model import Recording
    from fieldrec.logbook.reading import Found, Tally
    from fieldrec.logbook.record import Record

MOST_NIGHTS = 800
NIGHT = "from sunset to sunrise"


@dataclass(frozen=True)
class _Known:
    """What the logbook says about how its entries are to be read."""

    zone_name: str
    place: tuple[float, float] | None
    steps: list[tuple[str, int, int]]


@click.command("report")
@where_options
@click.option("--from", "from_text", metavar="TIME", help="Leave out what was before, e.g. "
              "2026-05-01 or \"2026-05-01 06:00\".")
@click.option("--to", "to_text", metavar="TIME", help="Leave out what came after.")
@click.option("--format", "form", type=click.Choice(["text", "csv", "html"]), default=None,
              help="Default: by the name of OUT, else text.")
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="OUT",
              help="File for text and html; folder for csv. Default: stdout.")
@click.option("--replace", is_flag=True, help="Write over a report that is there.")
@click.option("--deployment", metavar="NAME", help="Which one; default: the last.")
@click.option("--timezone", metavar="ZONE", help="Of the times that are shown; default: the box's.")
@click.option("--list", "only_list", is_flag=True, help="List the deployments that are there.")
@click.argument("path", type=click.Path(path_type=Path), required=False)
def report_command(where: Where, from_text: str | None, to_text: str | None, form: str | None,
                   output: Path | None, replace: bool, deployment: str | None,
                   timezone: str | None, only_list: bool, path: Path | None) -> None:
    """What a deployment came to: hours recorded, gaps with causes, frames dropped and lost, power,
    drives, events. PATH: a recordings folder, a drive, a destination, or a logbook in one of
    them; default: this box's."""
    from fieldrec.logbook.reading import Tally

    found = _found(where, path)
    if only_list:
        for one in found:
            echo(f"{one.deployment}  box {one.box}  last entry {_when(one.last_ns)}  {one.folder}")
        return
    form = form or {".html": "html", ".htm": "html", ".csv": "csv"}.get(
        output.suffix.lower() if output else "", "text")
    books = _chosen(found, deployment)
    known = _known(books)
    zone = _zone(known.zone_name) if timezone is None else _zone_asked(timezone)
    tally = Tally()
    record = _record(books, known, tally, _time(from_text, zone, "--from"),
                     _time(to_text, zone, "--to"))
    if form == "csv":
        _write_csv(record, output, replace)
        return
    lies = list(_what_lies(books))
    if form == "html":
        from fieldrec.logbook import page

        text = page.render(record, tally, zone, lies=lies, nights=_nights(record, known, zone),
                           made_by=f"fieldrec {__version__}")
    else:
        from fieldrec.logbook import text as plain

        text = plain.render(record, tally, zone, lies)
    _write(text, output, replace)


@click.command("deployment")
@where_options
@click.argument("name", required=False)
def deployment_command(where: Where, name: str | None) -> None:
    """Begin deployment NAME: what happens from now on goes into a record of its own. Without NAME:
    say which one it is."""
    from fieldrec.cli.link import find_owner, run
    from fieldrec.logbook.deployments import check_deployment

    config, folder = where.load(), where.folder()
    if name is None:
        echo(_current(config, folder))
        return
    check_deployment(name)

    async def ask() -> bool:
        owner = await find_owner(*where.folders())
        if owner is None:
            return False
        await owner.call("begin_deployment", name=name)
        return True

    if not run(ask):
        _begin_here(config, folder, name)
    echo(f"deployment {name}")


# -- which logbook -----------------------------------------------------------------------------


def _found(where: Where, path: Path | None) -> list[Found]:
    """Every logbook in the places that are meant, the newest first; NotFoundError for none."""
    from fieldrec.logbook.reading import find

    if path is not None:
        path = expanded(path)
        if not path.exists():
            raise NotFoundError(f"{path}: no such folder")
        places: Sequence[Path] = (path.parent if path.is_file() else path,)
    else:
        places = where.folders()
    try:
        found = [one for place in places for one in find(place)]
    except OSError as error:
        raise StoreError(f"{error.filename}: {error.strerror}") from error
    if not found:
        raise NotFoundError(f"no deployment record in {', '.join(str(p) for p in places)}; it is "
                            "in .fieldrec/logbook of a recordings folder, or in logbook on a drive")
    return sorted(found, key=lambda one: -one.last_ns)


def _chosen(found: Sequence[Found], deployment: str | None) -> list[Found]:
    """The logbooks of one deployment of one box: one for each disk that was its first for a
    while."""
    first = next((one for one in found if deployment in (None, one.deployment)), None)
    if first is None:
        names = ", ".join(sorted({one.deployment for one in found}))
        raise NotFoundError(f"no deployment {deployment!r} here; there is: {names}")
    return [one for one in found
            if (one.box, one.deployment) == (first.box, first.deployment)]


def _known(books: Sequence[Found]) -> _Known:
    from fieldrec.core.notes import Kind
    from fieldrec.logbook.reading import landmarks

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
    return _Known(zone_name, place, [(boot, at, moved) for (boot, at), moved in steps.items()])


def _of_config(text: str) -> tuple[str, tuple[float, float] | None]:
    """Zone and place of a configuration; what cannot be understood is not known."""
    import yaml

    try:
        values = yaml.safe_load(text)
        zone_name = str(values["system"]["timezone"])
    except (yaml.YAMLError, KeyError, TypeError):
        return "UTC", None
    with contextlib.suppress(KeyError, TypeError, ValueError):
        location = values["schedule"]["location"]
        return zone_name, (float(location["latitude"]), float(location["longitude"]))
    return zone_name, None


def _record(books: Sequence[Found], known: _Known, tally: Tally, from_ns: int | None,
            until_ns: int | None) -> Record:
    import heapq

    from fieldrec.logbook.drawing import Drawing
    from fieldrec.logbook.reading import entries_in

    if from_ns is not None and until_ns is not None and until_ns <= from_ns:
        raise UsageError("--to is not after --from")
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
    return drawing.done(_on_disk(books, drawing.record))


# -- what is on disk -----------------------------------------------------------------------------


def _on_disk(books: Sequence[Found], record: Record) -> list[Recording]:
    """Recordings that lie beside the box's own logbook, of its time: they know best."""
    recordings = [one for book in books if (top := _top(book)) is not None and _is_own(book)
                  for one in _scan(top)]
    return [one for one in recordings if one.first_time_ns is not None and one.has_raw
            and record.from_ns <= one.first_time_ns <= record.until_ns]


def _top(book: Found) -> Path | None:
    """The folder whose record it is: …/.fieldrec/logbook/NAME, or …/logbook/BOX/NAME."""
    parents = book.folder.resolve().parents
    if len(parents) < 4:
        return None
    return parents[2] if _is_own(book) else parents[1].parent


def _is_own(book: Found) -> bool:
    from fieldrec.core.folder import PRIVATE_NAME

    return book.folder.resolve().parents[1].name == PRIVATE_NAME


def _scan(folder: Path) -> Sequence[Recording]:
    from fieldrec.catalogue.scan import scan
    from fieldrec.core.errors import FieldrecError

    try:
        return tuple(scan(folder))
    except (FieldrecError, OSError):
        return ()


def _what_lies(books: Sequence[Found]) -> Iterator[str]:
    from fieldrec.logbook.summary import size
    from fieldrec.status.words import plural

    for top in sorted({top for book in books if (top := _top(book)) is not None}):
        recordings = _scan(top)
        raw = [one for one in recordings if one.has_raw]
        exports = [export for one in recordings for export in one.exports]
        yield (f"{top}: {plural(len(raw), 'recording')}, "
               f"{size(sum(one.size_bytes for one in raw))}; "
               f"{plural(len(exports), 'export')}, "
               f"{size(sum(one.size_bytes for one in exports))}")


def _nights(record: Record, known: _Known, zone: tzinfo) -> list[tuple[int, int]]:
    """When the sun was below the horizon, where the place is known."""
    from zoneinfo import ZoneInfo

    from fieldrec.schedule.place import Place
    from fieldrec.schedule.window import Window

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


# -- times -----------------------------------------------------------------------------------------


def _zone(name: str) -> tzinfo:
    """UTC where this machine does not know the zone."""
    from fieldrec.cli.local_time import zone

    return zone(name)


def _zone_asked(name: str) -> tzinfo:
    from fieldrec.store.created import zone_of

    zone = zone_of(name)
    if zone is None:
        raise UsageError(f"--timezone {name}: expected an IANA zone such as Europe/Vienna")
    return zone


def _time(text: str | None, zone: tzinfo, option: str) -> int | None:
    """Epoch nanoseconds of a time as people write it, in the box's zone."""
    if text is None:
        return None
    with contextlib.suppress(ValueError):
        moment = datetime.fromisoformat(text.strip())
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=zone)
        return round(moment.timestamp() * 1e9)
    raise UsageError(f"{option} {text}: expected a time such as 2026-05-01 or \"2026-05-01 06:00\"")


def _moment(time_ns: int) -> datetime | None:
    with contextlib.suppress(ValueError, OverflowError, OSError):
        return datetime.fromtimestamp(time_ns / 1e9, UTC)
    return None


def _when(time_ns: int) -> str:
    from fieldrec.logbook.lines import utc_text

    return utc_text(time_ns) if time_ns else "never"


# -- writing ---------------------------------------------------------------------------------------


def _write_csv(record: Record, output: Path | None, replace: bool) -> None:
    from fieldrec.logbook.table import gaps_csv, recordings_csv

    recordings, gaps = recordings_csv(record), gaps_csv(record)
    if output is None:
        echo(recordings)
        echo(gaps, nl=False)
        return
    folder = expanded(output)
    if folder.suffix.lower() == ".csv":
        names = (folder, folder.with_name(f"{folder.stem}-gaps.csv"))
    else:
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise StoreError(f"{folder}: {error.strerror}") from error
        names = (folder / "recordings.csv", folder / "gaps.csv")
    for path, text in zip(names, (recordings, gaps), strict=True):
        _write(text, path, replace)


def _write(text: str, output: Path | None, replace: bool) -> None:
    """To stdout, or to a file that appears when it is whole."""
    from fieldrec.core import durable

    if output is None:
        echo(text, nl=False)
        return
    path = expanded(output)
    if path.exists() and not replace:
        raise StoreError(f"{path}: exists already; name another, or say --replace")
    try:
        durable.write_atomic(path, text.encode(errors="replace"))
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}") from error
    echo(f"{path}")


# -- deployments -----------------------------------------------------------------------------------


def _current(config: Any, folder: Path) -> str:
    from fieldrec.core.folder import PRIVATE_NAME
    from fieldrec.logbook.deployments import look
    from fieldrec.logbook.reading import FOLDER_NAME

    return look(folder / PRIVATE_NAME / FOLDER_NAME, config.system.deployment)


def _begin_here(config: Any, folder: Path, name: str) -> None:
    from fieldrec.core.folder import FolderLock
    from fieldrec.logbook.deployments import begin
    from fieldrec.logbook.reading import FOLDER_NAME

    lock = FolderLock(folder)
    try:
        begin(lock.private / FOLDER_NAME, name, config.system.deployment)
    except OSError as error:
        raise StoreError(f"{folder}: {error.strerror}") from error
    finally:
        lock.release()
