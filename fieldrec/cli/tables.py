"""Tables and lines that commands print; and JSON where it is asked for."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console, RenderableType
from rich.table import Table

from fieldrec.catalogue.exports import in_words
from fieldrec.cli.out import echo
from fieldrec.core.model import Job, Recording
from fieldrec.status import words


def print_json(value: Any) -> None:
    """One JSON document on stdout."""
    echo(json.dumps(value, indent=2, ensure_ascii=False))


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table; columns whose name ends in "#" are figures (right-aligned, name without the "#").
    Wider than the terminal it folds; into a pipe it is as wide as it needs to be."""
    table = Table(title=title or None, title_justify="left", title_style="bold", box=SIMPLE_HEAD)
    for column in columns:
        table.add_column(column.removesuffix("#"), overflow="fold",
                         no_wrap=column == columns[0],  # a name that is cut cannot be copied
                         justify="right" if column.endswith("#") else "left")
    for row in rows:
        table.add_row(*(words.safe_text(cell) for cell in row))
    print_picture(table, width=None if sys.stdout.isatty() else 200)


def print_picture(picture: RenderableType, width: int | None = None) -> None:
    """Something that rich draws, on stdout."""
    drawn = io.StringIO()
    Console(file=drawn, force_terminal=sys.stdout.isatty(), width=width, highlight=False).print(
        picture)
    echo(drawn.getvalue(), nl=False)


def recording_rows(recordings: Iterable[Recording]) -> list[list[str]]:
    """One row each: name, state, frames, dropped, lost, length, size, exports."""
    return [
        [r.name, state_of(r), words.count(r.frame_count), words.count(r.dropped),
         words.count(r.lost), length_of(r), words.size(r.size_bytes) if r.has_raw else "-",
         ", ".join(f"{preset} {words.size(size_bytes)}"
                   + (f" in {words.plural(slices, 'slice')}" if slices else "")
                   for preset, size_bytes, slices in in_words(r.exports)) or "-"]
        for r in recordings
    ]


RECORDING_COLUMNS = ("recording", "state", "frames#", "dropped#", "lost#", "length#", "raw#",
                     "exported")


def state_of(recording: Recording) -> str:
    """The state in a word; says when only exports are left."""
    return recording.state.value if recording.has_raw else "exported, raw deleted"


def length_of(recording: Recording) -> str:
    """Duration from first to last frame."""
    if recording.first_time_ns is None or recording.last_time_ns is None:
        return "-"
    return words.duration((recording.last_time_ns - recording.first_time_ns) / 1e9)


JOB_COLUMNS = ("job#", "what", "state", "done#", "why")


def job_rows(jobs: Iterable[Job]) -> list[list[str]]:
    """One row each: number, what it does, state, percent, reason and what it will come to."""
    return [[str(j.id), words.job_title(j), j.state.value, f"{words.percent_done(j)} %",
             words.why(j)] for j in jobs]


def when(time_ns: int | None) -> str:
    """Epoch nanoseconds as UTC to the millisecond."""
    if time_ns is None:
        return "-"
    moment = datetime.fromtimestamp(time_ns / 1e9, UTC)
    return f"{moment:%Y-%m-%d %H:%M:%S}.{time_ns // 1_000_000 % 1000:03d} UTC"
