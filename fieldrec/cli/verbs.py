"""Commands that do something: on the process that owns the folder, else right here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from fieldrec.cli.out import echo
from fieldrec.cli.where import Where, where_options
from fieldrec.core.errors import UsageError

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
no_wait_option = click.option("--no-wait", is_flag=True,
                              help="Return when the job is queued (daemon only).")
destination_option = click.option(
    "--to", "--destination", "-d", "destination", required=True,
    help="A configured name, a drive's label, or a folder.")
all_option = click.option("--all", "all_", is_flag=True, help="All complete recordings.")


def _selected(names: tuple[str, ...], all_: bool) -> list[str] | None:
    if all_ == bool(names):
        raise UsageError("name recordings, or give --all")
    return None if all_ else list(names)


def _jobs_of(where: Where, verb: str, as_json: bool, no_wait: bool,
             besides: Callable[[tuple[Any, ...]], str] = lambda _jobs: "", **arguments: Any
             ) -> None:
    """Queue jobs by a verb, wait for them, print them, and what `besides` says of them. JobError
    when one did not end well."""
    from fieldrec.cli.link import open_link, run
    from fieldrec.cli.tables import JOB_COLUMNS, job_rows, print_json, print_table
    from fieldrec.cli.watching import fail_on, shown, wait_for_jobs
    from fieldrec.status.control_socket import JOBS

    config = where.load()

    async def act() -> tuple[Any, ...]:
        async with open_link(config) as link:
            jobs = JOBS.validate_python(await link.call(verb, **arguments))
            if jobs and not (no_wait and link.daemon):
                async with shown(link.board, link.refresh, link.since_ns):
                    jobs = tuple(await wait_for_jobs(link, [job.id for job in jobs]))
            return jobs

    jobs = run(act)
    if as_json:
        print_json(JOBS.dump_python(jobs, mode="json"))
    else:
        if jobs:
            print_table("", JOB_COLUMNS, job_rows(jobs))
        if said := besides(jobs) or ("" if jobs else "nothing to do"):
            echo(said)
    # without a daemon they were waited for all the same
    fail_on(job for job in jobs if job.state.finished or not no_wait)


@click.command("export")
@click.argument("names", nargs=-1)
@all_option
@click.option("--preset", help="High, Medium, Low, HEVC, VP9…, or one of the configuration's.")
@click.option("--allow-battery", is_flag=True, help="Also while on battery.")
@click.option("--to", "destination", help="Straight to a configured name, a drive's label, `drive` "
                                          "(the only one), or a folder.")
@click.option("--delete-raw", is_flag=True, help="Delete the raw once the export was verified.")
@where_options
@json_option
@no_wait_option
def export_command(where: Where, names: tuple[str, ...], all_: bool, preset: str | None,
                   allow_battery: bool, destination: str | None, delete_raw: bool, as_json: bool,
                   no_wait: bool) -> None:
    """Encode recordings to video beside the raw, verified frame by frame. What is exported with
    that preset already is left out."""
    def besides(jobs: tuple[Any, ...]) -> str:
        made = {job.item for job in jobs}
        left_out = [name for name in names if name not in made]
        if left_out:
            return f"already exported: {', '.join(left_out)}"
        return "nothing to export: all is exported already" if all_ and not jobs else ""

    _jobs_of(where, "export", as_json, no_wait, besides, names=_selected(names, all_),
             preset=preset, allow_battery=allow_battery, delete_raw=delete_raw,
             destination=None if destination is None else destination_named(destination, "--to"))


def destination_named(text: str, option: str = "--destination") -> str:
    """A folder's path made absolute here: the daemon has another working directory and home. A
    word without a slash is the name of a destination or a drive."""
    if "/" not in text and not text.startswith((".", "~")):
        return text
    try:
        return str(Path(text).expanduser().resolve())
    except (OSError, RuntimeError) as error:  # unknown ~user, a loop of links
        raise UsageError(f"{option} {text!r} cannot be used as a path: {error}") from error


@click.command("copy")
@click.argument("names", nargs=-1)
@all_option
@destination_option
@where_options
@json_option
@no_wait_option
def copy_command(where: Where, names: tuple[str, ...], all_: bool, destination: str,
                 as_json: bool, no_wait: bool) -> None:
    """Copy recordings, raw and exported, verified; what is already there is left out."""
    _jobs_of(where, "copy", as_json, no_wait, names=_selected(names, all_),
             destination=destination_named(destination))


@click.command("move")
@click.argument("names", nargs=-1)
@all_option
@destination_option
@where_options
@json_option
@no_wait_option
def move_command(where: Where, names: tuple[str, ...], all_: bool, destination: str,
                 as_json: bool, no_wait: bool) -> None:
    """Copy recordings, verify, then delete them here."""
    _jobs_of(where, "move", as_json, no_wait, names=_selected(names, all_),
             destination=destination_named(destination))


@click.command("upload")
@click.argument("names", nargs=-1)
@all_option
@click.option("--to", "destination", required=True, help="A destination of `type: loopy`.")
@where_options
@json_option
@no_wait_option
def upload_command(where: Where, names: tuple[str, ...], all_: bool, destination: str,
                   as_json: bool, no_wait: bool) -> None:
    """Upload recordings to Loopy: exports, raw or both, as that destination is configured. Broken
    off, it goes on where it was when it is run again. Nothing is ever deleted for an upload."""
    _jobs_of(where, "upload", as_json, no_wait, names=_selected(names, all_),
             destination=destination)


@click.command("delete")
@click.argument("names", nargs=-1, required=True)
@click.option("--yes", is_flag=True, help="Do not ask.")
@where_options
@json_option
@no_wait_option
def delete_command(where: Where, names: tuple[str, ...], yes: bool, as_json: bool,
                   no_wait: bool) -> None:
    """Delete recordings with their exports. Asks first."""
    if not yes:
        click.confirm(f"Delete {', '.join(names)} and their exports for good?", abort=True,
                      err=True)
    _jobs_of(where, "delete", as_json, no_wait, names=list(names))


def with_daemon(where: Where, act: Callable[[Any], Any]) -> Any:
    """Run `act(link)` on the daemon; StateError when none runs."""
    from fieldrec.cli.link import find_owner, run
    from fieldrec.core.errors import StateError

    folders = where.folders()

    async def asked() -> Any:
        owner = await find_owner(*folders)
        if owner is None:
            raise StateError(f"no fieldrec runs on {folders[0]}; start it with `fieldrec run`")
        return await act(owner)

    return run(asked)


def parse_metadata(pairs: tuple[str, ...]) -> dict[str, str]:
    """`k=v` pairs as a mapping; UsageError names a wrong one."""
    metadata = {}
    for pair in pairs:
        key, sign, value = pair.partition("=")
        if not (sign and key.strip()):
            raise UsageError(f"--meta {pair!r}: expected key=value")
        if key in ("__store", "fieldrec"):
            raise UsageError(f"--meta {key}: this key belongs to the store; use another")
        metadata[key.strip()] = value
    return metadata


@click.command("cancel")
@click.argument("job", type=int)
@where_options
def cancel_command(where: Where, job: int) -> None:
    """Cancel an unfinished job."""
    _job_verb(where, "cancel", job)


@click.command("pause-job")
@click.argument("job", type=int)
@where_options
def pause_job_command(where: Where, job: int) -> None:
    """Hold a job, over restarts too, until it is resumed: an export where it is, a copy at the end
    of a slice."""
    _job_verb(where, "pause_job", job)


@click.command("resume-job")
@click.argument("job", type=int)
@where_options
def resume_job_command(where: Where, job: int) -> None:
    """Let a paused job go on as soon as it may run."""
    _job_verb(where, "resume_job", job)


@click.command("job-first")
@click.argument("job", type=int)
@where_options
def job_first_command(where: Where, job: int) -> None:
    """Let a job go before all others that wait for the same place: the processor, or a destination.
    What runs already is not stopped for it."""
    _job_verb(where, "job_first", job)


@click.command("retry")
@click.argument("job", type=int)
@where_options
def retry_command(where: Where, job: int) -> None:
    """Queue a failed or cancelled job again."""
    _job_verb(where, "retry", job)


def _job_verb(where: Where, verb: str, job_id: int) -> None:
    from fieldrec.cli.link import open_link, run
    from fieldrec.status import words
    from fieldrec.status.control_socket import JOB

    config = where.load()

    async def act() -> Any:
        async with open_link(config) as link:
            return JOB.validate_python(await link.call(verb, job_id=job_id))

    echo(words.describe_job(run(act)))
