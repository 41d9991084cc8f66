"""What runs is held or stopped as soon as it may not run, goes on as soon as it may, and stands in
nobody's way meanwhile; jobs on different places run beside each other."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from fieldrec.core.errors import DriveGone, VerifyMismatch
from fieldrec.core.model import (
    Conditions,
    Job,
    JobKind,
    JobState,
    PowerLevel,
    SpaceState,
    SpaceTier,
)
from tests.fakes.job_box import StandInBox, a_box, names
from tests.fakes.waiting import PATIENCE_S

pytestmark = pytest.mark.asyncio
J, K = JobState, JobKind
SIX_NS = 6 * 3600 * 10**9


@contextlib.asynccontextmanager
async def encoding(tmp_path: Path, **more: Any) -> AsyncIterator[tuple[StandInBox, Job]]:
    """A box that exports "bees"; its gate is closed."""
    async with a_box(tmp_path, "bees", "ants", places=("usb",)) as box:
        box.encode_gate.clear()
        job = await box.add(K.EXPORT, **more)
        async with box.running():
            await asyncio.wait_for(box.encoding.wait(), PATIENCE_S)
            yield box, job


# -- beside each other -----------------------------------------------------------------------------


async def test_two_copies_and_an_export_at_once(tmp_path: Path) -> None:
    async with encoding(tmp_path) as (box, export):
        box.gate.clear()
        one = await box.add(K.COPY, "ants", destination="nas")
        other = await box.add(K.COPY, "ants", destination="usb")
        await box.until_true(lambda: box.putting == {"nas", "usb"})
        assert {box.queue.job(job.id).state for job in (one, other, export)} == {J.RUNNING}
        later = await box.add(K.MOVE, "ants", destination="usb")
        await box.until(later, J.WAITING, reason=f"job {one.id} (copy) works on this recording")
        box.gate.set()
        for job in (one, other, later):
            await box.until(job, J.DONE)
        assert box.queue.job(export.id).state is J.RUNNING
        box.encode_gate.set()
        await box.until(export, J.DONE)
    assert names(box.folders["usb"]) == names(box.nas) == ["ants"]


async def test_jobs_for_one_place_follow_each_other_and_say_whom_they_wait_for(tmp_path: Path
                                                                              ) -> None:
    async with a_box(tmp_path, "ants", "bees", "cats") as box:
        box.gate.clear()
        jobs = [await box.add(K.COPY, name) for name in ("ants", "bees", "cats")]
        async with box.running():
            for job in jobs[1:]:
                await box.until(job, J.WAITING,
                                reason=f"copy of ants to the same destination (job {jobs[0].id})")
            await box.queue.put_first(jobs[2].id)
            box.gate.set()
            await box.until(jobs[1], J.DONE)
        ended = [one.item for one in box.seen if one.state is J.DONE]
        assert ended == ["ants", "cats", "bees"]


async def test_jobs_that_waited_for_the_same_drive_do_not_begin_at_once(tmp_path: Path) -> None:
    async with a_box(tmp_path, "ants", "bees", "cats") as box:
        box.gate.clear()
        box.become(present_destinations=frozenset())
        jobs = [await box.add(K.COPY, name) for name in ("ants", "bees", "cats")]
        async with box.running():
            for job in jobs:
                await box.until(job, J.WAITING, reason="not present")
            box.become(present_destinations=frozenset({"nas"}))
            for job in jobs[1:]:
                await box.until(job, J.WAITING, reason="copy of ants to the same destination")
            assert list(box.runner._running) == [jobs[0].id]
            assert J.RUNNING not in box.states(jobs[1])
            box.gate.set()
            await box.until(jobs[2], J.DONE)


async def test_a_deletion_goes_beside_all_others(tmp_path: Path) -> None:
    async with encoding(tmp_path) as (box, _):
        await box.until(await box.add(K.DELETE, "ants"), J.DONE)
        assert names(box.recordings) == ["bees"]
        box.encode_gate.set()


# -- held, and let go ------------------------------------------------------------------------------

BAD: dict[str, tuple[dict[str, Any], str]] = {
    "a recording": ({"recording": True, "recording_since_ns": SIX_NS}, "recording since 06:00"),
    "battery": ({"level": PowerLevel.BATTERY}, "on battery (22 %)"),
    "low": ({"level": PowerLevel.LOW}, "battery LOW (22 %)"),
    "critical": ({"level": PowerLevel.CRITICAL}, "battery CRITICAL (22 %)"),
    "no power supply": ({"level": PowerLevel.UNKNOWN}, "power supply unknown"),
    "heat": ({"too_warm": True, "temperature_c": 84.0, "max_temperature_c": 80.0},
             "processor 84 C > 80 C"),
    "quiet hours": ({"quiet_until_ns": SIX_NS}, "quiet hours until 06:00"),
    "the schedule": ({"next_start_ns": SIX_NS, "now_ns": SIX_NS - 7 * 60 * 10**9,
                      "before_schedule_s": 600.0}, "recording starts at 06:00, in 7 min"),
    "recovery": ({"recovering": True}, "interrupted recordings are completed first"),
}
GOOD: dict[str, Any] = {
    "recording": False, "recording_since_ns": None, "level": PowerLevel.MAINS, "too_warm": False,
    "quiet_until_ns": None, "next_start_ns": None, "recovering": False, "now_ns": 0}


async def test_an_export_is_held_by_each_of_them_and_goes_on(tmp_path: Path) -> None:
    async with encoding(tmp_path) as (box, job):
        for changes, reason in BAD.values():
            box.become(**changes)
            await box.until(job, J.WAITING, reason=reason)
            assert box.encoders[0].calls[-1] == "pause"
            box.become(**GOOD)
            await box.until(job, J.RUNNING)
            assert box.encoders[0].calls[-1] == "resume"
        await box.queue.set_paused(job.id, True)
        await box.until(job, J.WAITING, reason="paused by the operator")
        await box.queue.set_paused(job.id, False)
        await box.until(job, J.RUNNING)
        box.encode_gate.set()
        await box.until(job, J.DONE)
    assert len(box.encoders) == 1


STOPS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "low": ({"level": PowerLevel.LOW}, {"level": PowerLevel.MAINS}, "battery LOW (22 %)"),
    "critical": ({"level": PowerLevel.CRITICAL}, {"level": PowerLevel.MAINS}, "battery CRITICAL"),
    "drive gone": ({"present_destinations": frozenset()},
                   {"present_destinations": frozenset({"nas"})}, "destination nas not present"),
    "recovery": ({"recovering": True}, {"recovering": False}, "interrupted recordings"),
    "shutdown": ({"shutting_down": True}, {"shutting_down": False}, "shutting down"),
}


@pytest.mark.parametrize("kind", [K.COPY, K.MOVE])
@pytest.mark.parametrize("why", STOPS)
async def test_offload_stops_at_a_slice_gives_its_drive_back_and_goes_on(
        tmp_path: Path, kind: JobKind, why: str) -> None:
    bad, good, reason = STOPS[why]
    async with a_box(tmp_path) as box:
        box.gate.clear()
        job = await box.add(kind)
        async with box.running():
            await box.until_true(lambda: bool(box.putting))
            assert box.leases == 1
            box.become(**bad)
            await box.until_stopping()
            box.gate.set()
            await box.until(job, J.WAITING, reason=reason)
            assert (box.leases, names(box.nas)) == (0, [".part-bees"])
            box.become(**good)
            await box.until(job, J.DONE)
        assert names(box.nas) == ["bees"]


@pytest.mark.parametrize("kind", [K.COPY, K.MOVE])
async def test_offload_is_paused_by_the_operator_and_its_drive_can_be_ejected(
        tmp_path: Path, kind: JobKind) -> None:
    async with a_box(tmp_path) as box:
        box.gate.clear()
        job = await box.add(kind)
        async with box.running():
            await box.until_true(lambda: bool(box.putting))
            await box.queue.set_paused(job.id, True)
            await box.until_stopping()
            box.gate.set()
            await box.until(job, J.WAITING, reason=f"`fieldrec resume-job {job.id}`")
            assert box.leases == 0
            await box.queue.set_paused(job.id, False)
            await box.until(job, J.DONE)


async def test_an_export_that_is_held_goes_on_when_its_drive_is_free_again(tmp_path: Path) -> None:
    async with a_box(tmp_path, "bees", "ants") as box:
        box.gate.clear()
        export = await box.add(K.EXPORT)
        box.encode_gate.clear()
        async with box.running():
            await asyncio.wait_for(box.encoding.wait(), PATIENCE_S)
            # as one that is made at the destination itself
            box.queue._jobs[export.id] = dataclasses.replace(
                box.queue.job(export.id), destination="nas")
            box.become(level=PowerLevel.BATTERY)
            await box.until(export, J.WAITING, reason="on battery")
            copy = await box.add(K.COPY, "ants")
            await box.until_true(lambda: bool(box.putting))
            box.become(level=PowerLevel.MAINS)
            await box.until(export, J.WAITING, reason="copy of ants to the same destination")
            box.gate.set()
            await box.until(copy, J.DONE)
            await box.until(export, J.RUNNING)
            box.encode_gate.set()


async def test_an_export_that_is_paused_makes_way_for_another(tmp_path: Path) -> None:
    async with encoding(tmp_path) as (box, job):
        await box.queue.set_paused(job.id, True)
        await box.until(job, J.WAITING, reason="paused")
        other = await box.add(K.EXPORT, "ants")
        box.encode_gate.set()
        await box.until(other, J.DONE)
        assert box.encoders[0].calls[-1] == "gone"
        assert box.queue.job(job.id).reason.startswith("paused")
        await box.queue.set_paused(job.id, False)
        await box.until(job, J.DONE)


# -- space -----------------------------------------------------------------------------------------


async def test_a_disk_that_is_full_soon_lets_an_export_run_on_battery(tmp_path: Path) -> None:
    async with a_box(tmp_path) as box:
        box.become(level=PowerLevel.BATTERY, export_on_battery_when_full=True)
        job = await box.add(K.EXPORT)
        async with box.running():
            await box.until(job, J.WAITING, reason="on battery (22 %)")
            box.become(space=SpaceState(SpaceTier.ACT, hours_left=2.0))
            await box.until(job, J.DONE)


# -- time ------------------------------------------------------------------------------------------


async def test_time_alone_holds_an_export_and_lets_it_go(tmp_path: Path) -> None:
    """Nobody wakes the runner here: it looks when quiet hours begin, and when they end."""
    async with encoding(tmp_path) as (box, job):
        loop = asyncio.get_running_loop()
        began_s = loop.time()

        def now() -> Conditions:
            now_ns = round((loop.time() - began_s) * 1e9)
            from_ns, until_ns = 300_000_000, 600_000_000
            quiet = from_ns <= now_ns < until_ns
            return dataclasses.replace(box.conditions, now_ns=now_ns,
                                       quiet_until_ns=until_ns if quiet else None,
                                       quiet_from_ns=from_ns if now_ns < from_ns else None)

        box.runner._conditions = now
        box.runner.wake()
        await box.until(job, J.WAITING, reason="quiet hours until 00:00")
        await box.until(job, J.RUNNING)
        box.encode_gate.set()


async def test_the_words_before_a_start_are_true_at_every_minute(tmp_path: Path) -> None:
    async with a_box(tmp_path) as box:
        loop = asyncio.get_running_loop()
        began_s = loop.time()

        def now() -> Conditions:  # minutes go by in tenths of a second
            now_ns = round((loop.time() - began_s) * 600e9)
            return dataclasses.replace(box.conditions, now_ns=now_ns, before_schedule_s=600.0,
                                       next_start_ns=150 * 10**9)

        box.runner._conditions = now
        call_later = loop.call_later
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(loop, "call_later", lambda delay_s, *call: call_later(
                delay_s / 600 + 0.001, *call))
            job = await box.add(K.EXPORT)
            async with box.running():
                await box.until(job, J.DONE)
        said = [one.reason for one in box.seen if "starts at" in one.reason]
        assert [minutes for minutes in (3, 2, 1)
                if any(f", in {minutes} min;" in reason for reason in said)] == [3, 2, 1]


# -- drives that fail ------------------------------------------------------------------------------


async def test_a_drive_that_is_unmounted_by_hand_is_looked_at_less_and_less(tmp_path: Path) -> None:
    async with a_box(tmp_path) as box:
        box.put_errors = [DriveGone("gone")] * 4
        box.runner._again._first_s = 0.001
        job = await box.add(K.COPY)
        async with box.running():
            said = await box.until(job, J.WAITING, reason="not mounted any more")
            assert said.reason == (
                "destination nas is there, but not mounted any more: take it out and put it in "
                "again; looked 3 times, next in 0 s")
            assert said.attempt == 0
            done = await box.until(job, J.DONE)
        assert done.attempt == 0
        assert [one for one in box.events if "not mounted" in one]


async def test_a_drive_that_gives_rubbish_a_moment_before_it_is_gone_is_gone(tmp_path: Path
                                                                             ) -> None:
    async with a_box(tmp_path, places=("drive:A",)) as box:
        box.put_errors = [VerifyMismatch("bees read back from A differs")]
        job = await box.add(K.COPY, destination="drive:A")
        destinations = box.runner._performer._destinations
        asked = 0

        def pulled() -> Any:  # between two looks, and nobody has told the runner
            nonlocal asked
            asked += 1
            return {} if asked == 3 else destinations()

        box.runner._performer._destinations = pulled
        async with box.running():
            await box.until(job, J.WAITING, reason="drive A not present")
            done = await box.until(job, J.DONE)
        assert done.attempt == 0


async def test_a_drive_that_was_taken_out_and_put_in_is_not_waited_for(tmp_path: Path) -> None:
    async with a_box(tmp_path) as box:
        box.put_errors = [DriveGone("gone")] * 3
        box.runner._again._first_s = 600.0
        job = await box.add(K.COPY)
        async with box.running():
            for left in (2, 1, 0):
                await box.until_true(lambda left=left: len(box.put_errors) == left)  # type: ignore[misc]
                await box.until(job, J.WAITING)
                box.become(present_destinations=frozenset())
                await box.until(job, J.WAITING, reason="destination nas not present")
                await box.until_true(lambda: not box.runner._again._pauses)
                box.become(present_destinations=frozenset({"nas"}))
            await box.until(job, J.DONE)
        assert not [one for one in box.events if "not mounted" in one]
