"""Deleting what is verified elsewhere, by the real jobs on real folders: what is looked at before,
what keeps a recording, and that a copy which turned out wrong is not relied on again (I5)."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from fieldrec.app.books import Books
from fieldrec.app.verified_watch import VerifiedWatch
from fieldrec.catalogue.scan import scan
from fieldrec.core.model import (
    Conditions,
    Job,
    JobKind,
    JobState,
    PowerLevel,
    PowerState,
    Recording,
)
from fieldrec.destinations import Destination
from fieldrec.destinations.folder import FolderDestination, folder_failure
from fieldrec.jobs.freeing import Evidence
from fieldrec.jobs.job_queue import JobQueue
from fieldrec.jobs.runner import JobRunner
from tests.fakes.small_stores import make_export, make_store
from tests.fakes.waiting import PATIENCE_S

pytestmark = pytest.mark.asyncio


class Box:
    """Recordings, one destination that may go away, the books, and jobs that really run."""

    def __init__(self, root: Path) -> None:
        self.recordings, self.nas = root / "recordings", root / "nas"
        for folder in (self.recordings, self.nas):
            folder.mkdir()
        self.there = True
        self.said: list[str] = []
        self.queue = JobQueue(self.recordings / ".fieldrec" / "jobs.sqlite")
        self.books = Books(self.recordings / ".fieldrec", lambda text, _severity: self.say(text))
        self.watch = VerifiedWatch(self.books, recordings=self.scan,
                                   say=lambda text, _severity: self.say(text),
                                   noted=lambda: self.noted.set())
        self.noted = asyncio.Event()
        self.ended = asyncio.Event()
        self.runner = JobRunner(
            self.queue, catalogue=self.scan, recordings=[self.recordings],
            destinations=lambda: {"nas": self.place} if self.there else {},
            make_encoder=lambda *_: pytest.fail("no export here"), conditions=self.conditions,
            evidence=Evidence(lambda: self.books.copies, self.books.touch), first_retry_s=0.01)

    def say(self, text: str) -> None:
        self.said.append(text)

    async def scan(self) -> list[Recording]:
        return scan(self.recordings)

    def conditions(self) -> Conditions:
        return Conditions(False, None, PowerState(PowerLevel.MAINS),
                          frozenset({"nas"} if self.there else ()), 10**9)

    @contextlib.contextmanager
    def place(self) -> Iterator[Destination]:
        yield FolderDestination("nas", self.nas)

    async def copied(self, name: str = "bees") -> None:
        """The recording is copied, and that is noted."""
        self.noted.clear()
        await self.end(await self.queue.add(JobKind.COPY, name, self.uuid(name), destination="nas"))
        await asyncio.wait_for(self.noted.wait(), PATIENCE_S)

    async def deleted(self, name: str = "bees") -> Job:
        """The end of a job that deletes it for its copy."""
        return await self.end(await self.queue.add(
            JobKind.DELETE, name, self.uuid(name), destination="nas"))

    def uuid(self, name: str) -> str:
        return next(one.uuid for one in scan(self.recordings) if one.name == name)

    async def end(self, job: Job) -> Job:
        while not (now := self.queue.job(job.id)).state.finished:
            self.ended.clear()
            await asyncio.wait_for(self.ended.wait(), PATIENCE_S)
        return now


@pytest_asyncio.fixture
async def box(tmp_path: Path) -> AsyncIterator[Box]:
    box = Box(tmp_path)
    make_store(box.recordings, "bees", seed=1)
    await box.queue.open()
    await box.books.open()
    box.queue.subscribe(box.watch.job_changed)
    box.queue.subscribe(lambda _job: box.ended.set())
    tasks = [asyncio.create_task(box.runner.run()), asyncio.create_task(box.watch.run())]
    yield box
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    await box.books.close()
    await box.queue.close()


def is_here(box: Box) -> bool:
    return (box.recordings / "bees").is_dir()


async def test_a_present_copy_is_read_back_first(box: Box) -> None:
    await box.copied()
    job = await box.deleted()
    assert job.state is JobState.DONE and not is_here(box)
    assert job.reason.endswith("freed; read back at nas just now")
    assert box.books.copies.named(job.item_uuid, "bees") == []  # nothing is left to be covered


async def test_a_present_copy_needs_no_book(box: Box) -> None:
    """It is read back: what is on record adds nothing."""
    await box.copied()
    box.books.copies.forget(box.uuid("bees"), "bees", "nas")
    assert (await box.deleted()).state is JobState.DONE


async def test_a_copy_with_other_bytes_keeps_the_recording(box: Box) -> None:
    await box.copied()
    frame = next((box.nas / "bees" / "bees" / "000000").glob("*.npy"))
    frame.write_bytes(frame.read_bytes()[:-1] + b"\x99")
    job = await box.deleted()
    assert job.state is JobState.FAILED and is_here(box)
    assert "is not what was recorded" in job.reason
    assert box.books.copies.named(job.item_uuid, "bees") == []
    box.there = False  # and nobody relies on it once it is away
    assert (await box.deleted()).state is JobState.FAILED
    assert is_here(box)


async def test_a_copy_that_somebody_removed_keeps_the_recording(box: Box) -> None:
    await box.copied()
    shutil.rmtree(box.nas / "bees")
    job = await box.deleted()
    assert (job.state, job.reason) == (
        JobState.FAILED, "nas has no bees; bees is kept; copy it again")
    assert is_here(box)


async def test_while_the_destination_is_away_the_book_is_believed(box: Box) -> None:
    await box.copied()
    box.there = False
    job = await box.deleted()
    assert job.state is JobState.DONE and not is_here(box)
    assert "; verified at nas on " in job.reason
    assert job.reason.endswith(" UTC, which is not present now")


async def test_of_a_place_that_is_there_and_fails_the_book_is_not_believed(
        box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    await box.copied()

    def fail(self: FolderDestination) -> int:
        raise folder_failure("nas", OSError(errno.EIO, "Input/output error", str(box.nas)))

    monkeypatch.setattr(FolderDestination, "free_bytes", fail)
    job = await box.deleted()
    assert job.state is JobState.FAILED and "the medium is failing" in job.reason
    assert is_here(box)


async def test_a_place_that_is_not_mounted_after_all_is_away(box: Box) -> None:
    await box.copied()
    box.nas.rename(box.nas.with_name("elsewhere"))
    job = await box.deleted()
    assert job.state is JobState.DONE and job.reason.endswith("which is not present now")


async def test_without_a_record_nothing_goes(box: Box) -> None:
    box.there = False
    job = await box.deleted()
    assert (job.state, job.reason) == (
        JobState.FAILED, "no verified copy of bees is on record; it is kept")
    assert is_here(box)


async def test_what_changed_since_it_was_copied_is_not_covered(box: Box) -> None:
    await box.copied()
    metadata = box.recordings / "bees" / "metadata.yaml"
    metadata.write_text(metadata.read_text() + "# mended\n")
    box.there = False
    job = await box.deleted()
    assert job.state is JobState.FAILED
    assert job.reason == "bees is not what was copied to nas any more; it is kept; copy it again"
    assert is_here(box)


async def test_a_raw_that_is_not_covered_keeps_its_export_too(box: Box) -> None:
    make_export(box.recordings, "bees", box.uuid("bees"))
    await box.copied()
    metadata = box.recordings / "bees" / "metadata.yaml"
    metadata.write_text(metadata.read_text() + "# mended\n")
    box.there = False
    assert (await box.deleted()).state is JobState.FAILED
    assert is_here(box) and (box.recordings / "bees.high.mp4").exists()


@pytest.mark.parametrize("there", [True, False])
async def test_an_export_made_since_the_copy_stays_and_the_raw_goes(box: Box, there: bool) -> None:
    make_export(box.recordings, "bees", box.uuid("bees"))
    await box.copied()
    copied, newer = (box.recordings / f"bees.high{ending}" for ending in (".mp4", ".mkv"))
    make_export(box.recordings, "bees", box.uuid("bees"), extension=".mkv")
    box.there = there
    job = await box.deleted()
    assert job.state is JobState.DONE, job.reason
    assert job.reason.endswith("; exports made since then stay: 1")
    assert not is_here(box) and not copied.exists()
    (left,) = scan(box.recordings)
    assert not left.has_raw and [export.path for export in left.exports] == [newer]
    assert (await box.deleted()).state is JobState.FAILED  # of the export there is no copy
    assert newer.exists()


async def test_the_record_outlives_a_restart(box: Box) -> None:
    await box.copied()
    await box.books.close()
    box.books = Books(box.recordings / ".fieldrec", lambda text, _severity: box.say(text))
    await box.books.open()
    box.there = False
    assert (await box.deleted()).state is JobState.DONE
    assert box.said == []


async def test_a_runner_without_evidence_deletes_nothing_for_a_copy(box: Box) -> None:
    box.runner._performer._evidence = None
    await box.copied()
    job = await box.deleted()
    assert job.state is JobState.FAILED and "cannot be looked at here" in job.reason
    assert is_here(box)


async def test_copies_whose_end_was_not_noted_are_noted_at_the_next_start(box: Box) -> None:
    await box.copied()
    box.books.copies.forget(box.uuid("bees"), "bees", "nas")
    box.noted.clear()
    box.watch.recall(box.queue.jobs())
    await asyncio.wait_for(box.noted.wait(), PATIENCE_S)
    assert [copy.destination for copy in box.books.copies.named(box.uuid("bees"), "bees")] == [
        "nas"]
    box.watch.recall(box.queue.jobs())
    assert box.watch._ended.empty()


async def found_wrong(box: Box) -> None:
    """The copy was good, went bad on its medium, and a deletion has found that."""
    await box.copied()
    frame = box.nas / "bees" / "bees" / "000000" / "000001.npy"
    data = bytearray(frame.read_bytes())
    data[-1] ^= 1
    frame.write_bytes(data)
    job = await box.deleted()
    assert job.state is JobState.FAILED and "is not what was recorded" in job.reason
    assert box.books.copies.named(job.item_uuid, "bees") == []


async def test_a_copy_that_was_found_wrong_is_not_recalled_at_the_next_start(box: Box) -> None:
    await found_wrong(box)
    box.watch.recall(box.queue.jobs())
    assert box.watch._ended.empty()
    box.there = False
    assert (await box.deleted()).state is JobState.FAILED
    assert is_here(box)


async def test_a_copy_that_is_not_on_record_counts_only_when_it_was_read_back(box: Box) -> None:
    """It is there by its manifest, its sizes and its indexes: COPY ALL has nothing to write."""
    await found_wrong(box)
    job = await box.end(await box.queue.add(JobKind.COPY, "bees", box.uuid("bees"),
                                            destination="nas"))
    assert job.state is JobState.FAILED and "is not what was recorded" in job.reason
    box.there = False
    assert (await box.deleted()).state is JobState.FAILED
    assert is_here(box)


async def test_a_copy_that_is_on_record_is_not_read_again(box: Box,
                                                          monkeypatch: pytest.MonkeyPatch) -> None:
    await box.copied()
    looked: list[str] = []

    def verify(*_: object) -> list[str]:
        looked.append("at")
        return []

    monkeypatch.setattr(FolderDestination, "verify", verify)
    await box.copied()
    assert looked == []
    box.books.copies.forget(box.uuid("bees"), "bees", "nas")
    await box.copied()
    assert looked == ["at"]
