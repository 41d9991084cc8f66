"""What each drive gets when it is put in, by the rules of the configuration: real queue, real book,
no drive and no disk but rows."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest

from fieldrec.app import visits
from fieldrec.core.errors import DestinationError, DriveBusy, DriveGone
from fieldrec.core.model import Drive, DriveState, Export, FrameSpec, JobKind, JobState, Recording
from fieldrec.jobs.drive_room import Room
from fieldrec.jobs.job_queue import JobQueue
from tests.fakes.job_queues import queue
from tests.fakes.waiting import PATIENCE_S
from tests.unit.test_app_offload import Rig, drive, recording

__all__ = ["queue"]
pytestmark = pytest.mark.asyncio
MB = 1_000_000
HIGH = Export(Path("/r/a.high.mp4"), "High", 10, 5, "d", 50)


def known(**more: Any) -> Drive:
    return dataclasses.replace(drive(), known=True, **more)


def large(name: str, size_mb: int, first_ns: int = 0, camera: str = "C1") -> Recording:
    return dataclasses.replace(recording(name), size_bytes=size_mb * MB, chunk_count=1,
                               first_time_ns=first_ns, camera_serial=camera)


def asked(queue: JobQueue) -> list[tuple[str, str, str | None, bool]]:
    return [(job.kind.value, job.item, job.preset, job.delete_source) for job in queue.jobs()
            if not job.state.finished]


@pytest.mark.parametrize(("on_insert", "is_known", "jobs"), [
    ("copy", True, [("copy", "a", None, False), ("copy", "b", None, False)]),
    ("move", True, [("move", "a", None, True), ("move", "b", None, True)]),
    ("move", False, [("copy", "a", None, False), ("copy", "b", None, False)]),
    ("export", True, [("move", "a", "High", True), ("export", "b", "High", True)]),
    ("export", False, [("copy", "a", "High", False), ("export", "b", "High", False)]),
    ("nothing", True, []),
])
async def test_what_a_drive_gets(queue: JobQueue, on_insert: str, is_known: bool,
                                 jobs: list[object]) -> None:
    rig = Rig(queue, drives={"on_insert": on_insert})
    here = [recording("a", exports=(HIGH,)), recording("b")]
    await rig.offload.serve([dataclasses.replace(drive(), known=is_known)], here)
    assert asked(queue) == jobs
    told = " ".join(rig.said)
    assert ("fieldrec drive prepare /dev/sdA" in told) == (
        not is_known and on_insert in ("move", "export"))
    if on_insert == "nothing":
        assert rig.said == ["drive L-A gets nothing by itself (by drives.on_insert)"]
        assert rig.ejected == []


@pytest.mark.parametrize(("on_insert", "kinds"), [("move", ["copy", "copy"]),
                                                  ("export", ["copy", "export"])])
async def test_nothing_is_deleted_for_a_drive_that_may_be_smaller_than_it_says(
        queue: JobQueue, on_insert: str, kinds: list[str]) -> None:
    here = [recording("a", exports=(HIGH,)), recording("b")]
    exfat = known(fs_type="exfat", size_bytes=64_000 * MB, free_bytes=64_000 * MB)
    rig = Rig(queue, drives={"on_insert": on_insert})
    await rig.offload.serve([exfat], here)
    assert [(kind, deletes) for kind, _, _, deletes in asked(queue)] == [
        (kind, False) for kind in kinds]
    told = " ".join(rig.said)
    assert "whether drive L-A is as large as it says cannot be told on exfat" in told
    assert "fieldrec drive prepare --format exfat" in told
    for more in ({"capacity_bytes": 64_000 * MB}, {"fs_type": "ext4"}):
        rig = Rig(queue, drives={"on_insert": on_insert})
        for job in rig.unfinished():
            await queue.set_state(job.id, JobState.CANCELLED)
        await rig.offload.serve([dataclasses.replace(exfat, **more)], here)
        assert all(deletes for *_, deletes in asked(queue)) and asked(queue)


async def test_the_first_rule_that_fits_says_what_which_cameras_and_whether_to_eject(
        queue: JobQueue) -> None:
    rig = Rig(queue, drives={"on_insert": "copy", "rules": [
        {"drive": "uuid:A", "on_insert": "move", "cameras": ["side*"], "eject": False}]})
    here = [large("top", 1, camera="top-1"), large("side", 1, camera="side-1")]
    await rig.offload.serve([known(rule=0), dataclasses.replace(drive("B", 2), rule=-1)], here)
    assert [(job.destination, job.kind, job.item) for job in rig.unfinished()] == [
        ("drive:A", JobKind.MOVE, "side"), ("drive:B", JobKind.COPY, "side"),
        ("drive:B", JobKind.COPY, "top")]
    await rig.finish()
    await rig.offload.serve([known(rule=0)], here)
    await asyncio.sleep(0)
    assert rig.ejected == []  # it stays in use
    await rig.offload.close()


async def test_a_drive_that_stays_in_use_gets_what_comes_later_and_new_exports(queue: JobQueue
                                                                               ) -> None:
    rig = Rig(queue, drives={"eject": False})
    await rig.offload.serve([drive()], [recording("a")])
    await rig.finish()
    await rig.offload.serve([drive()], [recording("a")])
    assert rig.unfinished() == []
    await rig.offload.serve([drive()], [recording("a", exports=(HIGH,)), recording("b")])
    assert [job.item for job in rig.unfinished()] == ["a", "b"]
    await rig.finish()
    await rig.offload.serve([drive()], [recording("a", exports=(HIGH,)), recording("b")])
    assert rig.ejected == [] and rig.unfinished() == []
    assert [text for text in rig.said if "verified" in text] == [
        "drive L-A: 1 recording copied and verified, 38.8 kB in 0 s",
        "drive L-A: 2 recordings copied and verified, 89.8 kB in 0 s"]


async def test_a_recording_whose_exports_are_to_be_made_is_copied_and_moved_next_time(
        queue: JobQueue) -> None:
    rig = Rig(queue, drives={"on_insert": "move"})
    await queue.add(JobKind.EXPORT, "a", "uuid-a", preset="High")
    await rig.offload.serve([known()], [recording("a"), recording("b")])
    assert asked(queue) == [("export", "a", "High", False), ("copy", "a", None, False),
                            ("move", "b", None, True)]


async def test_what_does_not_fit_has_no_job_and_goes_to_the_next_drive(queue: JobQueue) -> None:
    rig = Rig(queue)
    here = [large(f"r{number}", 10, number) for number in range(5)]
    rig.room = Room(35 * MB, 4096, total_bytes=35 * MB)
    await rig.offload.serve([dataclasses.replace(drive(), size_bytes=40 * MB)], here)
    assert [job.item for job in rig.unfinished()] == ["r0", "r1", "r2"]
    assert ("drive L-A: 3 of 5 recordings fit (30.1 MB of 50.2 MB); 2 stay, 20.1 MB; "
            "use another drive") in rig.said
    await rig.offload.serve([drive()], here)
    assert rig.looks == ["drive:A"] and len(queue.jobs()) == 3
    rig.elsewhere = {"r0", "r1", "r2"}
    await rig.finish()
    await rig.offload.serve([drive()], here)
    await rig.ended()
    assert rig.notes == ["2 did not fit, 20.1 MB: use another drive; 3 recordings, 30.1 MB"]
    assert not [job for job in queue.jobs() if job.state is not JobState.DONE]
    await rig.offload.serve([drive(state=DriveState.SAFE), drive("B", 2)], here)
    assert [job.item for job in rig.unfinished()] == ["r3", "r4", "r0"]
    assert {job.destination for job in rig.unfinished()} == {"drive:B"}


async def test_a_recording_larger_than_the_drive_is_named(queue: JobQueue) -> None:
    rig = Rig(queue)
    rig.room = Room(35 * MB)
    small = dataclasses.replace(drive(), size_bytes=40 * MB)
    await rig.offload.serve([small], [large("huge", 300), large("a", 1)])
    assert [job.item for job in rig.unfinished()] == ["a"]
    assert rig.said[-1].endswith("; huge (300.0 MB) is larger than the whole drive")


async def test_more_room_on_the_drive_goes_on(queue: JobQueue) -> None:
    rig = Rig(queue)
    here = [large("a", 10, 1), large("b", 10, 2)]
    rig.room = Room(15 * MB)
    await rig.offload.serve([drive()], here)
    rig.room = Room(40 * MB)
    await rig.offload.serve([dataclasses.replace(drive(), free_bytes=20 * MB)], here)
    assert [job.item for job in rig.unfinished()] == ["a", "b"]


async def test_job_first_goes_first_also_where_not_all_fit(queue: JobQueue) -> None:
    rig = Rig(queue)
    here = [large("a", 10, 1), large("b", 10, 2)]
    job = await queue.add(JobKind.COPY, "b", "uuid-b", destination="drive:A")
    await queue.put_first(job.id)
    rig.room = Room(15 * MB)
    await rig.offload.serve([drive()], here)
    assert [one.item for one in rig.unfinished()] == ["b"]


async def test_what_turns_out_not_to_fit_is_handed_back(queue: JobQueue) -> None:
    """Somebody else has filled the drive: the job does not fail, it is for the next one."""
    rig, here = Rig(queue), [large("a", 10), large("b", 10)]
    await rig.offload.serve([drive()], here)
    first, second = rig.unfinished()
    await queue.set_state(first.id, JobState.WAITING,
                          "destination L-A is full; make room there and try again")
    await queue.set_state(second.id, JobState.DONE)
    await rig.offload.serve([drive()], here)
    await rig.ended()
    assert queue.job(first.id).state is JobState.CANCELLED
    assert "a does not fit" in " ".join(rig.said)
    assert rig.notes == ["1 did not fit, 10.0 MB: use another drive; 1 recording, 10.0 MB"]
    await rig.offload.serve([drive("B", 2)], here)
    assert {job.item for job in rig.unfinished()} == {"a", "b"}


async def test_a_job_of_an_earlier_visit_that_fits_no_more_goes_to_the_next_drive(
        queue: JobQueue) -> None:
    rig, here = Rig(queue), [large("a", 10, 1), large("b", 10, 2)]
    await rig.offload.serve([drive()], here)
    await rig.offload.serve([drive(state=DriveState.ABSENT)], here)
    rig.room = Room(15 * MB)
    await rig.offload.serve([drive(insertion=2)], here)
    assert [job.item for job in rig.unfinished()] == ["a"]
    assert [job.reason for job in queue.jobs() if job.state is JobState.CANCELLED] == [
        "does not fit on drive L-A: it goes to the next drive"]


async def test_what_another_drive_took_meanwhile_is_no_failure(queue: JobQueue) -> None:
    rig = Rig(queue, drives={"on_insert": "move"})
    await rig.offload.serve([known()], [recording("a")])
    await rig.offload.serve([known(state=DriveState.ABSENT)], [recording("a")])
    second = dataclasses.replace(drive("B", 2), known=True)
    await rig.offload.serve([second], [recording("a")])
    job = next(job for job in rig.unfinished() if job.destination == "drive:B")
    await queue.set_state(job.id, JobState.DONE)
    await rig.offload.serve([dataclasses.replace(drive(insertion=3), known=True)], [])
    await rig.ended()
    assert [job.reason for job in queue.jobs() if job.destination == "drive:A"] == [
        "it went to drive:B meanwhile"]
    assert rig.notes[-1] == ""


async def test_a_suspect_drive_gets_nothing_and_may_be_taken_out(queue: JobQueue) -> None:
    rig, here = Rig(queue), [recording("a"), recording("b")]
    await rig.offload.serve([drive()], here)
    bad = dataclasses.replace(drive(), suspect="gave back other bytes, 3 times")
    await rig.offload.serve([bad], here)
    await rig.ended()
    assert rig.unfinished() == []
    assert {job.state for job in queue.jobs()} == {JobState.CANCELLED}
    assert rig.notes == ["suspect, do not use it: replace it"]
    assert rig.said[-1] == ("drive L-A is suspect and gets nothing: gave back other bytes, 3 times")
    await rig.offload.serve([dataclasses.replace(bad, insertion=2)], here)
    await rig.ended()
    assert rig.looks == ["drive:A"] and len(rig.ejected) == 2  # it is not even looked at


async def test_a_slow_look_keeps_nobody_waiting(queue: JobQueue, monkeypatch: pytest.MonkeyPatch
                                                ) -> None:
    monkeypatch.setattr(visits, "LOOK_S", 0)
    rig, gate = Rig(queue), asyncio.Event()

    async def look(name: str, begun: Collection[str]) -> Room:
        if name == "drive:A":
            await gate.wait()
        return Room(10**9)

    rig.offload._visits._look = look
    both = [drive(), drive("B", 2)]
    while not rig.unfinished():
        await rig.offload.serve(both, [recording("a")])
    assert [job.destination for job in rig.unfinished()] == ["drive:B"]
    rig.again.clear()
    gate.set()
    await rig.ended()
    await rig.offload.serve(both, [recording("a")])
    assert [job.destination for job in rig.unfinished()] == ["drive:B", "drive:A"]
    await rig.offload.close()


async def test_a_drive_that_cannot_be_looked_at_is_served_by_what_the_table_says(queue: JobQueue
                                                                                 ) -> None:
    rig = Rig(queue)

    async def look(_name: str, _begun: Collection[str]) -> Room:
        raise DestinationError("destination L-A: Input/output error")

    rig.offload._visits._look = look
    await rig.offload.serve([dataclasses.replace(drive(), free_bytes=70 * MB)], [large("a", 1)])
    assert len(rig.unfinished()) == 1
    assert "drive L-A cannot be looked at: destination L-A: Input/output error" in rig.said


async def test_a_visit_tells_how_long_and_how_far(queue: JobQueue) -> None:
    rig = Rig(queue)
    await queue.remember_rates("drive:A", {"write": 10 * MB, "read": 20 * MB})
    slow = dataclasses.replace(drive(), link_mbps=480)
    here = [large("a", 600, 1), large("b", 600, 2)]
    await rig.offload.serve([slow], here)
    assert rig.said == [
        "drive L-A is on USB 2 (480 Mb/s): 1.2 GB will take about 37 s, and as long again to "
        "compare; use a blue port",
        "drive L-A: 2 recordings to copy, 1.2 GB, about 3 min (copies; then eject)"]
    first, _ = rig.unfinished()
    await queue.set_state(first.id, JobState.RUNNING)
    queue.progress(first.id, 300 * MB, 600 * MB, 90.0)
    assert rig.offload.told(slow) == "0 of 2 copied, 300.0 MB of 1.2 GB"
    await queue.set_state(first.id, JobState.VERIFYING)
    assert rig.offload.told(slow) == "0 of 2 copied, 600.0 MB of 1.2 GB"
    assert rig.offload.told(drive("B", 2)) == ""


async def test_an_export_needs_what_it_will_come_to(queue: JobQueue) -> None:
    rig = Rig(queue, drives={"on_insert": "export"})
    spec = FrameSpec((1000, 1000), "uint8", "MONO8", 25.0)
    raw = [dataclasses.replace(large(name, 1000), spec=spec, frame_count=1000)
           for name in ("a", "b")]
    rig.room = Room(500 * MB)
    await rig.offload.serve([known()], raw)
    assert [job.kind for job in rig.unfinished()] == [JobKind.EXPORT] * 2


async def test_a_drive_that_stays_in_use_is_said_to_have_all_once(queue: JobQueue) -> None:
    rig = Rig(queue, drives={"eject": False})
    for _ in range(3):
        await rig.offload.serve([drive()], [])
    assert rig.said == ["drive L-A: there is nothing to bring to it"]


async def test_an_eject_that_goes_wrong_in_an_unforeseen_way_is_said_and_tried_again(
        queue: JobQueue, caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig(queue)
    rig.refusals.append(ZeroDivisionError("a mistake of ours"))
    await rig.offload.serve([drive()], [])
    await rig.ended()
    assert "drive L-A is not safe yet: a mistake of ours" in rig.said
    assert "ZeroDivisionError" in caplog.text
    await rig.offload.serve([drive()], [])
    await rig.ended()
    assert len(rig.ejected) == 2


async def test_what_a_drive_that_is_pulled_out_was_waiting_for_is_ended(queue: JobQueue) -> None:
    rig = Rig(queue)
    rig.offload._visits._eject_again_s = 3600
    rig.refusals.append(DriveBusy("held by bash (1)"))
    await rig.offload.serve([drive()], [])
    await asyncio.sleep(0)
    assert rig.ejected
    (ejection,) = [task for task in asyncio.all_tasks() if task.get_name().startswith("eject ")]
    await rig.offload.serve([drive(state=DriveState.ABSENT)], [])
    await asyncio.wait({ejection}, timeout=PATIENCE_S)
    assert ejection.cancelled()


async def test_a_drive_that_is_pulled_out_while_it_is_looked_at_is_promised_nothing(
        queue: JobQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    """udev has not said so yet: neither jobs nor an eject for what is not there."""
    rig = Rig(queue)

    async def look(name: str, begun: Collection[str]) -> Room:
        raise DriveGone("it was pulled out")

    with monkeypatch.context() as patch:
        patch.setattr(rig.offload._visits, "_look", look)
        await rig.offload.serve([drive()], [recording("a")])
    assert (queue.jobs(), rig.said, rig.ejected) == ((), [], [])
    await rig.offload.serve([drive()], [recording("a")])  # it was a moment's trouble
    assert [job.item for job in queue.jobs()] == ["a"]
