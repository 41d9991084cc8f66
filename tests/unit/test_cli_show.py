"""What `show` says in words; tests/scenario/test_store_commands.py runs the real command."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fieldrec.catalogue.report import store_report
from fieldrec.cli.show import report_rows
from fieldrec.core.model import FrameSpec
from fieldrec.store.api.new_store import recording_metadata
from fieldrec.store.writer import StoreWriter

SPEC = FrameSpec((24, 32), "uint8", "MONO8", 100.0)
START_NS = 1_795_000_000_000_000_000
MS = 1_000_000


def store(path: Path, *numbers: int, **said: int) -> list[tuple[str, str]]:
    """What is shown of a store with these frames, 10 ms a number, and this in its extra data."""
    writer = StoreWriter(path, SPEC, chunksize=10, timezone="UTC", created_epoch_ns=START_NS,
                         user_metadata=recording_metadata({}, SPEC, "UTC"))
    for number in numbers:
        writer.append(np.zeros((24, 32), np.uint8), number, START_NS + number * 10 * MS, None)
    writer.add_extra_data(**said)
    writer.close()
    return list(report_rows(store_report(path)))


def told(rows: list[tuple[str, str]], key: str) -> list[str]:
    return [value for name, value in rows if name.strip() == key]


def test_a_pause_is_no_dropped_frame(tmp_path: Path) -> None:
    rows = store(tmp_path / "bees", 0, 1, 8, 9, paused_first_number=2, paused_last_number=7,
                 paused_count=6, paused_first_time_ns=START_NS + 20 * MS)
    assert told(rows, "missing") == ["6 numbers in 1 gap: 0 dropped (by the camera), 0 lost (our "
                                     "ring was full), 6 left out (paused)"]
    gap, = told(rows, "gap")
    assert gap.startswith("6 frames left out (paused) after ")
    assert "numbers 2 to 7, before index 2" in gap


def test_what_a_gap_is_made_of(tmp_path: Path) -> None:
    rows = store(tmp_path / "bees", 0, 8, paused_first_number=2, paused_last_number=6,
                 paused_count=5, paused_first_time_ns=START_NS + 20 * MS, lost_first_number=1,
                 lost_last_number=1, lost_count=1, lost_first_time_ns=START_NS + 10 * MS)
    assert told(rows, "missing")[0].endswith("7 numbers in 1 gap: 1 dropped (by the camera), 1 "
                                             "lost (our ring was full), 5 left out (paused)")
    assert told(rows, "gap")[0].startswith("7 frames, 1 lost, 5 left out (paused), 1 dropped after")


def test_no_pause_is_no_matter_of_pauses(tmp_path: Path) -> None:
    rows = store(tmp_path / "bees", 0, 1, 4, 5)
    assert told(rows, "missing") == ["2 numbers in 1 gap: 2 dropped (by the camera), 0 lost (our "
                                     "ring was full)"]
    assert told(rows, "gap")[0].startswith("2 frames dropped after ")
