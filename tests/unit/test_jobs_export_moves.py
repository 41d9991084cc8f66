"""EXPORT ALL of what is exported already: the movie goes, then the raw it stands for (I5)."""

from __future__ import annotations

import contextlib
import json
import threading
from pathlib import Path

import pytest

from fieldrec.catalogue.scan import scan
from fieldrec.core.errors import JobRefused, VerifyMismatch
from fieldrec.core.model import JobKind, JobState
from fieldrec.destinations.folder import FolderDestination
from fieldrec.jobs.export_moves import bring
from tests.fakes.job_box import a_box, names
from tests.fakes.small_stores import make_export, make_store


def run(kind: JobKind, root: Path, destination: FolderDestination, **how: object) -> None:
    with contextlib.closing(destination):
        bring(kind, "High")(scan(root)[0], destination, stop=threading.Event(), **how)


@pytest.fixture
def here(tmp_path: Path) -> Path:
    folder = tmp_path / "here"
    folder.mkdir()
    (tmp_path / "usb").mkdir()
    make_export(folder, "bees", make_store(folder, "bees"))
    return folder


def test_a_copy_takes_the_export_alone(here: Path) -> None:
    run(JobKind.COPY, here, FolderDestination("usb", here.parent / "usb"))
    assert names(here.parent / "usb") == ["bees.high.mp4", "bees.high.mp4.json"]
    assert names(here) == ["bees", "bees.high.mp4", "bees.high.mp4.json"]


def test_a_move_deletes_the_raw_and_then_the_export(here: Path) -> None:
    phases: list[JobState] = []

    def on_phase(phase: JobState) -> None:
        phases.append(phase)
        assert (here / "bees").exists()

    run(JobKind.MOVE, here, FolderDestination("usb", here.parent / "usb"), on_phase=on_phase)
    assert phases[-1] is JobState.DELETING_SOURCE
    assert names(here.parent / "usb") == ["bees.high.mp4", "bees.high.mp4.json"]
    assert names(here) == []


def test_other_exports_stay(here: Path) -> None:
    low = here / "bees.low.mp4"
    low.write_bytes((here / "bees.high.mp4").read_bytes())
    told = json.loads((here / "bees.high.mp4.json").read_text())
    told["preset"], told["file"]["name"] = "Low", low.name
    low.with_name("bees.low.mp4.json").write_text(json.dumps(told))
    run(JobKind.MOVE, here, FolderDestination("usb", here.parent / "usb"))
    assert names(here) == ["bees.low.mp4", "bees.low.mp4.json"]


def test_nothing_goes_for_an_export_of_other_frames(tmp_path: Path) -> None:
    (tmp_path / "usb").mkdir()
    uuid = make_store(tmp_path, "bees")
    make_export(tmp_path, "bees", uuid, frames=9)
    with pytest.raises(JobRefused, match="no export with High of all its frames"):
        run(JobKind.MOVE, tmp_path, FolderDestination("usb", tmp_path / "usb"))
    assert (tmp_path / "bees").exists() and names(tmp_path / "usb") == []


def test_nothing_goes_when_the_copy_reads_back_otherwise(here: Path) -> None:
    usb = FolderDestination("usb", here.parent / "usb")
    run(JobKind.COPY, here, usb)
    movie = here.parent / "usb" / "bees.high.mp4"
    data = bytearray(movie.read_bytes())
    data[50] ^= 1
    movie.write_bytes(data)
    with pytest.raises(VerifyMismatch):
        run(JobKind.MOVE, here, usb)
    assert names(here) == ["bees", "bees.high.mp4", "bees.high.mp4.json"]


@pytest.mark.asyncio
async def test_as_a_job_it_may_be_cut_and_is_done_when_all_is_there(tmp_path: Path) -> None:
    async with a_box(tmp_path) as box:
        make_export(box.recordings, "bees", scan(box.recordings)[0].uuid)
        job = await box.add(JobKind.MOVE, preset="High", delete_source=True)
        async with box.running():
            await box.until(job, JobState.DONE)
            assert names(box.recordings) == []
            assert names(box.nas) == ["bees.high.mp4", "bees.high.mp4.json"]
            again = await box.queue.add(JobKind.MOVE, "bees", job.item_uuid, destination="nas",
                                        preset="High")
            await box.until(again, JobState.DONE)  # the recording is gone: it was moved


@pytest.mark.asyncio
async def test_a_full_destination_lets_the_job_wait_and_go_on_when_there_is_room(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with a_box(tmp_path) as box:
        free = [100]
        monkeypatch.setattr(FolderDestination, "free_bytes", lambda _self: free[0])
        job = await box.add(JobKind.COPY)
        async with box.running():
            waiting = await box.until(job, JobState.WAITING, reason="needed")
            assert waiting.attempt == 0
            free[0] = 10**9
            box.become()
            await box.until(job, JobState.DONE)
