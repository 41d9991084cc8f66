"""`fieldrec copy-all`, `move-all`, `export-all`: everything, or some of it, to one place.

On the process that owns the folder, else right here. What will be done, and whether it fits, is
said first; `--dry-run` leaves it at that.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import click

from fieldrec.cli.out import echo
from fieldrec.cli.verbs import destination_named, json_option, no_wait_option
from fieldrec.cli.where import Where, where_options
from fieldrec.core.errors import UsageError


def _options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator: which recordings, where to, and how it is told."""
    for option in (
            click.argument("names", nargs=-1),
            click.option("--to", "destination", required=True,
                         help="A drive's label, UUID or device, `drive` (the only one), a "
                              "configured destination, or a folder."),
            click.option("--camera", "cameras", multiple=True, metavar="SERIAL",
                         help="Only recordings of this camera; a pattern such as \"side-*\"."),
            click.option("--since", metavar="TIME", help="Only recordings that began then or "
                         "later, e.g. 2026-05-01 or \"2026-05-01 06:00\"."),
            click.option("--dry-run", is_flag=True, help="Only say what would be done."),
            where_options, json_option, no_wait_option):
        command = option(command)
    return command


@click.command("copy-all")
@_options
def copy_all_command(**given: Any) -> None:
    """COPY ALL: copy every complete recording, raw and exported, that is not there yet; verified.
    NAMES: only these."""
    _do("copy_all", **given)


@click.command("move-all")
@_options
def move_all_command(**given: Any) -> None:
    """MOVE ALL: the same, then delete here what was read back from there and matched."""
    _do("move_all", **given)


@click.command("export-all")
@_options
@click.option("--preset", help="High, Medium, Low, HEVC, VP9…, or one of the configuration's.")
def export_all_command(preset: str | None, **given: Any) -> None:
    """EXPORT ALL: export every raw recording straight to there, move there what is exported
    already, then delete the raw for each movie that was verified there."""
    _do("export_all", **given, preset=preset)


def _do(verb: str, where: Where, names: tuple[str, ...], destination: str,
        cameras: tuple[str, ...], since: str | None, dry_run: bool, as_json: bool, no_wait: bool,
        **more: Any) -> None:
    from fieldrec.cli.link import open_link, run
    from fieldrec.cli.tables import JOB_COLUMNS, job_rows, print_json, print_table
    from fieldrec.cli.watching import fail_on, shown, wait_for_jobs
    from fieldrec.status.control_socket import JOBS, OFFER

    config = where.load()
    asked = {"destination": destination_named(destination, "--to"), "names": list(names) or None,
             "cameras": list(cameras), "dry_run": dry_run, **more,
             "since_ns": None if since is None else _since(since, config.system.timezone)}

    async def act() -> tuple[Any, tuple[Any, ...]]:
        async with open_link(config) as link:
            offer = OFFER.validate_python(await link.call(verb, **asked))
            if not as_json:
                for line in offer.text:
                    echo(line)
            jobs = offer.jobs
            if jobs and not as_json:
                echo(f"job {jobs[0].id}" if len(jobs) == 1 else
                     f"jobs {min(job.id for job in jobs)} to {max(job.id for job in jobs)}")
            if jobs and not (no_wait and link.daemon):
                async with shown(link.board, link.refresh, link.since_ns):
                    jobs = tuple(await wait_for_jobs(link, [job.id for job in jobs]))
            return offer, jobs

    offer, jobs = run(act)
    if as_json:
        print_json(OFFER.dump_python(offer, mode="json")
                   | {"jobs": JOBS.dump_python(jobs, mode="json")})
    elif any(job.state.finished for job in jobs):  # without a daemon they are always waited for
        print_table("", JOB_COLUMNS, job_rows(jobs))
    elif dry_run:
        echo("nothing was done (--dry-run)")
    elif not jobs:
        echo("nothing to do")
    fail_on(job for job in jobs if job.state.finished or not no_wait)


def _since(text: str, timezone: str) -> int:
    """Epoch nanoseconds of a time as people write it, in the box's zone; UsageError."""
    from fieldrec.cli.local_time import zone

    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise UsageError(f"--since {text!r}: expected a time such as 2026-05-01 or "
                         "\"2026-05-01 06:00\"") from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone(timezone))
    return round(moment.timestamp()) * 1_000_000_000
