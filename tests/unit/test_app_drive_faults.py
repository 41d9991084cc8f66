"""A drive that gives back other bytes: real runner, real folders, real books; the drive is a folder
that lies."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path

import pytest

from fieldrec.app.books import Books
from fieldrec.app.drive_faults import DriveFaults
from fieldrec.app.verified_watch import VerifiedWatch
from fieldrec.catalogue.scan import scan
from fieldrec.core.clock import SystemClock
from fieldrec.core.errors import NotFoundError, VerifyMismatch
from fieldrec.core.model import Drive, DriveState, JobKind, JobState
from fieldrec.destinations import OnBytes, Source
from fieldrec.destinations.folder import FolderDestination
from fieldrec.jobs.verified_copies import VerifiedCopy, fingerprint
from tests.fakes.job_box import StandInBox
from tests.fakes.small_stores import make_store

pytestmark = pytest.mark.asyncio
WHERE = "drive:AB-12"
DRIVE = Drive("AB-12", "FIELD1", "/dev/sdx1", Path("/m"), "ext4", None, 1, 1, DriveState.READY)


class Lying(FolderDestination):
    """Keeps another byte than was written, in the second frame."""

    def write(self, item: str, source: Source, on_bytes: OnBytes) -> None:
        super().write(item, source, on_bytes)
        for path in self.path.rglob("000000/000001.npy"):
            data = bytearray(path.read_bytes())
            data[-1] ^= 1
            path.write_bytes(data)


class Rig(StandInBox):
    def __init__(self, root: Path) -> None:
        super().__init__(root, WHERE)
        self.make_folder = lambda name: Lying("FIELD1", self.folders[name])
        self.said: list[str] = []
        self.changes = 0
        self.books = self.open_books()

    def open_books(self) -> Books:
        return Books(self.recordings / ".fieldrec", lambda text, _severity: self.said.append(text))

    def attend(self) -> DriveFaults:
        def changed() -> None:
            self.changes += 1

        faults = DriveFaults(self.books, SystemClock(), suspect_after=3, changed=changed,
                             say=lambda text, _severity: self.said.append(text))
        self.runner._on_fault = faults.job_failed
        return faults


async def test_from_the_first_fault_to_trust(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    for name in ("bees", "ants"):
        make_store(rig.recordings, name, seed=len(name) + ord(name[0]))
    await rig.queue.open()
    await rig.books.open()
    faults = rig.attend()
    bees, ants = sorted(scan(rig.recordings), key=lambda one: one.name, reverse=True)
    rig.books.copies.add(VerifiedCopy(ants.uuid, ants.name, WHERE, "FIELD1", 1,
                                      fingerprint(ants), 1))
    try:
        rig.queue.name_places({WHERE: "FIELD1"})
        async with rig.running():
            for number in range(1, 4):
                assert faults.why(DRIVE) == ""
                job = await rig.queue.add(JobKind.COPY, "bees", bees.uuid, destination=WHERE)
                rig.queue.name_places({WHERE: "FIELD1"})
                failed = await rig.until(job, JobState.FAILED)
                assert "000001.npy" in failed.reason  # it says which file
                assert rig.changes == (number == 3)
        assert [text for text in rig.said if "fault 2 of 3" in text]
        assert "do not use it; replace it" in rig.said[-1]
        assert "1 copies on it count as verified no more" in rig.said[-1]
        assert "3 times" in faults.why(DRIVE) and faults.is_suspect(WHERE)
        assert rig.books.copies.of(ants) == []
        assert (rig.recordings / "bees").exists() and not (rig.folders[WHERE] / "bees").exists()
        await rig.books.close()
        rig.books = rig.open_books()  # persisted
        await rig.books.open()
        faults = rig.attend()
        assert "3 times" in faults.why(DRIVE)
        with pytest.raises(NotFoundError, match=r"FIELD1 \(AB-12\)"):
            await faults.trust("OTHER", [DRIVE])
        assert (await faults.trust("FIELD1", [DRIVE])).startswith("drive FIELD1 is trusted again")
        assert faults.why(DRIVE) == ""
    finally:
        await rig.books.close()
        await rig.queue.close()


async def test_copies_on_a_suspect_drive_are_not_noted_nor_recalled(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    make_store(rig.recordings, "bees")
    await rig.queue.open()
    await rig.books.open()
    (bees,) = scan(rig.recordings)
    watch = VerifiedWatch(rig.books, recordings=rig.scan, say=lambda _text, _severity: None)
    job = await rig.queue.add(JobKind.COPY, "bees", bees.uuid, destination=WHERE)
    done = dataclasses.replace(job, state=JobState.DONE)
    for _ in range(3):
        rig.books.suspects.fault("AB-12", "", "x", done.changed_ns + 1, 3)
    try:
        for trusted in (False, True):
            if trusted:
                rig.books.suspects.trust("AB-12")
            watch.recall([done])
            task = asyncio.create_task(watch.run())
            await rig.until_true(lambda: watch._ended.empty())
            await asyncio.sleep(0.02)
            task.cancel()
            await asyncio.wait([task])
            assert rig.books.copies.of(bees) == []
    finally:
        await rig.books.close()
        await rig.queue.close()


async def test_a_mismatch_elsewhere_is_no_drives_fault(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    await rig.queue.open()
    faults = rig.attend()
    job = await rig.queue.add(JobKind.COPY, "bees", "u", destination="nas")
    faults.job_failed(job, VerifyMismatch("differs"))
    assert rig.said == []
    await rig.queue.close()


async def test_a_copy_of_the_export_alone_is_no_copy_of_the_recording(tmp_path: Path) -> None:
    """Nothing may be deleted for it but what it was of."""
    rig = Rig(tmp_path)
    make_store(rig.recordings, "bees")
    await rig.queue.open()
    (bees,) = scan(rig.recordings)
    watch = VerifiedWatch(rig.books, recordings=rig.scan, say=lambda _text, _severity: None)
    job = await rig.queue.add(JobKind.COPY, "bees", bees.uuid, destination="nas", preset="High")
    try:
        for state in (JobState.RUNNING, JobState.DONE):
            watch.job_changed(dataclasses.replace(job, state=state))
        watch.recall([dataclasses.replace(job, state=JobState.DONE)])
        assert watch._ended.empty()
    finally:
        await rig.queue.close()
