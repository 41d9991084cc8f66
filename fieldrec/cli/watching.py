"""Showing what goes on while a command works: a live picture on a TTY, plain lines elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Callable, Iterable

from rich.console import Console

from fieldrec.core.errors import JobError
from fieldrec.core.model import Job, JobState
from fieldrec.status import terminal, words
from fieldrec.status.board import Board


@contextlib.asynccontextmanager
async def shown(board: Board, refresh: Callable[[], None] = lambda: None) -> AsyncIterator[None]:
    """Show the board on stderr for as long as the block lasts: stdout is for results. `refresh` is
    called at the end, to publish what has happened since the last picture."""
    until = asyncio.Event()
    if sys.stderr.isatty():
        showing = terminal.live(board, Console(stderr=True), until)
    else:
        showing = terminal.plain_lines(board, sys.stderr, until)
    task = asyncio.create_task(showing, name="terminal")
    try:
        yield
    finally:
        refresh()
        until.set()
        await asyncio.wait([task])
        task.result()


async def wait_for_jobs(board: Board, ids: Iterable[int]) -> list[Job]:
    """Wait until all these jobs have ended; returns them. On a daemon they may wait for power or
    for a recording to end: the picture says so."""
    wanted = set(ids)
    version = -2
    while True:
        snapshot = await board.wait_changed(version, None)
        version = snapshot.version
        found = [job for job in snapshot.jobs if job.id in wanted]
        if snapshot.version >= 0 and all(job.state.finished for job in found) \
                and len(found) == len(wanted):
            return found


def fail_on(jobs: Iterable[Job]) -> None:
    """JobError naming every job that did not end well."""
    bad = [job for job in jobs if job.state is not JobState.DONE]
    if bad:
        raise JobError("\n".join(f"{words.job_title(job)}: {job.state.value}: {job.reason}"
                                 for job in bad))


