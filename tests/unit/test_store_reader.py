"""StoreReader: lazy, tolerant of one bad chunk, never taking a cut frame for the end."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fieldrec.core.errors import NotFoundError, StoreDamaged, StoreError
from fieldrec.core.model import FrameSpec
from fieldrec.store.reader import StoreReader, chunk_directories
from fieldrec.store.writer import StoreWriter

SPEC = FrameSpec((6, 8), "uint8", "BAYER_RG8", 25.0)


def pixels(number: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(number).integers(0, 255, SPEC.shape, np.uint8)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Ten frames numbered 100 … 109 in chunks of four."""
    path = tmp_path / "s"
    writer = StoreWriter(path, SPEC, chunksize=4, user_metadata={"genotype": "wt"},
                         timezone="Europe/Vienna", created_epoch_ns=1_700_000_000_000_000_000)
    for number in range(10):
        writer.append(pixels(number), 100 + number, number * 1_000_000_007, 5 * number or None)
    writer.close()
    return path


def edit(path: Path, old: str, new: str) -> None:
    text = (path / "metadata.yaml").read_text()
    assert old in text
    (path / "metadata.yaml").write_text(text.replace(old, new))


def test_what_was_written_comes_back(store: Path) -> None:
    with StoreReader(store) as reader:
        assert reader.spec == SPEC
        assert (len(reader), reader.frame_count, reader.chunksize) == (10, 10, 4)
        assert reader.created_utc == "2023-11-14T22:13:20.000000"
        assert reader.timezone == "Europe/Vienna"
        assert len(reader.uuid) == 32
        assert reader.user_metadata["genotype"] == "wt"
        assert reader.numbers.tolist() == list(range(100, 110))
        assert reader.times_ns.tolist() == [number * 1_000_000_007 for number in range(10)]
        assert reader.device_times_ns.tolist() == [-1, *range(5, 50, 5)]
        assert reader.digests is not None
        assert [stored.index for stored in reader] == list(range(10))


def test_reading_into_an_array(store: Path) -> None:
    reader = StoreReader(store)
    out = np.zeros(SPEC.shape, np.uint8)
    for index in (9, 0, 4, 3):
        assert reader.read(index, out) is out
        assert np.array_equal(out, pixels(index))


@pytest.mark.parametrize("out", [np.zeros((8, 6), np.uint8), np.zeros((6, 8), np.uint16),
                                 np.zeros((8, 6), np.uint8).T])
def test_an_array_that_does_not_fit_is_refused(store: Path, out: Any) -> None:
    with pytest.raises(ValueError, match="contiguous uint8"):
        StoreReader(store).read(0, out)


@pytest.mark.parametrize("index", [-1, 10])
def test_an_index_outside(store: Path, index: int) -> None:
    with pytest.raises(IndexError, match="it has 10"):
        StoreReader(store).frame_path(index)


def test_frame_paths_follow_the_chunks(store: Path) -> None:
    reader = StoreReader(store)
    assert reader.frame_path(3) == store / "000000" / "000003.npy"
    assert reader.frame_path(4) == store / "000001" / "000000.npy"


def test_opening_reads_no_index(store: Path) -> None:
    (store / "000000" / "index.npz").write_bytes(b"")
    assert StoreReader(store).uuid


@pytest.mark.parametrize("damage", [b"", b"rubbish", None])
def test_a_bad_index_costs_only_its_chunk_and_is_named(store: Path, damage: bytes | None) -> None:
    index = store / "000001" / "index.npz"
    if damage is None:
        index.unlink()
    else:
        index.write_bytes(damage)
    reader = StoreReader(store)
    assert reader.numbers.tolist() == [100, 101, 102, 103, 108, 109]
    assert np.array_equal(reader.read(4), pixels(8))
    assert len(reader.problems) == 1
    assert "000001" in reader.problems[0]


@pytest.mark.parametrize("size", [0, 60, 130])
def test_a_cut_frame_is_damage_not_the_end(store: Path, size: int) -> None:
    os.truncate(store / "000001" / "000000.npy", size)
    reader = StoreReader(store)
    with pytest.raises(StoreDamaged, match=r"000001/000000\.npy: cut short"):
        reader.read(4)
    assert np.array_equal(reader.read(5), pixels(5))


def test_a_missing_frame_is_damage(store: Path) -> None:
    (store / "000000" / "000001.npy").unlink()
    with pytest.raises(StoreDamaged, match="the index lists this frame"):
        StoreReader(store).read(1)


def test_frames_with_other_headers_are_read(store: Path) -> None:
    np.save(store / "000000" / "000000.npy", np.asfortranarray(pixels(77)))
    with (store / "000000" / "000001.npy").open("wb") as file:
        np.lib.format.write_array(file, pixels(78), version=(2, 0))
        file.write(b"padding")
    reader = StoreReader(store)
    assert np.array_equal(reader.read(0), pixels(77))
    assert np.array_equal(reader.read(1), pixels(78))


@pytest.mark.parametrize("frame", [np.zeros((6, 9), np.uint8), np.zeros((6, 8), np.uint16)])
def test_a_frame_of_another_kind_is_damage(store: Path, frame: Any) -> None:
    np.save(store / "000000" / "000000.npy", frame)
    with pytest.raises(StoreDamaged, match="the frame is"):
        StoreReader(store).read(0)


def test_a_pickle_is_never_loaded(store: Path) -> None:
    np.save(store / "000000" / "000000.npy", np.array([{"a": 1}] * 60, object), allow_pickle=True)
    with pytest.raises(StoreDamaged, match="not a whole"):
        StoreReader(store).read(0)


def test_directories_that_are_no_chunks_are_passed_over(store: Path) -> None:
    for name in ("tmp", ".hidden", "000002.part", "٣"):
        (store / name).mkdir()
    assert [chunk.name for chunk in chunk_directories(store)] == ["000000", "000001", "000002"]
    assert StoreReader(store).frame_count == 10


def test_odd_but_legal_metadata(store: Path) -> None:
    edit(store, "'2023-11-14T22:13:20.000000'", "2023-11-14T22:13:20")
    edit(store, "  uuid:", "  was_uuid:")
    reader = StoreReader(store)
    assert (reader.created_utc, reader.uuid) == ("2023-11-14T22:13:20", "")


def test_without_a_nominal_rate_it_is_measured(store: Path) -> None:
    edit(store, "nominal_hz", "was_nominal")
    edit(store, "acquisitionframerate:", "was_rate:")
    assert StoreReader(store).spec.nominal_hz == pytest.approx(1.0)


@pytest.mark.parametrize(("old", "new"), [("format: npy", "format: png"),
                                          ("DirectoryImgStore", "VideoImgStore")])
def test_other_formats_are_refused_with_what_to_do(store: Path, old: str, new: str) -> None:
    edit(store, old, new)
    with pytest.raises(StoreError, match="open it with the imgstore package"):
        StoreReader(store)


def test_no_store_and_damaged_metadata(store: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no store there"):
        StoreReader(tmp_path)
    (store / "metadata.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(StoreDamaged, match="frames beside it are intact"):
        StoreReader(store)
