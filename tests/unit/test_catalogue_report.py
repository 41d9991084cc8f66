"""What is told of a store is what is in it; what cannot be read is named and hides nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import imgstore
import numpy as np
import pytest

from fieldrec.catalogue.report import as_json, store_report
from fieldrec.core.errors import NotFoundError, StoreDamaged
from fieldrec.core.model import FrameSpec
from fieldrec.store.api.new_store import recording_metadata
from fieldrec.store.recovery.note import NOTE_NAME
from fieldrec.store.writer import StoreWriter

SPEC = FrameSpec((24, 32), "uint8", "MONO8", 100.0)
START_NS = 1_795_000_000_000_000_000
MS = 1_000_000


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Numbers 0-4, 8-9, 20: the ring lost 12 to 17."""
    path = tmp_path / "bees"
    writer = StoreWriter(path, SPEC, chunksize=4, timezone="Europe/Vienna",
                         created_epoch_ns=START_NS,
                         user_metadata=recording_metadata({}, SPEC, "Europe/Vienna"))
    for number in (0, 1, 2, 3, 4, 8, 9, 20):
        if number == 20:
            writer.add_extra_data(
                lost_first_number=12, lost_last_number=17, lost_count=6,
                lost_first_time_ns=START_NS + 120 * MS, lost_last_time_ns=START_NS + 170 * MS)
            writer.add_extra_data(clock_step=True, clock_wall_ns=START_NS + 2_000_000_000,
                                  clock_recording_ns=START_NS + 100 * MS)
        writer.append(np.full((24, 32), number, np.uint8), number, START_NS + number * 10 * MS,
                      None)
        writer.add_extra_data(temperature=20.5)
    writer.close({"dropped": 7, "lost": 6})
    return path


def test_all_that_is_there(store: Path) -> None:
    report = store_report(store)
    assert (report.frame_count, report.chunk_count) == (8, 2)
    assert (report.number_first, report.number_last) == (0, 20)
    assert (report.first_time_ns, report.length_s) == (START_NS, 0.2)
    assert (report.told_hz, report.timezone) == (100.0, "Europe/Vienna")
    assert report.intervals is not None
    assert report.intervals.rate_hz == pytest.approx(100)
    assert (report.gaps.missing, report.gaps.dropped, report.gaps.lost) == (13, 7, 6)
    assert [(gap.first_number, gap.last_number, gap.lost) for gap in report.gaps.largest] == [
        (10, 19, 6), (5, 7, 0)]
    assert report.lost == 6
    assert [step.moved_s for step in report.clock_steps] == [1.9]
    assert report.extra.records == 10
    assert report.extra.columns["temperature"] == 8
    assert (report.recoveries, report.problems) == ((), ())


def test_as_json_it_is_json(store: Path) -> None:
    found = json.loads(json.dumps(as_json(store_report(store)), allow_nan=False))
    assert found["gaps"]["dropped"] == 7
    assert found["gaps"]["largest"][0]["missing"] == 10
    assert found["extra_data"]["records"] == 10
    assert found["format"] == "npy"


def test_damaged_parts_are_named_and_hide_nothing_else(store: Path) -> None:
    (store / "000000" / "index.npz").write_bytes(b"")
    (store / "000001" / "index.extra.json").write_text('[{"temperature": 1}, {"temp')
    (store / NOTE_NAME).write_text("{")
    report = store_report(store)
    assert report.frame_count == 4
    assert report.extra.columns["temperature"] == 5
    assert [word for word in ("000000", "index.extra.json", "recoveries")
            if not any(word in problem for problem in report.problems)] == []


def test_an_empty_store_and_one_of_another_program(tmp_path: Path) -> None:
    theirs = imgstore.new_for_format("npy", str(tmp_path / "empty"), imgshape=(4, 4),
                                     imgdtype="uint8", metadata={"hwframerate": 31.5})
    theirs.close()
    report = store_report(tmp_path / "empty")
    assert (report.frame_count, report.length_s, report.intervals) == (0, None, None)
    assert report.told_hz == 31.5
    json.dumps(as_json(report), allow_nan=False)


def test_what_does_not_open(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        store_report(tmp_path / "none")
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / "metadata.yaml").write_text("__sto")
    with pytest.raises(StoreDamaged):
        store_report(tmp_path / "cut")
