"""`fieldrec verify`: is what lies there what was recorded? On any computer: no daemon, no
configuration, no network."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fieldrec.cli.out import echo
from fieldrec.cli.verbs import json_option

if TYPE_CHECKING:
    from fieldrec.catalogue.verify import Outcome
    from fieldrec.core.errors import FieldrecError

MOST_LINES = 100
"""Faults of one kind that are told one by one of each recording; --json tells all."""


@click.command("verify")
@click.argument("paths", nargs=-1, required=True, metavar="PATH...",
                type=click.Path(path_type=Path))
@click.option("--write", is_flag=True,
              help="Add a generation to every history: what was verified, failed, or is new.")
@json_option
def verify_command(paths: tuple[Path, ...], write: bool, as_json: bool) -> None:
    """Compare recordings, folders of them, whole drives and exported movies with their ASC MHL
    histories: every byte is read. What has no history is compared with the digests in its own
    indexes and sidecars.

    Exit codes: 0 all right · 22 something is damaged · 24 files are missing · 25 there are files
    that no history knows · 26 a history cannot be relied on · 5 nothing there to verify.
    """
    from fieldrec.catalogue.verify import verify
    from fieldrec.cli.long_work import stopped_by_signals
    from fieldrec.cli.tables import print_json
    from fieldrec.core.clock import SystemClock
    from fieldrec.core.errors import NotFoundError
    from fieldrec.status.words import safe_text

    began_s = time.monotonic()
    outcomes: list[Outcome] = []
    nothing: list[NotFoundError] = []
    left = "generations written until then stay" if write else "nothing was changed"
    with stopped_by_signals(left) as stop, _Bytes(stop.is_set) as progress:
        for path in paths:
            try:
                for outcome in verify(path, progress.more, write=SystemClock() if write else None):
                    outcomes.append(outcome)
                    if not as_json:
                        progress.clear()
                        for line in lines(outcome):
                            echo(line)
            except NotFoundError as error:
                nothing.append(error)
    if as_json:
        print_json([dataclasses.asdict(one) | {"right": one.is_right} for one in outcomes])
    elif outcomes:
        echo(summary(outcomes, time.monotonic() - began_s))
    faults = [one for one in (fault_of(outcomes), *nothing) if one is not None]
    for fault in faults[1:]:
        click.echo(safe_text(str(fault), 500), err=True)
    if faults:
        raise faults[0]


def lines(outcome: Outcome) -> Iterable[str]:
    """What is said of one recording: a line; one more for each fault."""
    from fieldrec.catalogue.verify import HISTORY
    from fieldrec.record.storage import size_text
    from fieldrec.status.words import plural, safe_text

    size = f", {size_text(outcome.read_bytes)}" if outcome.read_bytes else ""
    if outcome.checked_by == HISTORY:
        by = (f"{plural(outcome.files, 'file')}{size}, "
              f"{plural(outcome.generations, 'generation')}")
    else:
        by = f"no history: compared with its own digests{size}"
    counts = [f"{len(found)} {word}" for found, word in (
        (outcome.damaged, "damaged"), (outcome.missing, "missing"), (outcome.extra, "extra"))
        if found]
    if outcome.broken:
        counts.append("its history cannot be relied on")
    yield f"{safe_text(outcome.path, 500)}: {', '.join(counts).upper() or 'right'} ({by})"
    if outcome.broken:
        yield f"  {safe_text(outcome.broken, 500)}"
    told = ([f"damaged: {one.path}: {one.why}" for one in outcome.damaged],
            [f"missing: {one}" for one in outcome.missing],
            [f"extra: {one.path}: {one.why}" for one in outcome.extra],
            [f"note: {one}" for one in outcome.notes],
            [f"written: {outcome.written}"] if outcome.written else [])
    for some in told:
        yield from (f"  {safe_text(one, 1000)}" for one in some[:MOST_LINES])
        if len(some) > MOST_LINES:
            yield f"  … and {len(some) - MOST_LINES} more (--json tells all)"


def summary(outcomes: Iterable[Outcome], passed_s: float) -> str:
    """The last line."""
    from fieldrec.record.storage import size_text
    from fieldrec.status.words import plural

    all_of_them = list(outcomes)
    wrong = sum(not one.is_right for one in all_of_them)
    size = sum(one.read_bytes for one in all_of_them)
    state = f"{wrong} not right" if wrong else "all right"
    return (f"{plural(len(all_of_them), 'place')}: {state}; {size_text(size)} compared in "
            f"{passed_s:.1f} s")


def fault_of(outcomes: Iterable[Outcome]) -> FieldrecError | None:
    """The error whose exit code says the worst that was found; None when all is right."""
    from fieldrec.core.errors import FilesExtra, FilesMissing, HistoryDamaged, StoreDamaged

    all_of_them = list(outcomes)
    damaged = sum(len(one.damaged) for one in all_of_them)
    missing = sum(len(one.missing) for one in all_of_them)
    broken = sum(bool(one.broken) for one in all_of_them)
    extra = sum(len(one.extra) for one in all_of_them)
    words = ", ".join(f"{count} {word}" for count, word in (
        (damaged, "damaged"), (missing, "missing"), (broken, "with a damaged history"),
        (extra, "extra")) if count)
    for count, kind in ((damaged, StoreDamaged), (missing, FilesMissing),
                        (broken, HistoryDamaged), (extra, FilesExtra)):
        if count:
            return kind(f"not all is as it was recorded: {words}")
    return None


class _Bytes:
    """Bytes that were read, on a terminal; ends the work when it should stop."""

    def __init__(self, is_stopped: Callable[[], bool]) -> None:
        from fieldrec.cli.long_work import Progress

        self._is_stopped = is_stopped
        self._progress = Progress("MB")
        self._read_bytes = 0

    def __enter__(self) -> _Bytes:
        self._progress.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.clear()

    def more(self, count: int) -> None:
        from fieldrec.cli.long_work import Interrupted

        if self._is_stopped():
            raise Interrupted("interrupted")
        self._read_bytes += count
        self._progress.say("verifying", self._read_bytes // 1_000_000, 0)

    def clear(self) -> None:
        self._progress.clear()
