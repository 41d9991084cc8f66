"""Before anything is deleted for a drive: real runner, books and disk; the disk a counterfeit."""

from __future__ import annotations

import asyncio
import re
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from fieldrec.app.books import Books
from fieldrec.app.drive_faults import DriveFaults
from fieldrec.catalogue.scan import scan
from fieldrec.core.clock import SystemClock
from fieldrec.core.errors import DriveCounterfeit, JobRefused
from fieldrec.core.model import Drive, DriveState, JobKind, JobState
from fieldrec.destinations.drive import DriveDestination
from fieldrec.jobs import raw, transfer
from tests.crash.running import quick_folder
from tests.fakes.faulty_disk import FaultyDisk, faulty_disk, missing
from tests.fakes.job_box import StandInBox
from tests.fakes.small_stores import make_store

MB = 1 << 20
WHERE = "drive:AB-12"
pytestmark = [pytest.mark.asyncio, pytest.mark.root,
              pytest.mark.skipif(bool(missing()), reason=missing())]


class Rig(StandInBox):
    """A recorder with one drive, of 64 MB as it says."""

    def __init__(self, root: Path, disk: FaultyDisk, point: Path) -> None:
        super().__init__(root, WHERE)
        self.disk = disk
        self.said: list[str] = []
        self.books = Books(self.recordings / ".fieldrec", lambda text, _: self.said.append(text))
        self.drive = Drive("AB-12", "FIELD1", disk.device, point, "ext4", None, 60 * MB, 60 * MB,
                           DriveState.READY)
        self.make_folder = lambda _name: self.place()

    async def open(self) -> None:
        await self.queue.open()
        await self.books.open()
        self.faults = DriveFaults(self.books, SystemClock(), suspect_after=3,
                                  changed=lambda: None,
                                  say=lambda text, _: self.said.append(text))
        self.runner._on_fault = self.faults.job_failed

    def place(self, *, unproven_moves: bool = False) -> DriveDestination:
        drive = self.faults.capacity.known(self.drive)
        assert drive.mount_point is not None
        return DriveDestination(
            "FIELD1", drive.mount_point, "fieldrec", device=Path(drive.device),
            gone=lambda: False, prove=self.faults.capacity.prover(
                drive, unproven_moves=unproven_moves))


@pytest.fixture
def drive(tmp_path: Path) -> Iterator[tuple[FaultyDisk, Path]]:
    """(disk, where its ext4 is mounted)."""
    with quick_folder(tmp_path) as folder:
        cells, point = folder / "cells", folder / "drive"
        with cells.open("wb") as file:
            file.truncate(64 * MB)
        point.mkdir()
        with faulty_disk(folder, cells) as disk:
            subprocess.run(["mkfs.ext4", "-q", "-F", "-m", "0", "-i", "65536", "-J", "size=1",
                            "-E", "nodiscard,lazy_itable_init=0", disk.device], check=True)
            subprocess.run(["mount", disk.device, str(point)], check=True)
            yield disk, point
            disk.heal()
            subprocess.run(["umount", str(point)], check=True)


@pytest_asyncio.fixture
async def rig(tmp_path: Path, drive: tuple[FaultyDisk, Path]) -> AsyncIterator[Rig]:
    found = Rig(tmp_path, *drive)
    await found.open()
    yield found
    await found.books.close()
    await found.queue.close()


async def test_a_move_to_a_counterfeit_drive_deletes_nothing_and_unmasks_it(rig: Rig) -> None:
    make_store(rig.recordings, "bees")
    (bees,) = scan(rig.recordings)
    rig.disk.wrap(24 * MB)
    rig.queue.name_places({WHERE: "FIELD1"})
    async with rig.running():
        job = await rig.queue.add(JobKind.MOVE, "bees", bees.uuid, destination=WHERE,
                                  delete_source=True)
        failed = await rig.until(job, JobState.FAILED)
    assert "drive FIELD1: it tells" in failed.reason and "counterfeit" in failed.reason
    assert (rig.recordings / "bees").exists()
    assert rig.faults.is_suspect(WHERE) and "counterfeit" in rig.faults.why(rig.drive)
    assert any("looking whether drive FIELD1 is as large" in text for text in rig.said)
    assert any("do not use it; replace it" in text for text in rig.said)
    assert not rig.faults.capacity.is_proven(WHERE)


async def test_an_honest_drive_is_looked_at_once_and_that_is_remembered(rig: Rig) -> None:
    for seed, name in enumerate(("bees", "ants")):
        make_store(rig.recordings, name, seed=seed + 1)
    async with rig.running():
        for one in scan(rig.recordings):
            job = await rig.queue.add(JobKind.MOVE, one.name, one.uuid, destination=WHERE,
                                      delete_source=True)
            await rig.until(job, JobState.DONE)
    assert scan(rig.recordings) == []
    assert len([text for text in rig.said if "looking whether" in text]) == 1
    assert sorted(path.name for path in (Path(rig.drive.mount_point or "") / "fieldrec").iterdir()
                  ) == ["ants", "bees"]
    await rig.books.close()
    again = Books(rig.recordings / ".fieldrec", lambda _text, _: None)
    await again.open()
    assert again.capacities.of("AB-12") == rig.books.capacities.of("AB-12") > 50 * MB
    await again.close()


async def test_every_way_of_deleting_asks(rig: Rig) -> None:
    make_store(rig.recordings, "bees")
    (bees,) = scan(rig.recordings)
    rig.disk.wrap(24 * MB)
    stop = threading.Event()
    with closing(rig.place()) as place:
        def all_ways() -> None:
            transfer.transfer(bees, place, stop=stop)  # a copy asks for nothing
            with pytest.raises(DriveCounterfeit):
                transfer.verify_present(bees, place, stop=stop)
            with pytest.raises(DriveCounterfeit):
                transfer.move(bees, place, stop=stop)
            with pytest.raises(DriveCounterfeit):
                raw.check_there(place, (), bees.uuid, stop)
            raw.compare_there(place, (), bees.uuid, stop)

        await asyncio.to_thread(all_ways)


async def test_where_it_cannot_be_told_a_move_says_what_to_do(rig: Rig) -> None:
    make_store(rig.recordings, "bees")
    (bees,) = scan(rig.recordings)
    rig.drive = replace(rig.drive, fs_type="exfat")
    stop = threading.Event()
    with closing(rig.place()) as place, pytest.raises(JobRefused, match=re.escape(
            "whether drive FIELD1 is as large as it says cannot be told on exfat without filling "
            "it; nothing is deleted for it; copy instead, format it with `fieldrec drive prepare "
            "--format exfat`, or set drives.unproven_moves: true")):
        await asyncio.to_thread(transfer.move, bees, place, stop=stop)
    assert not any((Path(rig.drive.mount_point or "") / "fieldrec").iterdir())  # nothing copied
    with closing(rig.place(unproven_moves=True)) as place:
        await asyncio.to_thread(transfer.move, bees, place, stop=stop)
    assert scan(rig.recordings) == []
    assert not rig.faults.capacity.is_proven(WHERE)
