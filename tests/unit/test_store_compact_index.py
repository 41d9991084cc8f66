"""The compact file: right or made again, whatever has happened to it or to the chunks."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import time
import tracemalloc
from pathlib import Path
from typing import Any

import imgstore
import numpy as np
import pytest

from fieldrec.core import durable
from fieldrec.core.errors import NotFoundError
from fieldrec.store import layout
from fieldrec.store.chunk_paths import ChunkPaths
from fieldrec.store.indexing import compact_file, compact_index
from fieldrec.store.indexing.chunk_index import read_rows
from fieldrec.store.indexing.compact_index import COMPACT_NAME, known_chunks, open_index
from fieldrec.store.indexing.frame_index import FrameIndex
from fieldrec.store.metadata import StoreMetadata, store_metadata
from fieldrec.store.reader import read_metadata
from tests.fakes.crafted_indexes import LONG_AGO_NS, craft, frames, put_index, run

CHUNKS, PER_CHUNK = 20, 500


@pytest.fixture
def store(tmp_path: Path) -> tuple[Path, StoreMetadata]:
    """20 chunks of 500 frames: three blocks a column."""
    root = tmp_path / "s"
    return root, craft(root, [run(number * PER_CHUNK, PER_CHUNK) for number in range(CHUNKS)])


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of the chunks whose indexes were read."""
    numbers: list[int] = []

    def counting(paths: ChunkPaths) -> Any:
        numbers.append(paths.number)
        return read_rows(paths)

    monkeypatch.setattr(compact_index, "read_rows", counting)
    return numbers


def check(index: FrameIndex, count: int = CHUNKS * PER_CHUNK) -> None:
    """All answers about a store of consecutive frames."""
    assert index.count == count
    for number in (0, 1, count // 2, count - 1):
        assert index.find_number(number) == index.number_at(number) == number
        assert index.nearest_time(1.7e9 + number / 25 + 0.01) == number
        assert index.time_ns_at(number) == pytest.approx(1.7e18 + number * 4e7, abs=300)
    assert index.find_number(count) is None
    assert np.array_equal(index.numbers, np.arange(count))
    assert np.array_equal(index.times_s, 1.7e9 + np.arange(count) / 25.0)
    assert np.array_equal(index.starts[:-1], np.arange(0, count, PER_CHUNK))
    assert index.digests is None


def test_the_second_time_no_index_is_read(store: tuple[Path, StoreMetadata], reads: list[int]
                                          ) -> None:
    check(open_index(*store))
    assert reads == list(range(CHUNKS))
    check(open_index(*store))
    assert reads == list(range(CHUNKS))
    assert sorted(path.name for path in store[0].iterdir() if path.name.startswith(".")) == [
        COMPACT_NAME]


def test_imgstore_does_not_mind(tmp_path: Path) -> None:
    shape = (64, 64, 3)
    for form in ("npy", "mjpeg/avi"):
        path = tmp_path / form[:3]
        with imgstore.new_for_format(form, str(path), mode="w", imgshape=shape, chunksize=1,
                                     metadata={}) as writer:
            for number in range(16):
                writer.add_image(np.full(shape, number, np.uint8), number, number / 25)
        before = imgstore.new_for_filename(str(path)).get_frame_metadata()
        index = open_index(path, store_metadata(read_metadata(path)[0]))
        assert (path / COMPACT_NAME).stat().st_size > 4096
        assert index.numbers.tolist() == before["frame_number"] == list(range(16))
        with imgstore.new_for_filename(str(path)) as reader:
            assert reader.get_frame_metadata() == before
            assert reader.get_image(9)[1] == (9, 9 / 25)


@pytest.mark.parametrize("reason", ["few chunks", "locked", "journal"])
def test_no_file_where_it_does_not_pay_or_frames_may_come(tmp_path: Path, reason: str) -> None:
    chunks = 15 if reason == "few chunks" else 20
    root = tmp_path / "s"
    metadata = craft(root, [run(number * PER_CHUNK, PER_CHUNK) for number in range(chunks)])
    if reason == "locked":
        (root / layout.LOCK_NAME).touch()
    elif reason == "journal":
        (root / "000019" / layout.LOG_NAME).write_bytes(layout.log_header())
    check(open_index(root, metadata), chunks * PER_CHUNK)
    assert not (root / COMPACT_NAME).exists()


def test_few_but_long_chunks_pay(tmp_path: Path) -> None:
    metadata = craft(tmp_path / "s", [run(0, 30_000)])
    assert open_index(tmp_path / "s", metadata).count == 30_000
    assert (tmp_path / "s" / COMPACT_NAME).exists()


@pytest.mark.parametrize("step", ["create", "rename"])
def test_where_nothing_can_be_written_it_is_read_all_the_same(store: tuple[Path, StoreMetadata],
                                                              step: str) -> None:
    def refuse(name: str, path: Path) -> None:
        if name == step:
            raise OSError(errno.EROFS, "read-only")

    durable.set_hook(refuse)
    check(open_index(*store))
    durable.set_hook(None)
    assert [path.name for path in store[0].iterdir() if path.name.startswith(".")] == []


def test_not_even_a_temporary_place(store: tuple[Path, StoreMetadata], tmp_path: Path,
                                    monkeypatch: pytest.MonkeyPatch) -> None:
    (store[0] / layout.LOCK_NAME).touch()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    check(open_index(*store))


def test_leftovers_of_a_kill_are_swept(store: tuple[Path, StoreMetadata]) -> None:
    old, new = (store[0] / f"{COMPACT_NAME}.{name}.tmp" for name in ("1", "2"))
    for path in (old, new):
        path.touch()
    os.utime(old, (1, 1))
    open_index(*store)
    assert (old.exists(), new.exists()) == (False, True)


# --- the chunks change --------------------------------------------------------------------------

def test_only_what_changed_is_read_again(store: tuple[Path, StoreMetadata], reads: list[int]
                                         ) -> None:
    root, metadata = store
    open_index(root, metadata)
    put_index(root, metadata, 7, frames(np.arange(3500, 4000), 1.7e9 + np.arange(3500, 4000) / 25),
              LONG_AGO_NS + 1)
    put_index(root, metadata, CHUNKS, run(CHUNKS * PER_CHUNK, PER_CHUNK))
    reads.clear()
    check(open_index(root, metadata), (CHUNKS + 1) * PER_CHUNK)
    assert reads == [7, CHUNKS]
    check(open_index(root, metadata), (CHUNKS + 1) * PER_CHUNK)
    assert reads == [7, CHUNKS]


@pytest.mark.parametrize("change", ["fewer frames", "chunk gone", "last chunk gone", "now yaml",
                                    "now rubbish", "index gone", "times backwards", "renumbered"])
def test_every_change_is_seen(store: tuple[Path, StoreMetadata], tmp_path: Path, change: str
                              ) -> None:
    root, metadata = store
    open_index(root, metadata)
    index = root / "000003" / "index.npz"
    if change == "fewer frames":
        put_index(root, metadata, 3, run(1500, 400))
    elif change == "chunk gone":
        shutil.rmtree(index.parent)
    elif change == "last chunk gone":
        shutil.rmtree(root / "000019")
    elif change == "now yaml":
        index.unlink()
        index.with_suffix(".yaml").write_text("frame_number: [5]\nframe_time: [7.0]\n")
    elif change == "now rubbish":
        index.write_bytes(b"x")
    elif change == "index gone":
        index.unlink()
        (index.parent / "000000.npy").touch()
    elif change == "times backwards":
        put_index(root, metadata, 3, frames(np.arange(1500, 2000), np.zeros(500)), 5)
    else:
        put_index(root, metadata, 3, run(500_000, 500), 5)
    now = open_index(root, metadata)
    shutil.copytree(root, tmp_path / "fresh", ignore=shutil.ignore_patterns(COMPACT_NAME))
    fresh = open_index(tmp_path / "fresh", metadata)
    again = open_index(root, metadata)
    for one in (now, again):
        assert np.array_equal(one.numbers, fresh.numbers)
        assert np.array_equal(one.times_s, fresh.times_s)
        assert one.starts.tolist() == fresh.starts.tolist()
        assert one.problems == tuple(problem.replace(str(tmp_path / "fresh"), str(root))
                                     for problem in fresh.problems)


def test_an_index_just_written_is_read_again_next_time(store: tuple[Path, StoreMetadata],
                                                       reads: list[int]) -> None:
    root, metadata = store
    now_ns = time.time_ns()
    put_index(root, metadata, 7, run(3500, 500), now_ns)
    open_index(root, metadata)
    put_index(root, metadata, 7, frames(np.arange(3500, 4000), np.zeros(500)), now_ns)
    reads.clear()
    assert open_index(root, metadata).time_s_min == 0.0
    assert reads == [7]


# --- problems -----------------------------------------------------------------------------------

def test_bad_chunks_are_told_each_time_and_the_file_serves_all_the_same(
        store: tuple[Path, StoreMetadata], reads: list[int]) -> None:
    root, metadata = store
    (root / "000003" / "index.npz").write_bytes(b"")
    (root / "000005" / "index.npz").unlink()
    (root / "000005" / "000000.npy").touch()
    (root / "000006" / "index.npz").unlink()  # and no frame: nothing is lost
    put_index(root, metadata, 8, frames([], []))
    shutil.rmtree(root / "000010")
    shutil.rmtree(root / "000011")
    shutil.rmtree(root / "000000")
    os.utime(root / "000003" / "index.npz", ns=(LONG_AGO_NS, LONG_AGO_NS))
    for _ in range(2):
        index = open_index(root, metadata)
        assert index.count == (CHUNKS - 7) * PER_CHUNK
        problems = [problem.replace(str(root), "s") for problem in index.problems]
        assert problems == [
            "s: chunk 000000 is missing; put back what is there in a copy",
            "s/000003/index.npz: unreadable index: File is not a zip file; its frames are left out",
            "s/000005: no index: its frames have no numbers or times; `fieldrec check --repair` "
            "makes one from the files",
            "s: chunks 000010 to 000011 are missing; put back what is there in a copy"]
    assert sorted(reads[CHUNKS - 3:]) == [3, 5, 6]


def test_no_store_there(tmp_path: Path) -> None:
    metadata = craft(tmp_path / "s", [])
    assert open_index(tmp_path / "s", metadata).count == 0
    shutil.rmtree(tmp_path / "s")
    with pytest.raises(NotFoundError):
        open_index(tmp_path / "s", metadata)


def test_names_that_are_no_chunks_are_passed_over(store: tuple[Path, StoreMetadata]) -> None:
    root, metadata = store
    for name in ("tmp", ".hidden", "000002.part", "٣"):
        (root / name).mkdir()
    (root / "000099").touch()
    check(open_index(root, metadata))


# --- the open chunk -----------------------------------------------------------------------------

def test_a_store_that_is_being_recorded(store: tuple[Path, StoreMetadata]) -> None:
    root, metadata = store
    (root / layout.LOCK_NAME).touch()
    last = root / f"{CHUNKS:06d}"
    last.mkdir()
    (last / layout.LOG_NAME).write_bytes(layout.log_header())
    assert open_index(root, metadata).problems == ()
    positions = np.array([0, 2, 3])
    numbers = CHUNKS * PER_CHUNK + positions
    columns = layout.Columns(numbers, 1_700_000_000_000_000_000 + numbers * 40_000_000,
                             np.full(3, -1), np.zeros(3, np.uint64))
    (last / layout.LOG_NAME).write_bytes(layout.log_bytes(layout.Log(positions, columns)))
    for position in positions:
        (last / f"{position:06d}.npy").touch()
    index = open_index(root, metadata)
    assert index.problems == ()
    assert index.numbers[-3:].tolist() == numbers.tolist()
    assert [index.locate(at)[1] for at in range(index.count - 4, index.count)] == [499, 0, 2, 3]
    assert index.nearest_number(10 ** 6) == index.count - 1


# --- video --------------------------------------------------------------------------------------

def test_video_stores(tmp_path: Path, reads: list[int]) -> None:
    root = tmp_path / "s"
    metadata = craft(root, [run(number * 50, 50) for number in range(16)], video=True)
    for number in range(17):
        (root / f"{number:06d}.mp4").write_bytes(b"video")
    (root / "notes.txt").touch()
    for _ in range(2):
        index = open_index(root, metadata)
        assert index.count == 800
        assert index.locate(799)[0].frames == root / "000015.mp4"
        assert index.problems == (
            f"{root}/000016.mp4: no index: its frames have no numbers or times; `fieldrec check "
            "--repair` makes one from the files",)
    assert (root / COMPACT_NAME).exists()
    assert reads == [*range(17), 16]


# --- the file changes ---------------------------------------------------------------------------

def test_any_damage_to_the_file_is_made_good(store: tuple[Path, StoreMetadata]) -> None:
    root, metadata = store
    file = root / COMPACT_NAME
    open_index(root, metadata)
    whole = file.read_bytes()
    random = np.random.default_rng(5)
    places = [*range(0, compact_file.HEADER.size, 5),
              *random.integers(0, len(whole), 60).tolist()]
    for place in places:
        for damaged in (whole[:place],
                        whole[:place] + bytes([whole[place] ^ 0x40]) + whole[place + 1:],
                        whole[:place] + bytes(len(whole) - place)):
            file.write_bytes(damaged)
            check(open_index(root, metadata))
    assert file.read_bytes() == whole


@pytest.mark.parametrize("content", [b"", b"FRAMEIDX", b"x" * 100_000])
def test_a_file_of_somebody_else_is_replaced(store: tuple[Path, StoreMetadata], content: bytes
                                             ) -> None:
    root, metadata = store
    (root / COMPACT_NAME).write_bytes(content)
    check(open_index(root, metadata))
    assert known_chunks(root) is not None


def test_a_later_version_is_not_read(store: tuple[Path, StoreMetadata]) -> None:
    root, metadata = store
    open_index(root, metadata)
    data = bytearray((root / COMPACT_NAME).read_bytes())
    data[8] = 2
    (root / COMPACT_NAME).write_bytes(data)
    assert known_chunks(root) is None
    check(open_index(root, metadata))


@pytest.mark.parametrize("kind", ["link", "directory"])
def test_what_is_no_file_stays_as_it_is(store: tuple[Path, StoreMetadata], tmp_path: Path,
                                        kind: str) -> None:
    root, metadata = store
    target = tmp_path / "other"
    target.write_text("other")
    if kind == "link":
        (root / COMPACT_NAME).symlink_to(target)
    else:
        (root / COMPACT_NAME).mkdir()
    check(open_index(root, metadata))
    assert target.read_text() == "other"


def test_an_open_index_outlives_its_file(store: tuple[Path, StoreMetadata]) -> None:
    root, metadata = store
    index = open_index(root, metadata)
    (root / COMPACT_NAME).unlink()
    shutil.rmtree(root)
    check(index)


def test_a_file_torn_while_it_is_open_is_made_again(store: tuple[Path, StoreMetadata]) -> None:
    root, metadata = store
    index = open_index(root, metadata)
    with (root / COMPACT_NAME).open("r+b") as file:
        file.truncate(5000)
    check(index)
    check(open_index(root, metadata))


# --- memory -------------------------------------------------------------------------------------

@pytest.mark.parametrize("order", ["ascending", "repeated"])
def test_little_memory_while_it_is_built(tmp_path: Path, order: str) -> None:
    def chunk(start: int) -> dict[str, Any]:
        return {**run(start, 10_000), "frame_time_ns": np.arange(start, start + 10_000),
                "device_time_ns": np.arange(10_000), "frame_digest": np.zeros(10_000, np.uint64)}

    root = tmp_path / "s"
    metadata = craft(root, [chunk(0 if order == "repeated" else number * 10_000)
                            for number in range(60)])
    open_index(root, metadata)  # loads what is loaded lazily
    (root / COMPACT_NAME).unlink()
    tracemalloc.start()
    index = open_index(root, metadata)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert index.count == 600_000
    assert peak < 10_000_000  # the columns are 24, and 19 more where they must be sorted
    del index
