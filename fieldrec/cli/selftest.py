"""`fieldrec selftest`: does this machine write and read every format of store right?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from fieldrec.cli.out import echo
from fieldrec.core.errors import FieldrecError

if TYPE_CHECKING:
    from fieldrec.store.selftest import Missing, Result


class SelftestFailed(FieldrecError):
    """Something read back wrong."""

    exit_code = 1


@click.command("selftest")
@click.option("--directory", type=click.Path(path_type=Path, file_okay=False, exists=True),
              help="Where to write small stores, on the disk to be tested. Default: temporary.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def selftest_command(directory: Path | None, as_json: bool) -> None:
    """Write and read a small store of every format, type and shape, and compare; say what is
    missing on this machine and how to get it. Exit status 0 when all is right, else 1."""
    from fieldrec.cli.long_work import Progress, stopped_by_signals
    from fieldrec.cli.tables import print_json, print_table
    from fieldrec.status import words
    from fieldrec.store.selftest import missing, selftest

    results: list[Result] = []
    with stopped_by_signals("nothing of the test is left") as stop, Progress() as progress:
        for result in selftest(directory, stop):
            results.append(result)
            progress("testing formats", len(results), 0)
    absent = [*missing(), *_no_window()]
    if as_json:
        print_json({"formats": [{"format": r.format, "right": r.right, "tried": r.tried,
                                 "failures": r.failures, "unavailable": r.unavailable}
                                for r in results],
                    "missing": [{"name": part.name, "needed_for": part.needed_for,
                                 "how": part.how} for part in absent]})
    else:
        print_table("", ("format", "result", "tried#", "what"), [_row(r) for r in results])
        for part in absent:
            echo(f"missing: {part.name}, for {part.needed_for}: {part.how}")
    failed = [f"{r.format}: {failure}" for r in results for failure in r.failures]
    if failed:
        raise SelftestFailed("\n".join(failed))
    if not as_json:
        tried = sum(len(r.tried) for r in results)
        echo(f"{words.plural(tried, 'kind')} of store written and read back, all right")


def _row(result: Result) -> list[str]:
    if result.unavailable:
        return [result.format, "not here", "0", result.unavailable]
    return [result.format, "right" if result.right else "WRONG", str(len(result.tried)),
            ", ".join(dict.fromkeys(case.rpartition(" ")[0] or case for case in result.tried))]


def _no_window() -> list[Missing]:
    from fieldrec.cli.window import why_no_window
    from fieldrec.store.selftest import Missing

    why = why_no_window()
    if not why:
        return []
    return [Missing("a window", f"`fieldrec view` ({why})",
                    "the terminal and --sheet show stores all the same")]
