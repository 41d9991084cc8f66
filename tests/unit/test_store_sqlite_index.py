"""imgstore's SQLite index: ours is opened by the real ImgStoreIndex, and answers as it does."""

from __future__ import annotations

import math
import sqlite3
from pathlib import Path
from typing import Any

import imgstore
import numpy as np
import pytest
from imgstore.index import ImgStoreIndex as Oracle

from fieldrec.core import durable
from fieldrec.core.errors import StoreDamaged, StoreError
from fieldrec.store.api import sqlite_index
from fieldrec.store.api.sqlite_index import Frames
from fieldrec.store.index import ImgStoreIndex

NUMBERS = [6050, 6055, 6055, -3, 0, 1, 2]
TIMES = [10.5, 11.0, 10.75, 12.0, 12.0, 13.25, 9.0]


def frames(numbers: list[Any] = NUMBERS) -> Frames:
    """Chunks 0 and 2 of three frames and 5 of one."""
    return Frames(np.array(numbers), np.array(TIMES), (0, 2, 5), np.array([0, 3, 6, 7]))


def same(ours: ImgStoreIndex, oracle: Any) -> None:
    assert ours.frame_count == oracle.frame_count
    assert ours.chunks == oracle.chunks
    assert ours.get_all_metadata() == oracle.get_all_metadata()
    for chunk in range(7):
        assert ours.get_chunk_metadata(chunk) == oracle.get_chunk_metadata(chunk)
    for name in ("frame_min", "frame_max", "frame_time_min", "frame_time_max"):
        assert getattr(ours, name) == getattr(oracle, name)
    for value in [*NUMBERS, 7, 6054, -100]:
        assert ours.find_chunk("frame_number", value) == oracle.find_chunk("frame_number", value)
        assert ours.find_chunk_nearest("frame_number", value) == oracle.find_chunk_nearest(
            "frame_number", value)
    for time_s in [*TIMES, 8, 12.5, 99.0]:
        assert ours.find_chunk("frame_time", time_s) == oracle.find_chunk("frame_time", time_s)
        assert ours.find_chunk_nearest("frame_time", time_s) == oracle.find_chunk_nearest(
            "frame_time", time_s)
    for index in range(8):
        assert ours.find_chunk("index", index) == oracle.find_chunk("index", index)


def oracle_of(path: Path) -> Any:
    return Oracle.new_from_file(str(path))


@pytest.mark.parametrize("numbers", [NUMBERS, [1, 2.5, 3, 4, 5, 6, 7]], ids=["whole", "fractions"])
def test_the_real_one_opens_it(tmp_path: Path, numbers: list[Any]) -> None:
    path = tmp_path / "odd ?name%20.sqlite"
    for _ in range(2):  # imgstore's own cannot be saved twice
        ImgStoreIndex(frames(numbers)).to_file(path)
    oracle = oracle_of(path)
    same(ImgStoreIndex(frames(numbers)), oracle)
    same(ImgStoreIndex.new_from_file(path), oracle)
    oracle._conn.close()
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_the_real_ones_file_opens(tmp_path: Path) -> None:
    store = imgstore.new_for_format("npy", str(tmp_path / "s"), imgshape=(4, 4), chunksize=3)
    for number, time_s in zip(NUMBERS, TIMES, strict=True):
        store.add_image(np.zeros((4, 4), np.uint8), number, time_s)
    store.close(save_index=True)
    path = tmp_path / "s" / ".index.sqlite"
    oracle = oracle_of(path)
    same(ImgStoreIndex.new_from_file(path), oracle)
    chunks = [(chunk, str(tmp_path / "s" / f"{chunk:06d}" / "index")) for chunk in (2, 0, 1, 7)]
    same(ImgStoreIndex.new_from_chunks(chunks), oracle)
    oracle._conn.close()


def test_no_frames(tmp_path: Path) -> None:
    nothing = Frames(np.zeros(0, np.int64), np.zeros(0), (), np.zeros(1, np.int64))
    ImgStoreIndex(nothing).to_file(tmp_path / "i")
    oracle = oracle_of(tmp_path / "i")
    ours = ImgStoreIndex.new_from_file(tmp_path / "i")
    assert (ours.frame_count, ours.chunks, ours.frame_time_max) == (
        oracle.frame_count, oracle.chunks, oracle.frame_time_max)
    assert math.isnan(ours.frame_min)
    assert math.isnan(oracle.frame_min)
    oracle._conn.close()
    with pytest.raises(TypeError, match="no frame"):
        ours.find_chunk_nearest("frame_number", 3)
    with pytest.raises(ValueError, match="neither"):
        ours.find_chunk("frame_idx", 3)


def test_nan_is_none_as_in_imgstore(tmp_path: Path) -> None:
    ImgStoreIndex(frames([1, 2, math.nan, 4, 5, 6, 7])).to_file(tmp_path / "i")
    ours = ImgStoreIndex.new_from_file(tmp_path / "i")
    assert ours.get_all_metadata()["frame_number"] == [1, 2, None, 4, 5, 6, 7]


@pytest.mark.parametrize("content", [b"", b"SQLite format 3\0", b"garbage" * 100])
def test_what_is_not_an_index_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "i").write_bytes(content)
    with pytest.raises(StoreDamaged, match="not an index"):
        ImgStoreIndex.new_from_file(tmp_path / "i")


def test_another_version_is_refused(tmp_path: Path) -> None:
    ImgStoreIndex(frames()).to_file(tmp_path / "i")
    database = sqlite3.connect(tmp_path / "i")
    database.execute("UPDATE index_information SET value = '2'")
    database.commit()
    database.close()
    with pytest.raises(StoreDamaged, match="version"):
        ImgStoreIndex.new_from_file(tmp_path / "i")


def test_a_failure_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "i"
    ImgStoreIndex(frames()).to_file(path)
    before = path.read_bytes()

    def fail(step: str, _path: Path) -> None:
        if step == "rename":
            raise OSError(5, "Input/output error")

    durable.set_hook(fail)
    with pytest.raises(StoreError, match="Input/output error") as raised:
        ImgStoreIndex(frames([1] * 7)).to_file(path)
    durable.set_hook(None)
    assert isinstance(raised.value, OSError)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["i"]


def test_it_is_synced_before_it_has_its_name(tmp_path: Path) -> None:
    steps: list[str] = []
    durable.set_hook(lambda step, _path: steps.append(step))
    sqlite_index.write_index(tmp_path / "i", frames(), ["a", "b", "c"])
    durable.set_hook(None)
    assert steps.index("fsync") < steps.index("rename") < len(steps) - 1 - steps[::-1].index(
        "fsync_directory")
