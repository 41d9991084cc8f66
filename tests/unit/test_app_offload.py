"""Jobs that the box gives itself, and visits of drives: real queue, no drive, no disk but rows."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest

from fieldrec.app.offload import Offload
from fieldrec.config import Config
from fieldrec.core.errors import DriveBusy
from fieldrec.core.model import (
    Drive,
    DriveState,
    Export,
    Job,
    JobKind,
    JobState,
    Recording,
    RecordingState,
)
from fieldrec.jobs import order
from fieldrec.jobs.drive_room import Room
from fieldrec.jobs.job_queue import JobQueue
from tests.fakes.job_queues import queue
from tests.fakes.waiting import PATIENCE_S

__all__ = ["queue"]
pytestmark = pytest.mark.asyncio


def recording(name: str, state: RecordingState = RecordingState.COMPLETE,
              exports: tuple[Export, ...] = ()) -> Recording:
    return Recording(name, f"uuid-{name}", "C1", Path("/r") / name, state, None, 10, 0, 1, 0, 0,
                     100, "", "UTC", exports=exports)


def drive(fs_uuid: str = "A", insertion: int = 1, state: DriveState = DriveState.READY) -> Drive:
    return Drive(fs_uuid, f"L-{fs_uuid}", f"/dev/sd{fs_uuid}", Path("/m"), "ext4", None, 1, 1,
                 state, insertion=insertion)


class Rig:
    """An Offload, what it said and ejected."""

    def __init__(self, queue: JobQueue, **config: Any) -> None:
        self.queue = queue
        self.said: list[str] = []
        self.ejected: list[str] = []
        self.notes: list[str] = []
        self.refusals: list[Exception] = []
        self.looks: list[str] = []
        self.room = Room(10**12)
        self.elsewhere: set[str] = set()
        self.again = asyncio.Event()
        self.offload = Offload(
            Config.model_validate({"export": {"automatic": False}} | config), queue,
            say=lambda text, _severity: self.said.append(text), look=self.look, eject=self.eject,
            again=self.again.set, elsewhere=lambda one, _where: one.name in self.elsewhere,
            eject_again_s=0.01)

    async def look(self, name: str, begun: Collection[str]) -> Room:
        self.looks.append(name)
        return self.room

    async def eject(self, device: str, note: str) -> None:
        self.notes.append(note)
        self.ejected.append(device)
        if self.refusals:
            raise self.refusals.pop(0)

    async def ended(self) -> None:
        """An ejection has ended, or asks to be tried again."""
        async with asyncio.timeout(PATIENCE_S):
            await self.again.wait()
        self.again.clear()

    async def finish(self, state: JobState = JobState.DONE, reason: str = "") -> int:
        """End every unfinished job; how many there were."""
        jobs = self.unfinished()
        for job in jobs:
            await self.queue.set_state(job.id, state, reason)
        return len(jobs)

    def unfinished(self) -> list[Job]:
        return [job for job in self.queue.jobs() if not job.state.finished]


async def test_a_visit_from_insertion_to_eject(queue: JobQueue) -> None:
    rig, here = Rig(queue), [recording("a"), recording("b")]
    await rig.offload.serve([drive(state=DriveState.MOUNTING)], here)
    assert queue.jobs() == ()
    await rig.offload.serve([drive()], here)
    await rig.offload.serve([drive()], here)
    assert await rig.finish() == 2
    assert rig.ejected == []
    await rig.offload.serve([drive()], here)
    await rig.ended()
    assert rig.ejected == ["/dev/sdA"]
    await rig.offload.serve([drive(state=DriveState.SAFE)], here)
    assert rig.unfinished() == []
    assert rig.said == ["drive L-A: 2 recordings to copy, 77.5 kB (copies; then eject)",
                        "drive L-A: 2 recordings copied and verified, 77.5 kB in 0 s"]
    assert rig.notes == ["2 recordings, 77.5 kB"]


async def test_a_drive_that_did_not_get_all_says_so_beside_safe(queue: JobQueue) -> None:
    rig, here = Rig(queue), [recording("a"), recording("b")]
    await rig.offload.serve([drive()], here)
    first, second = rig.unfinished()
    await queue.set_state(first.id, JobState.FAILED, "no room")
    await queue.set_state(second.id, JobState.DONE)
    await rig.offload.serve([drive()], here)
    await rig.ended()
    assert rig.notes == ["1 of 2 not copied, see jobs; 1 recording, 38.8 kB"]
    assert "drive L-A: a not copied: no room" in rig.said


async def test_put_in_again_it_is_served_again_even_if_it_was_never_seen_to_leave(
        queue: JobQueue) -> None:
    """A drive that was switched off after SAFE stays SAFE until it is put in again."""
    rig, here = Rig(queue), [recording("a")]
    await rig.offload.serve([drive()], here)
    await rig.finish()
    await rig.offload.serve([drive()], here)
    await rig.ended()
    await rig.offload.serve([drive(insertion=2)], [*here, recording("b")])
    assert [job.item for job in rig.unfinished()] == ["a", "b"]
    await rig.finish()
    await rig.offload.serve([drive(insertion=2)], here)
    await rig.ended()
    assert len(rig.ejected) == 2


async def test_two_drives_and_a_refused_eject(queue: JobQueue) -> None:
    rig = Rig(queue)
    rig.refusals = [DriveBusy("held by less (7)"), DriveBusy("held by less (7)")]
    for _ in range(3):
        await rig.offload.serve([drive()], [])
        await rig.ended()
    assert rig.ejected == ["/dev/sdA"] * 3
    assert [text for text in rig.said if "not safe" in text] == [
        "drive L-A is not safe yet: held by less (7)"]
    await rig.offload.serve([drive(state=DriveState.SAFE), drive("B", 2)], [recording("a")])
    assert [job.destination for job in rig.unfinished()] == ["drive:B"]


async def test_an_eject_in_hand_keeps_nobody_waiting_and_ends_with_us(queue: JobQueue) -> None:
    rig = Rig(queue)
    hangs = asyncio.Event()

    async def hang(_device: str, _note: str) -> None:
        hangs.set()
        await asyncio.Event().wait()

    rig.offload._visits._eject = hang
    await rig.offload.serve([drive()], [])
    async with asyncio.timeout(PATIENCE_S):
        await hangs.wait()
    await rig.offload.serve([drive(), drive("B", 2)], [recording("a")])
    assert [job.destination for job in rig.unfinished()] == ["drive:B"]
    await rig.offload.close()


async def test_what_ends_during_the_visit_goes_along_what_begins_does_not(queue: JobQueue
                                                                         ) -> None:
    rig = Rig(queue)
    under_way = recording("under-way", RecordingState.RECORDING)
    await rig.offload.serve([drive()], [recording("a"), under_way])
    ended = dataclasses.replace(under_way, state=RecordingState.COMPLETE)
    await rig.offload.serve([drive()], [recording("a"), ended, recording("later")])
    assert [job.item for job in rig.unfinished()] == ["a", "under-way"]


async def test_only_failures_of_this_visit_are_told(queue: JobQueue) -> None:
    rig, here = Rig(queue), [recording("a")]
    await rig.offload.serve([drive()], here)
    await rig.finish(JobState.FAILED, "full")
    await rig.offload.serve([drive()], here)
    await rig.ended()
    assert "drive L-A: a not copied: full" in rig.said
    rig.said.clear()
    await rig.offload.serve([drive(insertion=2)], here)
    await rig.finish()
    await rig.offload.serve([drive(insertion=2)], here)
    await rig.ended()
    assert not [text for text in rig.said if "not copied" in text]


async def test_a_pulled_drive_is_forgotten_its_jobs_are_not(queue: JobQueue) -> None:
    rig, here = Rig(queue), [recording("a")]
    await rig.offload.serve([drive()], here)
    await rig.offload.serve([drive(state=DriveState.ABSENT)], here)
    await rig.offload.serve([drive(state=DriveState.ABSENT), drive("B", 2)], here)
    assert [job.destination for job in rig.unfinished()] == ["drive:A", "drive:B"]
    await rig.offload.serve([drive(insertion=3)], here)
    assert len(rig.unfinished()) == 2
    assert rig.ejected == []


async def test_nothing_on_insert(queue: JobQueue) -> None:
    rig = Rig(queue, drives={"on_insert": "nothing"})
    await rig.offload.serve([drive()], [recording("a")])
    assert queue.jobs() == ()


async def test_more_recordings_than_the_queue_remembers_are_asked_for_once(
        queue: JobQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "_history_count", 3)
    rig = Rig(queue, destinations={"nas": {"path": "/nas", "automatic": True}})
    here = [recording(f"r{number}") for number in range(6)]
    await rig.offload.plan(here)
    assert await rig.finish() == 6
    await rig.offload.plan(here)
    assert rig.unfinished() == []


async def test_the_raw_travels_when_the_export_failed_or_is_there(queue: JobQueue) -> None:
    rig = Rig(queue, destinations={"nas": {"path": "/nas", "automatic": True}},
              export={"automatic": True})
    await rig.offload.plan([recording("a")])
    assert [job.kind for job in rig.unfinished()] == [JobKind.EXPORT]
    await rig.finish(JobState.FAILED, "no memory")
    exported = recording("b", exports=(Export(Path("/r/b.mp4"), "High", 10, 1, "", 0),))
    await rig.offload.plan([recording("a"), exported])
    assert {(job.kind, job.item) for job in rig.unfinished()} == {
        (JobKind.COPY, "a"), (JobKind.COPY, "b")}


EXPORTED = Export(Path("/r/bees.high.mp4"), "High", 10, 5, "d", 50)


async def test_raw_is_deleted_as_the_policy_says(queue: JobQueue) -> None:
    bees = recording("bees", exports=(EXPORTED,))
    keep = Rig(queue)
    await keep.offload.plan([bees])
    assert queue.jobs() == ()
    verified = Rig(queue, export={"automatic": False, "preset": "hq", "raw": "delete_verified"})
    for _ in range(2):
        await verified.offload.plan([bees, recording("ants")])
    (job,) = queue.jobs()
    assert (job.kind, job.item, job.preset, job.destination) == (
        JobKind.DELETE_RAW, "bees", "High", None)
    await verified.finish(JobState.FAILED, "damaged")
    await Rig(queue, export={"automatic": False, "raw": "delete_verified"}).offload.plan([bees])
    assert len(queue.jobs()) == 1  # a person looks at it first


async def test_raw_that_waits_keeps_no_drive_and_goes_at_its_visit(queue: JobQueue) -> None:
    rig = Rig(queue, export={"automatic": False, "raw": "delete_when_offloaded"})
    bees = recording("bees", exports=(EXPORTED,))
    await rig.offload.serve([drive()], [bees])
    assert await rig.finish() == 1  # the copy
    await rig.offload.plan([bees])
    (job,) = rig.unfinished()
    assert (job.kind, job.destination) == (JobKind.DELETE_RAW, "drive:A")
    await rig.offload.serve([drive()], [bees])
    await asyncio.sleep(0)  # an eject would begin now
    assert rig.ejected == []  # it is about to go
    await queue.set_state(job.id, JobState.WAITING, "another job needs the raw first")
    await rig.offload.serve([drive()], [bees])
    await rig.ended()
    assert rig.ejected == ["/dev/sdA"]
    await rig.offload.close()


async def test_raw_whose_turn_comes_keeps_its_drive(queue: JobQueue) -> None:
    """One deletion runs at a time: the others must not be left for the next visit."""
    rig = Rig(queue, export={"automatic": False, "raw": "delete_when_offloaded"})
    here = [recording("bees", exports=(EXPORTED,)), recording("ants", exports=(EXPORTED,))]
    await rig.offload.serve([drive()], here)
    assert await rig.finish() == 2  # the copies
    await rig.offload.plan(here)
    first, second = rig.unfinished()
    runs = dataclasses.replace(first, state=JobState.RUNNING)
    arranged = order.arrange([second], [runs], [runs, second])
    await queue.set_state(second.id, JobState.WAITING, arranged.waits[second.id].reason)
    await queue.set_state(first.id, JobState.DONE)
    await rig.offload.serve([drive()], here)
    await asyncio.sleep(0)  # an eject would begin now
    assert rig.ejected == []
    await queue.set_state(second.id, JobState.DONE)
    await rig.offload.serve([drive()], here)
    await rig.ended()
    assert rig.ejected == ["/dev/sdA"]
    await rig.offload.close()


async def test_exports_may_run_on_battery_where_configured(queue: JobQueue) -> None:
    await Rig(queue, export={"automatic": True, "allow_battery": True}).offload.plan(
        [recording("bees")])
    (job,) = queue.jobs()
    assert job.allow_battery
