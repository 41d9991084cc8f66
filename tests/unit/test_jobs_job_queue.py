"""The queue: what a restart finds, what is the same job, and that a bad file harms nothing (I6)."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest

from fieldrec.core.clock import SystemClock
from fieldrec.core.errors import NotFoundError, StateError
from fieldrec.core.model import Job, JobKind, JobState, Prediction
from fieldrec.jobs import job_rows
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


async def test_history_is_bounded_in_number(path: Path) -> None:
    async with opened(path, history_count=3) as queue:
        unfinished = await add(queue, 100)
        for number in range(5):
            await run_to(queue, await add(queue, number), JobState.FAILED)
        assert [job.item for job in queue.jobs()] == ["bees100", "bees4", "bees3", "bees2"]
        assert queue.jobs()[0].id == unfinished.id
    async with opened(path, history_count=2) as queue:
        assert len(queue.jobs()) == 3
    async with opened(path) as queue:
        assert len(queue.jobs()) == 3


class SetClock(SystemClock):
    """A wall clock that the test sets."""

    def __init__(self, day: float) -> None:
        self.day = day

    def epoch_ns(self) -> int:
        return round(self.day * 86_400e9)


async def test_history_is_bounded_in_days(path: Path) -> None:
    clock = SetClock(20_000)
    async with opened(path, history_days=30, clock=clock) as queue:
        waits = await add(queue, 0)
        for number in (1, 2, 3):
            clock.day += 12
            await run_to(queue, await add(queue, number), JobState.FAILED)
        assert [job.item for job in queue.jobs()] == ["bees0", "bees3", "bees2", "bees1"]
        clock.day += 10
        await run_to(queue, await add(queue, 4), JobState.FAILED)
        assert [job.item for job in queue.jobs()] == ["bees0", "bees4", "bees3", "bees2"]
    clock.day += 25
    async with opened(path, history_days=30, clock=clock) as queue:
        assert [job.item for job in queue.jobs()] == ["bees0", "bees4"]
        assert queue.jobs()[0].id == waits.id
    clock.day = 0  # a clock that was never set makes nothing old
    async with opened(path, history_days=30, clock=clock) as queue:
        assert len(queue.jobs()) == 2


async def test_a_job_is_put_first_over_restarts_and_the_last_word_counts(path: Path) -> None:
    async with opened(path) as queue:
        one, two = await add(queue, 1), await add(queue, 2)
        assert (await queue.put_first(one.id)).first == 1
        assert (await queue.put_first(one.id)).first == 1
        assert (await queue.put_first(two.id)).first == 2
        with pytest.raises(NotFoundError):
            await queue.put_first(77)
    async with opened(path) as queue:
        assert [job.first for job in queue.jobs()] == [1, 2]
        await run_to(queue, two, JobState.RUNNING, JobState.DONE)
        assert queue.job(two.id).first == 0
        with pytest.raises(StateError, match="only waiting jobs"):
            await queue.put_first(two.id)


async def test_what_people_call_a_drive_is_kept(path: Path) -> None:
    async with opened(path) as queue:
        job = await queue.add(JobKind.COPY, "bees", "u", destination="drive:AB-12")
        queue.name_places({"drive:AB-12": "FIELD-01", "drive:CD-34": "OTHER"})
        queue.name_places({"drive:AB-12": ""})
        assert queue.job(job.id).destination_label == "FIELD-01"
        await queue.set_state(job.id, JobState.WAITING, "again", attempt=1)
    async with opened(path) as queue:
        assert queue.jobs()[0].destination_label == "FIELD-01"


async def test_rates_are_remembered_and_news_only_of_what_is_new(path: Path) -> None:
    async with opened(path) as queue:
        assert queue.rate("nas", "write") == 0
        await queue.remember_rates("nas", {"write": 100.0, "read": 300.0})
        assert queue.knowledge == 2
        await queue.remember_rates("nas", {"write": 110.0})
        assert (queue.rate("nas", "write"), queue.knowledge) == (105.0, 2)
        await queue.remember_rates("nas", {"write": 205.0})
        assert (queue.rate("nas", "write"), queue.knowledge) == (155.0, 3)
    async with opened(path) as queue:
        assert (queue.rate("nas", "write"), queue.rate("nas", "read")) == (155.0, 300.0)


async def test_what_a_job_waits_for_costs_no_write(path: Path) -> None:
    async with opened(path) as queue:
        job = await add(queue)
        saved: list[list[Job]] = []
        save = queue._rows.save

        def noted(jobs: Any, *more: Any) -> str:
            saved.append(list(jobs))
            return save(jobs, *more)

        queue._rows.save = noted  # type: ignore[method-assign,assignment]
        await queue.set_state(job.id, JobState.WAITING, "recording since 06:00")
        await run_to(queue, job, JobState.QUEUED, JobState.RUNNING, JobState.QUEUED)
        assert saved == []
        await queue.set_state(job.id, JobState.WAITING, "again", attempt=1)
        await run_to(queue, job, JobState.CANCELLED, JobState.QUEUED)
        assert [job.state for rows in saved for job in rows] == [
            JobState.WAITING, JobState.CANCELLED, JobState.QUEUED]
    async with opened(path) as queue:
        assert (queue.jobs()[0].state, queue.jobs()[0].attempt) == (JobState.QUEUED, 1)


async def test_an_expectation_does_not_overrule_a_jobs_own_pace(path: Path) -> None:
    async with opened(path) as queue:
        job = await add(queue)
        queue.expect(job.id, None, 0, 60.0, 500)
        assert (queue.job(job.id).seconds_left, queue.job(job.id).total_bytes) == (60.0, 500)
        queue.progress(job.id, 100, 400, 12.0)
        queue.expect(job.id, None, 7, 50.0, 500)
        now = queue.job(job.id)
        assert (now.seconds_left, now.total_bytes, now.frees_bytes) == (12.0, 400, 7)
        queue.expect(99, None, 0)


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


async def test_what_jobs_use_is_kept(tmp_path: Path) -> None:
    """Of a finished one with its end, though it is noted in the moment of it; of an unfinished one
    over an orderly stop."""
    queue = JobQueue(tmp_path / "jobs.sqlite")
    await queue.open()
    done = await queue.add(JobKind.EXPORT, "a", "ua", preset="High")
    left = await queue.add(JobKind.COPY, "b", "ub", destination="nas")

    def watch(job: Job) -> None:
        if job.state is JobState.DONE:
            queue.note_used(job.id, 12.5, 340.0)

    queue.subscribe(watch)
    await queue.set_state(done.id, JobState.RUNNING)
    await queue.set_state(done.id, JobState.DONE)
    queue.note_used(left.id, 3.0, None)
    queue.note_used(99, 3.0, None)
    await queue.close()
    again = JobQueue(tmp_path / "jobs.sqlite")
    await again.open()
    await again.close()
    assert [(job.cpu_s, job.energy_mwh) for job in (again.job(done.id), again.job(left.id))] == [
        (12.5, 340.0), (3.0, None)]
