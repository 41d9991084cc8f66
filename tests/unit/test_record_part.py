"""One store of a series: what is said in it at its end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fieldrec.core.clock import Anchor
from fieldrec.core.model import FrameHeader, RecordingState
from fieldrec.record.capture import Gap, LostRun
from fieldrec.record.part import MOST_RUNS, Part
from fieldrec.record.ring import Slot
from fieldrec.store.writer import StoreWriter
from tests.fakes.cameras import SPEC
from tests.fakes.rigs import extra_data, ours

ANCHOR = Anchor(epoch_ns=1_795_000_000_000_000_000, monotonic_ns=0)


@pytest.fixture
def part(tmp_path: Path) -> Part:
    return Part(StoreWriter(tmp_path / "a", SPEC, chunksize=10, user_metadata={"fieldrec": {}},
                            timezone="UTC", created_epoch_ns=ANCHOR.epoch_ns), 1)


def append(part: Part, number: int) -> None:
    slot = Slot(FrameHeader(number, number), np.full(SPEC.shape, number % 251, np.uint8))
    part.append(slot, ANCHOR.time_ns(number))


def test_runs_and_gaps_beyond_the_most_are_counted(part: Part) -> None:
    append(part, 0)
    for number in range(MOST_RUNS + 3):
        part.note_lost(LostRun(number, number + 1, 2, number, number + 1), ANCHOR)
        part.note_gap(Gap(number, number, 1, number), ANCHOR)
    part.close("enough", ANCHOR)
    said = ours(part.path)
    assert len(said["lost_runs"]) == MOST_RUNS
    assert said["lost_runs"][1] == [1, 2, 2, ANCHOR.epoch_ns + 1, ANCHOR.epoch_ns + 2]
    assert said["more_lost_runs"] == 3
    assert (said["lost"], said["dropped"]) == (2 * (MOST_RUNS + 3), MOST_RUNS + 3)
    records = extra_data(part.path)
    assert sum(record.get("dropped_count") == 1 for record in records) == MOST_RUNS
    assert part.state is RecordingState.COMPLETE


def test_without_a_frame_nothing_is_left(part: Part) -> None:
    part.pause()
    part.leave_out(FrameHeader(0, 0))
    part.close("enough", ANCHOR)
    assert part.state is RecordingState.FAILED
    assert not part.path.exists()


def test_left_as_it_is_it_is_for_recovery(part: Part) -> None:
    append(part, 0)
    part.abandon()
    assert part.state is RecordingState.INTERRUPTED
    assert (part.path / ".lock").exists()
