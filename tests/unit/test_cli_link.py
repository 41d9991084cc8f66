"""Commands through a link: what they get when the other side answers, fails or goes away."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from fieldrec.app import FOLDER_ONLY, App
from fieldrec.cli.link import Interrupted, LocalLink, find_owner, open_link, run, signals
from fieldrec.cli.watching import fail_on, shown, wait_for_jobs
from fieldrec.config import Config
from fieldrec.core.errors import JobError, NotFoundError, ShutdownStuck, StateError
from fieldrec.core.model import Job, JobKind, JobState
from fieldrec.core.snapshot import Snapshot
from fieldrec.status.board import Board
from fieldrec.status.control_socket import JOBS, SOCKET_NAME
from tests.fakes.small_stores import make_store
from tests.fakes.waiting import PATIENCE_S


def config(folder: Path) -> Config:
    return Config.model_validate({"storage": {"directory": folder}, "power": {"source": "mains"}})


@pytest.mark.asyncio
async def test_without_an_owner_the_command_works_itself_and_lets_go(tmp_path: Path) -> None:
    make_store(tmp_path, "bees")
    for _ in range(2):
        async with open_link(config(tmp_path)) as link:
            assert isinstance(link, LocalLink)
            assert [r["name"] for r in await link.call("recordings")] == ["bees"]
    assert await find_owner(tmp_path) is None


@pytest.mark.asyncio
async def test_with_an_owner_it_is_asked_and_its_errors_are_raised_here(tmp_path: Path) -> None:
    async with App(config(tmp_path), FOLDER_ONLY), open_link(config(tmp_path)) as link:
        assert link.daemon
        assert (await link.board.wait_changed(-1, 10)).version >= 0
        with pytest.raises(NotFoundError, match="no recording 'bees'"):
            await link.call("recording", name="bees")
        with pytest.raises(StateError, match="no cameras here"):
            await link.call("stop")


@pytest.mark.asyncio
async def test_a_socket_left_by_a_crash_is_nobody(tmp_path: Path) -> None:
    async with serving(tmp_path, hang_up):
        pass
    assert (tmp_path / ".fieldrec" / SOCKET_NAME).exists()
    assert await find_owner(tmp_path) is None


@asynccontextmanager
async def serving(folder: Path, answer: Any) -> AsyncIterator[None]:
    """Something that is no fieldrec on the folder's socket."""
    (folder / ".fieldrec").mkdir()
    server = await asyncio.start_unix_server(answer, str(folder / ".fieldrec" / SOCKET_NAME))
    try:
        yield
    finally:
        server.close()
        await server.wait_closed()


async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def answer_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer the second thing that is said with a job, and hang up on who watches."""
    line = await reader.readline()
    if b"export" in line:
        writer.write(b'{"ok": true, "result": []}\n')
    writer.close()


@pytest.mark.asyncio
async def test_an_owner_that_hangs_up_is_an_error_not_a_wait_for_ever(tmp_path: Path) -> None:
    async with serving(tmp_path, hang_up):
        owner = await find_owner(tmp_path)
        assert owner is not None
        with pytest.raises(StateError, match="went away while it was asked for 'jobs'"):
            await owner.call("jobs")


@pytest.mark.asyncio
async def test_who_waits_for_the_picture_hears_that_the_owner_went_away(tmp_path: Path) -> None:
    async with serving(tmp_path, answer_once):
        with pytest.raises(StateError, match="fieldrec went away; what it had begun goes on"):
            async with open_link(config(tmp_path)) as link:
                await link.call("export", names=None)
                await link.board.wait_changed(-1, None)
    current = asyncio.current_task()
    assert current is not None
    assert current.cancelling() == 0


@pytest.mark.asyncio
async def test_an_owner_that_is_killed_in_the_middle_of_an_answer_went_away(tmp_path: Path) -> None:
    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b'{"ok": true, "result": [')
        writer.close()

    async with serving(tmp_path, half):
        owner = await find_owner(tmp_path)
        assert owner is not None
        with pytest.raises(StateError, match="went away while it was asked for 'jobs'"):
            await owner.call("jobs")
        with pytest.raises(StateError, match="fieldrec went away; what it had begun goes on"):
            await owner.watch()


@pytest.mark.asyncio
async def test_a_cancel_from_outside_stays_a_cancel(tmp_path: Path) -> None:
    async def wait() -> None:
        async with open_link(config(tmp_path)) as link:
            waiting.set()
            await link.board.wait_changed(10**9, None)
            await asyncio.Event().wait()

    waiting = asyncio.Event()
    async with App(config(tmp_path), FOLDER_ONLY):
        task = asyncio.create_task(wait())
        await waiting.wait()
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()


# -- waiting for jobs ------------------------------------------------------------------------------


def job(number: int, state: JobState = JobState.DONE, reason: str = "") -> Job:
    return Job(number, JobKind.EXPORT, f"r{number}", "u", None, "High", False, False, state, reason,
               0, 0, 0, 0, 0)


class StandInLink:
    """A queue that is asked, and a picture that shows but the first fifty."""

    daemon = True
    since_ns = 0

    def __init__(self, *jobs: Job) -> None:
        self.board = Board()
        self.jobs = jobs
        self.asked = asyncio.Event()
        self.show(*jobs)

    def show(self, *jobs: Job) -> None:
        self.jobs = jobs
        unfinished_first = sorted(jobs, key=lambda job: job.state.finished)
        self.board.publish(Snapshot(
            version=self.board.latest.version + 1, time_ns=0, name="box", recording=False,
            recording_since_ns=None, jobs=tuple(unfinished_first[:50])))

    def refresh(self) -> None: ...

    async def call(self, verb: str, **arguments: Any) -> Any:
        assert verb == "jobs"
        self.asked.set()
        return JOBS.dump_python(self.jobs, mode="json")


@pytest.mark.asyncio
async def test_more_jobs_than_a_picture_holds_are_all_waited_for() -> None:
    link = StandInLink(*(job(n) for n in range(70)), job(70, JobState.RUNNING))
    waiting = asyncio.create_task(wait_for_jobs(link, range(71)))
    await link.asked.wait()
    assert not waiting.done()
    link.show(*(job(n) for n in range(71)))
    assert [found.id for found in await asyncio.wait_for(waiting, PATIENCE_S)] == list(range(71))


@pytest.mark.asyncio
async def test_a_finished_job_that_the_queue_has_forgotten_is_not_waited_for() -> None:
    link = StandInLink(job(2))
    known = await asyncio.wait_for(wait_for_jobs(link, [1, 2]), PATIENCE_S)
    assert [found.id for found in known] == [2]


@pytest.mark.asyncio
async def test_every_job_that_did_not_end_well_is_named() -> None:
    fail_on([job(1)])
    with pytest.raises(JobError) as failure:
        fail_on([job(1), job(2, JobState.FAILED, "no encoder"), job(3, JobState.CANCELLED)])
    assert [line.split(": ", 1)[1] for line in str(failure.value).splitlines()] == [
        "failed: no encoder", "cancelled: "]


@pytest.mark.asyncio
async def test_what_happens_last_is_shown_too(capsys: pytest.CaptureFixture[str]) -> None:
    from fieldrec.core.snapshot import Event

    board = Board()

    def publish(*texts: str) -> None:
        board.publish(Snapshot(version=board.latest.version + 1, time_ns=0, name="box",
                               recording=False, recording_since_ns=None,
                               events=tuple(Event(0, text) for text in texts)))

    async with shown(board, lambda: publish("first", "last")):
        publish("first")
    assert [line.split("Z ", 1)[1] for line in capsys.readouterr().err.splitlines()] == [
        "first", "last"]


# -- signals ---------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_the_first_signal_is_an_order_once() -> None:
    seen: list[str] = []
    came = asyncio.Event()

    def first() -> None:
        seen.append("stop")
        came.set()

    with signals(first):
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(came.wait(), PATIENCE_S)
    assert seen == ["stop"]


def test_a_signal_cancels_and_is_told() -> None:
    cleaned: list[str] = []

    async def main() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.append("in order")

    with pytest.raises(Interrupted) as interrupted:
        run(main)
    assert (cleaned, interrupted.value.exit_code) == (["in order"], 130)


def test_a_stuck_shutdown_leaves_at_once(
        monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    class Left(Exception):
        pass

    def leave(code: int) -> None:
        raise Left(code)

    async def main() -> None:
        raise ShutdownStuck("stuck: a disk")

    monkeypatch.setattr("fieldrec.cli.link.os._exit", leave)
    with pytest.raises(Left, match="8"):
        run(main)
    assert capsys.readouterr().err == "fieldrec: stuck: a disk\n"
