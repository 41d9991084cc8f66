"""Reading through imgstore's interface: damage costs what is damaged and no more, and says so."""

from __future__ import annotations

import gc
import logging
import mmap
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imgstore
import numpy as np
import pytest

import fieldrec.store as store_api
from fieldrec.core.errors import FieldrecError, StoreDamaged

SHAPE = (6, 8)
FORMATS = {"npy": "npy", "png": "png"}


def picture(number: int, shape: tuple[int, ...] = SHAPE, dtype: str = "uint8") -> Any:
    return np.random.default_rng(number).integers(0, 255, shape).astype(dtype)


def make(path: Path, form: str = "npy", *, count: int = 10, **keywords: Any) -> Path:
    """Frames 100 … in chunks of four, at times 1000, 1001 …"""
    with store_api.new_for_format(form, path, imgshape=SHAPE, chunksize=4,
                                  **keywords) as store:
        for number in range(count):
            store.add_image(picture(number), 100 + number, 1000.0 + number)
    return path


@pytest.fixture
def npy(tmp_path: Path) -> Path:
    return make(tmp_path / "npy")


def numbers_read(store: Any) -> list[int]:
    found = []
    while True:
        try:
            found.append(store.get_next_image()[1][0])
        except EOFError:
            return found


# --- damaged frames ------------------------------------------------------------------------------

def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-20])


def empty(file: Path) -> None:
    file.write_bytes(b"")


def remove(file: Path) -> None:
    file.unlink()


def garbage(file: Path) -> None:
    file.write_bytes(b"\xff" * 300)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("damage", [cut, empty, remove, garbage])
def test_a_damaged_frame_is_named_and_reading_goes_on(tmp_path: Path, form: str,
                                                      damage: Callable[[Path], None]) -> None:
    path = make(tmp_path / "s", form)
    damage(path / "000001" / f"000001.{form}")
    with store_api.new_for_filename(path) as store:
        assert [store.get_next_image()[1][0] for _ in range(5)] == [100, 101, 102, 103, 104]
        with pytest.raises(StoreDamaged, match=rf"000001/000001\.{form}") as raised:
            store.get_next_image()
        assert isinstance(raised.value, OSError | FieldrecError)
        assert isinstance(raised.value, ValueError)
        assert isinstance(raised.value, OSError)
        assert not isinstance(raised.value, EOFError)
        assert isinstance(raised.value, FileNotFoundError) == (damage is remove)
        assert store.frame_number == 104
        assert store.problems == (str(raised.value),)
        assert numbers_read(store) == [106, 107, 108, 109]
        reads: list[Callable[[], Any]] = [
            lambda: store.get_image(105), lambda: store.get_nearest_image(1005.1),
            lambda: store.get_image(None, frame_index=5)]
        for read in reads:
            with pytest.raises(StoreDamaged, match="000001"):
                read()
            assert store.get_next_image()[1][0] == 106
        assert len(store.problems) == 1


@pytest.mark.parametrize("form", FORMATS)
def test_going_past_damage_when_asked(tmp_path: Path, form: str,
                                      caplog: pytest.LogCaptureFixture) -> None:
    path = make(tmp_path / "s", form)
    for chunk, position in (("000000", 0), ("000001", 3), ("000002", 0), ("000002", 1)):
        cut(path / chunk / f"{position:06d}.{form}")
    with store_api.new_for_filename(path, skip_damaged=True) as store:
        assert numbers_read(store) == [101, 102, 103, 104, 105, 106]
        assert len(store.problems) == 4
        assert "passed over" in caplog.text
        assert [number for _, (number, _) in store] == [101, 102, 103, 104, 105, 106]
        with pytest.raises(StoreDamaged):
            store.get_image(100)


@pytest.mark.parametrize("form", FORMATS)
def test_flipped_bits_are_noticed_unless_that_is_not_wanted(tmp_path: Path, form: str) -> None:
    path = make(tmp_path / "s", form)
    file = path / "000001" / f"000001.{form}"
    if form == "npy":
        data = bytearray(file.read_bytes())
        data[-1] ^= 1
        file.write_bytes(data)
    else:  # another whole picture
        file.write_bytes((path / "000000" / f"000000.{form}").read_bytes())
    with store_api.new_for_filename(path) as store:
        with pytest.raises(StoreDamaged, match="000001"):
            store.get_image(105)
        store.refresh()
        with pytest.raises(StoreDamaged, match="000001"):
            store.get_image(105)
    with store_api.new_for_filename(path, verify=False) as store:
        store.get_image(105)
        store.refresh()
        store.get_image(105)


def test_going_through_all_images_survives_a_damaged_one(npy: Path) -> None:
    cut(npy / "000000" / "000002.npy")
    with store_api.new_for_filename(npy) as store:
        images = iter(store)
        assert [next(images)[1][0] for _ in range(2)] == [100, 101]
        with pytest.raises(StoreDamaged, match="000002"):
            next(images)
        assert [number for _, (number, _) in images] == list(range(103, 110))


def test_a_cut_video_is_named_and_reading_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with store_api.new_for_format("mjpeg/avi", path, imgshape=(16, 16), chunksize=3) as store:
        for number in range(9):
            store.add_image(picture(number, (16, 16)), number, number)
    video = path / "000001.avi"
    video.write_bytes(video.read_bytes()[:50])
    with store_api.new_for_filename(path) as store:
        found, errors = [], 0
        while True:
            try:
                found.append(store.get_next_image()[1][0])
            except StoreDamaged as error:
                assert "000001.avi" in str(error)
                errors += 1
            except EOFError:
                break
        assert (found, errors) == ([0, 1, 2, 6, 7, 8], 3)


# --- damaged chunks ------------------------------------------------------------------------------

@pytest.mark.parametrize("damage", [cut, empty, garbage])
def test_a_bad_index_costs_its_chunk_only(npy: Path, damage: Callable[[Path], None],
                                          caplog: pytest.LogCaptureFixture) -> None:
    damage(npy / "000001" / "index.npz")
    with store_api.new_for_filename(npy) as store:
        assert store.frame_count == 6
        assert store.chunks == [0, 2]
        assert numbers_read(store) == [100, 101, 102, 103, 108, 109]
        assert "000001" in store.problems[0]
        assert "000001" in caplog.text
        with pytest.raises(ValueError, match="number 105"):
            store.get_image(105)
        assert store.get_image(106, exact_only=False)[1][0] == 108


def test_a_hole_does_not_end_reading(npy: Path, tmp_path: Path) -> None:
    shutil.rmtree(npy / "000001")
    with store_api.new_for_filename(npy) as store:
        assert numbers_read(store) == [100, 101, 102, 103, 108, 109]
        assert any("000001" in problem for problem in store.problems)
    nothing = make(tmp_path / "empty", count=0)
    (nothing / "000000").rename(npy / "000001")
    with store_api.new_for_filename(npy) as store:
        assert numbers_read(store) == [100, 101, 102, 103, 108, 109]
        assert any("000001" in problem for problem in store.problems)


def test_other_directories_and_files_do_no_harm(npy: Path) -> None:
    for name in ("tmp", ".hidden", "lost+found", "__MACOSX", "000002.part", "²"):
        (npy / name).mkdir()
    (npy / "notes.txt").write_text("x")
    with store_api.new_for_filename(npy) as store:
        assert numbers_read(store) == list(range(100, 110))
        assert store.problems == ()


@pytest.mark.parametrize("text", ["", "{}", "__store: 3", "__store: {class: x}", "a: [", "\x00"])
def test_unreadable_metadata_is_named(npy: Path, text: str) -> None:
    (npy / "metadata.yaml").write_text(text)
    with pytest.raises(StoreDamaged, match=r"metadata\.yaml") as raised:
        store_api.new_for_filename(npy)
    assert isinstance(raised.value, ValueError)


def test_a_later_version_is_refused(npy: Path) -> None:
    file = npy / "metadata.yaml"
    file.write_text(file.read_text().replace("version: 2", "version: 3"))
    with pytest.raises(ValueError, match="version 3 is not known"):
        store_api.new_for_filename(npy)
    file.write_text(file.read_text().replace("  version: 3\n", ""))
    store_api.new_for_filename(npy).close()


# --- what imgstore's readers do not have ---------------------------------------------------------

def test_all_images_as_often_as_wanted(npy: Path) -> None:
    with store_api.new_for_filename(npy) as store:
        store.get_image(107)
        for _ in range(2):
            assert [number for _, (number, _) in store] == list(range(100, 110))
        assert len(list(store)) == len(store)
        assert store.frame_number == 107
        assert store.get_next_image()[1] == (108, 1008.0)
        for image, (number, _) in store:
            assert np.array_equal(image, picture(number - 100))


@pytest.mark.parametrize("form", FORMATS)
def test_reading_into_an_array(tmp_path: Path, form: str) -> None:
    with store_api.new_for_filename(make(tmp_path / "s", form)) as store:
        out = np.zeros(SHAPE, np.uint8)
        reads: list[Callable[[], Any]] = [
            lambda: store.get_next_image(out=out), lambda: store.get_image(101, out=out),
            lambda: store.get_nearest_image(1002.2, out=out),
            lambda: store.get_image(None, frame_index=3, out=out)]
        for at, read in enumerate(reads):
            image, (number, _) = read()
            assert image is out
            assert number == 100 + at
            assert np.array_equal(out, picture(at))
        with pytest.raises(ValueError, match="out"):
            store.get_next_image(out=np.zeros((8, 6), np.uint8))


def test_reading_decoded_images_into_an_array(tmp_path: Path) -> None:
    path = make(tmp_path / "s", encoding="cv_bayerbg")
    with store_api.new_for_filename(path) as store:
        expected, _ = store.get_image(103)
        out = np.zeros(store.image_shape, np.uint8)
        assert store.get_image(103, out=out)[0] is out
        assert np.array_equal(out, expected)
        with pytest.raises(ValueError, match="broadcast"):
            store.get_image(103, out=np.zeros(SHAPE, np.uint8))
        store.disable_decoding()
        raw = np.zeros(SHAPE, np.uint8)
        assert np.array_equal(store.get_image(103, out=raw)[0], picture(3))


def test_mapped_frames_are_not_copied(npy: Path) -> None:
    with store_api.new_for_filename(npy, mapped=True) as store:
        images = [image for image, _ in store]
        for number, image in enumerate(images):
            assert np.array_equal(image, picture(number))
            assert not image.flags.writeable
        base: Any = images[0]
        while isinstance(base, np.ndarray):
            base = base.base
        assert isinstance(base if not isinstance(base, memoryview) else base.obj, mmap.mmap)
        out = np.zeros(SHAPE, np.uint8)
        assert store.get_image(104, out=out)[0] is out
    del images, image, base
    gc.collect()


def test_a_cut_mapped_frame_is_named(npy: Path) -> None:
    cut(npy / "000000" / "000000.npy")
    empty(npy / "000000" / "000001.npy")
    with store_api.new_for_filename(npy, mapped=True) as store:
        for number in (100, 101):
            with pytest.raises(StoreDamaged, match=f"00000{number - 100}.npy"):
                store.get_image(number)
        assert store.get_next_image()[1][0] == 102


def test_only_npy_can_be_mapped(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="only npy"):
        store_api.new_for_filename(make(tmp_path / "s", "png"), mapped=True)


def test_a_reader_of_a_store_that_is_being_written(tmp_path: Path) -> None:
    path = tmp_path / "s"
    writer = store_api.new_for_format("npy", path, imgshape=SHAPE, chunksize=4)
    for number in range(6):
        writer.add_image(picture(number), number, number)
    with store_api.new_for_filename(path) as reader:
        assert numbers_read(reader) == [0, 1, 2, 3, 4, 5]
        for number in range(6, 13):
            writer.add_image(picture(number), number, number)
        with pytest.raises(EOFError):
            reader.get_next_image()
        assert reader.refresh() == 7
        assert reader.get_next_framenumber() == 6
        assert numbers_read(reader) == list(range(6, 13))
        assert reader.refresh() == 0
        writer.close()
        assert reader.refresh() == 0
        assert reader.get_image(9)[1][0] == 9
        assert reader.get_next_image()[1][0] == 10


def test_the_place_stays_when_chunks_before_it_come_back(npy: Path) -> None:
    index = npy / "000000" / "index.npz"
    data = index.read_bytes()
    index.unlink()
    with store_api.new_for_filename(npy) as store:
        assert [store.get_next_image()[1][0] for _ in range(2)] == [104, 105]
        index.write_bytes(data)
        assert store.refresh() == 4
        assert store.get_next_image()[1][0] == 106
        index.unlink()
        assert store.refresh() == -4
        assert store.get_next_image()[1][0] == 107
        shutil.rmtree(npy / "000001")
        store.refresh()
        assert store.get_next_image()[1][0] == 108


@pytest.mark.parametrize("form", ["npy", "mjpeg/avi"])
def test_readers_that_are_forgotten_leave_nothing_open(tmp_path: Path, form: str) -> None:
    with store_api.new_for_format(form, tmp_path / "s", imgshape=(16, 16), chunksize=3) as store:
        for number in range(7):
            store.add_image(picture(number, (16, 16)), number, number)
    store_api.new_for_filename(tmp_path / "s").get_next_image()
    told = [number for _, (number, _) in store_api.new_for_filename(tmp_path / "s")]
    assert told == [0, 1, 2, 3, 4, 5, 6]  # nothing else holds that store: see conftest


def test_one_frame_of_a_store_with_short_chunks_is_the_right_one(tmp_path: Path) -> None:
    path = tmp_path / "s"
    oracle = imgstore.new_for_format("npy", str(path), imgshape=SHAPE, chunksize=4)
    for number in range(6):
        oracle.add_image(picture(number), number, number)
    oracle.close()
    for name in ("000003.npy", "000002.npy"):
        (path / "000000" / name).unlink()
    file = path / "000000" / "index.npz"
    np.savez(file, frame_number=[0, 1], frame_time=[0.0, 1.0])
    for at, number in enumerate((0, 1, 4, 5)):
        assert np.array_equal(only(path, at), picture(number))


def only(path: Path, at: int) -> Any:
    return store_api.extract_only_frame(path, at)


@pytest.mark.parametrize("form", ["npy", "png", "mjpeg/avi"])
def test_one_frame_of_a_chunk_without_index_is_found_by_counting(tmp_path: Path, form: str) -> None:
    path = tmp_path / "s"
    with store_api.new_for_format(form, path, imgshape=(16, 16), chunksize=3) as store:
        for number in range(6):
            store.add_image(np.full((16, 16), 20 * number, np.uint8), number, number)
    for index in path.rglob("*.npz"):
        index.unlink()
    shown = [only(path, at) for at in (0, 4, 5)]
    assert [round(float(image.mean()) / 20) for image in shown] == [0, 4, 5]
    if form == "npy":
        with pytest.raises(FileNotFoundError, match="index 6"):
            store_api.extract_only_frame(path, 6)
    else:
        assert store_api.extract_only_frame(path, 6) is None


def test_one_frame_that_is_damaged_is_named(npy: Path) -> None:
    cut(npy / "000000" / "000001.npy")
    with pytest.raises(StoreDamaged, match="000001") as raised:
        store_api.extract_only_frame(npy, 1)
    assert isinstance(raised.value, ValueError)


def test_extra_data_of_a_damaged_chunk(npy: Path, tmp_path: Path,
                                       caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "s"
    with store_api.new_for_format("npy", path, imgshape=SHAPE, chunksize=2) as store:
        for number in range(4):
            store.add_image(picture(number), number, number)
            store.add_extra_data(a=number)
    file = path / "000000" / "index.extra.json"
    file.write_bytes(file.read_bytes()[:-3])
    with store_api.new_for_filename(path) as store:
        with pytest.raises(ValueError, match="000000"):
            store.get_extra_data()
        with caplog.at_level(logging.WARNING):
            table: Any = store.get_extra_data(ignore_corrupt_chunks=True)
        assert table["a"].tolist()[-2:] == [2, 3]
        assert "000000" in caplog.text
        assert [record["a"] for record in store_api.iter_extra_records(
            path, ignore_corrupt=True)][-2:] == [2, 3]
