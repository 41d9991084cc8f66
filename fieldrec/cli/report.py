"""`fieldrec report`: what a deployment came to. `fieldrec deployment`: begin another one.

The report is made of the logbook, on the box (with or without a daemon) or of the copy on a drive,
on any computer. Nothing is written but the report.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from datetime import datetime, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fieldrec.cli.out import echo
from fieldrec.cli.where import Where, expanded, where_options
from fieldrec.core.errors import NotFoundError, StoreError, UsageError

if TYPE_CHECKING:
    from fieldrec.core.model import Recording
    from fieldrec.logbook.reading import Found
    from fieldrec.logbook.record import Record

MOST_NIGHTS = 800
NIGHT = "from sunset to sunrise"


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
    found = _found(where, path)
    if only_list:
        for one in found:
            echo(f"{one.deployment}  box {one.box}  last entry {_when(one.last_ns)}  {one.folder}")
        return
    form = form or {".html": "html", ".htm": "html", ".csv": "csv"}.get(
        output.suffix.lower() if output else "", "text")
    books = _chosen(found, deployment)
    from fieldrec.status.deployment_report import known_of, report_of

    zone = _zone(known_of(books).zone_name) if timezone is None else _zone_asked(timezone)
    from_ns, until_ns = _time(from_text, zone, "--from"), _time(to_text, zone, "--to")
    if from_ns is not None and until_ns is not None and until_ns <= from_ns:
        raise UsageError("--to is not after --from")
    told = report_of(books, from_ns, until_ns, lambda record: _on_disk(books, record))
    if form == "csv":
        _write_csv(told.record, output, replace)
        return
    lies = list(_what_lies(books))
    text = told.html(zone, lies) if form == "html" else told.text(zone, lies)
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
