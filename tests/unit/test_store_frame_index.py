"""FrameIndex: every answer is imgstore's own, from memory and from a file, and never from a torn
one."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from imgstore.index import ImgStoreIndex

from fieldrec.core.errors import NotFoundError, StoreDamaged
from fieldrec.store.indexing import compact_index
from fieldrec.store.indexing.columns import IndexFile, MemoryColumn, TornBlock
from fieldrec.store.indexing.compact_index import open_index
from fieldrec.store.indexing.frame_index import FrameIndex, IndexRows
from tests.fakes.crafted_indexes import craft, frames, run

NUMBERS = st.integers(-6, 30) | st.sampled_from([2 ** 40, -2 ** 40, 2 ** 62])
TIMES = st.sampled_from([0.0, 1.7e9, 1.7e9 + 0.04, 1.7e9 + 0.08, 1e-3]) | st.floats(
    -1e12, 1e12, allow_subnormal=False)
CHUNKS = st.lists(st.lists(st.tuples(NUMBERS, TIMES), min_size=1, max_size=8),
                  min_size=1, max_size=5)


def both(root: Path, chunks: list[dict[str, Any]]) -> tuple[FrameIndex, ImgStoreIndex]:
    metadata = craft(root, chunks)
    paths = [(number, str(root / f"{number:06d}" / "index")) for number in range(len(chunks))]
    return open_index(root, metadata), ImgStoreIndex.new_from_chunks(paths)


@pytest.fixture(params=["memory", "file"])
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Where the index of even the smallest store lies."""
    if request.param == "file":
        monkeypatch.setattr(compact_index, "PAYS_CHUNKS", 0)
    yield request.param


def located(index: FrameIndex, at: int | None) -> tuple[int, int]:
    if at is None:
        return -1, -1
    paths, position = index.locate(at)
    return paths.number, position


@pytest.mark.usefixtures("place")
def test_all_answers_are_those_of_imgstore() -> None:
    @settings(max_examples=60, deadline=None)
    @given(CHUNKS, st.lists(NUMBERS | st.floats(-1e3, 1e3), max_size=6),
           st.lists(TIMES | st.sampled_from([1e300, -1e300, 2.0 ** 60]), max_size=6))
    def compare(chunks: list[list[tuple[int, float]]], numbers: list[float],
                times: list[float]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            ours, theirs = both(Path(folder) / "s", [
                frames([number for number, _ in chunk], [time for _, time in chunk])
                for chunk in chunks])
            everything = theirs.get_all_metadata()
            assert ours.count == theirs.frame_count
            assert ours.numbers.tolist() == everything["frame_number"]
            assert ours.times_s.tolist() == everything["frame_time"]
            assert (ours.number_min, ours.number_max) == (theirs.frame_min, theirs.frame_max)
            assert (ours.time_s_min, ours.time_s_max) == (theirs.frame_time_min,
                                                          theirs.frame_time_max)
            assert ours.chunk_numbers.tolist() == list(theirs.chunks)
            for index in range(ours.count):
                assert located(ours, index) == theirs.find_chunk("index", index)
                assert ours.number_at(index) == everything["frame_number"][index]
            for number in (*numbers, *everything["frame_number"]):
                assert located(ours, ours.find_number(number)) == theirs.find_chunk(
                    "frame_number", number)
                assert located(ours, ours.nearest_number(number)) == theirs.find_chunk_nearest(
                    "frame_number", number)
            for time in (*times, *everything["frame_time"]):
                assert located(ours, ours.nearest_time(time)) == theirs.find_chunk_nearest(
                    "frame_time", time)
    compare()


@pytest.mark.parametrize("order", ["ascending", "two runs", "shuffled", "all equal"])
def test_many_blocks(tmp_path: Path, order: str) -> None:
    random = np.random.default_rng(3)
    numbers = np.arange(0, 30_000, 3)
    if order == "two runs":
        numbers = np.concatenate([numbers[5000:], numbers[:5000]])
    elif order == "shuffled":
        random.shuffle(numbers)
    elif order == "all equal":
        numbers[:] = 7
    times = numbers / 25.0
    index, theirs = both(tmp_path / "s", [frames(numbers[at:at + 500], times[at:at + 500])
                                          for at in range(0, len(numbers), 500)])
    assert (tmp_path / "s" / ".frames.index").exists()
    for sought in random.integers(-10, 30_010, 40).tolist():
        assert located(index, index.find_number(sought)) == theirs.find_chunk("frame_number",
                                                                              sought)
        assert located(index, index.nearest_number(sought)) == theirs.find_chunk_nearest(
            "frame_number", sought)
        assert located(index, index.nearest_time(sought / 25)) == theirs.find_chunk_nearest(
            "frame_time", sought / 25)


@pytest.mark.usefixtures("place")
def test_fractional_numbers_are_kept(tmp_path: Path) -> None:
    index, theirs = both(tmp_path / "s", [run(0, 3), frames([3.5, 4.0], [5.0, 6.0]), run(7, 2)])
    assert index.numbers.dtype == np.float64
    assert index.numbers.tolist() == theirs.get_all_metadata()["frame_number"]
    assert index.find_number(3.5) == 3
    assert (index.number_min, index.number_max) == (0, 8)
    assert index.find_number(7) == 5


@pytest.mark.parametrize("kind", [int, float, np.int64, np.uint8, np.float32, np.bool_])
def test_any_kind_of_number_is_found(tmp_path: Path, kind: type[Any]) -> None:
    index = open_index(tmp_path / "s", craft(tmp_path / "s", [run(0, 5)]))
    assert index.find_number(kind(1)) == index.nearest_number(kind(1)) == 1


def test_numbers_beyond_all_frames(tmp_path: Path) -> None:
    index = open_index(tmp_path / "s", craft(tmp_path / "s", [run(0, 5)]))
    for far, nearest in ((2 ** 70, 4), (-2 ** 70, 0), (math.inf, 0), (math.nan, 0)):
        assert index.find_number(far) is None
        assert index.nearest_number(far) == nearest
    assert index.find_number(1.5) is None
    assert index.nearest_time(math.nan) == index.nearest_time(math.inf) == 0


@pytest.mark.usefixtures("place")
def test_a_store_without_frames(tmp_path: Path) -> None:
    index = open_index(tmp_path / "s", craft(tmp_path / "s", [frames([], [])]))
    assert (index.count, len(index.numbers), index.chunks, index.starts.tolist()) == (0, 0, (), [0])
    assert math.isnan(index.number_min)
    assert index.time_s_max == 0.0
    assert index.find_number(3) is None
    with pytest.raises(NotFoundError, match="has no frames"):
        index.nearest_number(3)
    with pytest.raises(IndexError):
        index.locate(0)


@pytest.mark.usefixtures("place")
def test_frames_are_located(tmp_path: Path) -> None:
    index = open_index(tmp_path / "s", craft(tmp_path / "s", [run(0, 3), frames([], []),
                                                             run(3, 2)]))
    assert [located(index, at) for at in range(5)] == [(0, 0), (0, 1), (0, 2), (2, 0), (2, 1)]
    assert [paths.number for paths in index.chunks] == [0, 2]
    assert index.starts.tolist() == [0, 3, 5]
    assert located(index, np.int64(4)) == (2, 1)  # type: ignore[arg-type]
    for outside in (-1, 5):
        for asked in (index.locate, index.number_at, index.time_s_at, index.time_ns_at):
            with pytest.raises(IndexError, match="it has 5"):
                asked(outside)


@pytest.mark.usefixtures("place")
def test_device_times_and_digests(tmp_path: Path) -> None:
    ours = {**run(0, 3), "device_time_ns": np.array([5, -1, 7]),
            "frame_time_ns": np.array([1, 2, 3]), "frame_digest": np.array([1, 2, 3], np.uint64)}
    index = open_index(tmp_path / "s", craft(tmp_path / "s", [ours, ours]))
    assert index.device_times_ns.tolist() == [5, -1, 7] * 2
    assert index.times_ns.tolist() == [1, 2, 3] * 2
    assert index.digests is not None
    assert index.digests.tolist() == [1, 2, 3] * 2
    mixed = open_index(tmp_path / "m", craft(tmp_path / "m", [ours, run(3, 2)]))
    assert mixed.digests is None
    assert mixed.device_times_ns.tolist() == [5, -1, 7, -1, -1]
    plain = open_index(tmp_path / "p", craft(tmp_path / "p", [run(0, 2)]))
    assert plain.device_times_ns.tolist() == [-1, -1]
    assert plain.times_ns.tolist() == [1_700_000_000_000_000_000, 1_700_000_000_039_999_962]


@pytest.mark.usefixtures("place")
def test_arrays_are_read_only(tmp_path: Path) -> None:
    index = open_index(tmp_path / "s", craft(tmp_path / "s", [run(0, 3)]))
    for array in (index.numbers, index.times_s, index.times_ns, index.device_times_ns):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


# --- torn ---------------------------------------------------------------------------------------

class Torn(MemoryColumn):
    """A column whose file has gone bad."""

    def at(self, row: int) -> int:
        raise TornBlock("index: block 0 is not what was written")


def rows(column: type[MemoryColumn], count: int = 3) -> IndexRows:
    values = np.arange(count)
    return IndexRows(np.array([0]), np.array([0, count]), {
        "number": column(values), "time_s": column(values / 2), "time_ns": column(values)})


def test_a_torn_index_is_made_again(tmp_path: Path) -> None:
    made: list[int] = []

    def again() -> IndexRows:
        made.append(1)
        return rows(MemoryColumn)

    index = FrameIndex(tmp_path, "", rows(Torn), (), again)
    assert (index.number_at(2), index.find_number(1), made) == (2, 1, [1])


def test_other_frames_than_before_are_no_answer(tmp_path: Path) -> None:
    index = FrameIndex(tmp_path, "", rows(Torn), (), lambda: rows(MemoryColumn, 2))
    with pytest.raises(StoreDamaged, match="changed while it was read; open it again"):
        index.number_at(1)
    lonely = FrameIndex(tmp_path, "", rows(Torn))
    with pytest.raises(StoreDamaged, match="not what was written"):
        lonely.number_at(1)


def test_a_disk_that_cannot_be_read_is_a_torn_block() -> None:
    with tempfile.TemporaryFile() as file, Path("/proc/self/mem").open("rb") as bad:
        file.write(b"x")
        file.flush()
        assert IndexFile(os.dup(file.fileno())).read(0, 9) == b"x"
        with pytest.raises(TornBlock):
            IndexFile(os.dup(bad.fileno())).read(0, 9)
