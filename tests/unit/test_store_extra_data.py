"""Extra data: every value becomes strict JSON, and the file is complete at any moment."""

from __future__ import annotations

import datetime
import enum
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldrec.store.extra_data import ExtraData, jsonable


class Colour(enum.Enum):
    RED = "red"


@pytest.mark.parametrize(("value", "expected"), [
    (np.bool_(True), True), (np.int16(-3), -3), (np.float32(0.5), 0.5), (np.arange(3), [0, 1, 2]),
    (datetime.datetime(2026, 1, 2, 3, 4, 5), "2026-01-02T03:04:05"),
    (datetime.date(2026, 1, 2), "2026-01-02"), ({3}, [3]), ((1, 2), [1, 2]), (b"abc", "abc"),
    (b"\xff", "/w=="), (1 + 2j, [1.0, 2.0]), (math.nan, None), (math.inf, "inf"),
    (np.float64(-math.inf), "-inf"), (Colour.RED, "red"), (Path("/a"), "/a"),
    ({1: None}, {"1": None}), (np.array(7), 7), (np.datetime64("2026-01-02"), "2026-01-02"),
])
def test_values_are_converted_not_dropped(value: Any, expected: Any) -> None:
    assert jsonable(value) == expected


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
    | st.complex_numbers() | st.datetimes() | st.sets(st.integers()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3))


@given(VALUES)
def test_anything_is_strict_json(value: Any) -> None:
    json.dumps(jsonable(value), allow_nan=False)


def read(chunk: Path) -> Any:
    return json.loads((chunk / "index.extra.json").read_text())


def test_the_file_is_complete_after_every_flush(tmp_path: Path) -> None:
    extra = ExtraData()
    extra.flush(tmp_path)
    assert list(tmp_path.iterdir()) == []
    for count in range(1, 4):
        extra.add({"n": count})
        assert extra.unwritten == 1
        extra.flush(tmp_path)
        assert [record["n"] for record in read(tmp_path)] == list(range(1, count + 1))
    assert extra.unwritten == 0


def test_what_was_not_written_goes_to_the_next_chunk(tmp_path: Path) -> None:
    extra = ExtraData()
    extra.add({"n": 1})
    extra.flush(tmp_path)
    extra.add({"n": 2})
    extra.next_chunk()
    (tmp_path / "next").mkdir()
    extra.flush(tmp_path / "next")
    assert [read(tmp_path), read(tmp_path / "next")] == [[{"n": 1}], [{"n": 2}]]
