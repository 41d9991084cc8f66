"""extra.log: a crash costs a torn line and nothing else, and what is left becomes one JSON list."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldrec.core import durable
from fieldrec.core.errors import StoreFull
from fieldrec.store.chunk_paths import ChunkPaths, chunk_paths
from fieldrec.store.extra_log import (
    append_lines,
    lines_bytes,
    mend_extra,
    parse_lines,
    records_bytes,
)

TEXTS = st.lists(st.dictionaries(st.text(), st.text() | st.integers()).map(json.dumps), max_size=6)


class Killed(BaseException):
    """Not to be caught by any except clause of ours."""


@pytest.fixture
def paths(tmp_path: Path) -> ChunkPaths:
    (tmp_path / "000000").mkdir()
    return chunk_paths(tmp_path, 0)


@given(TEXTS, TEXTS)
def test_lines_round_trip(first: list[str], second: list[str]) -> None:
    data = lines_bytes(first, 0) + lines_bytes(second, len(first))
    assert parse_lines(data) == first + second


@given(TEXTS, st.data())
def test_a_cut_costs_only_what_is_behind_it(texts: list[str], data: st.DataObject) -> None:
    whole = lines_bytes(texts, 0)
    cut = data.draw(st.integers(0, len(whole)))
    found = parse_lines(whole[:cut])
    assert found == texts[:len(found)]
    assert len(found) >= len(whole[:cut].split(b"\n")) - 2


@given(TEXTS.filter(len), st.data())
def test_a_flipped_bit_costs_at_most_its_line(texts: list[str], data: st.DataObject) -> None:
    whole = bytearray(lines_bytes(texts, 0))
    whole[data.draw(st.integers(0, len(whole) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    found = parse_lines(bytes(whole))
    assert set(found) <= set(texts)
    assert len(found) >= len(texts) - 2  # a newline between two lines joins them


@given(st.binary(max_size=200))
def test_any_bytes_can_be_looked_at(data: bytes) -> None:
    parse_lines(data)


def test_an_append_that_was_torn_and_tried_again_counts_once(paths: ChunkPaths) -> None:
    append_lines(paths, ["1", "2"], 0)
    torn = lines_bytes(["3", "4"], 2)
    with paths.extra_log.open("ab") as file:
        file.write(torn[:-4])
    append_lines(paths, ["3", "4"], 2)
    append_lines(paths, ["5"], 4)
    assert parse_lines(paths.extra_log.read_bytes()) == ["1", "2", "3", "4", "5"]


def test_no_room_is_said(paths: ChunkPaths) -> None:
    def full(step: str, _path: Path) -> None:
        if step == "write":
            raise StoreFull(os.strerror(errno.ENOSPC))

    durable.set_hook(full)
    with pytest.raises(StoreFull):
        append_lines(paths, ["1"], 0)
    durable.set_hook(None)
    append_lines(paths, ["1"], 0)
    assert parse_lines(paths.extra_log.read_bytes()) == ["1"]


def test_mending_without_a_log_changes_nothing(paths: ChunkPaths) -> None:
    assert mend_extra(paths) == 0
    assert list(paths.folder.iterdir()) == []


def test_a_log_becomes_the_list_whenever_it_is_killed(paths: ChunkPaths) -> None:
    for step in range(20):
        append_lines(paths, ["1", '"two"'], 0)
        if not _killed_at(step, paths):
            assert step > 4
            break
        mend_extra(paths)
        assert json.loads(paths.extra.read_text()) == [1, "two"]
        assert not paths.extra_log.exists()
        paths.extra.unlink()
    assert mend_extra(paths) == 0


def _killed_at(step: int, paths: ChunkPaths) -> bool:
    left = step

    def hook(_step: str, _path: Path) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Killed

    durable.set_hook(hook)
    try:
        assert mend_extra(paths) == 2
    except Killed:
        return True
    finally:
        durable.set_hook(None)
    return False


def test_a_list_that_was_written_already_is_not_cut_back(paths: ChunkPaths) -> None:
    paths.extra.write_bytes(records_bytes(["1", "2", "3"]))
    append_lines(paths, ["1", "2"], 0)
    assert mend_extra(paths) == 0
    assert json.loads(paths.extra.read_text()) == [1, 2, 3]
    assert not paths.extra_log.exists()


@pytest.mark.parametrize("left", [b"", b"[1, 2", b"{}"])
def test_a_list_that_cannot_be_read_is_replaced(paths: ChunkPaths, left: bytes) -> None:
    paths.extra.write_bytes(left)
    append_lines(paths, ["1", "2"], 0)
    assert mend_extra(paths) == 2
    assert json.loads(paths.extra.read_text()) == [1, 2]


def test_a_log_of_which_nothing_is_whole_leaves_nothing(paths: ChunkPaths) -> None:
    paths.extra_log.write_bytes(lines_bytes(["1"], 0)[:5])
    assert mend_extra(paths) == 0
    assert list(paths.folder.iterdir()) == []
