"""`fieldrec energy`: what recording and jobs have used, from the box's book. Only looks."""

from __future__ import annotations

from typing import Any

import click

from fieldrec.cli.out import echo
from fieldrec.cli.where import Where, where_options


@click.command("energy")
@where_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def energy_command(where: Where, as_json: bool) -> None:
    """What an hour of recording, an hour of each kind of job and a GB copied cost: Wh where the
    battery told its power, processor time always."""
    from fieldrec.core.folder import PRIVATE_NAME
    from fieldrec.jobs.book_rows import BOOKS_NAME, look

    folders = where.folders()
    books = look(folders[0] / PRIVATE_NAME / BOOKS_NAME)
    figures = _figures(books.entries)
    if as_json:
        import dataclasses

        from fieldrec.cli.tables import print_json

        print_json({"idle_mw": books.idle_mw or None, "idle_watched_s": books.idle_s,
                    "figures": [dataclasses.asdict(one) for one in figures]})
    elif figures or books.idle_s:
        _print(books, figures)
    else:
        echo(f"nothing was booked yet in {folders[0]}")


def _figures(entries: Any) -> list[Any]:
    """One for each kind and label, recording first."""
    from fieldrec.jobs.energy_figures import RECORDING, figure_of

    kinds = sorted({(entry.kind != RECORDING, entry.kind, entry.label) for entry in entries})
    found = (figure_of(entries, kind, label) for _, kind, label in kinds)
    return [figure for figure in found if figure is not None]


def _print(books: Any, figures: list[Any]) -> None:
    from fieldrec.cli.tables import print_table
    from fieldrec.status import words

    rows = [[one.kind, one.label or "-", str(one.entries), words.duration(one.hours * 3600),
             _watts(one.own_mw), _watts(one.whole_mw), words.duration(one.cpu_s_per_hour),
             words.size(one.bytes_per_hour) if one.bytes_per_hour else "-",
             "-" if one.mwh_per_gb is None else words.watt_hours(one.mwh_per_gb),
             "-" if one.cpu_s_per_gb is None else words.duration(one.cpu_s_per_gb)]
            for one in figures]
    print_table("", ("what", "with", "entries#", "in all#", "Wh/h above idling#", "with idling#",
                     "processor/h#", "bytes/h#", "per GB#", "processor/GB#"), rows)
    if books.idle_s:
        echo(f"idling: {books.idle_mw / 1000:.2f} W, watched on battery for "
             f"{words.duration(books.idle_s)}")
    else:
        echo("idling: not known, the box was not watched on a battery that tells its power")


def _watts(milliwatts: float | None) -> str:
    return "-" if milliwatts is None else f"{milliwatts / 1000:.2f}"
