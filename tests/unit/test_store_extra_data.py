"""Extra data: every value becomes strict JSON, and the file is complete at any moment."""

from __future__ import annotations

import datetime
import enum
import errno
import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldrec.core import durable
from fieldrec.core.errors import StoreError
from fieldrec.store.chunk_paths import ChunkPaths, chunk_paths
from fieldrec.store.extra_data import ExtraData, jsonable
from fieldrec.store.extra_log import finished_records, parse_lines


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


class Contrary:
    def __str__(self) -> str:
        raise RuntimeError("no text")


def test_what_cannot_be_kept_is_dropped_with_a_word(caplog: pytest.LogCaptureFixture) -> None:
    extra = ExtraData()
    endless: list[Any] = []
    endless.append(endless)
    extra.add({"a": Contrary()})
    extra.add({"b": endless})
    extra.add({"c": 1})
    assert extra.pending == 1
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 2


@pytest.fixture
def paths(tmp_path: Path) -> ChunkPaths:
    (tmp_path / "000000").mkdir()
    return chunk_paths(tmp_path, 0)


def read(paths: ChunkPaths) -> Any:
    return json.loads(paths.extra.read_text())


def test_nothing_added_is_nothing_on_disk(paths: ChunkPaths) -> None:
    extra = ExtraData()
    extra.journal(paths)
    extra.finish(paths)
    assert list(paths.folder.iterdir()) == []


def test_a_journal_becomes_one_list(paths: ChunkPaths) -> None:
    extra = ExtraData()
    for count in range(3):
        extra.add({"n": count})
        assert extra.unwritten == 1
        extra.journal(paths)
        assert extra.unwritten == 0
        assert [json.loads(text)["n"] for text in parse_lines(paths.extra_log.read_bytes())
                ] == list(range(count + 1))
    extra.add({"n": 3})
    extra.finish(paths)
    assert [record["n"] for record in read(paths)] == [0, 1, 2, 3]
    assert [path.name for path in paths.folder.iterdir()] == ["index.extra.json"]
    assert (extra.pending, extra.unwritten) == (0, 0)


def test_what_comes_after_the_end_goes_to_the_next_chunk(paths: ChunkPaths) -> None:
    extra = ExtraData()
    extra.add({"n": 1})
    extra.finish(paths)
    extra.add({"n": 2})
    following = chunk_paths(paths.folder.parent, 1)
    following.folder.mkdir()
    extra.journal(following)
    extra.finish(following)
    assert [read(paths), read(following)] == [[{"n": 1}], [{"n": 2}]]


def test_what_a_file_has_already_is_kept(paths: ChunkPaths) -> None:
    extra = ExtraData()
    extra.add({"n": 1})
    extra.finish(paths)
    extra.add({"n": 2})
    durable.set_hook(failing("unlink", errno.EIO))
    extra.journal(paths)
    with pytest.raises((StoreError, OSError)):
        extra.finish(paths, finished_records(paths))
    durable.set_hook(None)
    assert read(paths) == [{"n": 1}, {"n": 2}]
    extra.finish(paths, finished_records(paths))
    assert read(paths) == [{"n": 1}, {"n": 2}]


def failing(step: str, number: int) -> durable.Hook:
    def fail(at: str, _path: Path) -> None:
        if at == step:
            raise OSError(number, os.strerror(number))
    return fail


@pytest.mark.parametrize("step", ["create", "write", "fsync", "rename", "unlink"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_an_end_that_failed_is_tried_again(paths: ChunkPaths, step: str, number: int) -> None:
    extra = ExtraData()
    extra.add({"n": 1})
    extra.journal(paths)
    extra.add({"n": 2})

    durable.set_hook(failing(step, number))
    with pytest.raises((StoreError, OSError)):
        extra.finish(paths)
    durable.set_hook(None)
    assert parse_lines(paths.extra_log.read_bytes())
    extra.finish(paths)
    assert read(paths) == [{"n": 1}, {"n": 2}]
    assert not paths.extra_log.exists()


def test_a_journal_that_could_not_be_written_goes_too(paths: ChunkPaths) -> None:
    extra = ExtraData()
    extra.add({"n": 1})
    durable.set_hook(failing("write", errno.EIO))
    with pytest.raises(OSError, match="Input/output"):
        extra.journal(paths)
    durable.set_hook(None)
    assert paths.extra_log.exists()
    extra.finish(paths)
    assert [path.name for path in paths.folder.iterdir()] == ["index.extra.json"]


def test_records_of_a_journal_that_was_removed_are_written_again(paths: ChunkPaths) -> None:
    extra = ExtraData()
    extra.add({"n": 1})
    extra.journal(paths)
    paths.extra_log.unlink()
    extra.give_up_journal()
    extra.journal(paths)
    assert parse_lines(paths.extra_log.read_bytes()) == ['{"n": 1}']
