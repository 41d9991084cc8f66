"""Columns of a sidecar: exact, small, and never larger in memory than they may be."""

from __future__ import annotations

import base64
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fieldrec.store.movie.columns import pack, unpack
from tests.fakes.sidecar_content import column

DAY_FRAMES = 200_000


@settings(deadline=None, max_examples=50)
@given(hnp.arrays(np.int64, st.integers(0, 40)) | hnp.arrays(np.float64, st.integers(0, 40)))
def test_every_value_comes_back(values: Any) -> None:
    found = unpack(pack(values), len(values))
    assert found.dtype == values.dtype
    assert found.tobytes() == values.tobytes()
    assert np.array_equal(column(pack(values)), values, equal_nan=values.dtype.kind == "f"), (
        "the documented snippet reads it too")


def test_long_ones_stay_small() -> None:
    jitter_ns = np.random.default_rng(1).normal(0, 50_000, DAY_FRAMES)
    times_ns = (1_795_000_000 * 10**9 + np.cumsum(16_666_667 + jitter_ns)).astype(np.int64)
    assert len(pack(times_ns)["data"]) < 2 * DAY_FRAMES, "2 of 20 bytes for each time"
    assert len(pack(np.arange(DAY_FRAMES) + 7)["data"]) < DAY_FRAMES // 50


def test_lists_of_version_one_are_columns_too() -> None:
    assert unpack([1, 2, 4], 3).tolist() == [1, 2, 4]
    assert unpack([1, 2.5], 2).dtype == np.float64
    for wrong in ([1, 2], [1, 2, "3"], [1, 2, True], [1, 2, 1 << 70]):
        with pytest.raises(ValueError, match=r"lists|not possible"):
            unpack(wrong, 3)


def packed(data: bytes) -> dict[str, str]:
    return {"dtype": "int64", "data": base64.b64encode(zlib.compress(data)).decode()}


@pytest.mark.parametrize("wrong", [
    None, {}, {"dtype": "int64"}, {"dtype": "int32", "data": ""}, {"dtype": "int64", "data": "%"},
    {"dtype": "int64", "data": ""}, packed(bytes(16)), packed(bytes(32)), packed(bytes(1 << 24)),
    {"dtype": "int64", "data": packed(bytes(24))["data"][:-8]}])
def test_anything_else_is_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"column|base64|padding|Only|Excess"):
        unpack(wrong, 3)
    assert unpack(packed(bytes(24)), 3).tolist() == [0, 0, 0]


@pytest.mark.parametrize("count", [-1, 1 << 40])
def test_counts_that_cannot_be(count: int) -> None:
    with pytest.raises(ValueError, match="not possible"):
        unpack(packed(b""), count)
