"""What is written at the top of a drive, beside our folder, before it is ejected: README.txt and
the report of the deployment. Blocking; a thread of whoever ejects.

Each file takes its place in one step (destinations: put_beside). A README that is not ours is never
replaced. What cannot be written is said; the drive is ejected all the same.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from fieldrec.core.errors import FieldrecError
from fieldrec.core.model import Recording
from fieldrec.destinations import Destination
from fieldrec.logbook.reading import Found, find
from fieldrec.status import drive_readme
from fieldrec.status.deployment_report import Reported, report_of
from fieldrec.status.drive_readme import FIRST_LINE, NAMES, Row

LIMIT_BYTES = 8 * 1024 * 1024
"""A longer README was made by somebody else."""
REPORT = "fieldrec-report"
"""Of the report's files: ``fieldrec-report-BOX.html``, ``….txt``."""


@dataclass(frozen=True, slots=True)
class About:
    """What is the same for every drive."""

    box: str
    folder: str
    """On the drive, in which everything lies."""
    timezone: str
    logbooks: Path | None
    """The private folder that holds them; None where none is kept."""


def write_top(top: Destination, items: Sequence[str], about: About,
              recordings: Iterable[Recording], brought: Iterable[str], now_ns: int,
              say: Callable[[str], None]) -> None:
    """Write both to `top`, the drive's uppermost folder; `items` lie in our folder, `brought` are
    names of recordings that jobs were to bring there. What is wrong is said."""
    zone = ZoneInfo(about.timezone)
    told = _reports(about, say)
    latest = told[0] if told else None
    report = ""
    if latest is not None:
        report = f"{REPORT}-{about.box}.html"
        _bring(top, report, latest.html(zone).encode(errors="replace"), say)
        _bring(top, f"{REPORT}-{about.box}.txt", latest.text(zone).encode(errors="replace"), say)
    rows, others = drive_readme.rows_of(items, _known(told, recordings, brought))
    data = drive_readme.text(
        box=about.box, deployment=latest.record.deployment if latest else "-",
        folder=about.folder, rows=rows, others=len(others), report=report, zone=zone,
        now=datetime.fromtimestamp(now_ns / 1e9, UTC))
    name = readme_name(top)
    if name is None:
        say(f"{' and '.join(NAMES)} on it are somebody else's: none was written")
    else:
        _bring(top, name, data, say)


def has_readme(top: Destination) -> bool:
    """Whether a README of ours is there."""
    return any((there := top.beside(name, LIMIT_BYTES)) is not None
               and there.startswith(FIRST_LINE.encode()) for name in NAMES)


def readme_name(top: Destination) -> str | None:
    """The first name that nothing has, or that a README of ours has; None for none."""
    for name in NAMES:
        there = top.beside(name, LIMIT_BYTES)
        if there is not None and there.startswith(FIRST_LINE.encode()):
            return name
        if there is None and not top.taken(name):
            return name
    return None


def _bring(top: Destination, name: str, data: bytes, say: Callable[[str], None]) -> None:
    try:
        top.put_beside(name, data)
    except FieldrecError as error:
        say(f"{name} was not written: {error}")


def _reports(about: About, say: Callable[[str], None]) -> list[Reported]:
    """Of every deployment of this box, the latest first."""
    if about.logbooks is None:
        return []
    found: dict[str, list[Found]] = {}
    with contextlib.suppress(OSError):
        for one in sorted(find(about.logbooks), key=lambda one: -one.last_ns):
            found.setdefault(one.deployment, []).append(one)
    told = []
    for books in found.values():
        try:
            told.append(report_of(books))
        except FieldrecError as error:
            say(f"the report of {books[0].deployment} could not be made: {error}")
    return told


def _known(told: Sequence[Reported], recordings: Iterable[Recording], brought: Iterable[str]
           ) -> dict[str, Row]:
    """Every recording that this box knows of, also those that were moved away; of those that only
    jobs tell of, the name."""
    known = {name: Row(name, "", None, None, None, 0, 0, ()) for name in brought}
    known |= {one.name: Row(one.name, one.camera, one.from_ns, one.until_ns, one.frames,
                           one.dropped, one.lost, ())
             for each in reversed(told) for one in each.record.recordings}
    known.update({one.name: Row(one.name, one.camera_serial, one.first_time_ns, one.last_time_ns,
                                one.frame_count, one.dropped, one.lost, ())
                  for one in recordings})
    return known
