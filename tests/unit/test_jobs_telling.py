"""What the queue hears of a job of bytes, from a thread; rates known make expectations."""

from __future__ import annotations

import dataclasses
import threading
from pathlib import Path

import pytest

from fieldrec.catalogue.scan import scan
from fieldrec.core.model import Job, JobKind, JobState, Recording
from fieldrec.jobs import byte_pace, telling
from fieldrec.jobs.byte_pace import DELETE, READ, WRITE
from fieldrec.jobs.job_queue import JobQueue
from fieldrec.jobs.telling import HERE, Telling, phases_of
from fieldrec.jobs.threads import in_thread
from tests.fakes.job_box import a_box
from tests.fakes.job_queues import queue
from tests.fakes.small_stores import make_export, make_store

__all__ = ["queue"]
pytestmark = pytest.mark.asyncio
K = JobKind


@pytest.fixture
def recording(tmp_path: Path) -> Recording:
    make_export(tmp_path, "bees", make_store(tmp_path, "bees"))
    return scan(tmp_path)[0]


async def add(queue: JobQueue, kind: JobKind, to: str | None = "nas") -> Job:
    preset = None if kind in (K.COPY, K.MOVE) else "High"
    return await queue.add(kind, "bees", "u", destination=to, preset=preset)


async def test_what_each_kind_of_job_will_do(queue: JobQueue, recording: Recording) -> None:
    raw, movie = recording.size_bytes, recording.exports[0].size_bytes
    await queue.remember_rates("nas", {WRITE: 10.0, READ: 20.0})
    await queue.remember_rates(HERE, {READ: 30.0})

    async def planned(kind: JobKind, to: str | None = "nas") -> list[tuple[str, int, float]]:
        return [dataclasses.astuple(phase) for phase in
                phases_of(await add(queue, kind, to), recording, queue)]

    both = [(WRITE, raw + movie, 10.0), (READ, raw + movie, 20.0)]
    assert await planned(K.COPY) == await planned(K.MOVE) == both
    assert await planned(K.DELETE_RAW, None) == [(READ, movie, 30.0)]
    assert await planned(K.DELETE, None) == [(DELETE, raw + movie, 0.0)]
    assert (await planned(K.DELETE))[0] == (READ, raw + movie, 20.0)
    assert await planned(K.EXPORT, None) == []
    await queue.remember_rates(HERE, {DELETE: 40.0})
    assert await planned(K.MOVE) == [*both, (DELETE, raw, 40.0)]
    assert (await planned(K.DELETE_RAW, None))[1] == (DELETE, raw, 40.0)
    assert await planned(K.COPY) == both
    alone = await queue.add(K.COPY, "bees", "u", destination="nas", preset="High")
    assert phases_of(alone, recording, queue)[0].size_bytes == movie
    gone = dataclasses.replace(recording, has_raw=False)
    assert phases_of(await add(queue, K.COPY), gone, queue)[0].size_bytes == movie


async def test_progress_comes_from_a_thread_and_rates_stay(
        queue: JobQueue, recording: Recording, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(byte_pace, "LEAST_S", 0.0)
    monkeypatch.setattr(byte_pace, "LEAST_BYTES", 1)
    monkeypatch.setattr(telling, "PROGRESS_S", 0.0)
    job = await add(queue, K.MOVE)
    heard: list[Job] = []
    queue._watchers.append(heard.append)
    told = Telling(queue, job, phases_of(job, recording, queue))

    def work(_stop: threading.Event) -> None:
        for phase in (WRITE, READ, DELETE):
            for done in range(0, 101, 50):
                told.progress(phase, done, 100)

    await in_thread("copy nas", work)
    assert [one.done_bytes for one in heard] == [0, 50, 100] * 3
    assert heard[2].seconds_left is not None
    await told.remember("nas", here=(DELETE,))
    assert queue.rate("nas", WRITE) > 0
    assert queue.rate("nas", READ) > 0
    assert queue.rate(HERE, DELETE) > 0
    assert queue.rate("nas", DELETE) == 0


async def test_a_thread_is_gone_with_its_work() -> None:
    names: list[str] = []
    await in_thread("copy nas", lambda _: names.append(threading.current_thread().name))
    assert names == ["copy nas"]
    assert "copy nas" not in {thread.name for thread in threading.enumerate()}
    with pytest.raises(OSError, match="no"):
        await in_thread("copy nas", _fails)


def _fails(_stop: threading.Event) -> None:
    raise OSError("no")


async def test_every_kind_of_job_that_waits_says_how_long_it_will_take(tmp_path: Path) -> None:
    async with a_box(tmp_path) as box:
        make_export(box.recordings, "bees", scan(box.recordings)[0].uuid)
        box.become(recovering=True)  # nothing runs
        await box.queue.remember_rates("nas", {WRITE: 1e6, READ: 1e6})
        await box.queue.remember_rates(HERE, {READ: 1e6, DELETE: 1e6})
        kinds = (K.COPY, K.MOVE, K.DELETE_RAW, K.DELETE)
        jobs = [await box.add(kind, **({} if kind is K.COPY else {"preset": "High"}))
                for kind in kinds]
        async with box.running():
            for job in jobs:
                await box.until(job, JobState.WAITING)
                await box.until_true(
                    lambda job=job: box.queue.job(job.id).seconds_left is not None)  # type: ignore[misc]
        size = sum(file.stat().st_size for file in (box.recordings / "bees").rglob("*")
                   if file.is_file())
        assert box.queue.job(jobs[0].id).total_bytes >= size
        left_s = box.queue.job(jobs[0].id).seconds_left
        assert left_s is not None
        assert left_s == pytest.approx(2 * box.queue.job(jobs[0].id).total_bytes / 1e6)
        await box.queue.remember_rates("nas", {WRITE: 9e6, READ: 9e6})  # news: drawn anew
        async with box.running():
            await box.until_true(lambda: (box.queue.job(jobs[0].id).seconds_left or 9e9) < left_s)
