"""A damaged index tells what its own checksums vouch for, and nothing else."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest

from fieldrec.store import layout
from fieldrec.store.layout import Columns
from fieldrec.store.npz import npz_bytes
from fieldrec.store.recovery.index_salvage import (
    DIGEST_LATE,
    NUMBER_ESTIMATED,
    TIME_ESTIMATED,
    marks_in,
    salvage,
    store_members,
)

COUNT = 6
NUMBERS = np.arange(100, 100 + COUNT, dtype=np.int64)
TIMES_NS = 1_700_000_000_000_000_123 + np.arange(COUNT, dtype=np.int64) * 40_000_000
COLUMNS = Columns(NUMBERS, TIMES_NS, np.arange(COUNT, dtype=np.int64),
                  np.arange(COUNT, dtype=np.uint64) + np.uint64(2**63))
STORE = {"chunksize": 6, "class": "DirectoryImgStore", "encoding": None, "format": "npy",
         "imgdtype": "uint8", "imgshape": [4, 6], "uuid": "abc", "version": 2}
OURS = layout.index_bytes(COLUMNS, STORE)


def by_numpy() -> bytes:
    """As imgstore writes it: no table in front, sizes in the extra field, a pickled None."""
    into = io.BytesIO()
    members: dict[str, Any] = {"frame_number": NUMBERS, "frame_time": layout.seconds_of(TIMES_NS),
                               **STORE}
    np.savez(into, **members)
    return into.getvalue()


@pytest.mark.parametrize("data", [OURS, by_numpy()], ids=["ours", "imgstore's"])
def test_a_whole_index_tells_all(data: bytes) -> None:
    known = salvage(data)
    assert known.has_numbers
    assert known.has_times
    assert known.columns.numbers.tolist() == NUMBERS.tolist()
    assert np.array_equal(known.columns.seconds(), layout.seconds_of(TIMES_NS))
    assert (known.columns.digests is None) == (data is not OURS)
    assert {**STORE, "encoding": store_members(data)["encoding"]} == store_members(data)
    assert not store_members(data)["encoding"]


@pytest.mark.parametrize("data", [OURS, by_numpy()], ids=["ours", "imgstore's"])
def test_every_cut_tells_what_is_before_it(data: bytes) -> None:
    seen = set()
    for size in range(0, len(data), 7):
        known = salvage(data[:size])
        seen.add((known.has_numbers, known.has_times))
        if known.has_numbers:
            assert known.columns.numbers.tolist() == NUMBERS.tolist()
        if known.has_times:
            assert np.array_equal(known.columns.seconds(), layout.seconds_of(TIMES_NS))
        assert store_members(data[:size]).items() <= store_members(data).items()
    assert seen == {(False, False), (True, False), (True, True)}


def test_no_flipped_bit_gets_through() -> None:
    chance = np.random.default_rng(1)
    whole = salvage(OURS).columns
    for _ in range(600):
        data = bytearray(OURS)
        data[int(chance.integers(len(data)))] ^= 1 << int(chance.integers(8))
        known = salvage(bytes(data))
        if known.has_numbers:
            assert known.columns.numbers.tolist() == whole.numbers.tolist()
        if known.has_times:
            assert np.array_equal(known.columns.seconds(), whole.seconds())
        if known.columns.digests is not None:
            assert known.columns.digests.tolist() == COLUMNS.digests.tolist()  # type: ignore[union-attr]


def test_times_of_an_index_whose_seconds_are_spoilt_come_from_its_nanoseconds() -> None:
    data = bytearray(OURS)
    data[data.find(b"frame_time.npy") + 150] ^= 1
    known = salvage(bytes(data))
    assert known.has_times
    assert np.array_equal(known.columns.times_ns, TIMES_NS)


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"garbage" * 50, bytes(500),
                                  b"PK\x03\x04" * 200])
def test_what_is_no_index_tells_nothing(data: bytes) -> None:
    known = salvage(data)
    assert (len(known.columns), known.has_numbers, known.has_times) == (0, False, False)
    assert store_members(data) == {}


def test_what_is_not_finite_is_filled_in_and_marked() -> None:
    times_s = np.array([1.0, np.nan, 3.0, np.inf, 5.0, 6.0])
    known = salvage(npz_bytes({"frame_number": NUMBERS, "frame_time": times_s}))
    assert known.columns.seconds().tolist() == [1, 2, 3, 4, 5, 6]
    assert known.time_estimated.tolist() == [0, 1, 0, 1, 0, 0]
    assert not known.number_estimated.any()
    assert not salvage(npz_bytes({"frame_number": NUMBERS,
                                  "frame_time": times_s * np.nan})).has_times


def test_marks_outlive_another_repair() -> None:
    flags = np.array([0, 0, 0, 1, 1, 1], np.uint8)
    data = layout.index_bytes(COLUMNS, {**STORE, NUMBER_ESTIMATED: flags, TIME_ESTIMATED: flags,
                                        DIGEST_LATE: flags})
    known = marks_in(data, COLUMNS)
    for found in (known.number_estimated, known.time_estimated, known.digest_late):
        assert found.tolist() == flags.tolist()
    assert store_members(data).keys() == STORE.keys()
    other = marks_in(b"", COLUMNS)
    assert len(other.columns) == COUNT
    assert not other.time_estimated.any()


def test_fractional_numbers_stay_so() -> None:
    known = salvage(npz_bytes({"frame_number": NUMBERS + 0.5, "frame_time": NUMBERS / 1.0}))
    assert known.columns.numbers.tolist() == (NUMBERS + 0.5).tolist()
