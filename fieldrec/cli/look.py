"""Commands that only look: status, list, jobs, check; and recover, which mends what check finds."""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path
from typing import Any

import click

from fieldrec.cli.out import echo
from fieldrec.cli.where import Where, where_options

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.command("status")
@where_options
@json_option
@click.option("--watch", is_flag=True, help="Keep showing until interrupted.")
def status_command(where: Where, as_json: bool, watch: bool) -> None:
    """Say how the box is: cameras, jobs and why they wait, drives, power, disk."""
    from fieldrec.cli.link import find_owner, run

    config = where.load()
    folders = where.folders()

    async def look() -> None:
        owner = await find_owner(*folders)
        if owner is None:
            _status_without_daemon(config, as_json)
        elif watch:
            await _watch(owner)
        else:
            _print_status(await owner.call("snapshot"), as_json)

    run(look)


def _print_status(values: dict[str, Any], as_json: bool) -> None:
    from fieldrec.cli.tables import print_json, print_picture
    from fieldrec.status import terminal
    from fieldrec.status.board import snapshot_from_dict

    if as_json:
        print_json({"running": True, **values})
    else:
        print_picture(terminal.render(snapshot_from_dict(values)))


def _status_without_daemon(config: Any, as_json: bool) -> None:
    from fieldrec.catalogue.scan import scan
    from fieldrec.cli.tables import print_json
    from fieldrec.cli.where import recordings_folders
    from fieldrec.record.folders import Folders
    from fieldrec.status import words

    folders = recordings_folders(config)
    storage = Folders(folders, config.storage, on_event=lambda _text, _severity: None).refresh(
        _last_rate(folders))
    recordings = scan(*folders)
    if as_json:
        print_json({"running": False, "recordings": len(recordings),
                    "storage": dataclasses.asdict(storage)})
        return
    echo(f"no fieldrec runs on {config.storage.directory}")
    echo(f"{words.plural(len(recordings), 'recording')}, {words.describe_storage(storage)}")
    for folder in storage.folders if len(storage.folders) > 1 else ():
        echo(words.describe_folder(folder))


def _last_rate(folders: tuple[Path, ...]) -> float:
    """Bytes per second of the last recordings, by the book; 0 where it has none."""
    from fieldrec.core.errors import FieldrecError
    from fieldrec.core.folder import PRIVATE_NAME
    from fieldrec.jobs.book_rows import BOOKS_NAME, look
    from fieldrec.jobs.energy_figures import RECORDING, figure_of

    try:
        figure = figure_of(look(folders[0] / PRIVATE_NAME / BOOKS_NAME).entries, RECORDING)
    except FieldrecError:
        return 0.0
    return 0.0 if figure is None else figure.bytes_per_hour / 3600


async def _watch(owner: Any) -> None:
    import asyncio

    from fieldrec.cli.watching import shown

    async with shown(owner.board):
        watching = asyncio.create_task(owner.watch())
        try:
            await watching
        finally:
            watching.cancel()


@click.command("list")
@where_options
@json_option
def list_command(where: Where, as_json: bool) -> None:
    """List the recordings in the recordings folders."""
    from fieldrec.catalogue.scan import scan
    from fieldrec.cli.tables import RECORDING_COLUMNS, print_json, print_table, recording_rows

    folders = where.folders()
    recordings = tuple(scan(*folders))
    if as_json:
        from fieldrec.status.control_socket import RECORDINGS

        print_json(RECORDINGS.dump_python(recordings, mode="json"))
    elif recordings:
        print_table("", RECORDING_COLUMNS, recording_rows(recordings))
    else:
        echo(f"no recordings in {', '.join(str(folder) for folder in folders)}")


@click.command("jobs")
@where_options
@json_option
def jobs_command(where: Where, as_json: bool) -> None:
    """List the jobs: unfinished ones in order with why they wait, then finished ones."""
    from fieldrec.cli.link import find_owner, run
    from fieldrec.cli.tables import JOB_COLUMNS, job_rows, print_json, print_table
    from fieldrec.status.control_socket import JOBS

    folders = where.folders()

    async def look() -> Any:
        owner = await find_owner(*folders)
        if owner is None:
            return await _jobs_in(folders[0])
        return JOBS.validate_python(await owner.call("jobs"))

    jobs = run(look)
    if as_json:
        print_json(JOBS.dump_python(tuple(jobs), mode="json"))
    elif jobs:
        print_table("", JOB_COLUMNS, job_rows(jobs))
    else:
        echo("no jobs")


async def _jobs_in(folder: Path) -> Any:
    """The jobs of a folder that nobody works on; runs none of them."""
    from fieldrec.core.folder import FolderLock
    from fieldrec.jobs.job_queue import JobQueue

    lock = FolderLock(folder)
    try:
        queue = JobQueue(lock.private / "jobs.sqlite")
        await queue.open()
        await queue.close()
        return queue.jobs()
    finally:
        lock.remove_if_made()
        lock.release()


@click.command("check")
@click.argument("store", required=False)
@where_options
@json_option
@click.option("--deep", is_flag=True, help="Read every frame and compare its digest.")
@click.option("--repair", is_flag=True,
              help="Put right what can be; nothing whole is deleted. Then check again.")
@click.option("--force", is_flag=True,
              help="Repair although it looks as if another program writes the store.")
def check_command(where: Where, store: str | None, as_json: bool, deep: bool, repair: bool,
                  force: bool) -> None:
    """Check that everything in the recordings folders, or in STORE (a recording's name, any store's
    path or an exported movie's), is as promised; exit code 22 when it is not."""
    from fieldrec.catalogue.check import check, check_movie, check_store
    from fieldrec.cli.tables import print_json
    from fieldrec.core.errors import StoreDamaged
    from fieldrec.status import words
    from fieldrec.store.movie.movie import is_movie

    paths = where.folders() if store is None else (where.store(store),)
    said = [line for path in paths for line in _repaired(path, store is None, force)] \
        if repair else []
    of_one = check_movie if is_movie(paths[0]) else check_store
    problems = [problem for path in paths for problem in (
        check(path, deep=deep) if store is None else of_one(path, deep))]
    if as_json:
        print_json([{"path": str(p.path), "invariant": p.invariant, "text": p.text}
                    for p in problems])
    else:
        for line in said:
            echo(f"repaired: {words.safe_text(line, 500)}")
        for problem in problems:
            echo(f"{problem.invariant} {words.safe_text(str(problem.path), 500)}: "
                 f"{words.safe_text(problem.text, 500)}")
    if problems:
        what = ", ".join(str(path) for path in paths) if store is None else store
        raise StoreDamaged(f"{words.plural(len(problems), 'problem')} in {what}"
                           + ("" if repair else "; `fieldrec check --repair` puts right what can "
                                                "be, `fieldrec run` what is interrupted"))
    if not as_json:
        for path in paths:
            echo(f"{path}: {_all_right(path, store is None or is_movie(path), deep)}")


def _all_right(path: Path, is_no_store: bool, deep: bool) -> str:
    """That nothing was found, and what could not be looked at."""
    from fieldrec.catalogue.check import not_judged
    from fieldrec.catalogue.scan import locked_state
    from fieldrec.core.model import RecordingState

    if is_no_store:
        return "all right"
    if locked_state(path) is RecordingState.RECORDING:
        return "is being recorded; it is checked when that has ended"
    untold = not_judged(path) if deep else ""
    return f"all right; but {untold}" if untold else "all right"


def _repaired(path: Path, is_folder: bool, force: bool) -> list[str]:
    """Put right one store, or every store of a folder that nobody works on; what was done."""
    from fieldrec.catalogue.check import repair_store
    from fieldrec.catalogue.scan import scan
    from fieldrec.core.errors import FieldrecError
    from fieldrec.core.folder import FolderLock
    from fieldrec.core.model import RecordingState

    if not is_folder:
        return repair_store(path, force=force)
    said = []
    lock = FolderLock(path)
    try:
        for recording in scan(path):
            if not recording.has_raw or recording.state is RecordingState.RECORDING:
                continue
            try:
                said += [f"{recording.name}: {line}"
                         for line in repair_store(recording.path, force=force)]
            except FieldrecError as error:
                said.append(f"{recording.name}: left as it is: {error}")
    finally:
        lock.remove_if_made()
        lock.release()
    return said


@click.command("recover")
@click.argument("store", required=False)
@where_options
@click.option("--force", is_flag=True,
              help="Although it looks as if another program writes STORE.")
def recover_command(where: Where, store: str | None, force: bool) -> None:
    """Complete interrupted recordings and sweep unfinished work, as the daemon does at start; or
    complete one STORE (a recording's name or any store's path), also one that imgstore left."""
    from fieldrec.app.recovery import recover_folder
    from fieldrec.core.folder import FolderLock
    from fieldrec.status import words

    if store is not None:
        _recover_store(where.store(store), force)
        return
    folders = where.folders()
    said: list[str] = []
    with contextlib.ExitStack() as held:
        for folder in folders:  # all of them first: somebody may work on one
            lock = FolderLock(folder)
            held.callback(lock.release)
            held.callback(lock.remove_if_made)
        for folder in folders:
            recover_folder(folder, lambda text, _severity: said.append(text))
    for line in said or ["nothing to recover"]:
        echo(words.safe_text(line, 500))


def _recover_store(path: Path, force: bool) -> None:
    from fieldrec.status import words
    from fieldrec.store.recover import recover

    done = recover(path, force=force)
    echo(f"{path}: {words.plural(done.frames_kept, 'frame')} kept, {done.frames_damaged} damaged, "
         f"{words.plural(done.chunks_repaired, 'chunk')} repaired")
    for note in done.notes or ((done.note,) if done.note else ()):
        echo(words.safe_text(note, 500))
    for one in done.estimated:
        numbers, times = (words.safe_text(text) for text in (one.numbers, one.times))
        echo(f"{one.chunk}: {words.plural(one.frames, 'frame')} estimated: "
             + "; ".join(part for part in (numbers and f"numbers {numbers}",
                                           times and f"times {times}") if part))
