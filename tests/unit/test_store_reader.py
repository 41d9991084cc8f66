"""StoreReader: lazy, tolerant of one bad chunk, never taking a cut frame for the end."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import imgstore
import numpy as np
import pytest

from fieldrec.core.errors import NotFoundError, StoreDamaged, StoreError
from fieldrec.core.model import FrameSpec
from fieldrec.store.api.new_store import recording_metadata
from fieldrec.store.reader import StoreReader
from fieldrec.store.writer import StoreWriter

SPEC = FrameSpec((6, 8), "uint8", "BAYER_RG8", 25.0)


def pixels(number: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(number).integers(0, 255, SPEC.shape, np.uint8)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Ten frames numbered 100 … 109 in chunks of four."""
    path = tmp_path / "s"
    user = recording_metadata({"genotype": "wt"}, SPEC, "Europe/Vienna")
    writer = StoreWriter(path, SPEC, chunksize=4, user_metadata=user, timezone="Europe/Vienna",
                         created_epoch_ns=1_700_000_000_000_000_000)
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
                                 np.zeros((8, 6), np.uint8).T, np.zeros((6, 16), np.uint8)[:, ::2]])
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
    with pytest.raises(StoreDamaged, match=r"000001/000000\.npy: .*cut short|no \.npy header"):
        reader.read(4)
    assert np.array_equal(reader.read(5), pixels(5))


def test_a_missing_frame_is_damage(store: Path) -> None:
    (store / "000000" / "000001.npy").unlink()
    with pytest.raises(StoreDamaged, match="the index lists this frame"):
        StoreReader(store).read(1)


@pytest.mark.parametrize("out", [None, np.zeros(SPEC.shape, np.uint8)])
def test_a_flipped_bit_is_an_error_and_the_next_frame_reads(store: Path, out: Any) -> None:
    file = store / "000000" / "000001.npy"
    data = bytearray(file.read_bytes())
    data[-5] ^= 4
    file.write_bytes(data)
    reader = StoreReader(store)
    with pytest.raises(StoreDamaged, match=r"000001\.npy: not what was recorded"):
        reader.read(1, out)
    assert np.array_equal(reader.read(2, out), pixels(2))
    assert StoreReader(store, verify=False).read(1).shape == SPEC.shape


def test_frames_with_other_headers_are_read(store: Path) -> None:
    np.save(store / "000000" / "000000.npy", np.asfortranarray(pixels(77)))
    with (store / "000000" / "000001.npy").open("wb") as file:
        np.lib.format.write_array(file, pixels(78), version=(2, 0))
        file.write(b"padding")
    reader = StoreReader(store, verify=False)
    assert np.array_equal(reader.read(0), pixels(77))
    assert np.array_equal(reader.read(1), pixels(78))


@pytest.mark.parametrize("frame", [np.zeros((6, 9), np.uint8), np.zeros((6, 8), np.uint16)])
def test_a_frame_of_another_kind_is_told_by_its_array(store: Path, frame: Any) -> None:
    np.save(store / "000000" / "000000.npy", frame)
    found = StoreReader(store, verify=False).read(0)
    assert (found.shape, found.dtype) == (frame.shape, frame.dtype)
    with pytest.raises(StoreDamaged, match=r"the frame is .* the store uint8"):
        StoreReader(store, verify=False).read(0, np.zeros(SPEC.shape, np.uint8))


def test_a_pickle_is_never_loaded(store: Path) -> None:
    np.save(store / "000000" / "000000.npy", np.array([{"a": 1}] * 60, object), allow_pickle=True)
    with pytest.raises(StoreDamaged, match="not a whole"):
        StoreReader(store).read(0)


def test_directories_that_are_no_chunks_are_passed_over(store: Path) -> None:
    for name in ("tmp", ".hidden", "000002.part", "٣"):
        (store / name).mkdir()
    reader = StoreReader(store)
    assert [chunk.number for chunk in reader.index.chunks] == [0, 1, 2]
    assert (reader.frame_count, reader.problems) == (10, ())


def test_odd_but_legal_metadata(store: Path) -> None:
    edit(store, "'2023-11-14T22:13:20.000000'", "2023-11-14T22:13:20")
    edit(store, "  uuid:", "  was_uuid:")
    reader = StoreReader(store)
    assert (reader.created_utc, reader.uuid) == ("2023-11-14T22:13:20", "")


def test_without_a_nominal_rate_it_is_measured(store: Path) -> None:
    edit(store, "nominal_hz", "was_nominal")
    edit(store, "acquisitionframerate:", "was_rate:")
    assert StoreReader(store).spec.nominal_hz == pytest.approx(1.0)


def test_without_times_there_is_no_rate(store: Path) -> None:
    edit(store, "nominal_hz", "was_nominal")
    edit(store, "acquisitionframerate:", "was_rate:")
    for chunk in ("000001", "000002"):
        shutil.rmtree(store / chunk)
    np.savez(store / "000000" / "index.npz", frame_number=[1], frame_time=[5.0])
    assert StoreReader(store).spec.nominal_hz == 0.0


def test_a_format_that_is_not_known(store: Path) -> None:
    edit(store, "format: npy", "format: xyz")
    with pytest.raises(StoreError, match="format xyz is not known"):
        StoreReader(store)
    edit(store, "chunksize: 4", "chunksize: 0")
    with pytest.raises(StoreDamaged, match="frames beside it are intact"):
        StoreReader(store)


# --- other kinds of stores ----------------------------------------------------------------------

def written(path: Path, form: str, shape: tuple[int, ...], **more: Any) -> list[Any]:
    """A store that the real imgstore wrote, of five frames in chunks of two; the frames."""
    random = np.random.default_rng(1)
    frames = [random.integers(0, 255, shape, np.uint8) for _ in range(5)]
    with imgstore.new_for_format(form, str(path), mode="w", imgshape=shape, chunksize=2,
                                 metadata={"bird": "dove"}, **more) as writer:
        for number, frame in enumerate(frames):
            writer.add_image(frame, 10 + number, 1.7e9 + number / 50)
    return frames


@pytest.mark.parametrize("form", ["png", "bmp", "tif"])
@pytest.mark.parametrize("shape", [(6, 8), (6, 8, 3), (6, 8, 1)])
def test_pictures(tmp_path: Path, form: str, shape: tuple[int, ...]) -> None:
    frames = written(tmp_path / "s", form, shape)
    with StoreReader(tmp_path / "s") as reader:
        assert reader.problems == ()
        assert reader.numbers.tolist() == [10, 11, 12, 13, 14]
        assert reader.digests is None
        out = np.zeros(shape, np.uint8)
        for index in (4, 0, 3):
            assert np.array_equal(reader.read(index), frames[index].reshape(
                shape[:2] if shape[-1] == 1 else shape))
            assert reader.read(index, out) is out
            assert np.array_equal(out, frames[index])
        assert reader.frame_path(4) == tmp_path / "s" / "000002" / f"000000.{form}"
        assert reader.spec.nominal_hz == pytest.approx(50, rel=1e-4)
        assert (reader.spec.shape, reader.spec.dtype, reader.spec.pixel_format) == (
            shape, "uint8", "BGR8" if shape[-1] == 3 else "MONO8")


def test_video(tmp_path: Path) -> None:
    written(tmp_path / "s", "mjpeg/avi", (64, 96, 3))
    with StoreReader(tmp_path / "s") as reader:
        with imgstore.new_for_filename(str(tmp_path / "s")) as theirs:
            for index in (4, 0, 3):
                expected, (number, time_s) = theirs.get_image(None, frame_index=index)
                assert reader.read(index).shape == expected.shape
                assert (reader.numbers[index], reader.index.times_s[index]) == (number, time_s)
        assert reader.frame_path(3) == tmp_path / "s" / "000001.avi"
        assert reader.spec.pixel_format == "BGR8"
        assert reader.metadata.is_video
        assert len(list(reader)) == 5
    reader.close()
    assert reader.read(0).shape == (64, 96, 3)  # opened again
    reader.close()


def test_mosaics_are_decoded_as_imgstore_does(tmp_path: Path) -> None:
    frames = written(tmp_path / "s", "png", (6, 8), encoding="cv_bayerbg")
    reader = StoreReader(tmp_path / "s")
    assert reader.spec.pixel_format == "BAYER_RG8"
    with imgstore.new_for_filename(str(tmp_path / "s")) as theirs:
        for index in (2, 0):
            assert np.array_equal(reader.read(index), frames[index])
            assert np.array_equal(reader.decoded(index),
                                  theirs.get_image(None, frame_index=index)[0])


def test_without_an_encoding_decoded_is_as_stored(store: Path) -> None:
    assert np.array_equal(StoreReader(store).decoded(3), pixels(3))


def test_what_cannot_be_decoded_is_damage(store: Path) -> None:
    edit(store, "encoding: null", "encoding: cv_bayerbg")
    np.save(store / "000000" / "000000.npy", np.zeros((6, 8, 3), np.uint8))
    with pytest.raises(StoreDamaged, match=r"000000\.npy: .*cv_bayerbg"):
        StoreReader(store, verify=False).decoded(0)


def test_npy_needs_neither_decoder_nor_pandas(store: Path) -> None:
    code = ("import sys; from pathlib import Path; from fieldrec.store.reader import StoreReader; "
            f"StoreReader(Path({str(store)!r})).read(5); "
            "print(sorted({'cv2', 'av', 'pandas', 'h5py', 'sqlite3'} & set(sys.modules)))")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# --- while it is recorded -----------------------------------------------------------------------

def test_a_store_that_is_being_recorded_is_read_so_far(tmp_path: Path) -> None:
    writer = StoreWriter(tmp_path / "s", SPEC, chunksize=4, user_metadata={}, timezone="UTC",
                         created_epoch_ns=0)
    assert StoreReader(tmp_path / "s").problems == ()
    for number in range(6):
        writer.append(pixels(number), number, 1000 + number, None)
    reader = StoreReader(tmp_path / "s")
    assert reader.problems == ()
    assert reader.times_ns.tolist() == [1000, 1001, 1002, 1003, 1004, 1005]
    assert np.array_equal(reader.read(5), pixels(5))
    writer.abandon()
    assert StoreReader(tmp_path / "s").frame_count == 6


@pytest.mark.parametrize("form", ["mjpeg/avi", "h264/mkv", "avc1/mp4"])
def test_a_video_that_is_being_recorded_is_read_so_far(tmp_path: Path, form: str) -> None:
    spec = FrameSpec((64, 96), "uint8", "MONO8", 25.0)
    writer = StoreWriter(tmp_path / "s", spec, chunksize=4, user_metadata={}, timezone="UTC",
                         created_epoch_ns=0, form=form)
    for number in range(6):
        writer.append(np.full(spec.shape, 40 * number, np.uint8), number, 1000 + number, None)
    with StoreReader(tmp_path / "s") as reader:
        assert reader.numbers.tolist() == [0, 1, 2, 3, 4, 5]
        for index in (5, 0, 4):
            assert abs(float(reader.read(index).mean()) - 40 * index) < 3
    with StoreReader(tmp_path / "s") as reader:
        assert reader.frame_count == 6
        writer.close()  # the file gets its name meanwhile
        assert abs(float(reader.read(5).mean()) - 200) < 3


def test_no_store_and_damaged_metadata(store: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no store there"):
        StoreReader(tmp_path)
    (store / "metadata.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(StoreDamaged, match="frames beside it are intact"):
        StoreReader(store)
