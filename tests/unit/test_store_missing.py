"""What is missing before a frame travels in its record, so that recovery knows whose it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from fieldrec.core.model import FrameSpec
from fieldrec.store import layout
from fieldrec.store.api.new_store import recording_metadata
from fieldrec.store.layout import Columns, Log
from fieldrec.store.missing import MOST_LOST, MissingFrames, missing_frames, missing_word
from fieldrec.store.reader import StoreReader
from fieldrec.store.recover import recover
from fieldrec.store.writer import StoreWriter

SPEC = FrameSpec((48, 64), "uint8", "MONO8", 50.0)
MS = 1_000_000


def integers(*values: int) -> NDArray[np.int64]:
    return np.array(values, np.int64)


def words(*values: int) -> NDArray[np.uint32]:
    return np.array(values, np.uint32)


def test_a_gap_is_split_by_what_the_frame_after_it_says() -> None:
    numbers = integers(0, 5, 6, 10, 20)
    told = words(0, missing_word(3), 0, missing_word(1, left_out=True), 0)
    found = missing_frames(numbers, numbers * 10, told)
    assert (found.lost, found.left_out, found.dropped) == (4, 2, 10)
    assert found.lost_runs == ((1, 4, 3, 0, 50), (7, 9, 1, 60, 100))


def test_more_than_there_is_room_for_is_not_believed() -> None:
    numbers = integers(0, 1, 3, 3, 2)
    told = words(*[missing_word(MOST_LOST + 5, left_out=True)] * 5)
    found = missing_frames(numbers, numbers, told)
    assert (found.lost, found.left_out, found.dropped) == (1, 0, 0)


@given(st.lists(st.tuples(st.integers(-50, 50), st.integers(0, 30), st.booleans()), max_size=30))
def test_all_that_is_missing_is_counted_once(frames: list[tuple[int, int, bool]]) -> None:
    numbers = integers(*(number for number, _, _ in frames))
    told = words(*(missing_word(lost, left_out=out) for _, lost, out in frames))
    found = missing_frames(numbers, numbers, told)
    steps = np.diff(numbers)
    assert found.dropped + found.lost + found.left_out == int((steps[steps > 1] - 1).sum())
    assert min(found.dropped, found.lost, found.left_out) >= 0
    assert sum(run[2] for run in found.lost_runs) == found.lost
    at = len(frames) // 2
    halves = (missing_frames(part, part, told[where]) for part, where in (
        (numbers[:at + 1], slice(0, at + 1)), (numbers[at:], slice(at, None))))
    assert sum(halves, MissingFrames()) == found


# --- in the files -----------------------------------------------------------------------------

def columns(missing: NDArray[np.uint32] | None, exact: bool = False) -> Columns:
    times_ns = integers(10, 20, 30) * MS
    times_s = layout.seconds_of(times_ns) + 1e-7 if exact else None
    return Columns(integers(1, 2, 9), times_ns, np.full(3, layout.NO_DEVICE_TIME, np.int64),
                   np.array([7, 8, 9], np.uint64), times_s, missing)


@pytest.mark.parametrize("exact", [False, True])
def test_a_log_carries_it_beside_everything_else(exact: bool) -> None:
    told = words(0, missing_word(MOST_LOST), missing_word(12, left_out=True))
    written = columns(told, exact)
    found = layout.parse_log(layout.log_bytes(Log(integers(0, 1, 2), written))).columns
    assert found.missing_before is not None
    assert found.missing_before.tolist() == told.tolist()
    assert found.seconds().tolist() == written.seconds().tolist()
    assert found.device_times_ns.tolist() == [layout.NO_DEVICE_TIME] * 3
    record = bytearray(layout.LOG_RECORD.size)
    layout.pack_record(record, 2, 9, 30 * MS, layout.NO_DEVICE_TIME, 9,
                       written.seconds()[2] if exact else None, int(told[2]))
    assert layout.log_bytes(Log(integers(0, 1, 2), written)).endswith(bytes(record))


def test_a_log_that_says_nothing_has_the_bytes_that_it_always_had() -> None:
    quiet = layout.log_bytes(Log(integers(0, 1, 2), columns(words(0, 0, 0))))
    assert quiet == layout.log_bytes(Log(integers(0, 1, 2), columns(None)))
    assert [quiet[at:at + 4] for at in range(16 + 40, len(quiet), 48)] == [bytes(4)] * 3


def test_an_index_has_it_where_there_is_something_to_say() -> None:
    told = words(0, 0, missing_word(5))
    said = layout.index_bytes(columns(told), {})
    silent = layout.index_bytes(columns(words(0, 0, 0)), {})
    assert silent == layout.index_bytes(columns(None), {})
    found = layout.index_missing(said, 3)
    assert found is not None
    assert found.tolist() == told.tolist()
    assert layout.index_missing(silent, 3) is None
    assert layout.index_missing(said, 2) is None
    assert layout.index_missing(b"torn", 3) is None
    assert layout.parse_index(said).numbers.tolist() == [1, 2, 9]


def test_the_largest_index_has_room_in_the_reserve() -> None:
    count = 5000
    each = np.arange(count, dtype=np.int64)
    many = Columns(each, each, each, each.astype(np.uint64), None, np.full(count, 3, np.uint32))
    assert len(layout.index_bytes(many, {"uuid": "x" * 32})) <= layout.index_size_bound(count)


# --- through a crash --------------------------------------------------------------------------

@pytest.mark.parametrize("form", ["npy", "png", "mjpeg/avi"])
@pytest.mark.parametrize("chunksize", [2, 3, 100])
def test_recovery_knows_without_extra_data(tmp_path: Path, form: str, chunksize: int) -> None:
    """Numbers 0 1 (5 lost) 7 8 (2 dropped) 11 (4 lost, 1 dropped) 17 (30 paused) 48."""
    path = tmp_path / "bees"
    writer = StoreWriter(path, SPEC, chunksize=chunksize, timezone="UTC", created_epoch_ns=0,
                         form=form, user_metadata=recording_metadata({}, SPEC, "UTC"))
    told = {7: missing_word(5), 17: missing_word(4), 48: missing_word(0, left_out=True)}
    for number in (0, 1, 7, 8, 11, 17, 48):
        writer.missing_next = told.get(number, 0)
        writer.append(np.full((48, 64), number, np.uint8), number, number * 20 * MS, None)
    writer.abandon()
    assert list(path.rglob("*extra*")) == []
    recover(path)
    with StoreReader(path) as store:
        assert store.numbers.tolist() == [0, 1, 7, 8, 11, 17, 48]
        ours = store.user_metadata["fieldrec"]
    assert (ours["dropped"], ours["lost"], ours["paused_frames"]) == (3, 9, 30)
    assert ours["lost_runs"] == [[2, 6, 5, 20 * MS, 140 * MS], [12, 16, 4, 220 * MS, 340 * MS]]


def test_what_a_failed_frame_had_to_say_is_said_by_the_next(tmp_path: Path) -> None:
    writer = StoreWriter(tmp_path / "bees", SPEC, chunksize=10, timezone="UTC",
                         created_epoch_ns=0, user_metadata=recording_metadata({}, SPEC, "UTC"))
    writer.append(np.zeros((48, 64), np.uint8), 0, 0, None)
    writer.missing_next = missing_word(2)
    with pytest.raises(Exception, match="does not fit 64 bits"):
        writer.append(np.zeros((48, 64), np.uint8), 2 ** 70, 0, None)
    writer.append(np.zeros((48, 64), np.uint8), 4, 40 * MS, None)
    writer.append(np.zeros((48, 64), np.uint8), 6, 60 * MS, None)
    writer.abandon()
    recover(tmp_path / "bees")
    ours = StoreReader(tmp_path / "bees").user_metadata["fieldrec"]
    assert (ours["dropped"], ours["lost"]) == (2, 2)


def test_a_damaged_frame_takes_its_word_with_it(tmp_path: Path) -> None:
    path = tmp_path / "bees"
    writer = StoreWriter(path, SPEC, chunksize=10, timezone="UTC", created_epoch_ns=0,
                         user_metadata=recording_metadata({}, SPEC, "UTC"))
    for number in (0, 1, 5, 6):
        writer.missing_next = missing_word(3) if number == 5 else 0
        writer.append(np.full((48, 64), number, np.uint8), number, number * MS, None)
    writer.abandon()
    (path / "000000" / "000001.npy").write_bytes(b"torn")
    recover(path)
    ours = StoreReader(path).user_metadata["fieldrec"]
    assert (ours["dropped"], ours["lost"]) == (1, 3)
