"""The queue: what a restart finds, what is the same job, and that a bad file harms nothing (I6)."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest

from fieldrec.core.errors import NotFoundError, StateError
from fieldrec.core.model import Job, JobKind, JobState, Prediction
from fieldrec.jobs import job_queue, job_rows
from fieldrec.jobs.history import Sample
from fieldrec.jobs.job_queue import JobQueue

pytestmark = pytest.mark.asyncio


@asynccontextmanager
async def opened(path: Path, **options: Any) -> AsyncIterator[JobQueue]:
    queue = JobQueue(path, **options)
    await queue.open()
    try:
        yield queue
    finally:
        await queue.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".fieldrec" / "jobs.sqlite"


async def add(queue: JobQueue, number: int = 1, kind: JobKind = JobKind.COPY, **more: Any) -> Job:
    return await queue.add(kind, f"bees{number}", f"uuid{number}", destination="nas", **more)


async def run_to(queue: JobQueue, job: Job, *states: JobState) -> Job:
    for state in states:
        job = await queue.set_state(job.id, state)
    return job


async def test_jobs_outlive_a_restart_and_unfinished_ones_are_queued(path: Path) -> None:
    J = JobState
    ways: list[tuple[JobState, ...]] = [
        (), (J.RUNNING,), (J.WAITING,), (J.RUNNING, J.VERIFYING),
        (J.RUNNING, J.VERIFYING, J.COMMITTING),
        (J.RUNNING, J.COMMITTING, J.DELETING_SOURCE), (J.RUNNING, J.DONE), (J.FAILED,),
        (J.CANCELLED,)]
    async with opened(path) as queue:
        for number, states in enumerate(ways):
            job = await add(queue, number, JobKind.MOVE, delete_source=True, allow_battery=True,
                            preset="High")
            await run_to(queue, job, *states)
        before = queue.jobs()
    assert {states[-1] for states in ways if states} == set(J) - {J.QUEUED}
    async with opened(path) as queue:
        after = {job.id: job for job in queue.jobs()}
        for job in before:
            kept = job.state if job.state.finished else J.QUEUED
            assert after[job.id].state is kept
            assert (after[job.id].item, after[job.id].delete_source, after[job.id].preset,
                    after[job.id].allow_battery) == (job.item, True, "High", True)
        new = await add(queue, 99)
        assert new.id > max(after)


async def test_the_same_unfinished_job_is_returned_not_added(path: Path) -> None:
    async with opened(path) as queue:
        job = await add(queue)
        assert await add(queue) == job
        assert (await add(queue, kind=JobKind.MOVE)).id != job.id
        assert (await add(queue, preset="Low")).id != job.id
        upgraded = await add(queue, allow_battery=True)
        assert (upgraded.id, upgraded.allow_battery) == (job.id, True)
        await run_to(queue, job, JobState.RUNNING, JobState.DONE)
        assert (await add(queue)).id != job.id


async def test_an_automatic_export_that_failed_is_not_tried_again_by_itself(path: Path) -> None:
    async with opened(path) as queue:
        job = await add(queue, kind=JobKind.EXPORT, preset="High", automatic=True)
        await run_to(queue, job, JobState.FAILED)
        again = await add(queue, kind=JobKind.EXPORT, preset="High", automatic=True)
        assert again.id == job.id
        asked = await add(queue, kind=JobKind.EXPORT, preset="High")
        assert asked.id != job.id


async def test_only_steps_of_the_table_are_taken(path: Path) -> None:
    async with opened(path) as queue:
        job = await add(queue)
        with pytest.raises(StateError, match="cannot go from queued to committing"):
            await queue.set_state(job.id, JobState.COMMITTING)
        await queue.set_state(job.id, JobState.WAITING, "why")
        assert (await queue.set_state(job.id, JobState.WAITING, "why not")).reason == "why not"
        with pytest.raises(NotFoundError):
            queue.job(77)


async def test_cancel_and_retry(path: Path) -> None:
    async with opened(path) as queue:
        job = await add(queue)
        await queue.set_state(job.id, JobState.WAITING, "broken", attempt=3)
        assert (await queue.cancel(job.id)).state is JobState.CANCELLED
        with pytest.raises(StateError, match="already"):
            await queue.cancel(job.id)
        again = await queue.retry(job.id)
        assert (again.state, again.attempt) == (JobState.QUEUED, 0)
        with pytest.raises(StateError, match="only failed and cancelled"):
            await queue.retry(job.id)
        await run_to(queue, job, JobState.RUNNING, JobState.COMMITTING)
        with pytest.raises(StateError, match="too late"):
            await queue.cancel(job.id)


async def test_progress_is_told_but_not_written(path: Path) -> None:
    told: list[Job] = []
    states: list[JobState] = []
    async with opened(path, on_change=told.append) as queue:
        queue.subscribe(lambda job: states.append(job.state))
        job = await add(queue)
        queue.progress(job.id, 5, 10)
        queue.progress(77, 5, 10)
        assert (told[-1].done_bytes, told[-1].total_bytes) == (5, 10)
        assert states == [JobState.QUEUED]
    async with opened(path) as queue:
        assert queue.jobs()[0].done_bytes == 0


async def test_history_is_bounded(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_queue, "HISTORY", 3)
    async with opened(path) as queue:
        unfinished = await add(queue, 100)
        for number in range(5):
            await run_to(queue, await add(queue, number), JobState.FAILED)
        assert [job.item for job in queue.jobs()] == ["bees100", "bees4", "bees3", "bees2"]
        assert queue.jobs()[0].id == unfinished.id
    async with opened(path) as queue:
        assert len(queue.jobs()) == 4


def do_damage(path: Path, damage: str) -> None:
    if damage == "rubbish":
        path.write_bytes(b"this is no database " * 1000)
    elif damage == "page":
        data = bytearray(path.read_bytes())
        data[4096:] = bytes(len(data) - 4096)
        path.write_bytes(data)
    else:
        with closing(sqlite3.connect(path)) as rows, rows:
            rows.execute("PRAGMA user_version=99" if damage == "version"
                         else "UPDATE jobs SET state='dancing'")


@pytest.mark.parametrize("damage", ["rubbish", "page", "version", "state"])
async def test_a_bad_file_is_put_aside_and_a_new_one_begun(path: Path, damage: str) -> None:
    async with opened(path) as queue:
        for number in range(50):
            await add(queue, number)
    do_damage(path, damage)
    events: list[str] = []
    async with opened(path, on_event=lambda text, severity: events.append(severity + text)
                      ) as queue:
        assert queue.jobs() == ()
        await add(queue)
    assert len(events) == 1
    assert events[0].startswith("warning")
    assert "put aside as jobs.sqlite.bad" in events[0]
    assert path.with_name("jobs.sqlite.bad").exists()
    async with opened(path) as queue:
        assert len(queue.jobs()) == 1


async def test_without_a_file_jobs_are_kept_in_memory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    events: list[str] = []
    async with opened(tmp_path / "file" / "jobs.sqlite",
                      on_event=lambda text, _severity: events.append(text)) as queue:
        job = await add(queue)
        await queue.set_state(job.id, JobState.RUNNING)
        assert queue.job(job.id).state is JobState.RUNNING
    assert [("memory only" in text, "cannot be saved" in text) for text in events] == [
        (True, False), (False, True)]


async def test_what_exports_came_to_is_kept_and_bounded(
        path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_rows, "SAMPLES", 3)
    made = [Sample("C1", "High", 4, 3, float(number), 0.1, 0.2, 0.3) for number in range(5)]
    async with opened(path) as queue:
        for sample in made:
            await queue.remember(sample)
    async with opened(path) as queue:
        assert queue.samples == tuple(made[2:])


async def test_a_pause_is_kept_over_a_restart_and_ends_with_the_job(path: Path) -> None:
    async with opened(path) as queue:
        job = await add(queue)
        assert (await queue.set_paused(job.id, True)).paused
    async with opened(path) as queue:
        assert queue.job(job.id).paused
        await queue.cancel(job.id)
        assert not queue.job(job.id).paused
        with pytest.raises(StateError, match="can no longer be paused"):
            await queue.set_paused(job.id, True)


async def test_rows_of_the_version_before_are_taken_over(path: Path) -> None:
    async with opened(path) as queue:
        job = await add(queue)
    with closing(sqlite3.connect(path)) as rows, rows:
        rows.execute("ALTER TABLE jobs DROP COLUMN paused")
        rows.execute("DROP TABLE exports")
        rows.execute("PRAGMA user_version=1")
    async with opened(path) as queue:
        assert [kept.item for kept in queue.jobs()] == [job.item]
        await queue.set_paused(job.id, True)
    assert not path.with_name("jobs.sqlite.bad").exists()


async def test_what_a_job_will_come_to_is_shown(path: Path) -> None:
    told: list[Job] = []
    async with opened(path, on_change=told.append) as queue:
        job = await add(queue)
        prediction = Prediction(5, 4, 6, 1.0, 2)
        queue.expect(job.id, prediction, 100)
        queue.expect(job.id, prediction, 100)  # nothing new
        queue.progress(job.id, 1, 2, 30.0)
        assert len(told) == 3
        assert (told[1].prediction, told[1].frees_bytes) == (prediction, 100)
        assert told[2].seconds_left == 30.0
