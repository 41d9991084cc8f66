"""Showing what goes on while a command works: a live picture on a TTY, plain lines elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Callable, Iterable

from rich.console import Console

from fieldrec.cli.link import Link
from fieldrec.core.errors import JobError
from fieldrec.core.model import Job, JobState
from fieldrec.status import terminal, words
from fieldrec.status.board import Board
from fieldrec.status.control_socket import JOBS

ASK_S = 1.0
"""Between two questions for all jobs while some go on."""


@contextlib.asynccontextmanager
async def shown(board: Board, refresh: Callable[[], None] = lambda: None, since_ns: int = 0
                ) -> AsyncIterator[None]:
    """Show the board on stderr for as long as the block lasts: stdout is for results. `refresh` is
    called at the end, to publish what has happened since the last picture. Events from before
    `since_ns` get no line."""
    until = asyncio.Event()
    if sys.stderr.isatty():
        showing = terminal.live(board, Console(stderr=True), until)
    else:
        showing = terminal.plain_lines(board, sys.stderr, until, since_ns)
    task = asyncio.create_task(showing, name="terminal")
    try:
        yield
    finally:
        refresh()
        until.set()
        await asyncio.wait([task])
        task.result()


async def wait_for_jobs(link: Link, ids: Iterable[int]) -> list[Job]:
    """Wait until all these jobs have ended; returns them. On a daemon they may wait for power or
    for a recording to end: the picture says so. The picture holds but some of the jobs and the
    queue forgets old ones, so the queue is asked, often enough to see each job's end."""
    loop = asyncio.get_running_loop()
    wanted = dict.fromkeys(ids)
    seen: dict[int, Job] = {}
    version, asked_s = -2, -ASK_S
    while True:
        snapshot = await link.board.wait_changed(version, None)
        version = snapshot.version
        busy = any(job.id in wanted and not job.state.finished for job in snapshot.jobs)
        if busy and loop.time() - asked_s < ASK_S:
            continue
        asked_s = loop.time()
        now = {job.id: job for job in JOBS.validate_python(await link.call("jobs"))}
        seen.update({number: now[number] for number in wanted if number in now})
        if all(now[number].state.finished for number in wanted if number in now):
            return [seen[number] for number in wanted if number in seen]


def fail_on(jobs: Iterable[Job]) -> None:
    """JobError naming every job that did not end well."""
    bad = [job for job in jobs if job.state is not JobState.DONE]
    if bad:
        raise JobError("\n".join(f"{words.job_title(job)}: {job.state.value}: {job.reason}"
                                 for job in bad))


