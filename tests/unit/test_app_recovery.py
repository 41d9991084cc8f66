"""What is done before anything new begins."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import imgstore
import numpy as np
import pytest

from fieldrec.app.recovery import Recovery, recover_folder
from fieldrec.catalogue.scan import scan
from fieldrec.core.model import FrameSpec, RecordingState
from fieldrec.store.store_folder import LOCK_TEXT
from fieldrec.store.writer import StoreWriter
from tests.fakes.small_stores import contents, make_export, make_store


class Said(list[str]):
    def __call__(self, text: str, severity: str) -> None:
        self.append(f"{severity}: {text}")


def interrupted(path: Path, frames: int = 3) -> None:
    """A store as a kill leaves it."""
    store = StoreWriter(path, FrameSpec((4, 5), "uint8", "MONO8", 25.0), chunksize=10,
                        user_metadata={}, timezone="UTC", created_epoch_ns=10**18)
    for number in range(frames):
        store.append(np.full((4, 5), number, np.uint8), number, 10**18 + number, None)
    store.abandon()


def test_what_was_cut_is_completed_and_what_was_unfinished_is_swept(tmp_path: Path) -> None:
    interrupted(tmp_path / "bees_20260101_120000")
    (tmp_path / ".part-ants").mkdir()
    (tmp_path / ".trash-wasps").mkdir()
    (tmp_path / "moths_20260101_120000").mkdir()  # cut before anything was in it
    (tmp_path / "holiday").mkdir()  # somebody else's
    said = Said()
    recover_folder(tmp_path, said)
    (found,) = scan(tmp_path)
    assert (found.state, found.frame_count) == (RecordingState.COMPLETE, 3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bees_20260101_120000", "holiday"]
    assert sorted(said) == [
        "info: removed unfinished .part-ants", "info: removed unfinished .trash-wasps",
        "info: removed unfinished moths_20260101_120000",
        "warning: bees_20260101_120000: recovered, 3 frames kept"]


def test_what_was_made_ahead_and_never_written_to_goes(tmp_path: Path) -> None:
    interrupted(tmp_path / "bees_20260101_120000", frames=0)
    interrupted(tmp_path / "somebody's", frames=0)
    interrupted(tmp_path / "ants_20260101_120000", frames=1)
    frame = tmp_path / "ants_20260101_120000" / "000000" / "000000.npy"
    frame.write_bytes(frame.read_bytes()[:40])  # damaged is not the same as never there
    said = Said()
    recover_folder(tmp_path, said)
    assert not (tmp_path / "bees_20260101_120000").exists()
    assert (tmp_path / "somebody's").exists()
    assert (tmp_path / "ants_20260101_120000").exists()
    assert "info: removed bees_20260101_120000: no frame had been recorded into it" in said


def test_what_was_cut_before_its_metadata_goes_and_stops_nothing(tmp_path: Path) -> None:
    unborn = tmp_path / "ants_20260101_120000"
    unborn.mkdir()
    (unborn / ".lock").write_bytes(LOCK_TEXT)
    interrupted(tmp_path / "bees_20260101_120000")
    said = Said()
    recover_folder(tmp_path, said)
    assert [path.name for path in tmp_path.iterdir()] == ["bees_20260101_120000"]
    assert said == ["info: removed ants_20260101_120000: no frame had been recorded into it",
                    "warning: bees_20260101_120000: recovered, 3 frames kept"]


def test_a_recovery_that_is_stopped_goes_on_where_it_was(tmp_path: Path) -> None:
    for name in ("ants", "bees", "wasps"):
        interrupted(tmp_path / f"{name}_20260101_120000")
    said, stop, shown = Said(), threading.Event(), []
    recovery = Recovery([tmp_path], said, lambda: noted(recovery.progress))

    def noted(progress: str) -> None:
        shown.append(progress)
        if progress.startswith("completing bees"):
            stop.set()

    recovery.look()
    assert recovery.progress == "interrupted recordings left to complete: 3"
    recovery.complete(stop)
    assert (recovery.left, len(said)) == (1, 2)  # the one in hand was completed
    recovery.complete(threading.Event())
    assert (recovery.left, len(said)) == (0, 3)
    assert shown == ["completing ants_20260101_120000 (1 of 3)",
                     "completing bees_20260101_120000 (2 of 3)", "",
                     "completing wasps_20260101_120000 (3 of 3)", ""]


def test_what_begins_after_the_look_is_not_touched(tmp_path: Path) -> None:
    recovery = Recovery([tmp_path, tmp_path / "gone"], Said())
    recovery.look()
    (tmp_path / "moths_20260101_120000").mkdir()
    (tmp_path / ".part-x").mkdir()
    interrupted(tmp_path / "bees_20260101_120000")
    recovery.complete(threading.Event())
    assert len(list(tmp_path.iterdir())) == 3
    assert (tmp_path / "bees_20260101_120000" / ".lock").exists()


def test_a_whole_folder_is_not_touched(tmp_path: Path) -> None:
    uuid = make_store(tmp_path, "bees")
    make_export(tmp_path, "bees", uuid)
    before = contents(tmp_path)
    said = Said()
    recover_folder(tmp_path, said)
    assert (contents(tmp_path), said) == (before, [])


@pytest.mark.parametrize("lost", [".mp4", ".mp4.json"])
def test_half_an_export_is_removed_while_the_raw_is_there(tmp_path: Path, lost: str) -> None:
    uuid = make_store(tmp_path, "bees")
    make_export(tmp_path, "bees", uuid)
    (tmp_path / f"bees.high{lost}").unlink()
    recover_folder(tmp_path, Said())
    assert [path.name for path in tmp_path.iterdir()] == ["bees"]


def test_a_video_without_its_raw_is_nobodys_to_remove(tmp_path: Path) -> None:
    (tmp_path / "holiday.high.mp4").write_bytes(b"x")
    recover_folder(tmp_path, Said())
    assert (tmp_path / "holiday.high.mp4").exists()


def test_one_that_cannot_be_recovered_is_named_and_does_not_stop_the_others(
        tmp_path: Path) -> None:
    interrupted(tmp_path / "ants_20260101_120000")
    interrupted(tmp_path / "bees_20260101_120000")
    (tmp_path / "ants_20260101_120000" / "metadata.yaml").write_text("{")
    said = Said()
    recover_folder(tmp_path, said)
    states = {r.name: r.state for r in scan(tmp_path)}
    assert states["bees_20260101_120000"] is RecordingState.COMPLETE
    assert any("ants_20260101_120000" in line and line.startswith("error") for line in said), (
        said, states)


def test_what_imgstore_left_is_completed_once_nobody_writes_it(tmp_path: Path) -> None:
    path = tmp_path / "bees"
    store = imgstore.new_for_format("npy", path=str(path), imgshape=(4, 5), imgdtype="uint8",
                                    chunksize=10, metadata={})
    for number in range(3):
        store.add_image(np.zeros((4, 5), np.uint8), number, number / 10)
    said = Said()
    recover_folder(tmp_path, said)
    assert said[0].startswith("warning: bees: not recovered: ")
    assert "seems to be written still" in said[0]
    for file in [path, *path.rglob("*")]:
        os.utime(file, (10**9, 10**9))
    said.clear()
    recover_folder(tmp_path, said)
    assert said == ["warning: bees: recovered, 3 frames kept, numbers or times of 3 estimated"]


def test_working_folders_of_exports_that_no_job_wants_are_swept(tmp_path: Path) -> None:
    for name in (".work-bees.high.mp4", ".work-ants.low.mp4"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "000000.seg").write_bytes(b"x")
    said = Said()
    recovery = Recovery([tmp_path, tmp_path / "gone"], said)
    recovery.sweep_exports({"bees.high.mp4"})
    assert [path.name for path in tmp_path.iterdir()] == [".work-bees.high.mp4"]
    assert said == ["info: removed unfinished .work-ants.low.mp4"]
