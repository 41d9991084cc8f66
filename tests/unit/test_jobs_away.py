"""Destinations that are not there, or hang: jobs wait, quietly, and nothing else does."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

import pytest

from fieldrec.app.conditions import folder_of
from fieldrec.config.destinations import FolderConfig
from fieldrec.core.answering import Answering
from fieldrec.core.errors import DestinationAway
from fieldrec.core.model import JobKind, JobState
from fieldrec.destinations import Destination
from fieldrec.jobs.named import folder_named
from tests.fakes.copies import store_of
from tests.fakes.hanging_share import hanging_share, missing
from tests.fakes.job_box import a_box
from tests.fakes.jumping_loop import Ahead
from tests.fakes.small_stores import contents

LIMIT_S = 600.0
"""Nobody waits for it: time is put ahead."""
needs_share = pytest.mark.skipif(bool(missing()), reason=missing())


@pytest.mark.root
@needs_share
@pytest.mark.asyncio
async def test_a_share_that_hangs_holds_up_nothing_but_its_own_jobs(tmp_path: Path) -> None:
    async with a_box(tmp_path, places=("usb",)) as box:
        answering, ahead = Answering(box.runner.answers, limit_s=LIMIT_S), Ahead()
        place = answering.place("nas")
        with hanging_share(tmp_path) as share:
            others = box.make_folder
            box.make_folder = lambda name: others(name) if name != "nas" else folder_of(
                name, FolderConfig(path=share.mount_point, must_be_mounted=True), place)
            share.hold()
            async with box.running():
                first = await box.add(JobKind.COPY, destination="nas")
                second = await box.add(JobKind.COPY, destination="usb")
                await box.until(second, JobState.DONE)
                await asyncio.to_thread(place.pulse.wait_inside)
                while not answering.hangs("nas"):
                    await ahead.by(LIMIT_S)
                await box.until(first, JobState.WAITING, reason="nas does not answer for")
                assert answering.hangs("nas")
                assert [one.name for one in threading.enumerate()].count("copy nas") == 1
                share.release()
                await box.until(first, JobState.DONE)
            assert contents(store_of(share.behind / "bees")) == contents(box.recordings / "bees")
        assert box.queue.job(first.id).attempt == 0, "nothing was wrong with the job"
        assert len([event for event in box.events if "does not answer" in event]) == 1


@pytest.mark.root
@needs_share
@pytest.mark.asyncio
async def test_stopping_does_not_wait_for_a_share_that_hangs(tmp_path: Path) -> None:
    back = asyncio.Event()
    answering = Answering(back.set, limit_s=1000, patience_s=0.05)
    async with a_box(tmp_path) as box:
        with hanging_share(tmp_path) as share:
            place = answering.place("nas")
            box.make_folder = lambda name: folder_of(
                name, FolderConfig(path=share.mount_point), place)
            share.hold()
            async with box.running():
                job = await box.add(JobKind.COPY)
                await box.until(job, JobState.RUNNING)
                await asyncio.to_thread(place.pulse.wait_inside)
            assert box.queue.job(job.id).state is JobState.QUEUED
            assert answering.hangs("nas")
            share.release()
            await back.wait()


@pytest.mark.asyncio
async def test_every_job_for_a_place_that_is_away_waits_and_only_one_looks(tmp_path: Path) -> None:
    looks: list[str] = []
    async with a_box(tmp_path, "bees", "wasps", "flies") as box:
        there = box.make_folder

        def make(name: str) -> Destination:
            looks.append(name)
            if len(looks) > 6:
                return there(name)
            raise DestinationAway("destination nas: lab does not answer")

        box.make_folder = make
        async with box.running():
            jobs = [await box.add(JobKind.COPY, name) for name in ("bees", "wasps", "flies")]
            for job in jobs:
                done = await box.until(job, JobState.DONE)
                assert done.attempt == 0, "more tries than an error has, and none of them counted"
        told = [event for event in box.events if "waits" in event]
        assert told == ["job 1: copy bees to nas waits: destination nas: lab does not answer"]


@pytest.mark.root
@needs_share
def test_a_folder_that_a_command_names_is_not_asked_on_the_loop(tmp_path: Path) -> None:
    with hanging_share(tmp_path) as share:
        (tmp_path / "link").symlink_to("share/copies")
        share.hold()
        for path in (share.mount_point, tmp_path / "link", tmp_path / "behind" / ".." / "share"):
            assert folder_named(path, [tmp_path / "recordings"]).is_relative_to(share.mount_point)


@pytest.mark.parametrize("mounted", [False, True])
@pytest.mark.root
@needs_share
def test_a_folder_on_which_something_must_be_mounted(tmp_path: Path, mounted: bool) -> None:
    with hanging_share(tmp_path) as share:
        path = share.mount_point if mounted else share.behind
        place = folder_of("nas", FolderConfig(path=path, must_be_mounted=True,
                                              keep_free_bytes=1_000_000))
        if mounted:
            room = os.statvfs(path)
            assert place.free_bytes() <= room.f_bavail * room.f_frsize - 1_000_000 + 2**30
        else:
            with pytest.raises(DestinationAway, match="nothing was written; mount what belongs"):
                place.begin("bees")
            assert list(path.iterdir()) == []
        place.close()
