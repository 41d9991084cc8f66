"""The real imgstore package opens every store that fieldrec writes, and fieldrec its stores."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fieldrec.core.model import FrameSpec
from fieldrec.store.api.new_store import recording_metadata
from fieldrec.store.layout import second_of
from fieldrec.store.reader import StoreReader
from fieldrec.store.recover import recover
from fieldrec.store.writer import StoreWriter

imgstore = pytest.importorskip("imgstore", reason="the imgstore package is the oracle")

MONO = FrameSpec((48, 64), "uint8", "MONO8", 25.0)
BGR = FrameSpec((48, 64, 3), "uint8", "BGR8", 30.0)
MONO16 = FrameSpec((31, 17), "uint16", "MONO16", 12.5)
START_NS = 1_700_000_000_123_456_789
USER: dict[str, Any] = {"genotype": "wt", "n": 3, "ratio": 0.5, "tags": ["a", "b"], "ünï": None,
                        "born": datetime.date(2023, 5, 1), "nested": {"deep": {"er": True}}}


def pixels(spec: FrameSpec, number: int) -> np.ndarray[Any, np.dtype[Any]]:
    top = np.iinfo(spec.dtype).max
    return np.random.default_rng(number).integers(0, top, spec.shape, spec.dtype, endpoint=True)


def time_ns(number: int) -> int:
    return START_NS + number * 40_000_123


def write(path: Path, spec: FrameSpec, numbers: Sequence[int], *, chunksize: int = 4,
          close: bool = True) -> StoreWriter:
    store = StoreWriter(path, spec, chunksize=chunksize, timezone="Europe/Vienna",
                        created_epoch_ns=START_NS,
                        user_metadata=recording_metadata(USER, spec, "Europe/Vienna"))
    for number in numbers:
        store.append(pixels(spec, number), number, time_ns(number), None)
        if number % 3 == 0:
            store.add_extra_data(temperature=number / 2, ok=np.bool_(True),
                                 at=datetime.datetime(2023, 1, 1))
    if close:
        store.close({"dropped": 1, "lost": 0})
    else:
        store.abandon()
    return store


def assert_imgstore_reads(path: Path, spec: FrameSpec, numbers: Sequence[int]) -> None:
    """Sequentially, by number, by index and as metadata: all equal to what went in."""
    oracle = imgstore.new_for_filename(str(path))
    try:
        assert oracle.frame_count == len(numbers)
        assert oracle.uuid == StoreReader(path).uuid
        for number in numbers:
            image, (told, at) = oracle.get_next_image()
            assert told == number
            assert at == second_of(time_ns(number))
            assert image.dtype == np.dtype(spec.dtype)
            assert np.array_equal(image, pixels(spec, number))
        with pytest.raises(EOFError):
            oracle.get_next_image()
        for index, number in enumerate(numbers):
            image, (told, _) = oracle.get_image(None, frame_index=index)
            assert told == number
            assert np.array_equal(oracle.get_image(number)[0], image)
        assert oracle.get_frame_metadata() == {
            "frame_number": list(numbers), "frame_time": [second_of(time_ns(n)) for n in numbers]}
        assert {key: oracle.user_metadata[key] for key in USER} == USER
        assert oracle.user_metadata["acquisitionframerate"] == spec.nominal_hz
        created, zone = oracle.created
        assert created.isoformat() == "2023-11-14T22:13:20.123456+00:00"
        assert str(zone) == "Europe/Vienna"
    finally:
        oracle.close()


CASES = {
    "several chunks": [0, 1, 2, 3, 4, 5, 6, 7, 8],
    "exactly full last chunk": [0, 1, 2, 3, 4, 5, 6, 7],
    "one frame": [5],
    "empty": [],
    "gaps": [0, 1, 7, 8, 9, 100, 2**31],
}


@pytest.mark.parametrize("numbers", CASES.values(), ids=CASES.keys())
@pytest.mark.parametrize("spec", [MONO, BGR, MONO16], ids=lambda spec: spec.pixel_format)
def test_imgstore_reads_what_fieldrec_writes(tmp_path: Path, spec: FrameSpec,
                                             numbers: list[int]) -> None:
    write(tmp_path / "s", spec, numbers)
    assert_imgstore_reads(tmp_path / "s", spec, numbers)


@pytest.mark.parametrize("chunksize", [1, 2, 9, 10, 1000])
def test_imgstore_reads_any_chunksize(tmp_path: Path, chunksize: int) -> None:
    numbers = list(range(10))
    write(tmp_path / "s", MONO, numbers, chunksize=chunksize)
    assert_imgstore_reads(tmp_path / "s", MONO, numbers)


def test_imgstore_reads_a_recovered_store(tmp_path: Path) -> None:
    numbers = list(range(11))
    write(tmp_path / "s", BGR, numbers, close=False)
    with (tmp_path / "s" / "000002" / "000002.npy").open("r+b") as last:
        last.truncate(500)
    recover(tmp_path / "s")
    assert_imgstore_reads(tmp_path / "s", BGR, numbers[:-1])


@pytest.mark.filterwarnings("ignore:The 'warn' method is deprecated")  # imgstore's own
def test_imgstore_reads_a_store_that_is_being_written(tmp_path: Path) -> None:
    store = write(tmp_path / "s", MONO, range(6), close=False)
    assert store.frame_count == 6
    assert_imgstore_reads(tmp_path / "s", MONO, range(4))


@pytest.mark.parametrize("numbers", [CASES["several chunks"], CASES["exactly full last chunk"],
                                     list(range(0, 12, 3))], ids=["several", "full", "every frame"])
def test_imgstore_reads_the_extra_data(tmp_path: Path, numbers: list[int]) -> None:
    write(tmp_path / "s", MONO, numbers)
    oracle = imgstore.new_for_filename(str(tmp_path / "s"))
    table = oracle.get_extra_data()
    oracle.close()
    with_extra = [number for number in numbers if number % 3 == 0]
    assert table["temperature"].tolist() == [number / 2 for number in with_extra]
    assert table["ok"].tolist() == [True] * len(with_extra)
    assert table["at"].tolist() == ["2023-01-01T00:00:00"] * len(with_extra)
    assert table["frame_number"].tolist() == with_extra
    assert table["frame_time"].tolist() == [second_of(time_ns(number)) for number in with_extra]
    assert table["frame_index"].tolist() == [numbers.index(number) for number in with_extra]


@pytest.mark.parametrize("spec", [MONO, BGR, MONO16], ids=lambda spec: spec.pixel_format)
@pytest.mark.parametrize("count", [0, 1, 4, 9])
def test_fieldrec_reads_what_imgstore_writes(tmp_path: Path, spec: FrameSpec, count: int) -> None:
    oracle = imgstore.new_for_format(
        "npy", basedir=str(tmp_path / "s"), mode="w", imgshape=spec.shape, imgdtype=spec.dtype,
        chunksize=4, metadata={"genotype": "wt"})
    for number in range(count):
        oracle.add_image(pixels(spec, number), number * 2, time_ns(number) / 1e9)
    oracle.close()
    with StoreReader(tmp_path / "s") as reader:
        assert reader.frame_count == count
        assert reader.problems == ()
        assert reader.digests is None or count == 0
        assert reader.numbers.tolist() == [number * 2 for number in range(count)]
        assert reader.user_metadata == {"genotype": "wt"}
        assert (reader.spec.shape, reader.spec.dtype, reader.spec.pixel_format) == (
            spec.shape, spec.dtype, spec.pixel_format)
        for stored in reader:
            assert abs(stored.time_ns - time_ns(stored.index)) < 300
            assert np.array_equal(stored.pixels, pixels(spec, stored.index))
