"""The store format as bytes: round trips, torn tails, and what imgstore and numpy read."""

from __future__ import annotations

import datetime
import io
import math
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from fieldrec.core.model import ClockQuality
from fieldrec.store import layout
from fieldrec.store.layout import Columns, Log
from fieldrec.store.metadata import metadata_text, parse_metadata, store_mapping

INT64 = st.integers(-2**63, 2**63 - 1)
STORE = store_mapping((4, 6), "uint8", chunksize=5,
                             timezone="UTC", created_epoch_ns=1_700_000_000_123_456_789,
                             uuid="0" * 32)


@st.composite
def columns_strategy(draw: st.DrawFn, limit: int = 30) -> Columns:
    count = draw(st.integers(0, limit))
    rows = draw(st.lists(st.tuples(INT64, INT64, INT64, st.integers(0, 2**64 - 1)),
                         min_size=count, max_size=count))
    return Columns(np.array([row[0] for row in rows], np.int64),
                   np.array([row[1] for row in rows], np.int64),
                   np.array([row[2] for row in rows], np.int64),
                   np.array([row[3] for row in rows], np.uint64))


def same(left: Columns, right: Columns) -> bool:
    return (np.array_equal(left.numbers, right.numbers)
            and np.array_equal(left.times_ns, right.times_ns)
            and np.array_equal(left.device_times_ns, right.device_times_ns)
            and left.digests is not None and right.digests is not None
            and np.array_equal(left.digests, right.digests))


@given(shape=st.lists(st.integers(1, 9999), min_size=1, max_size=4).map(tuple),
       dtype=st.sampled_from(["uint8", "uint16", "float32", "int64", "bool"]))
def test_npy_header_is_numpys_and_a_multiple_of_128(shape: tuple[int, ...], dtype: str) -> None:
    header = layout.npy_header(shape, dtype)
    file = io.BytesIO(header)
    assert np.lib.format.read_magic(file) == (1, 0)
    assert np.lib.format.read_array_header_1_0(file) == (shape, False, np.dtype(dtype))
    assert len(header) % 128 == 0
    assert file.tell() == len(header)


@given(columns_strategy())
def test_index_round_trip(columns: Columns) -> None:
    assert same(layout.parse_index(layout.index_bytes(columns, STORE)), columns)


@given(columns_strategy())
def test_index_is_within_its_bound(columns: Columns) -> None:
    data = layout.index_bytes(columns, STORE)
    assert len(data) <= layout.index_size_bound(len(columns))


def test_index_is_a_stored_zip_without_pickles_and_with_the_store_keys() -> None:
    data = layout.index_bytes(Columns.empty(), STORE)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert all(entry.compress_type == zipfile.ZIP_STORED for entry in archive.infolist())
    with np.load(io.BytesIO(data), allow_pickle=False) as members:
        loaded = {name: members[name] for name in members.files}
    assert set(STORE) < set(loaded)
    assert loaded["frame_number"].dtype == np.int64
    assert loaded["frame_time"].dtype == np.float64
    assert loaded["uuid"].shape == ()
    assert loaded["imgshape"].tolist() == [4, 6]


@given(columns_strategy(3), st.data())
def test_a_spoilt_index_is_a_value_error_or_unchanged(columns: Columns, data: st.DataObject
                                                      ) -> None:
    good = layout.index_bytes(columns, STORE)
    bad = bytearray(good[:data.draw(st.integers(0, len(good)))])
    for place in data.draw(st.lists(st.integers(0, max(0, len(bad) - 1)), max_size=5)):
        if bad:
            bad[place] ^= 0xFF
    try:
        layout.parse_index(bytes(bad))
    except ValueError as error:
        assert "unreadable index" in str(error)


@pytest.mark.parametrize("members", [
    {"frame_number": np.array([1.0, np.nan]), "frame_time": np.array([1.0, 2.0])},
    {"frame_number": np.array([1, 2]), "frame_time": np.array([1.0, np.inf])},
    {"frame_number": np.array(["a", "b"]), "frame_time": np.array([1.0, 2.0])},
    {"frame_number": np.array([1, 2])},
    {"frame_number": np.array([1, 2], object), "frame_time": np.array([1.0, 2.0])},
])
def test_an_index_without_usable_numbers_is_refused(members: dict[str, Any]) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, **members)
    with pytest.raises(ValueError, match="unreadable index"):
        layout.parse_index(buffer.getvalue())


def test_an_index_of_another_program() -> None:
    buffer = io.BytesIO()
    np.savez(buffer, frame_number=np.array([7.0, 9.0, 11.0]), frame_time=np.array([1.5, 2.25]))
    columns = layout.parse_index(buffer.getvalue())
    assert columns.numbers.tolist() == [7, 9]
    assert columns.times_ns.tolist() == [1_500_000_000, 2_250_000_000]
    assert columns.device_times_ns.tolist() == [-1, -1]
    assert columns.digests is None


def test_an_index_in_yaml() -> None:
    columns = layout.parse_index_yaml("frame_number: [3, 4]\nframe_time: [1.0, 1.5]\n")
    assert columns.numbers.tolist() == [3, 4]
    assert columns.times_ns.tolist() == [1_000_000_000, 1_500_000_000]


@given(columns_strategy())
def test_log_round_trip(columns: Columns) -> None:
    positions = np.arange(len(columns), dtype=np.int64) * 2
    log = layout.parse_log(layout.log_bytes(Log(positions, columns)))
    assert np.array_equal(log.positions, positions)
    assert same(log.columns, columns)


@given(columns_strategy(), st.data())
def test_a_cut_log_costs_only_its_last_record(columns: Columns, data: st.DataObject) -> None:
    whole = layout.log_bytes(Log(np.arange(len(columns), dtype=np.int64), columns))
    size = data.draw(st.integers(0, len(whole)))
    log = layout.parse_log(whole[:size])
    expected = max(0, (size - 16) // 48)
    assert same(log.columns, columns.take(np.arange(expected)))


@given(columns_strategy(), st.data())
def test_a_torn_or_zeroed_record_costs_only_itself(columns: Columns, data: st.DataObject) -> None:
    if len(columns) == 0:
        return
    whole = bytearray(layout.log_bytes(Log(np.arange(len(columns), dtype=np.int64), columns)))
    torn = data.draw(st.integers(0, len(columns) - 1))
    start = 16 + 48 * torn
    if data.draw(st.booleans()):
        whole[start:start + 48] = bytes(48)
    else:
        whole[start + data.draw(st.integers(0, 47))] ^= data.draw(st.integers(1, 255))
    keep = np.arange(len(columns)) != torn
    log = layout.parse_log(bytes(whole))
    assert log.positions.tolist() == np.flatnonzero(keep).tolist()
    assert same(log.columns, columns.take(keep))


def test_log_bytes_are_as_documented() -> None:
    record = bytearray(layout.LOG_RECORD.size)
    layout.pack_record(record, 1, -2, 3, -1, 2**64 - 1)
    assert layout.log_header()[:12] == b"FRAMELOG" + struct.pack("<HH", 1, 48)
    assert record[:44] == struct.pack("<QqqqQI", 1, -2, 3, -1, 2**64 - 1, 0)


def test_seconds_that_nanoseconds_do_not_say_are_in_the_log() -> None:
    times_s = np.array([1 / 3, 1.5, 1e-12, math.nan, 2 / 3])
    times_ns = np.array([333333333, 1_500_000_000, 0, 0, 666666667])
    columns = Columns(np.arange(5), times_ns, np.array([-1, -1, -1, -1, 7]),
                      np.arange(5, dtype=np.uint64), times_s)
    found = layout.parse_log(layout.log_bytes(layout.Log(np.arange(5), columns))).columns
    assert found.times_s is not None
    assert np.array_equal(found.times_s[:4], times_s[:4], equal_nan=True)
    assert found.times_s[4] == 0.666666667  # a device time leaves no room for more
    assert found.device_times_ns.tolist() == [-1, -1, -1, -1, 7]
    assert found.times_ns.tolist() == times_ns.tolist()


def test_a_log_of_a_later_version_is_refused() -> None:
    import zlib
    head = b"FRAMELOG" + struct.pack("<HH", 2, 64)
    with pytest.raises(ValueError, match="newer fieldrec"):
        layout.parse_log(head + struct.pack("<I", zlib.crc32(head)))


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False)
    | st.text(st.characters(blacklist_categories=["Cs"])) | st.binary(max_size=20)
    | st.dates() | st.datetimes(min_value=datetime.datetime(1000, 1, 1)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abcñ", max_size=4), inner,
                                                               max_size=4), max_leaves=10)


@given(st.dictionaries(st.text("abcxyzü", min_size=1, max_size=6), PLAIN, max_size=5))
def test_metadata_round_trip(user: dict[str, Any]) -> None:
    text = metadata_text(STORE, user)
    assert parse_metadata(text) == (STORE, user)


def test_metadata_takes_numpy_values_paths_tuples_and_enums() -> None:
    user = {"n": np.int64(3), "x": np.float32(0.5), "yes": np.bool_(True), "p": Path("/a/b"),
            "t": (1, 2), "a": np.arange(3), "q": ClockQuality.GPS}
    _, read = parse_metadata(metadata_text(STORE, user))
    assert read == {"n": 3, "x": 0.5, "yes": True, "p": "/a/b", "t": [1, 2], "a": [0, 1, 2],
                    "q": "gps"}


def test_created_utc_is_quoted_naive_and_in_microseconds() -> None:
    text = metadata_text(STORE, {})
    assert "created_utc: '2023-11-14T22:13:20.123456'" in text


@pytest.mark.parametrize(("user", "match"), [({"camera": object()}, "'camera': a object"),
                                             ({"__store": {}}, "belongs to the store")])
def test_metadata_that_cannot_be_stored_is_named(user: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        metadata_text(STORE, user)


@pytest.mark.parametrize("text", ["", "a: [", "a: 1", "__store: 3", "__store: {uuid: x}",
                                  "\x00", metadata_text(STORE, {})[:40],
                                  yaml.safe_dump({"__store": {"imgshape": [1]}})])
def test_metadata_that_is_cut_or_foreign_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_metadata(text)
