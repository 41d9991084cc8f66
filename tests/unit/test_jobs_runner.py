"""The runner on real folders: order, holding, stopping, retrying, and what a restart finds."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from fieldrec.catalogue.scan import scan
from fieldrec.core.errors import DestinationError, DriveGone, EncoderFailed, FieldrecError
from fieldrec.core.model import (
    Conditions,
    Export,
    Job,
    JobKind,
    JobState,
    PowerLevel,
    PowerState,
    Recording,
    RecordingState,
)
from fieldrec.destinations import Destination
from fieldrec.destinations.folder import FolderDestination
from fieldrec.export.presets import Preset
from fieldrec.jobs.exporting import EncoderProgress
from fieldrec.jobs.job_queue import JobQueue
from fieldrec.jobs.runner import JobRunner
from tests.fakes.small_stores import contents, make_export, make_store

pytestmark = pytest.mark.asyncio
J = JobState


class SlowFolder(FolderDestination):
    """A folder whose every put waits for a gate, and that fails when it is told to."""

    def __init__(self, folder: Path, box: Box) -> None:
        super().__init__("nas", folder)
        self._box = box

    def put(self, item: str, relative: str, slices: Iterable[Any]) -> None:
        self._box.putting.set()
        self._box.gate.wait(30)
        if self._box.put_errors:
            raise self._box.put_errors.pop(0)
        super().put(item, relative, slices)

    def read_slices(self, item: str, relative: str, slice_bytes: int) -> Iterator[memoryview]:
        yield from super().read_slices(item, relative, slice_bytes)
        self._box.on_read_back()


class StandInEncoder:
    """An encoder that writes a ready-made export when its gate opens; knows whether it is held."""

    def __init__(self, box: Box, store: Path, on_progress: EncoderProgress) -> None:
        self._box = box
        self._store = store
        self._on_progress = on_progress
        self.calls: list[str] = []

    async def run(self) -> Export:
        self.calls.append("run")
        self._on_progress("encoding", 1, 10)
        self._box.encoding.set()
        try:
            await self._box.encode_gate.wait()
        except asyncio.CancelledError:
            self.calls.append("cancelled")
            await self._box.leave_gate.wait()
            self.calls.append("gone")
            raise
        if self._box.encode_errors:
            raise self._box.encode_errors.pop(0)
        self._on_progress("verifying", 10, 10)
        if self._box.encodes_nothing:
            return Export(self._store, "High", 0, 0, "", 0)
        recording = next(r for r in scan(self._store.parent) if r.path == self._store)
        make_export(self._store.parent, self._store.name, recording.uuid, recording.frame_count)
        return scan(self._store.parent)[0].exports[0]

    def pause(self) -> None:
        self.calls.append("pause")

    def resume(self) -> None:
        self.calls.append("resume")

    def throttle(self, share: float) -> None:
        self.calls.append(f"throttle {share}")

    size_bytes = 1_000

    @property
    def pid(self) -> int | None:
        return None


class Box:
    """Folders, conditions, queue and runner of one test."""

    def __init__(self, root: Path) -> None:
        self.recordings = root / "recordings"
        self.nas = root / "nas"
        self.card = root / "card"
        for folder in (self.recordings, self.nas, self.card):
            folder.mkdir()
        self.conditions = Conditions(
            recording=False, recording_since_ns=None, power=PowerState(PowerLevel.MAINS),
            present_destinations=frozenset({"nas"}), free_bytes=10**9)
        self.state_of: dict[str, RecordingState] = {}
        self.gate = threading.Event()
        self.gate.set()
        self.putting = threading.Event()
        self.put_errors: list[FieldrecError] = []
        self.encode_gate = asyncio.Event()
        self.encode_gate.set()
        self.encoding = asyncio.Event()
        self.leave_gate = asyncio.Event()
        self.leave_gate.set()
        self.encode_errors: list[FieldrecError] = []
        self.encodes_nothing = False
        self.on_read_back: Callable[[], None] = lambda: None
        self.encoders: list[StandInEncoder] = []
        self.leases = 0
        self.history: list[tuple[int, JobState, str]] = []
        self.events: list[str] = []
        self._watch = asyncio.Event()
        self.queue = JobQueue(self.recordings / ".fieldrec" / "jobs.sqlite",
                              on_change=self._on_change)
        self.runner = self._runner()

    def _runner(self) -> JobRunner:
        return JobRunner(self.queue, catalogue=self.scan, recordings=[self.recordings, self.card],
                         destinations=lambda: {"nas": self.lease},
                         make_encoder=self.make_encoder, conditions=lambda: self.conditions,
                         on_event=lambda text, _severity: self.events.append(text),
                         first_retry_s=0.01)

    async def scan(self) -> list[Recording]:
        return [dataclasses.replace(found, state=self.state_of.get(found.name, found.state))
                for found in scan(self.recordings, self.card)]

    @contextmanager
    def lease(self) -> Iterator[Destination]:
        self.leases += 1
        try:
            yield SlowFolder(self.nas, self)
        finally:
            self.leases -= 1

    def make_encoder(self, store: Path, preset: Preset, folder: Path,
                     on_progress: EncoderProgress) -> StandInEncoder:
        assert (preset.name, folder) == ("High", store.parent)
        encoder = StandInEncoder(self, store, on_progress)
        self.encoders.append(encoder)
        return encoder

    def _on_change(self, job: Job) -> None:
        if not self.history or self.history[-1] != (job.id, job.state, job.reason):
            self.history.append((job.id, job.state, job.reason))
        self._watch.set()

    async def add(self, kind: JobKind, name: str = "bees", **more: Any) -> Job:
        found = next(r for r in scan(self.recordings) if r.name == name)
        if kind is JobKind.EXPORT:
            more.setdefault("preset", "High")
        elif kind is not JobKind.DELETE:
            more.setdefault("destination", "nas")
        return await self.queue.add(kind, name, found.uuid, **more)

    async def until(self, job: Job, state: JobState, reason: str = "") -> Job:
        """Wait until the job is in a state (for a reason that contains `reason`)."""
        while not ((now := self.queue.job(job.id)).state is state and reason in now.reason):
            self._watch.clear()
            if now.state.finished:
                pytest.fail(f"{now.state}: {now.reason}, expected {state}")
            await asyncio.wait_for(self._watch.wait(), 30)
        return now

    async def settled(self) -> None:
        """Wait until jobs that came to an end have said so."""
        await until_true(lambda: not any(self.queue.job(job_id).state.finished
                                         for job_id in self.runner._running))

    def become(self, **changes: Any) -> None:
        if "level" in changes:
            changes["power"] = PowerState(changes.pop("level"), charge_percent=22)
        self.conditions = dataclasses.replace(self.conditions, **changes)
        self.runner.wake()

    def states(self, job: Job) -> list[JobState]:
        seen: list[JobState] = []
        for number, state, _ in self.history:
            if number == job.id and (not seen or seen[-1] is not state):
                seen.append(state)
        return seen


@asynccontextmanager
async def running(box: Box) -> AsyncIterator[None]:
    """The runner under way; afterwards stopped in order, with nothing left."""
    task = asyncio.create_task(box.runner.run())
    try:
        yield
    finally:
        box.gate.set()
        await box.settled()
        task.cancel()
        await asyncio.wait([task])
        assert box.leases == 0
        with contextlib.suppress(asyncio.CancelledError):
            task.result()


@asynccontextmanager
async def a_box(root: Path, *names: str) -> AsyncIterator[Box]:
    box = Box(root)
    for seed, name in enumerate(names or ("bees",), 1):
        make_store(box.recordings, name, seed=seed)
    await box.queue.open()
    try:
        yield box
    finally:
        await box.queue.close()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != ".fieldrec")


async def test_a_copy_goes_through_its_states(tmp_path: Path) -> None:
    async with a_box(tmp_path) as box:
        job = await box.add(JobKind.COPY)
        async with running(box):
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
        async with running(box):
            await box.until(job, J.DONE)
        assert box.states(job)[-3:] == [J.COMMITTING, J.DELETING_SOURCE, J.DONE]
        assert names(box.recordings) == []
        assert contents(box.nas / "bees").items() > raw.items()


async def test_an_export_goes_through_its_states_and_may_delete_the_raw(tmp_path: Path) -> None:
    async with a_box(tmp_path) as box:
        job = await box.add(JobKind.EXPORT, delete_source=True)
        async with running(box):
            await box.until(job, J.DONE)
        assert box.states(job)[-3:] == [J.COMMITTING, J.DELETING_SOURCE, J.DONE]
        assert names(box.recordings) == ["bees.high.mp4", "bees.high.mp4.json"]


async def test_an_export_that_is_there_is_not_made_again(tmp_path: Path) -> None:
    async with a_box(tmp_path) as box:
        make_export(box.recordings, "bees", scan(box.recordings)[0].uuid)
        job = await box.add(JobKind.EXPORT)
        async with running(box):
            await box.until(job, J.DONE)
        assert box.encoders == []


async def test_raw_is_kept_when_the_export_is_not_of_all_frames(tmp_path: Path) -> None:
    async with a_box(tmp_path) as box:
        make_export(box.recordings, "bees", scan(box.recordings)[0].uuid, frames=9)
        box.encode_errors.append(EncoderFailed("broken"))
        job = await box.add(JobKind.EXPORT, delete_source=True)
        async with running(box):
            failed = await box.until(job, J.FAILED)
        assert failed.reason == "broken"
        assert "bees" in names(box.recordings)


async def test_raw_is_kept_when_the_export_cannot_be_seen_afterwards(tmp_path: Path) -> None:
    async with a_box(tmp_path) as box:
        box.encodes_nothing = True
        job = await box.add(JobKind.EXPORT, delete_source=True)
        async with running(box):
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
        async with running(box):
            await until_true(lambda: box.queue.job(job.id).state is J.CANCELLED)
            await until_true(lambda: box.leases == 0)
        assert box.queue.job(job.id).state is J.CANCELLED
        assert names(box.nas) == []
        assert names(box.recordings) == ["bees"]


async def test_delete_removes_raw_and_exports(tmp_path: Path) -> None:
    async with a_box(tmp_path) as box:
        make_export(box.recordings, "bees", scan(box.recordings)[0].uuid)
        job = await box.add(JobKind.DELETE)
        async with running(box):
            await box.until(job, J.DONE)
        assert names(box.recordings) == []


async def test_offload_goes_before_the_export_of_its_recording(tmp_path: Path) -> None:
    async with a_box(tmp_path) as box:
        box.gate.clear()
        export = await box.add(JobKind.EXPORT)
        copy = await box.add(JobKind.COPY)
        async with running(box):
            await box.until(export, J.WAITING, f"job {copy.id} (copy) works on this recording")
            box.gate.set()
            await box.until(export, J.DONE)
        ended = [number for number, state, _ in box.history if state is J.DONE]
        assert ended == [copy.id, export.id]


async def test_a_running_export_is_held_and_goes_on(tmp_path: Path) -> None:
    async with a_box(tmp_path) as box:
        box.encode_gate.clear()
        job = await box.add(JobKind.EXPORT)
        async with running(box):
            await asyncio.wait_for(box.encoding.wait(), 30)
            box.become(recording=True, recording_since_ns=22_332_000_000_000)
            await box.until(job, J.WAITING, "recording since 06:12")
            box.become(recording=False, level=PowerLevel.BATTERY)
            await box.until(job, J.WAITING, "on battery (22 %)")
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
        async with running(box):
            await until_true(box.putting.is_set)
            box.become(level=PowerLevel.LOW)
            await stopping(box)
            box.gate.set()
            await box.until(job, J.WAITING, "battery LOW (22 %)")
            assert box.leases == 0
            assert names(box.nas) == [".part-bees"]
            box.become(level=PowerLevel.MAINS)
            await box.until(job, J.DONE)
        assert names(box.nas) == ["bees"]


async def until_true(question: Callable[[], bool]) -> None:
    """Ask until the answer is yes; for what no event tells. The test's own timeout bounds it."""
    while not question():  # noqa: ASYNC110
        await asyncio.sleep(0.001)


async def stopping(box: Box) -> None:
    """Wait until the runner has told the running copy to stop."""
    await until_true(lambda: all(one.stopping for one in box.runner._running.values()))


async def test_a_job_waits_for_its_destination(tmp_path: Path) -> None:
    async with a_box(tmp_path) as box:
        box.conditions = dataclasses.replace(box.conditions, present_destinations=frozenset())
        job = await box.add(JobKind.COPY)
        async with running(box):
            await box.until(job, J.WAITING, "destination nas not present")
            box.become(present_destinations=frozenset({"nas"}))
            await box.until(job, J.DONE)


async def test_a_drive_pulled_out_costs_no_attempt(tmp_path: Path) -> None:
    async with a_box(tmp_path) as box:
        box.put_errors = [DriveGone("gone")] * 2
        job = await box.add(JobKind.COPY)
        async with running(box):
            done = await box.until(job, J.DONE)
        assert done.attempt == 0
        assert (job.id, J.WAITING, "destination nas not present") in box.history


async def test_transient_errors_are_tried_again_but_not_for_ever(tmp_path: Path) -> None:
    async with a_box(tmp_path) as box:
        box.put_errors = [DestinationError("full")] * 2
        job = await box.add(JobKind.COPY)
        async with running(box):
            done = await box.until(job, J.DONE)
            assert done.attempt == 2
            assert (job.id, J.WAITING, "full; again in 0 s (attempt 2 of 6 failed)") in box.history
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
        async with running(box):
            failed = await box.until(job, J.FAILED)
            assert "KeyError: 'oops'" in failed.reason
            again = await box.queue.retry(job.id)
            await box.until(again, J.DONE)


async def test_cancel_stops_a_running_copy_and_clears_its_leavings(tmp_path: Path) -> None:
    async with a_box(tmp_path) as box:
        box.gate.clear()
        job = await box.add(JobKind.COPY)
        async with running(box):
            await until_true(box.putting.is_set)
            await box.queue.cancel(job.id)
            await stopping(box)
            box.gate.set()
            await until_true(lambda: box.leases == 0)
        assert box.queue.job(job.id).state is J.CANCELLED
        assert names(box.nas) == []
        assert names(box.recordings) == ["bees"]


async def test_cancel_ends_a_held_export(tmp_path: Path) -> None:
    async with a_box(tmp_path) as box:
        box.encode_gate.clear()
        job = await box.add(JobKind.EXPORT)
        async with running(box):
            await asyncio.wait_for(box.encoding.wait(), 30)
            box.become(level=PowerLevel.LOW)
            await box.until(job, J.WAITING, "battery LOW")
            await box.queue.cancel(job.id)
            await until_true(lambda: "cancelled" in box.encoders[0].calls)
        assert box.queue.job(job.id).state is J.CANCELLED


@pytest.mark.parametrize("kind", [JobKind.COPY, JobKind.MOVE, JobKind.EXPORT])
async def test_stopped_in_the_middle_every_job_is_queued_and_goes_on(tmp_path: Path, kind: JobKind
                                                                     ) -> None:
    async with a_box(tmp_path) as box:
        box.gate.clear()
        box.encode_gate.clear()
        job = await box.add(kind)
        async with running(box):
            if kind is JobKind.EXPORT:
                await asyncio.wait_for(box.encoding.wait(), 30)
            else:
                await until_true(box.putting.is_set)
        assert box.queue.job(job.id).state is J.QUEUED
        assert "bees" in names(box.recordings)
        box.encode_gate.set()
        async with running(box):
            await box.until(job, J.DONE)


async def test_the_end_lets_a_job_that_is_stopping_already_clear_up(tmp_path: Path) -> None:
    async with a_box(tmp_path) as box:
        box.encode_gate.clear()
        box.leave_gate.clear()
        await box.add(JobKind.EXPORT)
        async with running(box):
            await asyncio.wait_for(box.encoding.wait(), 30)
            box.become(shutting_down=True)
            await until_true(lambda: "cancelled" in box.encoders[0].calls)
            asyncio.get_running_loop().call_later(0.05, box.leave_gate.set)
        assert box.encoders[0].calls[-1] == "gone"


async def test_a_recording_that_is_not_complete_is_waited_for(tmp_path: Path) -> None:
    async with a_box(tmp_path) as box:
        box.state_of["bees"] = RecordingState.INTERRUPTED
        job = await box.add(JobKind.COPY)
        async with running(box):
            await box.until(job, J.WAITING, "bees is interrupted; it is copied once complete")
            box.state_of.clear()
            box.runner.wake()
            await box.until(job, J.DONE)


@pytest.mark.parametrize("kind", [JobKind.COPY, JobKind.EXPORT])
async def test_a_damaged_recording_is_refused(tmp_path: Path, kind: JobKind) -> None:
    async with a_box(tmp_path) as box:
        box.state_of["bees"] = RecordingState.DAMAGED
        job = await box.add(kind)
        async with running(box):
            failed = await box.until(job, J.FAILED)
        assert "damaged" in failed.reason
        assert len(box.events) == 1
        assert "failed: bees is damaged" in box.events[0]


async def test_a_recording_that_is_gone(tmp_path: Path) -> None:
    async with a_box(tmp_path) as box:
        jobs = [await box.queue.add(kind, "ghost", "no-uuid", destination="nas", preset="High")
                for kind in JobKind]
        async with running(box):
            for job in jobs:
                await box.until(job, J.DONE if job.kind is JobKind.DELETE else J.FAILED)


async def test_a_move_whose_source_went_before_a_crash_is_done(tmp_path: Path) -> None:
    async with a_box(tmp_path) as box:
        uuid = scan(box.recordings)[0].uuid
        copy = await box.add(JobKind.COPY)
        async with running(box):
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
        async with running(box):
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
        async with running(box):
            await box.until(job, J.WAITING, f"job {export.id} exports this recording first")
            box.become(level=PowerLevel.MAINS)
            await box.until(job, J.DONE)
        assert names(box.nas) == ["bees", "bees.high.mp4", "bees.high.mp4.json"]


async def test_copying_all_twice_copies_nothing_the_second_time(tmp_path: Path) -> None:
    async with a_box(tmp_path, "ants", "bees") as box:
        async with running(box):
            for name in ("ants", "bees"):
                await box.until(await box.add(JobKind.COPY, name), J.DONE)
            box.putting.clear()
            for name in ("ants", "bees"):
                await box.until(await box.add(JobKind.COPY, name), J.DONE)
        assert not box.putting.is_set()
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
        async with running(box):
            await asked.acquire()
            for _ in range(100):
                await asyncio.sleep(0)
            assert count == 1
            box.runner.wake()
            await asked.acquire()
            assert count == 2
