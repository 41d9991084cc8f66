"""The runner on real folders: order, holding, stopping, retrying, and what a restart finds."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path

import pytest

from fieldrec.catalogue.scan import scan
from fieldrec.core.errors import DestinationError, DriveGone, EncoderFailed
from fieldrec.core.model import (
    Conditions,
    JobKind,
    JobState,
    PowerLevel,
    RecordingState,
)
from tests.fakes.job_box import a_box, names
from tests.fakes.small_stores import contents, make_export, make_store
from tests.fakes.waiting import PATIENCE_S

pytestmark = pytest.mark.asyncio
J = JobState


async def test_a_copy_goes_through_its_states(tmp_path: Path) -> None:
    async with a_box(tmp_path) as box:
        job = await box.add(JobKind.COPY)
        async with box.running():
            done = await box.until(job, J.DONE)
        assert box.states(job) == [J.QUEUED, J.RUNNING, J.VERIFYING, J.COMMITTING, J.DONE]
        assert done.done_bytes == done.total_bytes > 0
        assert names(box.nas) == ["bees"]
        assert names(box.recordings) == ["bees"]
        assert box.events == [f"job {job.id}: copy bees to nas: done"]


async def test_a_move_deletes_its_source_last(tmp_path: Path) -> None:
    async with a_box(tmp_path) as box:
        raw = contents(box.recordings / "bees")
        job = await box.add(JobKind.MOVE)
        async with box.running():
            await box.until(job, J.DONE)
        assert box.states(job)[-3:] == [J.COMMITTING, J.DELETING_SOURCE, J.DONE]
        assert names(box.recordings) == []
        assert contents(box.nas / "bees" / "bees") == raw


async def test_an_export_goes_through_its_states_and_may_delete_the_raw(tmp_path: Path) -> None:
    async with a_box(tmp_path) as box:
        job = await box.add(JobKind.EXPORT, delete_source=True)
        async with box.running():
            await box.until(job, J.DONE)
        assert box.states(job)[-3:] == [J.COMMITTING, J.DELETING_SOURCE, J.DONE]
        assert names(box.recordings) == ["bees.high.mp4", "bees.high.mp4.json"]


async def test_an_export_that_is_there_is_not_made_again(tmp_path: Path) -> None:
    async with a_box(tmp_path) as box:
        make_export(box.recordings, "bees", scan(box.recordings)[0].uuid)
        job = await box.add(JobKind.EXPORT)
        async with box.running():
            await box.until(job, J.DONE)
        assert box.encoders == []


async def test_raw_is_kept_when_the_export_is_not_of_all_frames(tmp_path: Path) -> None:
    async with a_box(tmp_path) as box:
        make_export(box.recordings, "bees", scan(box.recordings)[0].uuid, frames=9)
        box.encode_errors.append(EncoderFailed("broken"))
        job = await box.add(JobKind.EXPORT, delete_source=True)
        async with box.running():
            failed = await box.until(job, J.FAILED)
        assert failed.reason == "broken"
        assert "bees" in names(box.recordings)


async def test_raw_is_kept_when_the_export_cannot_be_seen_afterwards(tmp_path: Path) -> None:
    async with a_box(tmp_path) as box:
        box.encodes_nothing = True
        job = await box.add(JobKind.EXPORT, delete_source=True)
        async with box.running():
            failed = await box.until(job, J.FAILED)
        assert "the raw is kept" in failed.reason
        assert names(box.recordings) == ["bees"]


async def test_a_job_cancelled_while_it_is_read_back_does_not_commit(tmp_path: Path) -> None:
    async with a_box(tmp_path) as box:
        loop = asyncio.get_running_loop()
        job = await box.add(JobKind.MOVE)

        def cancel() -> None:
            box.on_read_back = lambda: None
            asyncio.run_coroutine_threadsafe(box.queue.cancel(job.id), loop).result()

        box.on_read_back = cancel
        async with box.running():
            await box.until_true(lambda: box.queue.job(job.id).state is J.CANCELLED)
            await box.until_true(lambda: box.leases == 0)
        assert box.queue.job(job.id).state is J.CANCELLED
        assert names(box.nas) == []
        assert names(box.recordings) == ["bees"]


async def test_delete_removes_raw_and_exports(tmp_path: Path) -> None:
    async with a_box(tmp_path) as box:
        make_export(box.recordings, "bees", scan(box.recordings)[0].uuid)
        job = await box.add(JobKind.DELETE)
        async with box.running():
            await box.until(job, J.DONE)
        assert names(box.recordings) == []


async def test_offload_goes_before_the_export_of_its_recording(tmp_path: Path) -> None:
    async with a_box(tmp_path) as box:
        box.gate.clear()
        export = await box.add(JobKind.EXPORT)
        copy = await box.add(JobKind.COPY)
        async with box.running():
            await box.until(export, J.WAITING, reason=f"job {copy.id} (copy) works on this")
            box.gate.set()
            await box.until(export, J.DONE)
        ended = [one.id for one in box.seen if one.state is J.DONE]
        assert ended == [copy.id, export.id]


async def test_a_running_export_is_held_and_goes_on(tmp_path: Path) -> None:
    async with a_box(tmp_path) as box:
        box.encode_gate.clear()
        job = await box.add(JobKind.EXPORT)
        async with box.running():
            await asyncio.wait_for(box.encoding.wait(), PATIENCE_S)
            box.become(recording=True, recording_since_ns=22_332_000_000_000)
            await box.until(job, J.WAITING, reason="recording since 06:12")
            box.become(recording=False, level=PowerLevel.BATTERY)
            await box.until(job, J.WAITING, reason="on battery (22 %)")
            box.become(level=PowerLevel.MAINS)
            await box.until(job, J.RUNNING)
            box.encode_gate.set()
            await box.until(job, J.DONE)
        assert len(box.encoders) == 1
        assert box.encoders[0].calls[0] == "run"
        assert box.encoders[0].calls[-1] == "resume"
        assert "pause" in box.encoders[0].calls


async def test_a_running_copy_stops_at_a_slice_and_goes_on_later(tmp_path: Path) -> None:
    async with a_box(tmp_path) as box:
        box.gate.clear()
        job = await box.add(JobKind.COPY)
        async with box.running():
            await box.until_true(lambda: bool(box.putting))
            box.become(level=PowerLevel.LOW)
            await box.until_stopping()
            box.gate.set()
            await box.until(job, J.WAITING, reason="battery LOW (22 %)")
            assert box.leases == 0
            assert names(box.nas) == [".part-bees"]
            box.become(level=PowerLevel.MAINS)
            await box.until(job, J.DONE)
        assert names(box.nas) == ["bees"]


async def test_a_job_waits_for_its_destination(tmp_path: Path) -> None:
    async with a_box(tmp_path) as box:
        box.conditions = dataclasses.replace(box.conditions, present_destinations=frozenset())
        job = await box.add(JobKind.COPY)
        async with box.running():
            await box.until(job, J.WAITING, reason="destination nas not present")
            box.become(present_destinations=frozenset({"nas"}))
            await box.until(job, J.DONE)


async def test_a_drive_pulled_out_costs_no_attempt(tmp_path: Path) -> None:
    async with a_box(tmp_path) as box:
        box.put_errors = [DriveGone("gone")] * 2
        job = await box.add(JobKind.COPY)
        async with box.running():
            done = await box.until(job, J.DONE)
        assert done.attempt == 0
        assert box.was_told(job, J.WAITING, "destination nas not present")


async def test_transient_errors_are_tried_again_but_not_for_ever(tmp_path: Path) -> None:
    async with a_box(tmp_path) as box:
        box.put_errors = [DestinationError("full")] * 2
        job = await box.add(JobKind.COPY)
        async with box.running():
            done = await box.until(job, J.DONE)
            assert done.attempt == 2
            assert box.was_told(job, J.WAITING, "full; again in 0 s (attempt 2 of 6 failed)")
            box.put_errors = [DestinationError("full")] * 9
            make_store(box.recordings, "cats", seed=9)
            second = await box.add(JobKind.COPY, "cats")
            failed = await box.until(second, J.FAILED)
        assert (failed.reason, failed.attempt) == ("full", 5)
        assert len(box.put_errors) == 9 - 6


async def test_a_bug_in_one_job_does_not_stop_the_next(tmp_path: Path) -> None:
    async with a_box(tmp_path) as box:
        box.put_errors = [KeyError("oops")]  # type: ignore[list-item]
        job = await box.add(JobKind.COPY)
        async with box.running():
            failed = await box.until(job, J.FAILED)
            assert "KeyError: 'oops'" in failed.reason
            again = await box.queue.retry(job.id)
            await box.until(again, J.DONE)


@pytest.mark.parametrize("kind", [JobKind.COPY, JobKind.MOVE])
async def test_cancel_stops_a_running_copy_and_clears_its_leavings(tmp_path: Path, kind: JobKind
                                                                   ) -> None:
    async with a_box(tmp_path) as box:
        box.gate.clear()
        job = await box.add(kind)
        async with box.running():
            await box.until_true(lambda: bool(box.putting))
            await box.queue.cancel(job.id)
            await box.until_stopping()
            box.gate.set()
            await box.until_true(lambda: box.leases == 0)
        assert box.queue.job(job.id).state is J.CANCELLED
        assert names(box.nas) == []
        assert names(box.recordings) == ["bees"]


async def test_cancel_ends_a_held_export(tmp_path: Path) -> None:
    async with a_box(tmp_path) as box:
        box.encode_gate.clear()
        job = await box.add(JobKind.EXPORT)
        async with box.running():
            await asyncio.wait_for(box.encoding.wait(), PATIENCE_S)
            box.become(level=PowerLevel.LOW)
            await box.until(job, J.WAITING, reason="battery LOW")
            await box.queue.cancel(job.id)
            await box.until_true(lambda: "cancelled" in box.encoders[0].calls)
        assert box.queue.job(job.id).state is J.CANCELLED


@pytest.mark.parametrize("kind", [JobKind.COPY, JobKind.MOVE, JobKind.EXPORT])
async def test_stopped_in_the_middle_every_job_is_queued_and_goes_on(tmp_path: Path, kind: JobKind
                                                                     ) -> None:
    async with a_box(tmp_path) as box:
        box.gate.clear()
        box.encode_gate.clear()
        job = await box.add(kind)
        async with box.running():
            if kind is JobKind.EXPORT:
                await asyncio.wait_for(box.encoding.wait(), PATIENCE_S)
            else:
                await box.until_true(lambda: bool(box.putting))
        assert box.queue.job(job.id).state is J.QUEUED
        assert "bees" in names(box.recordings)
        box.encode_gate.set()
        async with box.running():
            await box.until(job, J.DONE)


async def test_the_end_lets_a_job_that_is_stopping_already_clear_up(tmp_path: Path) -> None:
    async with a_box(tmp_path) as box:
        box.encode_gate.clear()
        box.leave_gate.clear()
        await box.add(JobKind.EXPORT)
        async with box.running():
            await asyncio.wait_for(box.encoding.wait(), PATIENCE_S)
            box.become(shutting_down=True)
            await box.until_true(lambda: "cancelled" in box.encoders[0].calls)
            asyncio.get_running_loop().call_later(0.05, box.leave_gate.set)
        assert box.encoders[0].calls[-1] == "gone"


async def test_a_recording_that_is_not_complete_is_waited_for(tmp_path: Path) -> None:
    async with a_box(tmp_path) as box:
        box.state_of["bees"] = RecordingState.INTERRUPTED
        job = await box.add(JobKind.COPY)
        async with box.running():
            await box.until(job, J.WAITING,
                            reason="bees is interrupted; it is copied once complete")
            box.state_of.clear()
            box.runner.wake()
            await box.until(job, J.DONE)


@pytest.mark.parametrize("kind", [JobKind.COPY, JobKind.EXPORT])
async def test_a_damaged_recording_is_refused(tmp_path: Path, kind: JobKind) -> None:
    async with a_box(tmp_path) as box:
        box.state_of["bees"] = RecordingState.DAMAGED
        job = await box.add(kind)
        async with box.running():
            failed = await box.until(job, J.FAILED)
        assert "damaged" in failed.reason
        assert len(box.events) == 1
        assert "failed: bees is damaged" in box.events[0]


async def test_a_recording_that_is_gone(tmp_path: Path) -> None:
    async with a_box(tmp_path) as box:
        jobs = [await box.queue.add(kind, "ghost", "no-uuid", destination="nas", preset="High")
                for kind in JobKind]
        async with box.running():
            for job in jobs:
                await box.until(job, J.DONE if job.kind is JobKind.DELETE else J.FAILED)


async def test_a_move_whose_source_went_before_a_crash_is_done(tmp_path: Path) -> None:
    async with a_box(tmp_path) as box:
        uuid = scan(box.recordings)[0].uuid
        copy = await box.add(JobKind.COPY)
        async with box.running():
            await box.until(copy, J.DONE)
            delete = await box.add(JobKind.DELETE)
            await box.until(delete, J.DONE)
            (box.recordings / "bees.high.mp4.json").write_text("{}")
            job = await box.queue.add(JobKind.MOVE, "bees", uuid, destination="nas")
            await box.until(job, J.DONE)
        assert names(box.recordings) == []


async def test_jobs_work_where_a_recording_lies(tmp_path: Path) -> None:
    async with a_box(tmp_path) as box:
        uuid = make_store(box.card, "ants", seed=7)
        async with box.running():
            export = await box.queue.add(JobKind.EXPORT, "ants", uuid, preset="High")
            await box.until(export, J.DONE)
            assert names(box.card) == ["ants", "ants.high.mp4", "ants.high.mp4.json"]
            move = await box.queue.add(JobKind.MOVE, "ants", uuid, destination="nas")
            await box.until(move, J.DONE)
            assert names(box.card) == []
            assert names(box.nas) == ["ants", "ants.high.mp4", "ants.high.mp4.json"]
            (box.card / "ants.low.mp4.json").write_text("{}")  # a cut left it
            delete = await box.queue.add(JobKind.DELETE, "ants", uuid)
            await box.until(delete, J.DONE)
        assert names(box.card) == []
        assert names(box.recordings) == ["bees"]


async def test_a_move_waits_for_an_older_export(tmp_path: Path) -> None:
    async with a_box(tmp_path) as box:
        box.become(level=PowerLevel.BATTERY)
        export = await box.add(JobKind.EXPORT)
        job = await box.add(JobKind.MOVE)
        async with box.running():
            await box.until(job, J.WAITING, reason=f"job {export.id} exports this recording first")
            box.become(level=PowerLevel.MAINS)
            await box.until(job, J.DONE)
        assert names(box.nas) == ["bees", "bees.high.mp4", "bees.high.mp4.json"]


async def test_copying_all_twice_copies_nothing_the_second_time(tmp_path: Path) -> None:
    async with a_box(tmp_path, "ants", "bees") as box:
        async with box.running():
            for name in ("ants", "bees"):
                await box.until(await box.add(JobKind.COPY, name), J.DONE)
            box.putting.clear()
            for name in ("ants", "bees"):
                await box.until(await box.add(JobKind.COPY, name), J.DONE)
        assert not box.putting
        assert names(box.nas) == ["ants", "bees"]


async def test_nothing_is_decided_until_something_changes(tmp_path: Path) -> None:
    async with a_box(tmp_path) as box:
        asked = asyncio.Semaphore(0)
        count = 0

        def conditions() -> Conditions:
            nonlocal count
            count += 1
            asked.release()
            return box.conditions

        box.runner._conditions = conditions
        async with box.running():
            await asked.acquire()
            for _ in range(100):
                await asyncio.sleep(0)
            assert count == 1
            box.runner.wake()
            await asked.acquire()
            assert count == 2
