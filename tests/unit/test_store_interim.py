"""The interim index: what the real imgstore reads of a crashed store, and never more than that."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from imgstore import new_for_filename

from fieldrec.core import durable
from fieldrec.core.errors import StoreFull, SyncFailed
from fieldrec.core.model import FrameSpec
from fieldrec.store import layout
from fieldrec.store.chunk import OpenChunk
from fieldrec.store.chunk_paths import chunk_paths
from fieldrec.store.interim import INTERIM_EVERY_NS, InterimIndex
from fieldrec.store.npy_frames import NpyFiles
from fieldrec.store.recover import recover
from fieldrec.store.writer import StoreWriter

SPEC = FrameSpec((16, 24), "uint8", "MONO8", 25.0)


def picture(number: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(number).integers(0, 255, SPEC.shape, np.uint8)


def writer(path: Path, *, chunksize: int = 100, form: str = "npy") -> StoreWriter:
    """Its interim index is written after every sync."""
    store = StoreWriter(path, SPEC, chunksize=chunksize, user_metadata={}, timezone="UTC",
                        created_epoch_ns=0, form=form)
    store.interim.every_ns = 0
    return store


def append(store: StoreWriter, *numbers: int) -> None:
    for number in numbers:
        store.append(picture(number), number, number * 40_000_000, None)


def listed(path: Path) -> list[int]:
    return [int(number) for number in layout.parse_index(path.read_bytes()).numbers]


def assert_imgstore_reads(path: Path, numbers: list[int]) -> None:
    oracle = new_for_filename(str(path))
    try:
        assert oracle.frame_count == len(numbers)
        for number in numbers:
            image, (told, time_s) = oracle.get_next_image()
            assert (told, time_s) == (number, layout.second_of(number * 40_000_000))
            assert np.array_equal(image, picture(number))
        with pytest.raises(EOFError):
            oracle.get_next_image()
    finally:
        oracle.close()


# --- cadence ----------------------------------------------------------------------------------

def test_it_is_written_when_it_is_due_and_lists_something_new(tmp_path: Path) -> None:
    now_ns = 5
    interim = InterimIndex({}, now_ns=lambda: now_ns)
    chunk = OpenChunk(chunk_paths(tmp_path, 0), 9, NpyFiles(SPEC.shape, SPEC.dtype))
    interim.begin(chunk)
    chunk.append(picture(0), 0, 0, -1)
    seen = []
    for step_ns, frames in [(INTERIM_EVERY_NS - 1, 0), (1, 0), (INTERIM_EVERY_NS, 0), (0, 1),
                            (INTERIM_EVERY_NS - 1, 0), (1, 0)]:
        now_ns += step_ns
        for number in range(frames):
            chunk.append(picture(number), number, 0, -1)
        interim.write(interim.appended)
        seen.append(len(listed(chunk.paths.index)) if chunk.paths.index.exists() else 0)
    chunk.release()
    assert seen == [0, 1, 1, 2, 2, 2]


def test_without_an_open_chunk_nothing_is_written(tmp_path: Path) -> None:
    interim = InterimIndex({})
    interim.every_ns = 0
    interim.write(interim.appended)
    chunk = OpenChunk(chunk_paths(tmp_path, 0), 9, NpyFiles(SPEC.shape, SPEC.dtype))
    interim.begin(chunk)
    interim.write(interim.appended)
    chunk.append(picture(0), 0, 0, -1)
    interim.end()
    interim.write(1)
    chunk.release()
    assert not chunk.paths.index.exists()


# --- what it is for ---------------------------------------------------------------------------

@pytest.mark.parametrize("form", ["npy", "png", "bmp", "tif", "pgm"])
def test_imgstore_reads_a_crashed_store_that_far(tmp_path: Path, form: str) -> None:
    store = writer(tmp_path / "s", chunksize=4, form=form)
    append(store, 0, 1, 2, 3, 4, 5)
    store.sync()
    append(store, 6)
    store.abandon()
    assert {".lock", "000001"} <= {path.name for path in (tmp_path / "s").iterdir()}
    assert_imgstore_reads(tmp_path / "s", [0, 1, 2, 3, 4, 5])
    recover(tmp_path / "s")
    assert_imgstore_reads(tmp_path / "s", [0, 1, 2, 3, 4, 5, 6])


def test_a_store_that_is_closed_shows_nothing_of_it(tmp_path: Path) -> None:
    for name, every_ns in (("with", 0), ("without", INTERIM_EVERY_NS)):
        store = writer(tmp_path / name, chunksize=4)
        store.interim.every_ns = every_ns
        for number in range(6):
            append(store, number)
            store.sync()
        store.close()
    for chunk in ("000000", "000001"):
        names = [{path.name for path in (tmp_path / name / chunk).iterdir()}
                 for name in ("with", "without")]
        assert names[0] == names[1]
        assert listed(tmp_path / "with" / chunk / "index.npz") == listed(
            tmp_path / "without" / chunk / "index.npz")


# --- it tells the truth (I2) ------------------------------------------------------------------

def test_a_frame_that_comes_during_the_sync_is_not_listed(tmp_path: Path) -> None:
    store = writer(tmp_path / "s")
    append(store, 0, 1)
    durable.set_hook(lambda step, _path: append(store, 2) if step == "syncfs" else None)
    store.sync()
    durable.set_hook(None)
    assert listed(tmp_path / "s" / "000000" / "index.npz") == [0, 1]
    store.close()
    assert listed(tmp_path / "s" / "000000" / "index.npz") == [0, 1, 2]


def test_a_failed_sync_writes_none(tmp_path: Path) -> None:
    store = writer(tmp_path / "s")
    append(store, 0)
    durable.set_hook(failing("syncfs", "s", errno.EIO))
    with pytest.raises(SyncFailed):
        store.sync()
    durable.set_hook(None)
    assert not (tmp_path / "s" / "000000" / "index.npz").exists()
    store.sync()  # the chunk is not trusted: it is verified first
    assert not (tmp_path / "s" / "000000" / "index.npz").exists()
    store.close()


def test_a_sync_beside_the_end_of_a_chunk_leaves_its_index_alone(tmp_path: Path) -> None:
    store = writer(tmp_path / "s", chunksize=2)
    append(store, 0)
    by_sync: list[str] = []

    def sync_now(step: str, path: Path) -> None:
        if threading.current_thread() is not threading.main_thread():
            by_sync.append(f"{step} {path.name}")
        elif step == "rename" and path.name == ".index.npz.tmp":
            thread = threading.Thread(target=store.sync)
            thread.start()
            thread.join()

    durable.set_hook(sync_now)
    append(store, 1)
    durable.set_hook(None)
    assert by_sync == ["syncfs s"]
    store.close()
    assert listed(tmp_path / "s" / "000000" / "index.npz") == [0, 1]


def test_syncs_and_chunk_ends_may_meet_anywhere(tmp_path: Path) -> None:
    store = writer(tmp_path / "s", chunksize=3)
    stop = threading.Event()

    def keep_syncing() -> None:
        while not stop.is_set():
            store.add_extra_data(a=1)
            store.sync()

    thread = threading.Thread(target=keep_syncing)
    thread.start()
    append(store, *range(60))
    stop.set()
    thread.join()
    store.close()
    assert_imgstore_reads(tmp_path / "s", list(range(60)))
    assert not list((tmp_path / "s").rglob("*.log"))
    assert not list((tmp_path / "s").rglob(".*"))


# --- when it cannot be written ----------------------------------------------------------------

def failing(step: str, name: str, number: int) -> durable.Hook:
    def hook(at: str, path: Path) -> None:
        if at == step and path.name == name:
            if at == "write" and number in durable.FULL_ERRNOS:
                raise StoreFull(os.strerror(number))
            raise OSError(number, os.strerror(number))
    return hook


@pytest.mark.parametrize(("step", "name"), [("create", ".index.npz.tmp"), ("write", "index.npz"),
                                            ("fsync", "index.npz")])
def test_without_room_it_is_left_out_and_the_reserve_stays(tmp_path: Path, step: str, name: str
                                                           ) -> None:
    store = writer(tmp_path / "s")
    append(store, 0)
    durable.set_hook(failing(step, name, errno.ENOSPC))
    store.sync()
    durable.set_hook(None)
    assert {path.name for path in (tmp_path / "s" / "000000").iterdir()} == {
        "000000.npy", "frames.log"}
    assert (tmp_path / "s" / ".reserve").exists()
    append(store, 1)
    store.sync()
    assert listed(tmp_path / "s" / "000000" / "index.npz") == [0, 1]
    store.close()


def test_a_disk_that_does_not_take_it_costs_no_frame(tmp_path: Path) -> None:
    store = writer(tmp_path / "s")
    append(store, 0)
    durable.set_hook(failing("create", ".index.npz.tmp", errno.EIO))
    store.sync()
    durable.set_hook(None)
    append(store, 1)
    store.close()
    assert_imgstore_reads(tmp_path / "s", [0, 1])


def test_one_that_cannot_be_synced_has_the_chunk_verified(tmp_path: Path) -> None:
    store = writer(tmp_path / "s")
    append(store, 0, 1)
    store.sync()
    append(store, 2)
    durable.set_hook(failing("fsync", "index.npz", errno.EIO))
    with pytest.raises(SyncFailed):
        store.sync()
    durable.set_hook(None)
    (tmp_path / "s" / "000000" / "000001.npy").write_bytes(b"torn")
    store.next_chunk_after_sync_failure()
    append(store, 3)
    store.close()
    assert_imgstore_reads(tmp_path / "s", [0, 2, 3])
