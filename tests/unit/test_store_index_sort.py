"""Sorting on disk: the order that numpy's stable sort gives, whatever the values."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fieldrec.store.indexing import sort as index_sort
from fieldrec.store.indexing.sort import Spool, in_order, sort


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_sort, "PIECE_ROWS", 8)
    monkeypatch.setattr(index_sort, "_SAMPLED_ROWS", 2)


def spooled(values: Any, directory: Path, dtype: str = "<i8") -> Spool:
    spool = Spool(np.dtype(dtype), directory)
    for at in range(0, len(values), 5):
        spool.append(np.asarray(values[at:at + 5]))
    return spool


def sorted_on_disk(values: Any, directory: Path, dtype: str = "<i8") -> tuple[Any, Any]:
    column = spooled(values, directory, dtype)
    ours = sort(column, directory)
    found = tuple(np.concatenate(list(spool.pieces())) for spool in ours)
    for spool in (column, *ours):
        spool.close()
    return found[0], found[1]


@pytest.mark.usefixtures("small_pieces")
def test_as_numpy_does() -> None:
    @settings(max_examples=150, deadline=None)
    @given(st.lists(st.integers(-4, 4) | st.integers(-2 ** 63, 2 ** 63 - 1), min_size=1,
                    max_size=70))
    def compare(values: list[int]) -> None:
        ours = sorted_on_disk(values, Path(tempfile.gettempdir()))
        theirs = in_order(np.array(values, np.int64))
        assert [one.tolist() for one in ours] == [one.tolist() for one in theirs]
    compare()


@pytest.mark.parametrize("kind", ["shuffled", "descending", "runs", "nearly equal", "floats"])
def test_many_pieces(tmp_path: Path, kind: str) -> None:
    count = 5 * index_sort.PIECE_ROWS // 2
    values: Any = np.arange(count)
    if kind == "descending":
        values = values[::-1]
    elif kind == "runs":
        values = np.tile(np.arange(count // 5), 5)
    elif kind == "nearly equal":
        values = (values % 7 == 0).astype(np.int64)
    else:
        np.random.default_rng(1).shuffle(values)
    if kind == "floats":
        values = values / 3
    column = Spool(np.dtype("<i8"), tmp_path)
    column.append(values)
    ours = sort(column, tmp_path)
    theirs = in_order(values)
    for spool, expected in zip(ours, theirs, strict=True):
        assert np.array_equal(np.concatenate(list(spool.pieces())), expected)
        assert spool.count == count
    for spool in (column, *ours):
        spool.close()


@pytest.mark.usefixtures("small_pieces")
def test_what_a_spool_knows_of_its_values(tmp_path: Path) -> None:
    spool = spooled([3, 3, 4, 9], tmp_path)
    assert (spool.smallest, spool.largest, spool.count, spool.ascends) == (3, 9, 4, True)
    spool.append(np.array([8]))
    assert not spool.ascends
    assert spool.rows(1, 4).tolist() == [3, 4, 9]
    spool.close()


@pytest.mark.usefixtures("small_pieces")
def test_integers_become_floats_with_the_first_float(tmp_path: Path) -> None:
    spool = spooled(list(range(20)), tmp_path)
    spool.append(np.array([19.5, -1.0]))
    spool.append(np.array([7]))
    assert np.concatenate(list(spool.pieces())).tolist() == [*map(float, range(20)), 19.5, -1.0,
                                                             7.0]
    assert (spool.smallest, spool.largest, spool.dtype) == (-1.0, 19.5, np.dtype("<f8"))
    spool.close()
